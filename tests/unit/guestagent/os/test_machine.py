"""What the agent tells of its machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trove_ng.guestagent.os import machine


def test_the_machine_is_this_one() -> None:
    total = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    found = machine.hardware(Path("/nonexistent"))
    assert abs(found.mem_total / 1024 - total) < total / 50
    assert 1 <= found.num_cpus <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("files", "memory", "cpus"), [
    ({"memory.max": "1048576\n", "cpu.max": "50000 100000\n"}, 1048576, 1),
    ({"memory.max": "max\n", "cpu.max": "max 100000\n"}, None, None),
    ({"memory/memory.limit_in_bytes": "2097152\n", "cpu/cpu.cfs_quota_us": "100000\n",
      "cpu/cpu.cfs_period_us": "100000\n"}, 2097152, 1),
    ({"memory/memory.limit_in_bytes": "9223372036854771712\n", "cpu/cpu.cfs_quota_us": "-1\n",
      "cpu/cpu.cfs_period_us": "100000\n"}, None, None),
    # more than there is
    ({"memory.max": str(2 ** 60), "cpu.max": "100000000 100000"}, None, None)])
def test_a_server_that_is_limited_has_no_more_than_its_limits(
        tmp_path: Path, files: dict[str, str], memory: int | None, cpus: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    whole, found = machine.hardware(tmp_path / "none"), machine.hardware(tmp_path)
    assert found.mem_total == (memory or whole.mem_total)
    assert found.num_cpus == (cpus or whole.num_cpus)


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
