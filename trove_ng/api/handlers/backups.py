"""Backups."""

from __future__ import annotations

from typing import Any

from trove_ng.api import accept, accept_backups
from trove_ng.api.call import Call
from trove_ng.api.views import backups as views
from trove_ng.common.errors import BadRequest
from trove_ng.db.repositories import backups


def index(call: Call) -> dict[str, Any]:
    """List backups, the newest change first."""
    tenant_id: str | None = call.context.project_id
    wanted = call.query.get("project_id")
    if call.flag("all_projects"):
        call.authorize("backup:index:all_projects")
        tenant_id = wanted or None
    elif wanted and wanted != tenant_id:
        call.authorize("backup:index:all_projects")
        tenant_id = wanted
    return _page(call, tenant_id, call.query.get("instance_id") or None)


def of_instance(call: Call) -> dict[str, Any]:
    """List the backups of an instance."""
    with call.services.db.reader() as session:
        found = accept.find(session, call)
    return _page(call, found.tenant_id, found.id)


def _page(call: Call, tenant_id: str | None, instance_id: str | None) -> dict[str, Any]:
    limit, offset = call.limit(), call.offset()
    with call.services.db.reader() as session:
        rows = backups.list_views(
            session, tenant_id=tenant_id, limit=limit, offset=offset,
            instance_id=instance_id, datastore=call.query.get("datastore") or None)
    items = [views.view(row) for row in rows[:limit]]
    more = offset + limit if len(rows) > limit and limit else None
    return call.page("backups", items, more)


def show(call: Call) -> dict[str, Any]:
    """Show a backup."""
    return {"backup": _view(call, call.params["id"])}


def _view(call: Call, backup_id: str) -> dict[str, Any]:
    with call.services.db.reader() as session:
        row = call.own("Backup", backup_id, backups.get_view(session, backup_id, call.owner))
    return views.view(row)


def create(call: Call) -> dict[str, Any]:
    """Begin a backup, or take over one that is in the object store."""
    body = call.body["backup"]
    if body.get("restore_from") is None:
        if body.get("instance") is None:
            raise BadRequest("Validation error: backup: instance or restore_from is required.")
        return {"backup": accept_backups.create_backup(call)}
    others = sorted(name for name in body
                    if name not in ("name", "description", "restore_from") and body[name])
    if others:
        raise BadRequest(f"Validation error: backup: {', '.join(others)} cannot be combined with "
                         "restore_from.")
    return {"backup": accept_backups.import_backup(call)}


def act(call: Call) -> None:
    """Verify a backup: there is no other action."""
    accept_backups.verify_backup(call)


def delete(call: Call) -> None:
    """Delete a backup with those that continue it."""
    accept_backups.delete_backup(call)
