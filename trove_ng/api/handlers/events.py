"""Timelines of instances."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.api.views import events as views
from trove_ng.common.errors import NotFound
from trove_ng.db.repositories import events, instances
from trove_ng.db.rows import Reader


def index(call: Call) -> dict[str, Any]:
    """Show what happened to an instance, the newest first."""
    return _list(call, call.owner, include_deleted=False)


def management(call: Call) -> dict[str, Any]:
    """Show the same of an instance that may be deleted."""
    return _list(call, None, include_deleted=True)


def _list(call: Call, owner: str | None, *, include_deleted: bool) -> dict[str, Any]:
    limit, marker, kind = call.limit(), call.marker(), call.choice("kind")
    with call.services.db.connection() as reader:
        ident = _known(reader, call, owner, include_deleted=include_deleted)
        rows = events.page(reader, ident, limit=limit, marker=marker, kind=kind)
    return call.listed("events", rows, lambda row: views.view(call, row))


def _known(reader: Reader, call: Call, owner: str | None, *, include_deleted: bool) -> str:
    ident = call.params["id"]
    tenant_id = instances.owner(reader, ident, include_deleted=include_deleted)
    if tenant_id is None or owner not in (None, tenant_id):
        raise NotFound.of("Instance", ident)
    call.authorize_owner(tenant_id)
    return ident
