"""Make a backup known that another database service left in the project's object store.

What it consists of is read from the record that stands beside it, and compared with the
objects; nothing is copied, and its objects are not deleted with it.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.common.states import BackupState
from trove_ng.db.repositories import backups, datastores, quotas
from trove_ng.operations import payloads, storage
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks.create_backup import load, note
from trove_ng.operations.work import StepFailed, Work


def _read(work: Work) -> None:
    backup = load(work)
    found = storage.find(work, backup.tenant_id,
                         work.payload(payloads.ImportBackup).remote_location)
    with work.reader() as session:
        version = datastores.get_version(session, backup.datastore_version_id or "")
    if version is None:
        raise StepFailed("The datastore version of the backup is gone.")
    strategy = work.tools.datastores[version[0].manager].backup_strategy
    if found.record.stored.strategy != strategy:
        raise StepFailed("The backup was made in a way that the datastore version cannot "
                         "restore.")
    stored = found.record.stored
    note(work, state=BackupState.SAVING, region_id=found.region, container=found.container,
         prefix=found.prefix, manifest=storage.plain(stored), backup_type=strategy,
         size_bytes=stored.size, data_size_bytes=stored.data_size, checksum=stored.checksum)


def _verify(work: Work) -> None:
    damage = storage.damage(work, load(work))
    if damage is not None:
        raise StepFailed(f"The backup is damaged: {damage}")


def _succeed(work: Work, session: Session) -> None:
    row = backups.get(session, work.resource_id)
    now = work.tools.clock.now()
    if row is not None:
        row.state, row.updated, row.backup_timestamp = BackupState.RESTORED, now, now
    quotas.commit(session, work.id)


def _fail(work: Work, session: Session, why: str) -> None:
    row = backups.get(session, work.resource_id)
    if row is not None:
        row.state, row.error = BackupState.FAILED, why[:255]
        row.updated = work.tools.clock.now()
    # the row counts until it is deleted
    quotas.commit(session, work.id)


RUNBOOK = Runbook(payloads.BACKUP_IMPORT, (
    Step("record", _read),
    Step("verify", _verify),
), _succeed, _fail, cancellable=True)
