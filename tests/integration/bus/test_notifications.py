"""Notifications reach a queue of a real broker, whatever becomes of the broker's messages."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
from oslo_config import cfg

from tests.servers import rabbitmq
from trove_ng.common import notifications as told
from trove_ng.common.clock import SystemClock
from trove_ng.common.context import RequestContext
from trove_ng.common.notifications import EVENTS, Phase
from trove_ng.conf import database as database_conf
from trove_ng.db.migrations import api as migrations
from trove_ng.db.repositories import notifications
from trove_ng.db.session import Database
from trove_ng.operations.duty import Duty
from trove_ng.operations.notices import Notices
from trove_ng.rpc.notifier import NotSent, Sender, is_on
from trove_ng.taskmanager.notifications import SENDING, Bound, Relay

from .conftest import configuration, eventually


def _conf(url: str, topic: str) -> cfg.ConfigOpts:
    conf = configuration(url)
    assert not is_on(conf)
    conf.set_override("driver", ["messagingv2"], group="oslo_messaging_notifications")
    conf.set_override("topics", [topic], group="oslo_messaging_notifications")
    return conf


@pytest.fixture
def topic() -> str:
    return f"notifications-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    conf = cfg.ConfigOpts()
    database_conf.register(conf)
    conf([], project="trove")
    conf.set_override("connection", f"sqlite:///{tmp_path}/store.db", group="database")
    made = Database(conf)
    migrations.upgrade(made.engine)
    return made


@pytest.fixture
def connection(broker: rabbitmq.Broker) -> Iterator[kombu.Connection]:
    with broker.connect(broker.url) as made:
        yield made


def _take(connection: kombu.Connection, queue: str) -> dict[str, Any] | None:
    """Take a message of a queue, as a consumer without oslo.messaging."""
    found = connection.default_channel.basic_get(queue, no_ack=True)
    if found is None:
        return None
    taken: dict[str, Any] = json.loads(json.loads(found.body)["oslo.message"])
    return taken


def _relay(conf: cfg.ConfigOpts, database: Database) -> tuple[Relay, Sender]:
    clock, sender = SystemClock(), Sender(conf)
    catalog: Any = None
    return Relay(database, clock, sender, Duty(database, clock, SENDING, "one"), catalog,
                 Bound(database, 10), lambda: "192.0.2.7", "host"), sender


def _write(database: Database) -> list[str]:
    """Tell a start, an end and an error; return their ids."""
    notices = Notices(lambda: True, lambda: "192.0.2.1:8779", "host")
    context = RequestContext("tenant", "user", request_id="req-1", client="192.0.2.9:1")
    event, now = EVENTS["user_create"], SystemClock().now()
    values = {Phase.START: {"instance_id": "i", "username": "u"}, Phase.END: {},
              Phase.ERROR: {"message": "why", "exception": "where"}}
    with database.writer() as session:
        return [notices.tell(session, event, phase, context, "tenant", more, now)
                for phase, more in values.items()]


def test_a_consumer_gets_them_from_the_queues_of_their_priority(
        broker: rabbitmq.Broker, connection: kombu.Connection, database: Database,
        topic: str) -> None:
    idents = _write(database)
    relay, sender = _relay(_conf(broker.url, topic), database)
    try:
        relay.run()
    finally:
        sender.close()
    infos = [eventually(lambda: _take(connection, f"{topic}.info")) for _ in range(2)]
    error = eventually(lambda: _take(connection, f"{topic}.error"))
    assert _take(connection, f"{topic}.info") is None
    assert [one["message_id"] for one in (*infos, error)] == idents
    assert [one["event_type"] for one in (*infos, error)] == [
        f"dbaas.user_create.{phase}" for phase in Phase]
    assert infos[0]["payload"] == {
        "tenant_id": "tenant", "client_ip": "192.0.2.9:1", "server_ip": "192.0.2.1:8779",
        "server_type": "api", "request_id": "req-1", "instance_id": "i", "username": "u"}
    assert (infos[0]["publisher_id"], infos[0]["priority"], error["priority"]) == (
        "api.host", told.INFO, told.ERROR)
    assert error["payload"]["message"] == "why"
    with database.reader() as session:
        assert notifications.waiting(session) == 0


def test_a_broker_that_refuses_makes_them_wait(
        broker: rabbitmq.Broker, connection: kombu.Connection, database: Database,
        topic: str) -> None:
    idents = _write(database)
    away = _conf(broker.url.rpartition(":")[0] + ":1/", topic)
    sender = Sender(away)
    with pytest.raises(NotSent):
        sender.send({"priority": told.INFO}, {})
    relay, _ = _relay(away, database)
    relay.run()
    with database.reader() as session:
        assert notifications.waiting(session) == 3
    relay, sender = _relay(_conf(broker.url, topic), database)
    try:
        relay.run()
    finally:
        sender.close()
    assert eventually(lambda: _take(connection, f"{topic}.info"))["message_id"] == idents[0]
