"""Forged messages on a real broker, by somebody with a guest's broker credentials."""

from __future__ import annotations

import json
import logging
import pickle
import threading
import time
import uuid
from typing import Any

import pytest

from tests.functional.rpc.forgeries import (
    FORGERIES,
    ME,
    OTHER,
    SECRETS,
    WORD,
    flipped,
    sealed,
)
from trove_ng.common.errors import GuestTimeout
from trove_ng.common.states import ServiceStatus
from trove_ng.rpc import conductor, guest, keys, messages, taskmanager
from trove_ng.rpc.conductor import ConductorClient
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.transport import get_transport

from .conftest import Bus, Intruder, Topic, configuration, eventually, framed

JUNK: dict[str, tuple[bytes, dict[str, Any]]] = {
    "empty": (b"", {}),
    "binary": (b"\x00\xff\x80" * 50, {"content_type": "application/data",
                                      "content_encoding": "binary"}),
    "not JSON": (b"{", {}),
    "not UTF-8": (b'{"a": "\xff"}', {}),
    "a pickle": (pickle.dumps({"method": "invoke"}),
                 {"content_type": "application/x-python-serialize",
                  "content_encoding": "binary"}),
    "an unknown type": (b"x", {"content_type": "application/x-nothing"}),
    "JSON null": (b"null", {}),
    "a JSON list": (b"[1, 2]", {}),
    "a list of pairs": (b'[["method", "invoke"], ["args", 1]]', {}),
    "a number": (b"5", {}),
    "an object": (b"{}", {}),
    "nested too deep": (b"[" * 100_000, {}),
    "frame without message": (b'{"oslo.version": "2.0"}', {}),
    "frame of another version": (b'{"oslo.version": "9.0", "oslo.message": "{}"}', {}),
    "frame with a version of another type": (b'{"oslo.version": 2, "oslo.message": "{}"}', {}),
    "frame that holds no JSON": (b'{"oslo.version": "2.0", "oslo.message": "{"}', {}),
    "frame that holds a list": (b'{"oslo.version": "2.0", "oslo.message": "[]"}', {}),
    "frame that holds a number": (b'{"oslo.version": "2.0", "oslo.message": "7"}', {}),
    "no method": (framed({"args": {}}), {}),
    "another method": (framed({"method": "_handle", "args": {"sender": "api"}}), {}),
    "a method that is a list": (framed({"method": ["invoke"], "args": {}}), {}),
    "arguments that are a list": (framed({"method": "invoke", "args": [1]}), {}),
    "an argument too many": (framed({"method": "invoke", "args": {
        "envelope": {}, "_context": {}}}), {}),
    "a namespace": (framed({"method": "invoke", "namespace": "x", "version": "9.9",
                            "args": {}}), {}),
    "a context that names the receiver": (framed({
        "method": "invoke", "args": {}, "_context_self": 1, "_context_cls": 2,
        "_context_conf": 3, "_context_values": [1]}), {}),
    "ids of other types": (framed({
        "method": "invoke", "args": {}, "_unique_id": {"a": []}, "_msg_id": [1],
        "_reply_q": {"x": 1}, "_timeout": "soon"}), {}),
    "a reply queue that is not there": (framed({
        "method": "invoke", "args": {}, "_msg_id": "a", "_reply_q": "reply_nobody",
        "_timeout": 2}), {}),
    "the taskmanager's queue to reply to": (framed({
        "method": "invoke", "args": {}, "_msg_id": "b", "_reply_q": "taskmanager"}), {}),
}


def settled(topic: Topic, refused: int) -> None:
    """Wait until so many were refused; then prove that the service still serves."""
    eventually(lambda: len(topic.refused) >= refused, 60)
    before = len(topic.done)
    if topic.me == keys.CONDUCTOR:
        reporter = ConductorClient(topic.transport, _Mine(), ME)
        reporter.heartbeat(messages.Heartbeat(
            status=ServiceStatus.HEALTHY, sequence=9, sent_at=9.0))
        eventually(lambda: len(topic.done) == before + 1)
        assert topic.done[-1][1].sequence == 9
        topic.done.pop()
    assert len(topic.refused) == refused


class _Mine:
    def secrets(self, instance_id: str | None) -> tuple[str, ...]:
        return (SECRETS[ME],) if instance_id == ME else ()


