"""The recorder that keeps its numbers for Prometheus.

Nothing is registered in the library's own global registry.
"""

from __future__ import annotations

import itertools

from prometheus_client import CollectorRegistry, Counter, Histogram

from trove_ng.common import metrics as m


class PrometheusRecorder(m.Recorder):
    """Keeps the numbers of one process.

    :param registry: where the metrics are registered
    :param service: which service it is, one of :data:`trove_ng.common.metrics.SERVICES`;
        what another service would tell is passed over
    """

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        mine = [one for one in m.DEFINITIONS if service in one.services]
        self._counters = {one.name: _counter(one, registry) for one in mine
                          if one.kind is m.Kind.COUNTER}
        self._histograms = {
            one.name: Histogram(one.name, one.help, tuple(one.labels), buckets=one.buckets,
                                registry=registry)
            for one in mine if one.kind is m.Kind.HISTOGRAM}

    def _count(self, definition: m.Definition, *labels: str, by: int = 1) -> None:
        counter = self._counters.get(definition.name)
        if counter is not None:
            (counter.labels(*labels) if labels else counter).inc(by)

    def _observe(self, definition: m.Definition, seconds: float, *labels: str) -> None:
        histogram = self._histograms.get(definition.name)
        if histogram is not None:
            histogram.labels(*labels).observe(seconds)

    def api_request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._observe(m.REQUESTS, seconds, method, route, str(status))

    def api_rate_limited(self, limit: str) -> None:
        self._count(m.RATE_LIMITED, limit)

    def operation_claimed(self, action: str, attempts: int) -> None:
        self._count(m.CLAIMS, action, "first" if attempts <= 1 else "takeover")

    def operation_ended(self, action: str, status: str, seconds: float) -> None:
        self._observe(m.OPERATION_TIME, seconds, action, status)

    def operation_abandoned(self, reason: str) -> None:
        self._count(m.ABANDONED, reason)

    def step_ended(self, action: str, step: str, outcome: str, seconds: float) -> None:
        self._observe(m.STEP_TIME, seconds, action, step, outcome)

    def step_retried(self, action: str, step: str) -> None:
        self._count(m.STEP_RETRIES, action, step)

    def message_refused(self, message: str, reason: str) -> None:
        self._count(m.REFUSED, message, reason)

    def guest_refused(self, reason: str, count: int) -> None:
        self._count(m.GUEST_REFUSED, reason, by=count)

    def heartbeat_received(self) -> None:
        self._count(m.BEATS_RECEIVED)

    def heartbeats_handled(self, outcome: str, count: int) -> None:
        self._count(m.BEATS, outcome, by=count)

    def step_reported(self, outcome: str) -> None:
        self._count(m.REPORTS, outcome)

    def cloud_call(self, region: str, service: str, operation: str, outcome: str,
                   seconds: float) -> None:
        self._observe(m.CLOUD_CALLS, seconds, region, service, operation, outcome)

    def store_failed(self, kind: str) -> None:
        self._count(m.STORE_ERRORS, kind)

    def store_retried(self, kind: str) -> None:
        self._count(m.STORE_RETRIES, kind)

    def notifications(self, outcome: str, count: int) -> None:
        self._count(m.NOTIFICATIONS, outcome, by=count)

    def failover(self, outcome: str) -> None:
        self._count(m.FAILOVERS, outcome)

    def reconciled(self, outcome: str) -> None:
        self._count(m.RECONCILIATIONS, outcome)

    def finding(self, kind: str, outcome: str) -> None:
        self._count(m.FINDINGS, kind, outcome)


def _counter(definition: m.Definition, registry: CollectorRegistry) -> Counter:
    """Make a counter; where its labels are known it begins at 0.

    A series that first shows up with its first count seems never to have risen.
    """
    counter = Counter(definition.name, definition.help, tuple(definition.labels),
                      registry=registry)
    if definition.labels and all(definition.labels.values()):
        for values in itertools.product(*definition.labels.values()):
            counter.labels(*values)
    return counter
