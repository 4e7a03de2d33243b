"""Quotas of a project, for its members to see and for operators to set."""

from __future__ import annotations

import re
from typing import Any

from trove_ng.api.call import Call
from trove_ng.api.schemas.common import PROJECT_ID
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.conf import quota
from trove_ng.db.repositories import quotas
from trove_ng.db.session import retry_on_db_error

_PROJECT = re.compile(PROJECT_ID)


def show(call: Call) -> dict[str, Any]:
    """Show limits and use; of another project only for an administrator."""
    project_id = call.params["project_id"]
    if not call.context.is_admin and project_id != call.context.project_id:
        raise NotFound.of("Project", project_id)
    _check(project_id)
    call.authorize_owner(project_id)
    with call.services.db.reader() as session:
        limits = quotas.limits(session, project_id, quota.defaults(call.services.conf))
        used = quotas.usage(session, project_id)
    shown = []
    for name, limit in limits.items():
        in_use, reserved = used.get(name, (0, 0))
        # in_use of the store holds what is reserved too; clients add the two.
        shown.append({"resource": name, "in_use": in_use - reserved, "reserved": reserved,
                      "limit": limit})
    return {"quotas": shown}


def _check(project_id: str) -> None:
    if not _PROJECT.fullmatch(project_id):
        raise BadRequest("Validation error: project_id is not a project's id.")


@retry_on_db_error
def update(call: Call) -> dict[str, Any]:
    """Set limits of a project."""
    project_id = call.params["project_id"]
    _check(project_id)
    call.authorize_owner(project_id)
    wanted: dict[str, int] = call.body["quotas"]
    with call.services.db.writer() as session:
        quotas.set_limits(session, project_id, wanted)
    return {"quotas": wanted}