def test_every_forgery_is_refused_and_the_service_goes_on(
        bus: Bus, intruder: Intruder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for _, make in FORGERIES.values():
            intruder.invoke(conductor.TOPIC, make())
        settled(bus.conductor, len(FORGERIES))
    assert bus.conductor.done == []
    assert sorted(bus.conductor.refused) == sorted(why for why, _ in FORGERIES.values())
    shown = [one.getMessage() for one in caplog.records if one.name.startswith("trove")]
    assert not [one for one in shown if WORD in one]


@pytest.mark.parametrize("topic", [
    conductor.TOPIC, taskmanager.TOPIC, guest.topic(ME)])
def test_what_oslo_messaging_would_not_send_is_refused(
        bus: Bus, intruder: Intruder, topic: str, caplog: pytest.LogCaptureFixture) -> None:
    served, = [one for one in bus.topics() if one.topic == topic]
    with caplog.at_level(logging.INFO):
        for body, how in JUNK.values():
            intruder.send(topic, body, **how)
            intruder.send(topic, body, exchange="openstack", **how)
        settled(served, 2 * len(JUNK))
    assert served.done == []
    assert len(caplog.records) < 20


def test_every_byte_and_every_length_counts_on_the_wire(bus: Bus, intruder: Intruder) -> None:
    good = json.dumps(sealed()).encode()
    sent = 0
    for text in (*flipped(good), *(good[:length] for length in range(0, len(good), 3))):
        body = json.dumps({"oslo.version": "2.0", "oslo.message": "@"}).encode()
        inner = (b'{"method": "invoke", "version": "1.0", "args": {"envelope": '
                 + text + b"}}")
        escaped = json.dumps(inner.decode("latin-1")).encode()
        intruder.send(conductor.TOPIC, body.replace(b'"@"', escaped))
        sent += 1
    assert sent > 550
    settled(bus.conductor, sent)
    assert bus.conductor.done == []


def test_a_replay_is_refused_on_the_wire(bus: Bus, intruder: Intruder) -> None:
    good = sealed()
    for _ in range(20):
        intruder.invoke(conductor.TOPIC, good)
    eventually(lambda: bus.conductor.done)
    eventually(lambda: len(bus.conductor.refused) == 19)
    assert set(bus.conductor.refused) == {"replayed"}
    assert len(bus.conductor.done) == 1


def test_a_compromised_guest_calls_neither_taskmanager_nor_other_guests(
        bus: Bus, intruder: Intruder) -> None:
    claims = (keys.API, keys.TASKMANAGER, keys.CONDUCTOR, keys.guest(ME), keys.guest(OTHER))
    for receiver, topic in ((keys.TASKMANAGER, taskmanager.TOPIC),
                            (keys.guest(OTHER), guest.topic(OTHER))):
        for sender in claims:
            intruder.invoke(topic, sealed(SECRETS[ME], sender, receiver))
    for topic in (bus.taskmanager, bus.guests[OTHER]):
        eventually(lambda topic=topic: len(topic.refused) == len(claims))  # type: ignore[misc]
        assert topic.done == []


def test_a_huge_message_is_refused_and_costs_no_lasting_memory(
        bus: Bus, intruder: Intruder) -> None:
    before = _resident()
    for _ in range(10):
        intruder.invoke(conductor.TOPIC, sealed(body=b"x" * 9_000_000))
    settled(bus.conductor, 10)
    assert set(bus.conductor.refused) == {"oversized"}
    assert _resident() - before < 400 * 1024 ** 2


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_answers_to_missing_queues_do_not_hold_threads(
        bus: Bus, intruder: Intruder) -> None:
    for number in range(200):
        intruder.invoke(conductor.TOPIC, sealed(), _msg_id=str(number),
                        _reply_q=f"reply_{uuid.uuid4()}")
    eventually(lambda: len(bus.conductor.done) == 200, 20)
    assert bus.conductor.refused == []


def test_a_flood_does_not_keep_others_out(bus: Bus, intruder: Intruder) -> None:
    """What waits stays at the broker, so that a flood does not grow the service."""
    forged = sealed(sender=keys.guest(OTHER))
    for _ in range(3000):
        intruder.invoke(conductor.TOPIC, forged)
    settled(bus.conductor, 3000)


class Caller:
    """Calls a guest that is not there; an intruder reads the question and answers."""

    def __init__(self, bus: Bus, intruder: Intruder) -> None:
        bus.guests.pop(ME).stop()
        conf = configuration(bus.broker.url)
        conf.set_override("guest_call_timeout", 15)
        client = GuestClient(conf, get_transport(conf), bus.ring, keys.API, ME)
        self._failures: list[BaseException] = []

        def call() -> None:
            try:
                client.rpc_ping()
            except BaseException as err:  # noqa: BLE001  looked at by the test
                self._failures.append(err)

        self._thread = threading.Thread(target=call)
        self._thread.start()
        taken = eventually(lambda: intruder.channel.basic_get(guest.topic(ME), no_ack=True))
        #: the message of oslo.messaging
        self.asked = json.loads(json.loads(taken.body)["oslo.message"])
        self._intruder = intruder

    def answer(self, result: Any, failure: str | None) -> BaseException:
        """Answer in the guest's place; return what the caller makes of it."""
        self._intruder.send(self.asked["_reply_q"], framed({
            "result": result, "failure": failure, "ending": True,
            "_msg_id": self.asked["_msg_id"], "_unique_id": uuid.uuid4().hex}))
        self._thread.join(20)
        error, = self._failures
        return error


def test_a_forged_answer_is_not_taken(bus: Bus, intruder: Intruder) -> None:
    """A reader of the guest's queue (one broker user for all guests) answers in its place."""
    caller = Caller(bus, intruder)
    assert "rpc_ping" not in json.dumps(caller.asked)
    started = time.monotonic()
    error = caller.answer({"nonce": caller.asked["args"]["envelope"]["nonce"],
                           "result": {"value": True}}, None)
    assert isinstance(error, GuestTimeout)
    assert "no valid answer" in str(error)
    # it did not wait for another one
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(("module", "kind"), [
    ("builtins", "SystemExit"), ("builtins", "KeyError"), ("os", "system"),
    ("oslo_messaging.exceptions", "MessageDeliveryFailure"), ("", "")])
def test_a_forged_failure_is_not_taken(
        bus: Bus, intruder: Intruder, module: str, kind: str) -> None:
    """oslo.messaging would raise any class that a failure names; ours is refused."""
    error = Caller(bus, intruder).answer(None, json.dumps({
        "class": kind, "module": module, "message": WORD, "tb": ["x"],
        "args": [1], "kwargs": {}}))
    assert isinstance(error, GuestTimeout)
    assert WORD not in str(error)
