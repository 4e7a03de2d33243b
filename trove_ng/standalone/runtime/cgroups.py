"""Limits of memory and processor by control groups, version 1 or 2."""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from pathlib import Path

LOG = logging.getLogger(__name__)
_PERIOD_US = 100_000
_MIB = 1024**2


class ControlGroups:
    """One group per server below one group of the all-in-one.

    :param parent: name of the group above
    :param root: where the hierarchies are mounted
    """

    def __init__(
        self, parent: str = "trove-standalone", root: Path = Path("/sys/fs/cgroup")
    ) -> None:
        self._root = root
        self._parent = parent

    @property
    def unified(self) -> bool:
        """Whether the machine has version 2 only."""
        return (self._root / "cgroup.controllers").exists()

    def set_limits(self, server_id: str, vcpus: int, ram_mb: int) -> list[Path]:
        """Make the server's groups and set their limits.

        :return: the files that a process writes its pid to, to be inside; empty
            when the machine offers no groups (the server then has no limits)
        """
        try:
            if self.unified:
                return self._version2(server_id, vcpus, ram_mb)
            return self._version1(server_id, vcpus, ram_mb)
        except OSError as error:
            LOG.warning("Server %s runs without limits: %s", server_id, error)
            self.remove(server_id)
            return []

    def remove(self, server_id: str) -> None:
        """Remove the server's groups once its processes are gone."""
        for group in self._groups(server_id):
            _remove(group, seconds=5)

    def remove_parent(self) -> None:
        """Remove the common group; other all-in-ones that still use it keep it."""
        for group in self._groups(""):
            _remove(group, seconds=0)

    def _groups(self, name: str) -> list[Path]:
        bases = [self._root] if self.unified else [
            self._root / controller for controller in ("memory", "cpu")]
        return [base / self._parent / name for base in bases]

    def _version2(self, server_id: str, vcpus: int, ram_mb: int) -> list[Path]:
        parent = self._root / self._parent
        parent.mkdir(exist_ok=True)
        for group in (self._root, parent):
            (group / "cgroup.subtree_control").write_text("+memory +cpu")
        group = parent / server_id
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text(str(ram_mb * _MIB))
        (group / "cpu.max").write_text(f"{vcpus * _PERIOD_US} {_PERIOD_US}")
        return [group / "cgroup.procs"]

    def _version1(self, server_id: str, vcpus: int, ram_mb: int) -> list[Path]:
        memory, cpu = self._groups(server_id)
        for group in (memory, cpu):
            if not group.parent.parent.is_dir():
                raise OSError(errno.ENOENT, "no control groups are mounted", str(self._root))
            group.mkdir(parents=True, exist_ok=True)
        (memory / "memory.limit_in_bytes").write_text(str(ram_mb * _MIB))
        (cpu / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (cpu / "cpu.cfs_quota_us").write_text(str(vcpus * _PERIOD_US))
        return [memory / "cgroup.procs", cpu / "cgroup.procs"]


def _remove(group: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while group.is_dir():
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        if time.monotonic() >= deadline:
            if seconds:
                LOG.warning("The control group %s cannot be removed.", group)
            return
        time.sleep(0.02)
