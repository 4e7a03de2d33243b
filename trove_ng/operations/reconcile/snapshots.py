"""What is wrong with backups that are snapshots, and with the volumes kept for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trove_ng.cloud.types import Snapshot, Volume
from trove_ng.common.states import BackupState
from trove_ng.db.rows import AnyRow
from trove_ng.operations import snapshots
from trove_ng.operations.reconcile.compare import Cloud, When
from trove_ng.operations.reconcile.findings import Finding, Kind, Repair


def judge(snapshot: Snapshot, row: AnyRow | None, when: When) -> Finding | None:
    """Return what is wrong with a snapshot that was made for a backup.

    :param row: of that backup, None if there is none
    """
    if snapshot.status == "deleting":
        return None
    if row is None:
        return Finding(
            Kind.UNKNOWN_BACKUP, "The snapshot was made for a backup that this store does not "
            "know.", None, None, "snapshot", snapshot.id, before=snapshot.backup_id)
    if not _is_idle(row, when):
        return None
    if row.deleted:
        why = "The backup is deleted, its snapshot was left behind."
    elif row.state == BackupState.FAILED:
        why = "The backup could not be made, its snapshot was left behind."
    elif row.state == BackupState.COMPLETED and row.location != snapshots.location(snapshot.id):
        why = "The backup is another snapshot than this one."
    else:
        return None
    return Finding(Kind.LEFTOVER, why, row.instance_id, row.tenant_id, "snapshot", snapshot.id,
                   Repair.DELETE_SNAPSHOT, before=row.id)


def _is_idle(row: AnyRow, when: When) -> bool:
    return not row.live and (row.worked_at is None or row.worked_at < when.settled)


def is_needed(volume: Volume, found: Mapping[str, Snapshot]) -> bool:
    """Return whether a volume that was kept for snapshots has any."""
    return any(one.volume_id == volume.id for one in found.values())


def look(rows: Mapping[str, AnyRow], known: Mapping[str, AnyRow], cloud: Cloud, when: When,
         ) -> Iterator[Finding]:
    """Give what is wrong.

    :param rows: of the backups that are snapshots in the region, by id
    :param known: also of those that snapshots name
    """
    for snapshot in cloud.snapshots.values():
        if snapshot.backup_id is not None:
            finding = judge(snapshot, known.get(snapshot.backup_id), when)
            if finding is not None:
                yield finding
    there = {snapshots.location(ident) for ident in cloud.snapshots}
    for row in rows.values():
        if row.state == BackupState.COMPLETED and row.location not in there and (
                _is_idle(row, when)):
            yield Finding(Kind.MISSING, "The snapshot that the backup is is gone.",
                          row.instance_id, row.tenant_id, "snapshot", row.location or "",
                          before=row.id)
    for volume in cloud.found["volume"].values():
        if isinstance(volume, Volume) and volume.kept_of and volume.status != "deleting" and (
                not is_needed(volume, cloud.snapshots)):
            yield Finding(Kind.LEFTOVER, "The volume was kept for snapshots that are gone.",
                          volume.kept_of, None, "volume", volume.id, Repair.DELETE_KEPT)
