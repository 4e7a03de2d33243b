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
    """The node, with users for the services, and for the guests with their smaller rights."""

    settings: Settings
    credentials: Credentials
    supervisor: Supervisor

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.settings.ports["rabbitmq"]

    @property
    def url(self) -> str:
        """For the services."""
        return self._url(broker.USER, "broker_password")

    @property
    def guest_url(self) -> str:
        """For the guests."""
        return self._url(broker.GUEST_USER, "broker_guest_password")

    def _url(self, user: str, secret: str) -> str:
        return broker.transport_url(user, self.credentials[secret], "127.0.0.1", self.port)

    def answers(self) -> bool:
        """Whether it takes connections."""
        return broker.answers(self.settings.gateway, self.port)

    def login(self, user: str, secret: str) -> kombu.Connection:
        """Return a connection of a user with one of the credentials as the password."""
        return self.connect(self._url(user, secret))

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
    made = Broker(settings, credentials, supervisor)
    supervisor.begin()
    try:
        for name in ("epmd", "rabbitmq"):
            supervisor.start(name)
        supervisor.wait_ready("rabbitmq", made.answers, 90)
        yield made
    finally:
        for name in ("rabbitmq", "epmd"):
            supervisor.stop(name)
        supervisor.end()
        remove_bridge(network)
        layout.release_index(state_dir, index)
