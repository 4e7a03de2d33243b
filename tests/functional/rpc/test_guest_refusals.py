"""An agent tells what it refused, and the conductor's metric says so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import oslo_messaging
from oslo_config import cfg
from prometheus_client import CollectorRegistry

from tests.scrape import Scrape
from trove_ng.common import metrics
from trove_ng.common.clock import SystemClock
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.common.states import ServiceStatus
from trove_ng.conductor.manager import Conductor
from trove_ng.conf import guestagent as guest_conf
from trove_ng.conf import rpc as rpc_conf
from trove_ng.db.session import Database
from trove_ng.guestagent.bus import AgentBus
from trove_ng.rpc import guest, keys
from trove_ng.rpc import messages as m
from trove_ng.rpc.endpoint import Caller
from trove_ng.rpc.machine_messages import REFUSED
from trove_ng.rpc.transport import get_transport

GUEST = "5f7ac1a3-0000-4000-8000-000000000001"


def _bus(home: Path) -> tuple[AgentBus, cfg.ConfigOpts]:
    conf = cfg.ConfigOpts()
    rpc_conf.register(conf)
    guest_conf.register(conf)
    conf([], project="trove")
    get_transport(conf, "fake://")
    for name, value in (("transport_url", "fake://"), ("control_exchange", str(home)),
                        ("guest_id", GUEST), ("state_path", str(home)),
                        ("instance_rpc_encr_key", ["a-key-for-tests"])):
        conf.set_override(name, value)
    return AgentBus(conf), conf


def test_an_agent_counts_what_it_refuses_and_tells_it_once(tmp_path: Path) -> None:
    bus, conf = _bus(tmp_path)
    server = bus.listen({name: lambda _request: m.Empty() for name in guest.GUEST_METHODS
                         if name != "change_key"})
    anybody = oslo_messaging.get_rpc_client(
        get_transport(conf), oslo_messaging.Target(
            topic=guest.topic(GUEST), server=GUEST))
    found: dict[str, int] = {}
    try:
        for _ in range(3):
            anybody.cast({}, "restart", operation_id="op", step="restart")
        end = time.monotonic() + 20
        while sum(found.values()) < 3:
            assert time.monotonic() < end, found
            for reason, count in bus.refused().items():
                found[reason] = found.get(reason, 0) + count
    finally:
        server.stop()
        server.wait()
    assert found == {"plaintext": 3}
    assert bus.refused() == {}


def _count(database: Database, *told: Mapping[str, Any]) -> Scrape:
    registry = CollectorRegistry()
    conductor = Conductor(database, SystemClock(), 100, 0.0, PrometheusRecorder(
        registry, metrics.CONDUCTOR))
    for number, details in enumerate(told):
        conductor.heartbeat(Caller(keys.guest(GUEST), None), m.Heartbeat(
            status=ServiceStatus.HEALTHY, sequence=number, sent_at=1.0,
            details=cast(dict[str, Any], details)))
    return Scrape.of(registry)


def test_the_conductor_adds_up_what_guests_tell(database: Database) -> None:
    found = _count(database, {REFUSED: {"forged": 2}}, {}, {
        REFUSED: {"forged": 3, "plaintext": 1}})
    assert found.get(metrics.GUEST_REFUSED.name, reason="forged") == 5
    assert found.get(metrics.GUEST_REFUSED.name, reason="plaintext") == 1
    assert found.get(metrics.GUEST_REFUSED.name, reason="stale") == 0


def test_a_guest_tells_neither_nonsense_nor_too_much(database: Database) -> None:
    found = _count(database, {REFUSED: {"forged": 10 ** 9, "pla\ny": 1, "stale": -3}},
                   {REFUSED: [1]}, {REFUSED: {"replayed": "many", "unknown-key": True}})
    assert found.get(metrics.GUEST_REFUSED.name, reason="forged") == 1000
    for reason in ("stale", "replayed", "unknown-key"):
        assert found.get(metrics.GUEST_REFUSED.name, reason=reason) == 0
    assert found.get(metrics.GUEST_REFUSED.name, reason="pla\ny") is None
