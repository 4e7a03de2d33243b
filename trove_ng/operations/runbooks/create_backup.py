"""Back an instance up: its agent streams to the object store, we seal the result."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from trove_ng.common.states import BackupState, ExecutionState
from trove_ng.datastores.options import backup_strategy
from trove_ng.db.models import Backup
from trove_ng.db.repositories import backups, instances, operations, quotas, schedules
from trove_ng.operations import guest, log_archives, payloads, servers, storage
from trove_ng.operations.backups import is_whole
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages

LOG = logging.getLogger(__name__)


def load(work: Work) -> Backup:
    """Return the backup of the operation, detached.

    :raises StepFailed: it is gone
    """
    with work.reader() as session:
        found = backups.get(session, work.resource_id)
    if found is None:
        raise StepFailed("The backup is gone.")
    return found


def note(work: Work, **values: object) -> None:
    """Write columns of the backup.

    :raises StepFailed: it is gone
    """
    with work.writer() as session:
        row = backups.get(session, work.resource_id)
        if row is None:
            raise StepFailed("The backup is gone.")
        for name, value in values.items():
            setattr(row, name, value)
        row.updated = work.tools.clock.now()


def _check_parent(work: Work) -> None:
    """Look whether all that the backup continues is there still, and write what is not."""
    parent_id = load(work).parent_id
    if parent_id is None:
        return
    with work.reader() as session:
        chain = backups.chain(session, parent_id)
    if not chain or chain[-1].id != parent_id or not all(map(is_whole, chain)):
        _make_full(work, StepFailed("The backup to continue is gone."))
    elif (found := storage.find_damage(work, chain)) is not None:
        _make_full(work, StepFailed(f"Backup {found[0].id}, which this one continues, is "
                                    f"damaged: {found[1]}"))


def _make_full(work: Work, why: StepFailed) -> None:
    """Continue no other backup, if nobody named the one that cannot be continued.

    :raises StepFailed: somebody did
    """
    if not _is_implied(work):
        raise why
    LOG.info("operation %s: a full backup is made: %s", work.id, why.message)
    note(work, parent_id=None)


def _is_implied(work: Work) -> bool:
    return work.payload(payloads.CreateBackup).parent_implied


def _step(work: Work, backup: Backup) -> str:
    """Return how the agent knows its work, which it does not begin again under one name."""
    anew = backup.parent_id is None and _is_implied(work)
    return "create_full_backup" if anew else "create_backup"


def _make_key(work: Work) -> None:
    """Make the key that the backup is encrypted with, if it is to be."""
    if work.tools.conf.backup_encryption and load(work).sealed_key is None:
        note(work, sealed_key=storage.seal_key(work, work.resource_id, storage.new_key()))


def stream(work: Work, check: Callable[[], None] | None = None) -> None:
    """Have the agent make the backup.

    :param check: raises when it is not wanted any more
    """
    try:
        result = _ask(work, check)
    except guest.AgentFailed as err:
        if not err.full_needed:
            raise
        _make_full(work, err)
        result = _ask(work, check)
    try:
        stored = msgspec.convert(result, messages.StoredBackup)
    except msgspec.ValidationError:
        raise StepFailed("The agent's report of the backup cannot be read.") from None
    # an operator may have chosen another way since it was begun
    note(work, state=BackupState.SAVING, percent=100, manifest=msgspec.to_builtins(stored),
         backup_type=stored.strategy, size_bytes=stored.size, data_size_bytes=stored.data_size,
         checksum=stored.checksum, **log_archives.end_of(stored))


def _ask(work: Work, check: Callable[[], None] | None) -> dict[str, Any]:
    """Have the agent make the backup; return what it reports.

    :raises AgentFailed: with what it says
    """
    backup = load(work)
    with work.reader() as session:
        instance = instances.get(session, backup.instance_id or "")
    if instance is None:
        raise StepFailed("The instance is gone.")
    version, _ = servers.load_version(work, instance)
    parent = _parent(work, backup)
    request = messages.BackupRequest(
        operation_id=work.id, step=_step(work, backup), backup_id=backup.id,
        # the one that it continues is known to be of the way that was chosen when it was asked for
        strategy=parent.strategy if parent is not None else backup_strategy(
            work.tools.conf, work.tools.datastores[version.manager]),
        grant=storage.grant(work, backup, write=True), parent=parent,
        segment_size=work.tools.conf.backup_segment_size, key=storage.key(work, backup))
    note(work, state=BackupState.BUILDING, backup_type=request.strategy)
    client = work.tools.guests(instance.id, work.context)
    return guest.run_long(
        work, instance.id, request.step, lambda: client.create_backup(request),
        lambda percent: note(work, percent=percent), check)


def _parent(work: Work, backup: Backup) -> messages.StoredBackup | None:
    if backup.parent_id is None:
        return None
    with work.reader() as session:
        parent = backups.get(session, backup.parent_id)
    if parent is None or parent.state != BackupState.COMPLETED:
        raise StepFailed("The backup to continue is gone.")
    return storage.stored(parent)


def _parent_url(work: Work, backup: Backup) -> str | None:
    if backup.parent_id is None:
        return None
    with work.reader() as session:
        parent = backups.get(session, backup.parent_id)
    return parent.location if parent is not None else None


def drop_objects(work: Work) -> None:
    """Delete all objects of the backup, unless they were another one's before."""
    backup = load(work)
    if not storage.is_own(backup):
        return
    container, prefix = storage.location(backup)
    store = storage.store(work, backup)
    store.delete_object(backup.tenant_id, container, storage.manifest_name(backup))
    # names of all its objects begin as the manifest's
    store.delete_prefix(backup.tenant_id, container, prefix.rstrip("/"))


def _unstream(work: Work) -> None:
    """Make the agent stop, so that it does not store what is deleted here."""
    backup = load(work)
    if backup.instance_id is not None:
        guest.stop_step(work, backup.instance_id, _step(work, backup))
    drop_objects(work)


def _seal(work: Work) -> None:
    backup = load(work)
    container, _ = storage.location(backup)
    stored = storage.stored(backup)
    storage.write_record(work, backup, parent=_parent_url(work, backup))
    storage.store(work, backup).write_manifest(
        backup.tenant_id, container, storage.manifest_name(backup),
        [(one.name, one.md5, one.size) for one in stored.segments])
    note(work, location=storage.public_url(work, backup))


def _succeed(work: Work, session: Session) -> None:
    row = backups.get(session, work.resource_id)
    now = work.tools.clock.now()
    if row is not None:
        row.state, row.updated, row.backup_timestamp = BackupState.COMPLETED, now, now
        schedules.note_end(session, row.id, ExecutionState.SUCCESS, "Backup complete")
    quotas.commit(session, work.id)


def _fail(work: Work, session: Session, why: str) -> None:
    row = backups.get(session, work.resource_id)
    if row is not None:
        operation = operations.get(session, work.id)
        if work.cancelled and operation is not None:
            why = operation.cancel_reason or why
        row.state, row.error = BackupState.FAILED, why[:255]
        row.updated = work.tools.clock.now()
        schedules.note_end(session, row.id, ExecutionState.ERROR, why)
        if row.instance_id is not None:
            ending.note_fault(work, session, why, row.instance_id)
    # the row counts until it is deleted
    quotas.commit(session, work.id)


RUNBOOK = Runbook(payloads.BACKUP_CREATE, (
    Step("parent", _check_parent),
    Step("key", _make_key),
    Step("stream", stream, _unstream),
    Step("seal", _seal, final=True),
), _succeed, _fail, cancellable=True)
