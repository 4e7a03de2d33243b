"""Make the one backup that new replicas begin with, and remove it when they have it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.common.states import BackupState
from trove_ng.db.repositories import operations, quotas
from trove_ng.operations import payloads
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import create_backup, delete_backup
from trove_ng.operations.work import Work
from trove_ng.rpc import messages


def _enable_source(work: Work) -> None:
    instance_id = create_backup.load(work).instance_id or ""
    work.tools.guests(instance_id, work.context).enable_as_source(
        messages.StepRequest(operation_id=work.id, step="source"))


def _hand_out(work: Work) -> None:
    """Let the replicas begin, and wait until none needs the backup any more."""
    create_backup.note(work, state=BackupState.COMPLETED,
                       backup_timestamp=work.tools.clock.now())
    work.wait("the replicas", lambda: None if _is_needed(work) else True)


def _is_needed(work: Work) -> bool:
    with work.reader() as session:
        return any(one.get("backup_id") == work.resource_id for one in operations.live_payloads(
            session, work.tenant_id, payloads.INSTANCE_CREATE_REPLICA))


def _succeed(work: Work, session: Session) -> None:
    quotas.commit(session, work.id)
    delete_backup.RUNBOOK.succeed(work, session)


RUNBOOK = Runbook(payloads.BACKUP_SEED_REPLICAS, (
    Step("source", _enable_source),
    *create_backup.RUNBOOK.steps,
    Step("hand_out", _hand_out),
    Step("remove", create_backup.drop_objects),
), _succeed, create_backup.RUNBOOK.fail)
