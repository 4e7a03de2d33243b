"""Clients of a broker that refuses connections, or takes them and says nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from tests.functional.rpc.conftest import Ring
from trove_ng.rpc import keys
from trove_ng.rpc import messages as m
from trove_ng.rpc.conductor import ConductorClient
from trove_ng.rpc.endpoint import Endpoint
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.lines import BusAway, Lines
from trove_ng.rpc.transport import get_transport

RING = Ring({"i": ["a-key-for-tests"]})
pytestmark = pytest.mark.timeout(90)


@pytest.fixture(params=["refuses", "is silent"])
def transport(request: pytest.FixtureRequest, conf: cfg.ConfigOpts) -> Iterator[Any]:
    """A transport to a broker that is away."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        port = listening.getsockname()[1]
        if request.param == "refuses":
            listening.close()
        yield get_transport(conf, f"rabbit://u:p@127.0.0.1:{port}/")


def test_calls_and_casts_are_refused_and_threads_are_not_gathered(
        conf: cfg.ConfigOpts, transport: Any) -> None:
    lines = Lines(most=4, pause=0.01)
    client = GuestClient(conf, transport, RING, keys.API, "i", lines=lines)
    before = threading.active_count()
    for _ in range(6):
        with pytest.raises(BusAway) as caught:
            client.list_databases(m.PageRequest(limit=1))
        assert (caught.value.status, caught.value.retry_after) == (503, 5)
    with pytest.raises(BusAway):
        client.prepare(m.PrepareRequest(
            operation_id="o", step="prepare", datastore="d", datastore_version="v",
            memory_mb=1, config={}))
    assert threading.active_count() <= before + 5


def test_an_agent_hears_that_its_report_was_not_taken(transport: Any) -> None:
    client = ConductorClient(transport, RING, "i")
    with pytest.raises(BusAway):
        client.heartbeat(m.Heartbeat(status="NEW", sequence=1, sent_at=0.0))


def test_a_message_whose_key_cannot_be_read_now_is_dropped_and_counted() -> None:
    from trove_ng.db.trouble import StoreAway

    class Away:
        def secrets(self, _instance_id: str | None) -> tuple[str, ...]:
            raise StoreAway

    endpoint = Endpoint({}, keys.CONDUCTOR, Away(), 300)
    from trove_ng.rpc import envelope as sealing

    sealed = sealing.seal("a-key-for-tests", keys.guest("i"), keys.CONDUCTOR, b"{}")
    assert endpoint.invoke(sealed) is None
    assert sum(endpoint.refused.counts.values()) == 1
