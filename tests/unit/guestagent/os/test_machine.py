"""What the agent tells of its machine."""

from __future__ import annotations

import os
from pathlib import Path

from trove_ng.guestagent.os import machine


def test_the_machine_is_this_one() -> None:
    total = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    found = machine.hardware()
    assert abs(found.mem_total / 1024 - total) < total / 50
    assert 1 <= found.num_cpus <= (os.cpu_count() or 1)


def test_the_process_is_read_as_the_kernel_tells_of_it(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\ttrove-guestagent\nFDSize:\t64\nVmPeak:\t  410000 kB\n"
                      "VmSize:\t  400000 kB\nVmHWM:\t   61000 kB\nVmRSS:\t   60000 kB\n"
                      "Threads:\t9\nSeccomp_filters:\t0\n")
    found = machine.diagnostics(status)
    assert (found.threads, found.fd_size, found.vm_peak, found.vm_size, found.vm_hwm,
            found.vm_rss) == (9, 64, 410000, 400000, 61000, 60000)


def test_the_agent_tells_of_itself() -> None:
    found = machine.diagnostics()
    assert 0 < found.vm_rss <= found.vm_hwm
    assert found.threads >= 1
    assert found.version
