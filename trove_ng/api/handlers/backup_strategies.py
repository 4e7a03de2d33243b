"""Backup strategies: the containers that backups go to."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.common.errors import BadRequest
from trove_ng.db.models import BackupStrategy
from trove_ng.db.repositories import backup_strategies as strategies
from trove_ng.db.repositories import instances
from trove_ng.db.repositories.backups import SWIFT
from trove_ng.db.session import retry_on_db_error

#: strategies in a list at most
_MOST = 1000


def _view(row: BackupStrategy) -> dict[str, Any]:
    return {"project_id": row.tenant_id, "instance_id": row.instance_id or None,
            "backend": row.backend, "swift_container": row.swift_container}


def _project(call: Call) -> str:
    """Return the project that the query names, or the caller's own.

    :raises Forbidden: it is not the caller's
    """
    wanted = call.query.get("project_id") or call.context.project_id
    call.authorize_owner(wanted)
    return wanted


def index(call: Call) -> dict[str, Any]:
    """List the strategies of a project, or that of an instance."""
    with call.services.db.reader() as session:
        rows = strategies.find(session, tenant_id=_project(call), limit=_MOST,
                               instance_id=call.query.get("instance_id") or None)
    return {"backup_strategies": [_view(row) for row in rows]}


@retry_on_db_error
def put(call: Call) -> dict[str, Any]:
    """Say where backups of the project, or of one instance, go."""
    body = call.body["backup_strategy"]
    driver, container = body.get("storage_driver") or SWIFT, body.get("swift_container")
    if (driver == SWIFT) != bool(container):
        raise BadRequest("Validation error: backup_strategy.swift_container is for storage_driver "
                         "swift, which needs one.")
    ident, tenant_id = body.get("instance_id") or strategies.ALL, call.context.project_id
    with call.services.db.writer() as session:
        if ident:
            tenant_id = call.own(
                "Instance", ident, instances.get(session, ident, call.owner)).tenant_id
        view = _view(strategies.put(session, tenant_id, ident, driver, container))
        call.keep(session, {"backup_strategy": view}, None)
    return {"backup_strategy": view}


@retry_on_db_error
def delete(call: Call) -> None:
    """Forget where backups go; backups stay where they are.  Asking again is no error."""
    project = _project(call)
    with call.services.db.writer() as session:
        strategies.drop(session, project, call.query.get("instance_id") or strategies.ALL)
