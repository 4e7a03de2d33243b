"""Databases of an instance: its agent is asked, and the answer waited for."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.api.handlers import statements
from trove_ng.api.handlers.guest import connect
from trove_ng.common.errors import NotFound
from trove_ng.rpc.messages import PageRequest


def index(call: Call) -> dict[str, Any]:
    """List databases."""
    page = PageRequest(limit=call.limit(), marker=call.marker())
    guest, _ = connect(call, "databases")
    found = guest.list_databases(page)
    return call.page("databases", [{"name": item.name} for item in found.databases],
                     found.next_marker)


def create(call: Call) -> None:
    """Create databases, all or none."""
    guest, engine = connect(call, "databases", changes=True)
    wanted = statements.databases(
        engine, call.body["databases"], call.services.conf.ignore_dbs)
    guest.create_databases(wanted)


def show(call: Call) -> dict[str, Any]:
    """Show a database."""
    name = call.params["database"]
    guest, _ = connect(call, "databases")
    found = guest.list_databases(PageRequest(limit=1, marker=name, include_marker=True))
    for item in found.databases:
        if item.name == name:
            return {"database": {"name": item.name, "character_set": item.character_set,
                                 "collate": item.collate}}
    raise NotFound.of("Database", name)


def delete(call: Call) -> None:
    """Drop a database."""
    guest, engine = connect(call, "databases", changes=True)
    name = call.params["database"]
    statements.database_name(engine, name, call.services.conf.ignore_dbs)
    guest.delete_database(name)
