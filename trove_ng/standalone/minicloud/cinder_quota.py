"""Cinder's quotas: what a project may have, and what it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trove_ng.standalone.minicloud import cinder_errors as errors
from trove_ng.standalone.minicloud.store import Store

DEFAULTS: Mapping[str, int] = {
    "volumes": 100, "snapshots": 100, "gigabytes": 1000, "per_volume_gigabytes": -1,
    "backups": 10, "backup_gigabytes": 1000, "groups": 10,
}


class Quotas:
    """Limits of projects; usage is counted, never booked, so it cannot drift.

    The ``need_…`` methods must be called inside the transaction that adds what is
    needed; they raise Cinder's over-limit fault.
    """

    def __init__(self, store: Store, defaults: Mapping[str, int]) -> None:
        self._store = store
        self._defaults = {**DEFAULTS, **{k: v for k, v in defaults.items() if k in DEFAULTS}}

    def defaults(self) -> dict[str, int]:
        """Return the limits of a project for which none were set."""
        return dict(self._defaults)

    def limits(self, project_id: str) -> dict[str, int]:
        """Return the limits of a project."""
        own = self._store.get("cinder_quota", project_id) or {}
        return {**self._defaults, **own.get("limits", {})}

    def set(self, project_id: str, limits: Mapping[str, int]) -> None:
        """Change limits of a project."""
        own = self._store.get("cinder_quota", project_id) or {"limits": {}}
        own["limits"].update(limits)
        self._store.put("cinder_quota", project_id, own, project_id)

    def reset(self, project_id: str) -> None:
        """Give a project the default limits again."""
        self._store.delete("cinder_quota", project_id)

    def usage(self, project_id: str) -> dict[str, int]:
        """Return what a project has."""
        volumes: list[dict[str, Any]] = self._store.list("volume", project_id)
        snapshots: list[dict[str, Any]] = self._store.list("snapshot", project_id)
        return {
            "volumes": len(volumes), "snapshots": len(snapshots),
            "gigabytes": sum(one["size"] for one in [*volumes, *snapshots]),
            "per_volume_gigabytes": 0, "backups": 0, "backup_gigabytes": 0, "groups": 0,
        }

    def need_volume(self, project_id: str, size: int) -> None:
        """Refuse when a volume of ``size`` GiB does not fit."""
        self._need_one(project_id, "volumes", "VolumeLimitExceeded: Maximum number of volumes")
        self.need_size(project_id, size)
        self.need_gigabytes(project_id, size)

    def need_snapshot(self, project_id: str, size: int) -> None:
        """Refuse when a snapshot of ``size`` GiB does not fit."""
        self._need_one(
            project_id, "snapshots", "SnapshotLimitExceeded: Maximum number of snapshots")
        self.need_gigabytes(project_id, size)

    def _need_one(self, project_id: str, name: str, text: str) -> None:
        limit = self.limits(project_id)[name]
        if 0 <= limit <= self.usage(project_id)[name]:
            raise errors.over_limit(f"{text} allowed ({limit}) exceeded for quota '{name}'.")

    def need_gigabytes(self, project_id: str, size: int) -> None:
        """Refuse when ``size`` GiB more do not fit."""
        limit = self.limits(project_id)["gigabytes"]
        used = self.usage(project_id)["gigabytes"]
        if 0 <= limit < used + size:
            raise errors.over_limit(
                "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed "
                f"gigabytes quota. Requested {size}G, quota is {limit}G and {used}G has been "
                "consumed.")

    def need_size(self, project_id: str, size: int) -> None:
        """Refuse a single volume that is too big."""
        limit = self.limits(project_id)["per_volume_gigabytes"]
        if 0 <= limit < size:
            raise errors.over_limit(
                "VolumeSizeExceedsLimit: Requested volume size "
                f"{size} is larger than maximum allowed limit {limit}.")
