"""What is known of a service's processes at a scrape."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from trove_ng.common import metrics as m

_CPU = "process_cpu_seconds_total"
#: what belongs to a process, and is not the sum of several
_OF_PARENT = frozenset({"process_start_time_seconds", "process_max_fds"})
#: fields of /proc/<pid>/stat after the name: time of children that have ended
_ENDED = slice(13, 15)


class BuildCollector(Collector):
    """Tells which version of which service runs."""

    def __init__(self, service: str, version: str) -> None:
        self._labels = (service, version)

    def collect(self) -> Iterable[Metric]:
        """Return one metric."""
        found = GaugeMetricFamily(m.BUILD.name, m.BUILD.help, labels=tuple(m.BUILD.labels))
        found.add_metric(self._labels, 1)
        return [found]


class WorkersCollector(Collector):
    """The ``process_*`` metrics of a process and its workers, summed.

    :param parent: pid of the process that starts the workers
    """

    def __init__(self, parent: int, proc: Path = Path("/proc")) -> None:
        self._parent = parent
        self._proc = proc

    def collect(self) -> Iterable[Metric]:
        """Return the sums; the time of workers that have ended stays in theirs."""
        sums: dict[str, float] = defaultdict(float)
        families: dict[str, Metric] = {}
        for pid in (self._parent, *self._workers()):
            for family in _of(pid, self._proc):
                families.setdefault(family.name, family)
                for one in family.samples:
                    if pid == self._parent or one.name not in _OF_PARENT:
                        sums[one.name] += one.value
        sums[_CPU] += self._ended()
        for family in families.values():
            family.samples = [one._replace(value=sums[one.name]) for one in family.samples]
        return list(families.values())

    def _workers(self) -> list[int]:
        text = (self._proc / f"{self._parent}/task/{self._parent}/children").read_text()
        return [int(pid) for pid in text.split()]

    def _ended(self) -> float:
        text = (self._proc / f"{self._parent}/stat").read_text()
        ticks = text.rpartition(")")[2].split()[_ENDED]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _of(pid: int, proc: Path) -> Iterable[Metric]:
    """Return the metrics of one process; nothing when it has just ended."""
    return ProcessCollector(pid=lambda: pid, proc=str(proc), registry=None).collect()
