"""Sending by the drivers of oslo.messaging: ids are kept, failures are known."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from oslo_config import cfg
from oslo_messaging.notify import _impl_test
from oslo_messaging.transport import NotificationTransport

from trove_ng.common.notifications import INFO
from trove_ng.conf import rpc as rpc_conf
from trove_ng.rpc import notifier
from trove_ng.rpc.notifier import NotSent, Sender, is_on
from trove_ng.rpc.transport import get_transport

MESSAGE = {"message_id": "the-id", "publisher_id": "api.host", "event_type": "dbaas.x.end",
           "priority": INFO, "payload": {"name": "s3cret-payload"}, "timestamp": "now"}


def conf(*drivers: str, **options: Any) -> cfg.ConfigOpts:
    made = cfg.ConfigOpts()
    rpc_conf.register(made)
    made([], project="trove")
    get_transport(made, "fake://")  # registers the option
    made.set_override("transport_url", "fake://")
    assert not is_on(made)
    for name, value in {"driver": list(drivers), **options}.items():
        made.set_override(name, value, group="oslo_messaging_notifications")
    return made


@pytest.mark.parametrize(("drivers", "on"), [
    ((), False), (("noop",), False), (("",), False), (("noop", "log"), True),
    (("messagingv2",), True)])
def test_whether_anybody_is_told(drivers: tuple[str, ...], on: bool) -> None:
    assert is_on(conf(*drivers)) is on


def test_nobody_is_told_by_no_driver() -> None:
    sender = Sender(conf("noop"))
    sender.send(MESSAGE, {})
    sender.close()


@pytest.mark.parametrize(("retry", "tries"), [(-1, 1), (0, 0), (4, 4)])
def test_a_message_is_given_as_it_is(retry: int, tries: int) -> None:
    _impl_test.reset()
    Sender(conf("test", retry=retry)).send(MESSAGE, {"request_id": "r"})
    found, = _impl_test.NOTIFICATIONS
    assert found == ({"request_id": "r"}, MESSAGE, INFO, tries)
    _impl_test.reset()


class Broker:
    """Stands for the transport's driver."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.topics: list[str] = []
        self.fails: list[Exception] = []
        self.hangs = threading.Event()
        self.hangs.set()

        def send(_self: Any, target: Any, _ctxt: Any, message: Any, version: float,
                 retry: int) -> None:
            assert version == 2.0
            assert message == MESSAGE
            self.hangs.wait(20)
            if self.fails:
                raise self.fails.pop()
            self.topics.append(target.topic)

        monkeypatch.setattr(NotificationTransport, "_send_notification", send)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    return Broker(monkeypatch)


def test_each_topic_gets_it(broker: Broker) -> None:
    Sender(conf("messagingv2", topics=["a", "b"])).send(MESSAGE, {})
    assert broker.topics == ["a.info", "b.info"]


def test_a_failure_is_known_and_the_payload_is_not_logged(
        broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender(conf("messagingv2"))
    broker.fails.append(RuntimeError("s3cret-payload"))
    with pytest.raises(NotSent) as caught:
        sender.send(MESSAGE, {})
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in caplog.text
    # after a pause it is tried again
    end = time.monotonic() + 10
    while not broker.topics:
        assert time.monotonic() < end
        try:
            sender.send(MESSAGE, {})
        except NotSent:
            time.sleep(0.05)


def test_a_failure_of_one_topic_is_known_when_another_gets_it(broker: Broker) -> None:
    broker.fails.append(RuntimeError("x"))
    with pytest.raises(NotSent):
        Sender(conf("messagingv2", topics=["a", "b"])).send(MESSAGE, {})
    assert broker.topics == ["b.info"]


def test_a_broker_that_hangs_is_given_up(
        broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "SEND_TIME", 0.1)
    sender = Sender(conf("messagingv2"))
    broker.hangs.clear()
    with pytest.raises(NotSent):
        sender.send(MESSAGE, {})
    broker.hangs.set()
