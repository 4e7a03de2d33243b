"""Backups that are snapshots of volumes.

A volume cannot be deleted before its snapshots: that of a deleted instance is kept, without
its instance, until the last of them is deleted.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import msgspec

from trove_ng.cloud.errors import CloudConflict, CloudRejected
from trove_ng.cloud.types import Volume
from trove_ng.db.models import Backup
from trove_ng.db.repositories import backups
from trove_ng.operations import removal
from trove_ng.operations.backups import is_restorable
from trove_ng.operations.work import StepFailed, Work

LOG = logging.getLogger(__name__)

#: how the location of a backup begins that is a snapshot
_SCHEME = "cinder://"


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a snapshot.

    :param volume_id: the volume that it is of
    :param version: of the server that wrote the data
    :param fstype: of their file system
    """

    volume_id: str
    snapshot_id: str = ""
    version: str = ""
    fstype: str = ""


def plain(about: Taken) -> dict[str, Any]:
    """Return what is known of a snapshot as JSON values."""
    values: dict[str, Any] = msgspec.to_builtins(about)
    return values


def location(snapshot_id: str) -> str:
    """Return the location of a backup that is a snapshot."""
    return f"{_SCHEME}{snapshot_id}"


def known(backup: Backup) -> Taken | None:
    """Return what is known of a backup's snapshot, None before it is begun."""
    with contextlib.suppress(msgspec.ValidationError):
        return msgspec.convert(backup.manifest, Taken)
    return None


def taken(work: Work, backup_id: str) -> Taken | None:
    """Return the snapshot of a backup that is to be restored; None: it is in the object store.

    :raises StepFailed: it cannot be restored
    """
    with work.reader() as session:
        backup = backups.get(session, backup_id)
    if backup is None or backup.storage_driver != backups.CINDER:
        return None
    found = known(backup)
    if found is None or not found.snapshot_id or not is_restorable(backup, work.action):
        raise StepFailed(f"Backup {backup_id} cannot be restored any more.")
    return found


def release_volume(work: Work, volume: Volume) -> bool:
    """Let a volume that is to be deleted have no snapshots, or keep it for them.

    :return: whether it may be deleted now
    """
    storage = work.tools.clouds.volume
    found = storage.snapshots_of(volume.id)
    if not found:
        return True
    with work.reader() as session:
        gone = backups.deleted(session, [one.backup_id for one in found if one.backup_id])
    # others may be a person's, or of a store that was put back to an earlier time
    if any(one.backup_id not in gone for one in found):
        LOG.info("volume %s is kept for its snapshots", volume.id)
        storage.keep_volume(volume.id, work.resource_id)
        return False
    for one in found:
        with contextlib.suppress(CloudConflict, CloudRejected):
            storage.delete_snapshot(one.id)
    return False


def drop(work: Work, backup_id: str) -> None:
    """Delete all snapshots of a backup, by force what is stuck."""
    storage = work.tools.clouds.volume
    removal.until_gone(
        work, "the snapshot", lambda: storage.find_snapshots(backup_id), storage.delete_snapshot,
        lambda ident: storage.delete_snapshot(ident, force=True))


def drop_kept_volume(work: Work, volume_id: str) -> None:
    """Delete a volume that was kept for its snapshots, if these were the last."""
    storage = work.tools.clouds.volume

    def gone() -> bool | None:
        found = storage.get_volume(volume_id)
        if found is None or not found.kept_of or storage.snapshots_of(volume_id):
            return True
        # somebody else may do it
        with contextlib.suppress(CloudConflict, CloudRejected):
            if found.status in ("available", "error"):
                storage.delete_volume(volume_id)
            elif found.status.startswith("error_"):
                storage.force_delete_volume(volume_id)
        return None

    work.wait("the volume to be deleted", gone, work.tools.conf.volume_timeout)
