"""Refused messages are counted by reason."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from oslo_config import cfg
from prometheus_client import CollectorRegistry

from tests.functional.rpc.conftest import Ring
from tests.scrape import Scrape
from trove_ng.common import metrics
from trove_ng.common.errors import GuestTimeout
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.rpc import keys, messages
from trove_ng.rpc.endpoint import Endpoint, Method
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.refusals import Reason
from trove_ng.rpc.transport import SecureClient

INSTANCE = "5f7ac1a3-0000-4000-8000-000000000002"
RING = Ring({INSTANCE: ["k" * 32]})


class Wire:
    """Keeps what a client sends, and gives a prepared answer."""

    def __init__(self, answer: Any = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self._answer = answer

    def cast(self, _context: Any, _method: str, envelope: dict[str, Any]) -> None:
        self.sent.append(envelope)

    def prepare(self, **_options: Any) -> Wire:
        return self

    def call(self, *_arguments: Any, **_options: Any) -> Any:
        return self._answer


def sealed(transport: Any, key: str = "k" * 32, age: float = 0) -> dict[str, Any]:
    """Return the envelope of a call of the API."""
    client = SecureClient(transport, "t", Ring({INSTANCE: [key]}), keys.API, keys.guest(INSTANCE),
                          now=lambda: time.time() - age)
    wire = client._client = Wire()
    client.cast("rpc_ping", messages.Empty())
    return wire.sent[0]


def test_refused_requests_are_counted_by_reason(transport: Any) -> None:
    registry = CollectorRegistry()
    ping = Method(messages.Empty, messages.Flag, lambda *_: messages.Flag(value=True))
    endpoint = Endpoint({"rpc_ping": ping}, keys.guest(INSTANCE), RING, 300,
                        recorder=PrometheusRecorder(registry, metrics.TASKMANAGER))
    good = sealed(transport)
    assert endpoint.invoke(good) is not None
    forged = {**copy.deepcopy(sealed(transport)), "from": keys.TASKMANAGER}
    for envelope in (good, good, forged, "text", sealed(transport, "x" * 32),
                     sealed(transport, age=301), {**good, "to": keys.guest("other")}):
        assert endpoint.invoke(envelope) is None
    found = Scrape.of(registry)
    told = {reason: found.get(metrics.REFUSED.name, message="request", reason=reason)
            for reason in metrics.REFUSED.labels["reason"]}
    assert {reason: count for reason, count in told.items() if count} == {
        "replayed": 2, "forged": 1, "plaintext": 1, "unknown-key": 1, "stale": 1,
        "misdirected": 1}
    assert found.sum(metrics.REFUSED.name, message="answer") == 0


@pytest.mark.parametrize("answer", [None, "own"])
def test_refused_answers_are_counted(
        conf: cfg.ConfigOpts, transport: Any, answer: Any) -> None:
    registry = CollectorRegistry()
    client = GuestClient(conf, transport, RING, keys.API, INSTANCE,
                         recorder=PrometheusRecorder(registry, metrics.API))
    client._client._client = Wire(sealed(transport) if answer == "own" else answer)
    with pytest.raises(GuestTimeout, match="no valid answer"):
        client.rpc_ping()
    assert Scrape.of(registry).counts() == {
        (metrics.REFUSED.name, frozenset({("message", "answer"), ("reason", "answer")})): 1}


def test_every_reason_has_its_label() -> None:
    assert set(metrics.REFUSED.labels["reason"]) == set(Reason)
