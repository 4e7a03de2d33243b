from __future__ import annotations

import inspect

import pytest
from prometheus_client import CollectorRegistry

from tests.scrape import Scrape
from trove_ng.common import metrics as m
from trove_ng.common.prometheus import PrometheusRecorder

#: method of the recorder → arguments, and what the scrape then shows once
TOLD = {
    "api_request": (("GET", "/instances/{id}", 200, 0.02), m.REQUESTS,
                    {"method": "GET", "route": "/instances/{id}", "status": "200"}),
    "api_rate_limited": (("GET",), m.RATE_LIMITED, {"limit": "GET"}),
    "operation_claimed": (("backup.create", 2), m.CLAIMS,
                          {"action": "backup.create", "claim": "takeover"}),
    "operation_ended": (("backup.create", "FAILED", 4.0), m.OPERATION_TIME,
                        {"action": "backup.create", "status": "FAILED"}),
    "operation_abandoned": (("shutdown",), m.ABANDONED, {"reason": "shutdown"}),
    "step_ended": (("a", "b", "succeeded", 1.0), m.STEP_TIME,
                   {"action": "a", "step": "b", "outcome": "succeeded"}),
    "step_retried": (("a", "b"), m.STEP_RETRIES, {"action": "a", "step": "b"}),
    "message_refused": (("request", "forged"), m.REFUSED,
                        {"message": "request", "reason": "forged"}),
    "guest_refused": (("forged", 1), m.GUEST_REFUSED, {"reason": "forged"}),
    "heartbeat_received": ((), m.BEATS_RECEIVED, {}),
    "heartbeats_handled": (("stale", 1), m.BEATS, {"outcome": "stale"}),
    "step_reported": (("counted",), m.REPORTS, {"outcome": "counted"}),
    "cloud_call": (("RegionOne", "compute", "get", "ok", 0.1), m.CLOUD_CALLS,
                   {"region": "RegionOne", "service": "compute", "operation": "get",
                    "outcome": "ok"}),
    "store_failed": (("deadlock",), m.STORE_ERRORS, {"kind": "deadlock"}),
    "store_retried": (("disconnect",), m.STORE_RETRIES, {"kind": "disconnect"}),
    "failover": (("begun",), m.FAILOVERS, {"outcome": "begun"}),
    "reconciled": (("done",), m.RECONCILIATIONS, {"outcome": "done"}),
    "finding": (("missing", "reported"), m.FINDINGS,
                {"kind": "missing", "outcome": "reported"}),
    "notifications": (("dropped", 1), m.NOTIFICATIONS, {"outcome": "dropped"}),
}


@pytest.mark.parametrize("method", TOLD)
def test_what_is_told_is_shown(method: str) -> None:
    arguments, definition, labels = TOLD[method]
    for service in m.SERVICES:
        registry = CollectorRegistry()
        getattr(PrometheusRecorder(registry, service), method)(*arguments)
        wanted = {(definition.name, frozenset(labels.items())): 1.0}
        assert Scrape.of(registry).counts() == (
            wanted if service in definition.services else {})


def test_every_method_is_told_and_the_silent_one_takes_it() -> None:
    methods = {name for name, _ in inspect.getmembers(m.Recorder, inspect.isfunction)}
    assert methods == set(TOLD)
    for name, (arguments, _, _) in TOLD.items():
        getattr(m.SILENT, name)(*arguments)
    assert vars(m.SILENT) == {}


def test_the_first_claim_is_no_takeover() -> None:
    registry = CollectorRegistry()
    recorder = PrometheusRecorder(registry, m.TASKMANAGER)
    recorder.operation_claimed("a", 1)
    assert Scrape.of(registry).get(m.CLAIMS.name, action="a", claim="first") == 1


def test_counters_with_known_labels_begin_at_zero() -> None:
    registry = CollectorRegistry()
    PrometheusRecorder(registry, m.CONDUCTOR)
    found = Scrape.of(registry)
    for reason in m.REFUSED.labels["reason"]:
        assert found.get(m.REFUSED.name, message="request", reason=reason) == 0


def test_names_follow_the_conventions() -> None:
    assert len({one.name for one in m.DEFINITIONS}) == len(m.DEFINITIONS)
    for one in m.DEFINITIONS:
        assert one.name.startswith("trove_")
        assert one.name.endswith("_total") == (one.kind is m.Kind.COUNTER), one.name
        assert bool(one.buckets) == (one.kind is m.Kind.HISTOGRAM), one.name
        assert list(one.buckets) == sorted(one.buckets)
        if one.kind is m.Kind.HISTOGRAM or "_age" in one.name:
            assert one.name.endswith("_seconds")
        assert not {"tenant_id", "project_id", "instance_id", "id"} & set(one.labels)
        assert set(one.services) <= set(m.SERVICES)
