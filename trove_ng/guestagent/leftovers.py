"""What an agent that was killed left behind: programs, mounts, files."""

from __future__ import annotations

import logging
import os
import pathlib
import re
import select
import signal
import subprocess

from trove_ng.guestagent.os import commands, files, volumes

LOG = logging.getLogger(__name__)

#: names that :func:`trove_ng.guestagent.os.files.replacing` gives to unfinished files
_UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}")
#: seconds that killed programs get to be gone
_PATIENCE = 10.0
#: how often programs are looked for; one that the kernel holds survives them all
_SWEEPS = 5


def end_programs(instance_id: str) -> int:
    """Kill the disposable programs of an earlier agent of the instance; return how many.

    With a backup's program go its locks in the database.
    """
    mark = f"{commands.MARK}={instance_id}".encode()
    count = 0
    for _sweep in range(_SWEEPS):
        ended = _end_once(mark)
        if not ended:
            break
        # one may have started another while they were looked for
        count += ended
    return count


def _end_once(mark: bytes) -> int:
    ended = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            # a descriptor, because the number may become another process's
            process = os.pidfd_open(int(name))
        except (ProcessLookupError, OSError):
            continue
        if _carries(name, mark):
            LOG.warning("ending process %s of an earlier agent", name)
            signal.pidfd_send_signal(process, signal.SIGKILL)
            ended.append(process)
        else:
            os.close(process)
    for process in ended:
        select.select([process], [], [], _PATIENCE)
        os.close(process)
    return len(ended)


def _carries(name: str, mark: bytes) -> bool:
    try:
        return mark in pathlib.Path("/proc", name, "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it is gone


def clear_scratch(folder: pathlib.Path) -> None:
    """Empty the agent's scratch directory; what is mounted there is unmounted first."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if volumes.is_mount_point(str(entry)):
            done = subprocess.run(["umount", str(entry)], capture_output=True, timeout=60)
            if done.returncode:
                LOG.error("%s is still mounted and is left alone", entry)
                continue
        files.remove(entry, recursive=True)


def remove_unfinished(folder: pathlib.Path) -> None:
    """Remove files below a directory of the agent that were never finished."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if _UNFINISHED.fullmatch(entry.name) and entry.is_file():
            files.remove(entry)
