"""Volumes are sparse files; attached, they are loop devices."""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
import time
from pathlib import Path

from trove_ng.standalone.minicloud.hypervisor import HypervisorError
from trove_ng.standalone.runtime.commands import run
from trove_ng.standalone.runtime.freezing import frozen, thaw

LOG = logging.getLogger(__name__)
_GIB = 1024**3
#: the kernel unmounts what a dead server had mounted a little later
_BUSY_SECONDS = 5
_SYS_BLOCK = Path("/sys/block")


class VolumeStore:
    """Volumes and snapshots below a directory.

    :param root: directory of its own
    """

    def __init__(self, root: Path) -> None:
        self._volumes = root / "volumes"
        self._snapshots = root / "snapshots"
        self._lock = threading.Lock()

    def create(
        self, volume_id: str, size_gb: int,
        source_volume_id: str | None = None, source_snapshot_id: str | None = None,
    ) -> None:
        """Make a volume of ``size_gb`` GiB, empty or a copy; made already is no error."""
        target = self._volume(volume_id)
        if target.exists():
            return
        partial = _partial(target)
        if source_volume_id:
            _flush(self._existing(self._volume(source_volume_id)))
            _copy(self._volume(source_volume_id), partial)
        elif source_snapshot_id:
            _copy(self._existing(self._snapshot(source_snapshot_id)), partial)
        else:
            partial.touch(mode=0o600)
        _grow(partial, size_gb)
        partial.replace(target)

    def extend(self, volume_id: str, size_gb: int) -> None:
        """Grow a volume to ``size_gb`` GiB; whoever has it attached sees it."""
        path = self._existing(self._volume(volume_id))
        _grow(path, size_gb)
        for device in loops_of(path):
            run(["losetup", "--set-capacity", device])

    def delete(self, volume_id: str) -> None:
        """Remove a volume; gone already is no error."""
        self.detach(volume_id)
        self._volume(volume_id).unlink(missing_ok=True)

    def snapshot(self, snapshot_id: str, volume_id: str) -> None:
        """Keep a copy of a volume as it is at one moment, also if its server writes."""
        target = self._snapshot(snapshot_id)
        if target.exists():
            return
        source = self._existing(self._volume(volume_id))
        _flush(source)
        partial = _partial(target)
        # a copy takes a while: of what is written meanwhile it would hold some and not others
        with frozen(loops_of(source)):
            _copy(source, partial)
        partial.replace(target)

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Remove a snapshot; gone already is no error."""
        self._snapshot(snapshot_id).unlink(missing_ok=True)

    def thaw(self) -> None:
        """Let servers write whose volumes a process copied that was killed."""
        for ident in self.ids():
            thaw(loops_of(self._volume(ident)))

    def attach(self, volume_id: str) -> tuple[int, int]:
        """Give the volume a loop device and return its major and minor number."""
        path = self._existing(self._volume(volume_id))
        with self._lock:
            found = loops_of(path)
            device = found[0] if found else _new_loop(path)
        status = os.stat(device)
        if not stat.S_ISBLK(status.st_mode):
            raise HypervisorError(f"{device} is no block device.")
        return os.major(status.st_rdev), os.minor(status.st_rdev)

    def detach(self, volume_id: str) -> None:
        """Take the loop device away.

        :raises HypervisorError: something still uses it
        """
        path = self._volume(volume_id)
        with self._lock:
            deadline = time.monotonic() + _BUSY_SECONDS
            asked: set[str] = set()
            while found := loops_of(path):
                for device in found:
                    # a device that is detached while in use would go later, unnoticed
                    if device not in asked and not _in_use(device):
                        run(["losetup", "--detach", device])
                        asked.add(device)
                if time.monotonic() > deadline:
                    raise HypervisorError(f"Volume {volume_id} is still in use.")
                time.sleep(0.02)

    def ids(self) -> list[str]:
        """Return the ids of all volumes."""
        if not self._volumes.is_dir():
            return []
        return sorted(path.stem for path in self._volumes.glob("*.img"))

    def _volume(self, volume_id: str) -> Path:
        self._volumes.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._volumes / f"{volume_id}.img"

    def _snapshot(self, snapshot_id: str) -> Path:
        self._snapshots.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._snapshots / f"{snapshot_id}.img"

    @staticmethod
    def _existing(path: Path) -> Path:
        if not path.exists():
            raise HypervisorError(f"Volume {path.stem} does not exist.")
        return path


def loops_of(path: Path) -> list[str]:
    """Return the loop devices whose backing file this is."""
    wanted = str(path.resolve())
    found = []
    for entry in _SYS_BLOCK.glob("loop*"):
        try:
            backing = (entry / "loop" / "backing_file").read_text().rstrip("\n")
        except OSError:
            continue
        if backing.removesuffix(" (deleted)") == wanted:
            found.append(f"/dev/{entry.name}")
    return found


def _in_use(device: str) -> bool:
    """Whether a file system or another program holds a block device."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _new_loop(path: Path) -> str:
    # Direct I/O keeps the data from being cached twice; not every file system has it.
    reason: HypervisorError | None = None
    for attempt in range(6):
        options = ["--direct-io=on"] if attempt % 2 == 0 else []
        try:
            return run(["losetup", "--find", "--show", *options, str(path)]).strip()
        except HypervisorError as error:
            # another process may have taken the free device first
            reason = error
            for device in loops_of(path):
                run(["losetup", "--detach", device])
            time.sleep(0.05 * attempt)
    raise HypervisorError(f"No loop device: {reason}")


def _grow(path: Path, size_gb: int) -> None:
    size = size_gb * _GIB
    if path.stat().st_size > size:
        raise HypervisorError(f"{path.stem} is larger than {size_gb} GiB already.")
    os.truncate(path, size)


def _copy(source: Path, target: Path) -> None:
    run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], timeout=3600)


def _flush(path: Path) -> None:
    for device in loops_of(path):
        run(["blockdev", "--flushbufs", device])


def _partial(target: Path) -> Path:
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    return partial
