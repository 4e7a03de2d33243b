"""Delete an instance and everything that was made for it.  Its backups stay."""

from __future__ import annotations

import functools

from sqlalchemy.orm import Session

from trove_ng.common import notifications as told
from trove_ng.common.clock import isoformat
from trove_ng.db.repositories import (
    backup_strategies,
    duties,
    faults,
    modules,
    quotas,
    schedules,
)
from trove_ng.db.repositories import volumes as stored_volumes
from trove_ng.operations import (
    access,
    names,
    payloads,
    placement,
    replication,
    servers,
    usage,
    volumes,
)
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work


def _succeed(work: Work, session: Session) -> None:
    now = work.tools.clock.now()
    found = ending.idle(work, session)
    if found is None:
        return
    found.error = ""
    found.server_status = "DELETED"
    found.deleted, found.deleted_at = True, now
    faults.clear(session, found.id, now)
    modules.forget(session, found.id, now)
    backup_strategies.drop(session, found.tenant_id, found.id)
    schedules.drop_of_instance(session, found.id, now)
    duties.drop_of_instance(session, found.id)
    quotas.release(session, found.tenant_id, {
        "instances": 1, "volumes": stored_volumes.total(session, found), "ram": found.flavor_ram})
    quotas.commit(session, work.id)
    usage.note(work, session, told.DELETED, found, deleted_at=isoformat(now))
    stored_volumes.forget(session, found.id)


_STEPS = (
    Step("account", replication.close_account),
    Step("server", servers.delete_server),
    Step("server_group", placement.drop_group),
    Step("volume", volumes.delete),
    Step("name", names.drop),
    Step("floating_ip", access.drop_address),
    Step("ports", servers.drop_ports),
    Step("security_group", servers.drop_security_group),
    Step("key", servers.drop_key),
)

RUNBOOKS = tuple(
    Runbook(action, _STEPS, _succeed, functools.partial(ending.fail_for_good, "DELETE"))
    for action in (payloads.INSTANCE_DELETE, payloads.INSTANCE_FORCE_DELETE))
