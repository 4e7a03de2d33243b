"""Volumes, by python-cinderclient."""

from __future__ import annotations

import math
from typing import Any

from trove_ng.cloud.calls import Calls
from trove_ng.cloud.errors import CloudNotFound
from trove_ng.cloud.types import (
    BACKUP_KEY,
    INSTANCE_KEY,
    KEPT_KEY,
    VOLUME_KIND_KEY,
    Pool,
    Snapshot,
    Volume,
    VolumeType,
)


def _volume(found: Any) -> Volume:
    link: dict[str, Any] = next(iter(found.attachments or []), {})
    return Volume(
        id=found.id, name=found.name or "", status=found.status, size_gb=int(found.size),
        attached_to=link.get("server_id"), device=link.get("device"),
        metadata=dict(found.metadata or {}))


def _snapshot(found: Any) -> Snapshot:
    return Snapshot(
        id=found.id, name=found.name or "", status=found.status, size_gb=int(found.size),
        volume_id=found.volume_id, metadata=dict(found.metadata or {}))


def _gb(value: Any) -> float | None:
    """Return a size; drivers also say ``infinite`` and ``unknown``."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _pool(found: Any) -> Pool:
    known = found.to_dict() | vars(found)
    return Pool(
        name=found.name, kind=str(known.get("storage_protocol") or ""),
        total_gb=_gb(known.get("total_capacity_gb")), free_gb=_gb(known.get("free_capacity_gb")),
        provisioned_gb=_gb(known.get("provisioned_capacity_gb",
                                     known.get("allocated_capacity_gb"))),
        ratio=_ratio(known.get("max_over_subscription_ratio")))


def _ratio(value: Any) -> float:
    """Return a number that drivers send as a text, or as ``auto``."""
    try:
        return max(1.0, float(value))
    except (TypeError, ValueError):
        return 1.0


class BlockStorage:
    """The volume service.

    :param client: cinderclient's client
    """

    def __init__(self, client: Any, calls: Calls) -> None:
        self._client = client
        self._calls = calls

    def _all(self, **filters: Any) -> list[Volume]:
        return [_volume(one) for one in self._calls.again(
            self._client.volumes.list, detailed=True, search_opts=filters or None)]

    def find_volumes(self, instance_id: str) -> list[Volume]:
        """Return the volumes that were made for an instance, ordered by id.

        There are several of a kind when an answer was lost.
        """
        found = self._all(metadata={INSTANCE_KEY: instance_id})
        return sorted((one for one in found if one.instance_id == instance_id),
                      key=lambda one: one.id)

    def list_volumes(self) -> list[Volume]:
        """Return all volumes of the service's project."""
        return self._all()

    def create_volume(self, *, instance_id: str, name: str, size_gb: int,
                      kind: str = "data", volume_type: str | None = None,
                      availability_zone: str | None = None,
                      snapshot_id: str | None = None) -> Volume:
        """Ask for a volume; it is being made when this returns.

        :param kind: what the instance has it for
        :param snapshot_id: what it holds; None: nothing
        """
        made = self._calls.once(
            self._client.volumes.create, size_gb, name=name, volume_type=volume_type,
            availability_zone=availability_zone, snapshot_id=snapshot_id,
            metadata={INSTANCE_KEY: instance_id, VOLUME_KIND_KEY: kind})
        found = self.get_volume(made.id)
        if found is None:
            raise CloudNotFound(f"Volume {made.id} is gone.")
        return found

    def get_volume(self, volume_id: str) -> Volume | None:
        """Return a volume."""
        found = self._calls.found(self._client.volumes.get, volume_id)
        return None if found is None else _volume(found)

    def extend_volume(self, volume_id: str, size_gb: int) -> None:
        """Begin to grow a volume, attached or not."""
        self._calls.once(self._client.volumes.extend, volume_id, size_gb)

    def delete_volume(self, volume_id: str) -> None:
        """Begin to delete a volume; one that is gone is no error."""
        self._calls.found(self._client.volumes.delete, volume_id)

    def reset_volume(self, volume_id: str, status: str) -> None:
        """Write a volume's status, as an administrator who knows better."""
        self._calls.again(self._client.volumes.reset_state, volume_id, status)

    def force_delete_volume(self, volume_id: str) -> None:
        """Begin to delete a volume in any state; one that is gone is no error."""
        self._calls.found(self._client.volumes.force_delete, volume_id)

    def keep_volume(self, volume_id: str, instance_id: str) -> None:
        """Let a volume be no instance's any more, but its snapshots'."""
        self._calls.again(
            self._client.volumes.update, volume_id, name=f"trove-kept-{instance_id}",
            metadata={KEPT_KEY: instance_id})

    def list_snapshots(self) -> list[Snapshot]:
        """Return all snapshots of the service's project."""
        return self._snapshots()

    def _snapshots(self, **filters: Any) -> list[Snapshot]:
        return [_snapshot(one) for one in self._calls.again(
            self._client.volume_snapshots.list, detailed=True, search_opts=filters or None)]

    def find_snapshots(self, backup_id: str) -> list[Snapshot]:
        """Return the snapshots that were made for a backup."""
        return [one for one in self._snapshots(name=f"trove-backup-{backup_id}")
                if one.backup_id == backup_id]

    def snapshots_of(self, volume_id: str) -> list[Snapshot]:
        """Return the snapshots of a volume."""
        return self._snapshots(volume_id=volume_id)

    def create_snapshot(self, *, backup_id: str, volume_id: str) -> Snapshot:
        """Ask for a snapshot of a volume, attached or not; it is being made then."""
        return _snapshot(self._calls.once(
            self._client.volume_snapshots.create, volume_id, force=True,
            name=f"trove-backup-{backup_id}", metadata={BACKUP_KEY: backup_id}))

    def get_snapshot(self, snapshot_id: str) -> Snapshot | None:
        """Return a snapshot."""
        found = self._calls.found(self._client.volume_snapshots.get, snapshot_id)
        return None if found is None else _snapshot(found)

    def delete_snapshot(self, snapshot_id: str, *, force: bool = False) -> None:
        """Begin to delete a snapshot; one that is gone is no error.

        :param force: in any state
        """
        self._calls.found(self._client.volume_snapshots.delete, snapshot_id, force)

    def list_volume_types(self) -> list[VolumeType]:
        """Return all volume types, also those that are not public."""
        return [VolumeType(id=one.id, name=one.name, is_public=bool(one.is_public),
                           description=one.description)
                for one in self._calls.again(self._client.volume_types.list)]

    def list_pools(self) -> list[Pool]:
        """Return the pools that volumes are made in, ordered by name."""
        return sorted((_pool(one) for one in self._calls.again(
            self._client.pools.list, detailed=True)), key=lambda one: one.name)
