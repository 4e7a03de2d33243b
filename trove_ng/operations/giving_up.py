"""The end of an operation whose time is over, and which cannot write its own end."""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session

from trove_ng.common.states import BACKUP_RUNNING, BackupState, VerificationState
from trove_ng.db.repositories import (
    backups,
    faults,
    instances,
    operation_records,
    operations,
    quotas,
    reconciliation,
    schedules,
)
from trove_ng.domain.instance_status import NOT_MADE
from trove_ng.operations import payloads
from trove_ng.operations.work import Work

LOG = logging.getLogger(__name__)

#: task → error of an instance that cannot be used after it
ERRORS = {"BUILDING": NOT_MADE, "DELETING": "DELETE"}


def give_up(work: Work, session: Session, why: str) -> None:
    """End an operation as failed: what it worked on is idle and in error, quotas are counted.

    It needs nothing of the run-book, nor of what was asked for.

    :param why: shown to owners
    """
    _end(work, session, why)
    quotas.rollback(session, work.id)
    tenants = {work.tenant_id}
    for one in instances.of_operation(session, work.id):
        tenants.add(one.tenant_id)
        one.error = "DELETE" if one.verifies_id is not None else ERRORS.get(one.task, "UNDO")
        one.task, one.operation_id = "NONE", None
        faults.add(session, one.id, why, f"operation {work.id} ({work.action})",
                   work.tools.clock.now())
    session.flush()
    _end_backup(work, session, why)
    for tenant in sorted(tenants):
        # while another operation has something reserved, the reconciliation counts later
        quotas.recount_quiet(session, tenant)


def _end(work: Work, session: Session, why: str) -> None:
    now = work.tools.clock.now()
    try:
        with session.begin_nested():
            operations.end(session, work.id, operations.FAILED, why, now)
    except Exception:
        row = operations.get(session, work.id, lock=True)
        if row is None or not row.notification:
            raise
        LOG.exception("the end of operation %s is not told to other services", work.id)
        row.notification = {}
        session.flush()
        operations.end(session, work.id, operations.FAILED, why, now)
    operation_records.erase(session, work.id)


def _end_backup(work: Work, session: Session, why: str) -> None:
    if work.action == payloads.BACKUP_VERIFY:
        schedules.note_verification(session, work.resource_id, VerificationState.FAILED)
    row = backups.get(session, work.resource_id)
    if row is None:
        return
    if row.state == BackupState.DELETING:
        reconciliation.fail_backup(
            session, row.id, row.state, BackupState.DELETE_FAILED, why[:255])
    elif row.state in BACKUP_RUNNING:
        reconciliation.fail_backup(session, row.id, row.state, BackupState.FAILED, why[:255])
