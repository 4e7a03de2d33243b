"""The private RabbitMQ node under the launcher's supervisord."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import kombu
import pytest

from tests.servers import rabbitmq
from tests.servers.rabbitmq import Broker
from trove_ng.standalone.launcher import broker, preflight

from .conftest import eventually


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if os.geteuid() != 0:
        pytest.skip("the broker's bridge needs root")
    with rabbitmq.running(tmp_path_factory.mktemp("broker") / "state") as made:
        yield made
    assert not made.supervisor.running()


def test_services_and_guests_log_in_with_their_own_users(node: Broker) -> None:
    for user, secret in ((broker.USER, "broker_password"),
                         (broker.GUEST_USER, "broker_guest_password")):
        with node.login(user, secret) as connection:
            connection.connect()
            assert connection.connected


def test_nobody_logs_in_with_another_password(node: Broker) -> None:
    for user in (broker.USER, broker.GUEST_USER, "guest"):
        with pytest.raises(Exception, match=r"ACCESS_REFUSED|403"), \
                node.login(user, "admin_password") as connection:
            connection.connect()


def test_a_guest_cannot_read_what_is_meant_for_the_taskmanager(node: Broker) -> None:
    with node.login(broker.USER, "broker_password") as connection:
        queue = connection.SimpleQueue("taskmanager")
        queue.put({"for": "the taskmanager"})
        queue.close()
    with node.login(broker.GUEST_USER, "broker_guest_password") as connection:
        with pytest.raises(Exception, match="ACCESS_REFUSED"):
            connection.default_channel.basic_get("taskmanager")
    with node.login(broker.GUEST_USER, "broker_guest_password") as connection:
        name = f"guestagent.{uuid.uuid4()}"
        queue = kombu.Queue(name, exchange=kombu.Exchange("trove", "topic"), routing_key=name)
        bound = queue(connection.default_channel)
        bound.declare()
        assert bound.get() is None


def test_a_broker_that_dies_is_started_again(node: Broker) -> None:
    _, pid = node.supervisor.states()["rabbitmq"]
    holder = preflight.port_holder(node.port)
    assert holder.startswith("beam")
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    eventually(lambda: not node.answers())
    node.supervisor.wait_ready("rabbitmq", node.answers, 90)
    assert node.supervisor.states()["rabbitmq"][1] != pid


def test_the_end_of_a_services_log_is_shown_when_it_fails(node: Broker) -> None:
    shown = node.supervisor.last_lines("rabbitmq")
    assert str(Path("log") / "rabbitmq.log") in shown
    assert len(shown.splitlines()) > 5
