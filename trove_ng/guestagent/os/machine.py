"""The machine that the agent runs on, and what its own process uses of it."""

from __future__ import annotations

import math
import os
import pathlib

from trove_ng.conf import base
from trove_ng.rpc.machine_messages import Diagnostics, Hardware

_SELF = pathlib.Path("/proc/self/status")
_GROUPS = pathlib.Path("/sys/fs/cgroup")
#: field of the message → line of the file
_LINES = {"threads": "Threads", "fd_size": "FDSize", "vm_size": "VmSize", "vm_peak": "VmPeak",
          "vm_rss": "VmRSS", "vm_hwm": "VmHWM"}


def hardware(groups: pathlib.Path = _GROUPS) -> Hardware:
    """Return what the server has: what the machine has, or less if it is limited.

    :param groups: where the control groups are mounted.  The topmost one is the server's
        when the server shares its machine, and has no limits when it does not; the
        agent's own group below says nothing of the server.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cpus = len(os.sched_getaffinity(0))
    limits = [_numbers(groups / name) for name in (
        "memory.max", "memory/memory.limit_in_bytes")]
    quotas = [_numbers(groups / "cpu.max"), (
        *_numbers(groups / "cpu/cpu.cfs_quota_us"),
        *_numbers(groups / "cpu/cpu.cfs_period_us"))]
    return Hardware(
        mem_total=min([memory, *(found[0] for found in limits if found)]),
        num_cpus=min([cpus, *(max(1, math.ceil(found[0] / found[1]))
                              for found in quotas if len(found) == 2)]))


def _numbers(path: pathlib.Path) -> tuple[int, ...]:
    """Return the numbers in a file of a control group, none if there is no limit."""
    try:
        words = path.read_text().split()
    except OSError:
        return ()
    found = tuple(int(word) for word in words if word.isdecimal())
    return found if len(found) == len(words) else ()


def diagnostics(status: pathlib.Path = _SELF) -> Diagnostics:
    """Return what this process uses.

    :param status: a file as the kernel keeps it of each process
    """
    known = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return Diagnostics(version=base.version(), **{
        field: int(known[line].split()[0]) for field, line in _LINES.items()})
