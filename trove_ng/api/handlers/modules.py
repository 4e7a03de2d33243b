"""Modules: files that are kept sealed, to be applied to instances."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept_modules
from trove_ng.api.call import Call
from trove_ng.api.effective_versions import listed
from trove_ng.api.views import instances as instance_view
from trove_ng.api.views import modules as views
from trove_ng.common.clock import isoformat
from trove_ng.common.errors import NotFound
from trove_ng.db.models import Module
from trove_ng.db.repositories import instance_views, modules
from trove_ng.db.repositories import instances as instance_rows
from trove_ng.db.rows import Reader
from trove_ng.domain.modules import ALL


def index(call: Call) -> dict[str, Any]:
    """List the modules that the caller may see."""
    wanted = call.query.get("datastore")
    with call.services.db.reader() as session:
        if wanted and wanted != ALL:
            wanted = listed(session, call, wanted)[0].id
        return _page(session, call, wanted or None)


def of_datastore(call: Call) -> dict[str, Any]:
    """List the modules that may be applied to a datastore."""
    with call.services.db.reader() as session:
        found, _ = listed(session, call, call.params["datastore"])
        return _page(session, call, found.id)


def _page(session: Session, call: Call, datastore_id: str | None) -> dict[str, Any]:
    rows = modules.list_views(session, tenant_id=call.owner, limit=call.limit(),
                              marker=call.marker(), datastore_id=datastore_id)
    return call.listed("modules", rows, lambda row: views.module(call, row))


def show(call: Call) -> dict[str, Any]:
    """Show a module."""
    with call.services.db.reader() as session:
        accept_modules.load(session, call, call.params["id"])
        return {"module": _render(session, call, call.params["id"])}


def _render(reader: Reader, call: Call, ident: str) -> dict[str, Any]:
    found = modules.views(reader, [ident], call.owner)
    if ident not in found:
        raise NotFound.of("Module", ident)
    return views.module(call, found[ident])


def create(call: Call) -> dict[str, Any]:
    """Create a module."""
    made: dict[str, Any] = accept_modules.create(
        call, lambda session, ident: _render(session, call, ident))
    return made


def update(call: Call) -> dict[str, Any]:
    """Change a module."""
    changed: dict[str, Any] = accept_modules.change(
        call, lambda session, ident: _render(session, call, ident))
    return changed


def delete(call: Call) -> None:
    """Delete a module that no instance has."""
    accept_modules.delete(call)


def reapply(call: Call) -> None:
    """Give the instances that have a module its present contents."""
    accept_modules.reapply(call)


def instances(call: Call) -> dict[str, Any]:
    """List the instances that have a module, or count them by contents."""
    clustered, limit = call.flag("include_clustered"), call.limit()
    with call.services.db.reader() as session:
        module = accept_modules.load(session, call, call.params["id"])
        if call.flag("count_only"):
            return {"instances": _counts(session, call, module, clustered)}
        ids = modules.instance_ids(session, module.id, tenant_id=call.owner, limit=limit,
                                   include_clustered=clustered, marker=call.marker())
        items = _instances(session, call, ids[:limit])
    return call.page("instances", items, ids[limit - 1] if len(ids) > limit else None)


def _instances(reader: Reader, call: Call, ids: list[str]) -> list[dict[str, Any]]:
    replicas, now = instance_rows.replica_ids(reader, ids), call.services.clock.now()
    return [instance_view.brief(call, row, replicas.get(row.id, []), now)
            for row in instance_views.some(reader, ids)]


def _counts(reader: Reader, call: Call, module: Module, include_clustered: bool,
            ) -> list[dict[str, Any]]:
    rows = modules.counts(reader, module.id, tenant_id=call.owner,
                          include_clustered=include_clustered)
    return [{"module_id": module.id, "module_name": module.name, "module_md5": row.md5,
             "current": row.md5 == module.md5, "instance_count": row.instances,
             "min_updated_date": isoformat(row.first), "max_updated_date": isoformat(row.last)}
            for row in rows]
