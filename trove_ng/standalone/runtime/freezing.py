"""Keeping a file system still while its volume is copied, wherever it is mounted."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from trove_ng.standalone.minicloud.hypervisor import HypervisorError

LOG = logging.getLogger(__name__)

# from linux/fs.h
_FREEZE, _THAW = 0xC0045877, 0xC0045878
_NOT_FROZEN = (errno.EINVAL, errno.EOPNOTSUPP)


@contextlib.contextmanager
def frozen(devices: Sequence[str]) -> Iterator[None]:
    """Let nothing be written to the file systems on some block devices.

    All that was written before is on the devices.  Who writes meanwhile waits.

    :raises HypervisorError: a file system cannot be kept still
    """
    with contextlib.ExitStack() as stack:
        for device in devices:
            folder = _open(device)
            if folder is None:
                continue  # nothing writes to it
            stack.callback(os.close, folder)
            try:
                fcntl.ioctl(folder, _FREEZE, 0)
            except OSError as error:
                raise HypervisorError(
                    f"The file system on {device} cannot be kept still: {error}.") from error
            stack.callback(fcntl.ioctl, folder, _THAW, 0)
        yield


def thaw(devices: Sequence[str]) -> None:
    """Let file systems be written to that somebody kept still and left so."""
    for device in devices:
        folder = _open(device)
        if folder is None:
            continue
        try:
            fcntl.ioctl(folder, _THAW, 0)
            LOG.warning("the file system on %s was still kept still", device)
        except OSError as error:
            if error.errno not in _NOT_FROZEN:
                raise HypervisorError(f"{device} stays as it is: {error}.") from error
        finally:
            os.close(folder)


def _open(device: str) -> int | None:
    """Return a descriptor of the root of a device's file system, None if it is not mounted."""
    status = os.stat(device)
    wanted = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    seen: set[int] = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            namespace = (process / "ns/mnt").stat().st_ino
            if namespace in seen:
                continue
            seen.add(namespace)
            point = _mount_point((process / "mountinfo").read_text(), wanted)
            if point is not None:
                return os.open(process / "root" / point.lstrip("/"),
                               os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended, or hides
    return None


def _mount_point(table: str, wanted: str) -> str | None:
    for line in table.splitlines():
        fields = line.split(" ")
        if fields[2] == wanted:
            return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
    return None
