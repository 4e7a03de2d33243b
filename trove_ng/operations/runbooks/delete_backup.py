"""Delete a backup's objects and its row."""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.common.states import BackupState
from trove_ng.db.repositories import backups, quotas
from trove_ng.operations import payloads
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import create_backup
from trove_ng.operations.work import Work


def _succeed(work: Work, session: Session) -> None:
    row = backups.get(session, work.resource_id)
    if row is not None:
        row.deleted, row.deleted_at = True, work.tools.clock.now()
        row.sealed_key = None
        quotas.release(session, row.tenant_id, {"backups": 1})


def _fail(work: Work, session: Session, why: str) -> None:
    row = backups.get(session, work.resource_id)
    if row is not None:
        row.state, row.error = BackupState.DELETE_FAILED, why[:255]
        row.updated = work.tools.clock.now()


RUNBOOK = Runbook(payloads.BACKUP_DELETE, (
    Step("objects", create_backup.drop_objects),
), _succeed, _fail)
