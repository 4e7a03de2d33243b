"""The machine that the agent runs on, and what its own process uses of it."""

from __future__ import annotations

import os
import pathlib

from trove_ng.conf import base
from trove_ng.rpc.machine_messages import Diagnostics, Hardware

_SELF = pathlib.Path("/proc/self/status")
#: field of the message → line of the file
_LINES = {"threads": "Threads", "fd_size": "FDSize", "vm_size": "VmSize", "vm_peak": "VmPeak",
          "vm_rss": "VmRSS", "vm_hwm": "VmHWM"}


def hardware() -> Hardware:
    """Return what the machine has."""
    return Hardware(mem_total=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
                    num_cpus=len(os.sched_getaffinity(0)))


def diagnostics(status: pathlib.Path = _SELF) -> Diagnostics:
    """Return what this process uses.

    :param status: a file as the kernel keeps it of each process
    """
    known = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return Diagnostics(version=base.version(), **{
        field: int(known[line].split()[0]) for field, line in _LINES.items()})
