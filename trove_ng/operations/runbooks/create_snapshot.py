"""Back an instance up as a snapshot of its volume, and delete such a backup."""

from __future__ import annotations

import logging
import uuid

from trove_ng.cloud.types import Snapshot
from trove_ng.common.errors import ServiceUnavailable, TroveError
from trove_ng.common.states import BackupState
from trove_ng.db.models import Backup
from trove_ng.db.repositories import instances
from trove_ng.db.trouble import StoreAway
from trove_ng.operations import payloads, snapshots
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import create_backup, delete_backup
from trove_ng.operations.runbooks.create_backup import load, note
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages
from trove_ng.rpc.guest import GuestClient

LOG = logging.getLogger(__name__)

_GIB = 1024 ** 3


def _take(work: Work) -> None:
    """Make the snapshot while the agent keeps the data as they are.

    What an earlier attempt made goes: nobody knows whether the data were held all the time.
    """
    backup = load(work)
    volume_id = _volume(work, backup)
    note(work, state=BackupState.BUILDING,
         manifest=snapshots.plain(snapshots.Taken(volume_id=volume_id)))
    snapshots.drop(work, backup.id)
    client = work.tools.guests(backup.instance_id or "", work.context)
    hold = messages.HoldRequest(token=uuid.uuid4().hex,
                                seconds=work.tools.conf.backup_snapshot_hold)
    try:
        held = client.hold_data(hold)
        made = _make(work, backup.id, volume_id)
    except StoreAway:
        raise
    except Exception:
        _let_go(work, client, hold)
        raise
    if not client.release_data(hold):
        # it took too long, or what an earlier attempt sent came late: another one may do
        raise ServiceUnavailable("The database could not be kept from writing until the "
                                 "snapshot was made.")
    about = snapshots.Taken(volume_id=volume_id, snapshot_id=made.id, version=held.version,
                            fstype=held.fstype)
    note(work, state=BackupState.SAVING, percent=100, manifest=snapshots.plain(about),
         location=snapshots.location(made.id), volume_size=made.size_gb,
         size_bytes=made.size_gb * _GIB, data_size_bytes=held.used)


def _volume(work: Work, backup: Backup) -> str:
    with work.reader() as session:
        instance = instances.get(session, backup.instance_id or "")
    if instance is None:
        raise StepFailed("The instance is gone.")
    if instance.volume_id is None:
        raise StepFailed("The instance has no volume.")
    return instance.volume_id


def _make(work: Work, backup_id: str, volume_id: str) -> Snapshot:
    storage = work.tools.clouds.volume
    made = storage.create_snapshot(backup_id=backup_id, volume_id=volume_id)

    def ready() -> Snapshot | None:
        found = storage.get_snapshot(made.id)
        if found is None or found.status.startswith("error"):
            raise StepFailed("The volume service could not make the snapshot.")
        return found if found.status == "available" else None

    return work.wait("the snapshot", ready, work.tools.conf.backup_snapshot_hold)


def _let_go(work: Work, client: GuestClient, hold: messages.HoldRequest) -> None:
    """Let the data change again; an agent that does not answer does so by itself."""
    try:
        client.release_data(hold)
    except StoreAway:
        raise
    except TroveError as err:
        LOG.warning("operation %s: the agent is not told to let go: %s", work.id, err.message)


def _drop(work: Work) -> None:
    """Delete the snapshot, and its volume if nothing else needs it."""
    backup = load(work)
    snapshots.drop(work, backup.id)
    known = snapshots.known(backup)
    if known is not None:
        snapshots.drop_kept_volume(work, known.volume_id)


RUNBOOK = Runbook(payloads.BACKUP_SNAPSHOT, (
    Step("snapshot", _take, _drop),
), create_backup.RUNBOOK.succeed, create_backup.RUNBOOK.fail, cancellable=True)

DELETION = Runbook(payloads.BACKUP_DELETE_SNAPSHOT, (
    Step("snapshot", _drop),
), delete_backup.RUNBOOK.succeed, delete_backup.RUNBOOK.fail)
