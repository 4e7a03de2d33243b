"""A private RabbitMQ node for tests: the all-in-one's broker, alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import kombu

from trove_ng.standalone.launcher import broker, layout, preflight
from trove_ng.standalone.launcher.credentials import Credentials
from trove_ng.standalone.launcher.layout import Layout, Settings
from trove_ng.standalone.launcher.supervision import Supervisor, render
from trove_ng.standalone.runtime.network import Network, ensure_bridge, remove_bridge


@dataclass(frozen=True)
class Broker:
    """Its URLs: for the services, and for the guests with their smaller rights."""

    url: str
    guest_url: str

    def connect(self, url: str) -> kombu.Connection:
        """Return a plain AMQP connection, without oslo.messaging."""
        return kombu.Connection(url.replace("rabbit:", "amqp:"), connect_timeout=5)


@contextlib.contextmanager
def running(state_dir: Path) -> Iterator[Broker]:
    """Run a node until the block ends; needs root."""
    index = layout.claim_index(state_dir)
    settings = Settings(index, "127.0.0.1", "sqlite://")
    one = Layout(state_dir)
    one.make()
    one.save_settings(settings)
    network = Network("provider", settings.cidr, settings.gateway)
    ensure_bridge(network)
    preflight.check_ports(settings.ports, {settings.bind, settings.gateway})
    credentials = Credentials(one.etc / "credentials.json")
    credentials.load()
    broker.write_config(one, settings, credentials)
    one.supervisord_conf.write_text(render(one, broker.programs(one, settings)))
    supervisor = Supervisor(one)
    supervisor.begin()
    port = settings.ports["rabbitmq"]
    try:
        for name in ("epmd", "rabbitmq"):
            supervisor.start(name)
        supervisor.wait_ready(
            "rabbitmq", lambda: broker.answers(settings.gateway, port), 90)
        yield Broker(
            broker.transport_url(
                broker.USER, credentials["broker_password"], "127.0.0.1", port),
            broker.transport_url(
                broker.GUEST_USER, credentials["broker_guest_password"], "127.0.0.1", port))
    finally:
        for name in ("rabbitmq", "epmd"):
            supervisor.stop(name)
        supervisor.end()
        remove_bridge(network)
        layout.release_index(state_dir, index)
