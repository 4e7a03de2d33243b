"""Datastores and their versions."""

from __future__ import annotations

from typing import Any

from trove_ng.api import effective_versions
from trove_ng.api.call import Call
from trove_ng.api.views import datastores as views
from trove_ng.db.repositories import datastores


def index(call: Call) -> dict[str, Any]:
    """List datastores with their versions."""
    limit, marker = call.limit(), call.marker()

    def read() -> Any:
        with call.services.db.connection() as reader:
            return datastores.list_with_versions(
                reader, call.owner, limit=limit, marker=marker)

    page, versions, more = call.services.datastores.get((call.owner, limit, marker), read)
    items = [views.datastore(call, row, versions.get(row.id, [])) for row in page]
    return call.page("datastores", items, items[-1]["id"] if more and items else None)


def show(call: Call) -> dict[str, Any]:
    """Show a datastore by id or name."""
    with call.services.db.reader() as session:
        found, rows = effective_versions.listed(session, call, call.params["datastore"])
        return {"datastore": views.datastore(call, found, rows)}


def versions(call: Call) -> dict[str, Any]:
    """List the versions of a datastore."""
    limit, marker = call.limit(), call.marker()
    with call.services.db.reader() as session:
        found, rows = effective_versions.listed(session, call, call.params["datastore"])
    rows.sort(key=lambda row: row.id)
    rows = [row for row in rows if marker is None or row.id > marker]
    more = rows[limit - 1].id if len(rows) > limit else None
    items = [views.version(call, row, datastore_id=found.id) for row in rows[:limit]]
    return call.page("versions", items, more)


def version(call: Call) -> dict[str, Any]:
    """Show a version by its id, or below its datastore by its name."""
    with call.services.db.reader() as session:
        found, datastore = effective_versions.named(session, call)
        return {"version": views.version(call, found, datastore_id=datastore.id)}
