"""The private RabbitMQ node under the launcher's supervisord."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import kombu
import pytest

from trove_ng.standalone.launcher import broker, layout, preflight
from trove_ng.standalone.launcher.credentials import Credentials
from trove_ng.standalone.launcher.layout import Layout, Settings
from trove_ng.standalone.launcher.supervision import Supervisor, render
from trove_ng.standalone.runtime.network import Network, ensure_bridge, remove_bridge

from .conftest import eventually


@dataclass
class Node:
    settings: Settings
    credentials: Credentials
    supervisor: Supervisor

    @property
    def port(self) -> int:
        return self.settings.ports["rabbitmq"]

    def answers(self) -> bool:
        return broker.answers(self.settings.gateway, self.port)

    def channel(self, user: str, secret: str) -> kombu.Connection:
        url = broker.transport_url(
            user, self.credentials[secret], self.settings.gateway, self.port)
        return kombu.Connection(url.replace("rabbit:", "amqp:"), connect_timeout=5)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    if os.geteuid() != 0:
        pytest.skip("the broker's bridge needs root")
    state_dir = tmp_path_factory.mktemp("broker") / "state"
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
    made = Node(settings, credentials, Supervisor(one))
    made.supervisor.begin()
    try:
        for name in ("epmd", "rabbitmq"):
            made.supervisor.start(name)
        made.supervisor.wait_ready("rabbitmq", made.answers, 90)
        yield made
    finally:
        for name in ("rabbitmq", "epmd"):
            made.supervisor.stop(name)
        made.supervisor.end()
        remove_bridge(network)
        layout.release_index(state_dir, index)
        assert not made.supervisor.running()


def test_services_and_guests_log_in_with_their_own_users(node: Node) -> None:
    for user, secret in ((broker.USER, "broker_password"),
                         (broker.GUEST_USER, "broker_guest_password")):
        with node.channel(user, secret) as connection:
            connection.connect()
            assert connection.connected


def test_nobody_logs_in_with_another_password(node: Node) -> None:
    for user in (broker.USER, broker.GUEST_USER, "guest"):
        with pytest.raises(Exception, match=r"ACCESS_REFUSED|403"), \
                node.channel(user, "admin_password") as connection:
            connection.connect()


def test_a_guest_cannot_read_what_is_meant_for_the_taskmanager(node: Node) -> None:
    with node.channel(broker.USER, "broker_password") as connection:
        queue = connection.SimpleQueue("taskmanager")
        queue.put({"for": "the taskmanager"})
        queue.close()
    with node.channel(broker.GUEST_USER, "broker_guest_password") as connection:
        with pytest.raises(Exception, match="ACCESS_REFUSED"):
            connection.default_channel.basic_get("taskmanager")
    with node.channel(broker.GUEST_USER, "broker_guest_password") as connection:
        name = f"guestagent.{uuid.uuid4()}"
        queue = kombu.Queue(name, exchange=kombu.Exchange("trove", "topic"), routing_key=name)
        bound = queue(connection.default_channel)
        bound.declare()
        assert bound.get() is None


def test_a_broker_that_dies_is_started_again(node: Node) -> None:
    _, pid = node.supervisor.states()["rabbitmq"]
    holder = preflight.port_holder(node.port)
    assert holder.startswith("beam")
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    eventually(lambda: not node.answers())
    node.supervisor.wait_ready("rabbitmq", node.answers, 90)
    assert node.supervisor.states()["rabbitmq"][1] != pid


def test_the_end_of_a_services_log_is_shown_when_it_fails(node: Node) -> None:
    shown = node.supervisor.last_lines("rabbitmq")
    assert str(Path("log") / "rabbitmq.log") in shown
    assert len(shown.splitlines()) > 5
