"""Create an instance that follows another one."""

from __future__ import annotations

import dataclasses

from sqlalchemy.orm import Session

from trove_ng.db.repositories import instances
from trove_ng.operations import payloads, replication, servers, tls
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import create_instance
from trove_ng.operations.work import Work


def _undo_first(work: Work) -> None:
    replication.drop_first_account(work)
    servers.drop_security_group(work)


def _steps() -> tuple[Step, ...]:
    """Return the steps of any instance, and around its first start those of a replica."""
    steps = create_instance.RUNBOOK.steps
    names = [one.name for one in steps]
    first, last = names.index("prepare"), names.index("database") + 1
    # who makes the snapshot may make the account, at any time
    return (dataclasses.replace(steps[0], undo=_undo_first), *steps[1:first],
            Step("snapshot", replication.wait_for_snapshot),
            Step("account", replication.open_account, replication.close_way),
            *steps[first:last],
            Step("tls", tls.as_source),
            Step("follow", replication.follow_first),
            *steps[last:])


def _succeed(work: Work, session: Session) -> None:
    create_instance.RUNBOOK.succeed(work, session)
    found = instances.get(session, work.resource_id)
    if found is not None and found.slave_of_id and instances.root_was_enabled(
            session, found.slave_of_id):
        # it came with the data
        instances.note_root_enabled(
            session, found.id, work.context.user_id, work.tools.clock.now())


RUNBOOK = Runbook(payloads.INSTANCE_CREATE_REPLICA, _steps(), _succeed,
                  create_instance.RUNBOOK.fail, create_instance.RUNBOOK.cancellable)
