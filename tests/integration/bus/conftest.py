"""A private RabbitMQ node, the services' topics on it, and plain AMQP beside them."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import kombu
import pytest
from oslo_config import cfg

from tests.functional.rpc.forgeries import ME, OTHER, Ring
from tests.scrape import RefusalsHeard
from tests.servers import rabbitmq
from trove_ng.conf import rpc as rpc_conf
from trove_ng.rpc import conductor, guest, keys, messages, taskmanager
from trove_ng.rpc.endpoint import Caller, Endpoint, Method
from trove_ng.rpc.transport import get_transport, start_server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.integration)


def eventually(probe: Callable[[], Any], seconds: float = 30) -> Any:
    """Return what a probe finds as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rabbitmq.Broker]:
    if os.geteuid() != 0:
        pytest.skip("the broker's bridge needs root")
    with rabbitmq.running(tmp_path_factory.mktemp("broker") / "state") as node:
        yield node


def configuration(url: str) -> cfg.ConfigOpts:
    """Return the bus's configuration of one party."""
    conf = cfg.ConfigOpts()
    rpc_conf.register(conf)
    conf([], project="trove")
    get_transport(conf, url)  # registers the option
    conf.set_override("transport_url", url)
    return conf


class Topic:
    """A service on the broker that remembers what reached its handlers."""

    def __init__(self, url: str, topic: str, me: str, provider: Any) -> None:
        self.topic, self.me = topic, me
        self.done: list[tuple[str, Any]] = []
        self.refused: list[str] = []
        conf = configuration(url)
        declared = {
            "heartbeat": Method(messages.Heartbeat, messages.Empty, self._empty),
            "report_step": Method(messages.StepReport, messages.Empty, self._empty),
            "wake": Method(messages.Wake, messages.Empty, self._empty),
            "rpc_ping": Method(messages.Empty, messages.Flag, self._flag),
        }
        self.transport = get_transport(conf)
        self.endpoint = Endpoint(declared, me, provider, 300,
                                 recorder=RefusalsHeard(self.refused))
        self._server = start_server(conf, self.transport, topic, str(uuid.uuid4()),
                                    self.endpoint)

    def _empty(self, caller: Caller, message: messages.Message) -> messages.Empty:
        self.done.append((caller.party, message))
        return messages.Empty()

    def _flag(self, caller: Caller, message: messages.Message) -> messages.Flag:
        self.done.append((caller.party, message))
        return messages.Flag(value=True)

    def stop(self) -> None:
        self._server.stop()
        self._server.wait()
        self.transport.cleanup()


class Bus:
    """The topics of two guests and the control plane, and an intruder's AMQP."""

    def __init__(self, broker: rabbitmq.Broker) -> None:
        self.broker = broker
        self.ring = Ring()
        self.conductor = Topic(broker.url, conductor.TOPIC, keys.CONDUCTOR, self.ring)
        self.taskmanager = Topic(broker.url, taskmanager.TOPIC, keys.TASKMANAGER, self.ring)
        self.guests = {ident: Topic(broker.guest_url, guest.topic(ident), keys.guest(ident),
                                    _Own(self.ring, ident)) for ident in (ME, OTHER)}

    def topics(self) -> list[Topic]:
        return [self.conductor, self.taskmanager, *self.guests.values()]

    def stop(self) -> None:
        for one in self.topics():
            one.stop()


class _Own:
    """What a guest has of the keys: its own."""

    def __init__(self, ring: Ring, instance_id: str) -> None:
        self._ring, self._instance_id = ring, instance_id

    def secrets(self, instance_id: str | None) -> Any:
        return self._ring.secrets(instance_id) if instance_id == self._instance_id else ()


@pytest.fixture
def bus(broker: rabbitmq.Broker) -> Iterator[Bus]:
    made = Bus(broker)
    yield made
    made.stop()


class Intruder:
    """Plain AMQP with a guest's broker credentials."""

    def __init__(self, connection: kombu.Connection) -> None:
        self.channel = connection.default_channel

    def send(self, topic: str, body: bytes, content_type: str = "application/json",
             exchange: str = "", **more: Any) -> None:
        kombu.Producer(self.channel).publish(
            body, exchange=exchange, routing_key=topic, content_type=content_type,
            content_encoding=more.pop("content_encoding", "utf-8"), serializer=None, **more)

    def invoke(self, topic: str, envelope: Any, **outer: Any) -> None:
        """Send as oslo.messaging does."""
        self.send(topic, framed({"method": "invoke", "args": {"envelope": envelope},
                                 "version": "1.0", "_unique_id": uuid.uuid4().hex} | outer))


def framed(message: Any) -> bytes:
    """Return oslo.messaging's wire form of a message."""
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)}).encode()


@pytest.fixture
def intruder(bus: Bus) -> Iterator[Intruder]:
    with bus.broker.connect(bus.broker.guest_url) as connection:
        yield Intruder(connection)
