"""Everything that is not a good request is refused, counted, and told without its content."""

from __future__ import annotations

import base64
import json
import logging
import time
from typing import Any

import pytest

from tests.functional.rpc.forgeries import (
    FORGERIES,
    ME,
    OTHER,
    SECRETS,
    WORD,
    Ring,
    changed,
    flipped,
    request,
    sealed,
)
from tests.scrape import RefusalsHeard
from trove_ng.common.errors import GuestTimeout
from trove_ng.rpc import keys, messages
from trove_ng.rpc.endpoint import Caller, Endpoint, Method
from trove_ng.rpc.envelope import Kind, open_body
from trove_ng.rpc.lines import Lines
from trove_ng.rpc.refusals import Reason, Refusals
from trove_ng.rpc.transport import SecureClient


class Service:
    """An endpoint that remembers what reached a handler, and what was refused."""

    def __init__(self, me: str = keys.CONDUCTOR) -> None:
        self.done: list[tuple[str, Any]] = []
        self.recorded: list[str] = []
        self.endpoint = Endpoint(
            {"heartbeat": Method(messages.Heartbeat, messages.Empty, self._handle),
             "rpc_ping": Method(messages.Empty, messages.Empty, self._handle),
             "wake": Method(messages.Wake, messages.Empty, self._handle)},
            me, Ring(), 300, recorder=RefusalsHeard(self.recorded))

    def _handle(self, caller: Caller, message: messages.Message) -> messages.Empty:
        self.done.append((caller.party, message))
        return messages.Empty()

    def receive(self, envelope: Any) -> Any:
        return self.endpoint.receive({"method": "invoke", "args": {"envelope": envelope}})


@pytest.fixture
def service() -> Service:
    return Service()


def test_a_good_message_is_handled_and_a_conductor_answers_nobody(service: Service) -> None:
    assert service.receive(sealed()) is None
    assert [party for party, _ in service.done] == [keys.guest(ME)]
    assert service.recorded == []


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused_before_any_handler(
        service: Service, name: str, caplog: pytest.LogCaptureFixture) -> None:
    reason, make = FORGERIES[name]
    with caplog.at_level(logging.DEBUG):
        assert service.receive(make()) is None
    assert service.done == []
    assert service.recorded == [reason]
    assert reason in set(Reason)
    line, = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert reason in line.getMessage()
    assert WORD not in caplog.text
    assert all(secret not in caplog.text for secret in SECRETS.values())


def test_every_byte_of_an_envelope_counts(service: Service) -> None:
    text = json.dumps(sealed()).encode()
    tried = 0
    for forged in flipped(text, (0x01, 0x20, 0x80)):
        try:
            envelope = json.loads(forged)
        except ValueError:
            continue  # the driver refuses it
        assert service.receive(envelope) is None
        tried += 1
    assert tried > len(text)
    assert service.done == []
    assert len(service.recorded) == tried


def test_every_byte_of_what_is_sealed_counts(service: Service) -> None:
    good = sealed()
    body = base64.b64decode(good["body"])
    for forged in flipped(body, (0x01, 0xFF)):
        service.receive(changed(good, body=base64.b64encode(forged).decode()))
    for length in range(len(body)):
        service.receive(changed(good, body=base64.b64encode(body[:length]).decode()))
    assert service.done == []
    assert service.recorded == ["forged"] * 3 * len(body)


@pytest.mark.parametrize("message", [
    None, [], "x", {}, {"method": "invoke"}, {"method": "invoke", "args": []},
    {"method": "invoke", "args": {"envelope": 1, "more": 2}}, {"method": 5, "args": {}},
    {"method": "receive", "args": {"envelope": {}}},
    {"method": "__init__", "args": {"table": {}}}])
def test_what_is_not_our_call_is_refused(service: Service, message: Any) -> None:
    assert service.endpoint.receive(message) is None
    assert service.recorded == ["plaintext"]


def test_a_replay_is_refused_as_often_as_it_comes(service: Service) -> None:
    good = sealed()
    for _ in range(5):
        service.receive(good)
    assert len(service.done) == 1
    assert service.recorded == ["replayed"] * 4


def test_the_same_request_sealed_again_is_a_replay(service: Service) -> None:
    body = request("ab" * 16)
    service.receive(sealed(body=body))
    service.receive(sealed(body=body))
    assert len(service.done) == 1
    assert service.recorded == ["replayed"]


def test_a_guest_cannot_use_up_anothers_nonces(service: Service) -> None:
    body = request("ab" * 16)
    service.receive(sealed(body=body))
    service.receive(sealed(SECRETS[OTHER], keys.guest(OTHER), body=body))
    assert [party for party, _ in service.done] == [keys.guest(ME), keys.guest(OTHER)]


def test_a_guest_that_floods_locks_out_itself_only(service: Service) -> None:
    service.endpoint._fresh._share = 10
    for _ in range(15):
        service.receive(sealed())
    service.receive(sealed(SECRETS[OTHER], keys.guest(OTHER)))
    assert service.recorded == ["flooded"] * 5
    assert len(service.done) == 11
    assert len(service.endpoint._fresh._seen) == 11


def test_an_argument_that_names_another_instance_changes_nothing(service: Service) -> None:
    args = {"status": "HEALTHY", "sequence": 1, "sent_at": 1, "instance_id": OTHER}
    service.receive(sealed(body=request(args=args)))
    (party, message), = service.done
    assert party == keys.guest(ME)
    assert not hasattr(message, "instance_id")


@pytest.mark.parametrize("receiver", [keys.TASKMANAGER, keys.guest(OTHER), keys.API])
def test_a_guest_speaks_to_the_conductor_only(receiver: str) -> None:
    service = Service(receiver)
    service.receive(sealed(receiver=receiver, body=request(
        method="wake", args={"operation_id": "x"})))
    assert service.done == []
    assert service.recorded == ["sender"]


def test_a_guest_with_its_own_key_is_no_service_for_another_guest() -> None:
    service = Service(keys.guest(OTHER))
    for sender in (keys.API, keys.TASKMANAGER, keys.CONDUCTOR):
        service.receive(sealed(SECRETS[ME], sender, keys.guest(OTHER), request(
            method="rpc_ping", args={})))
    assert service.done == []
    assert service.recorded == ["unknown-key", "unknown-key", "unknown-key"]


def test_a_flood_of_refused_messages_writes_few_lines(
        service: Service, caplog: pytest.LogCaptureFixture) -> None:
    forged = sealed(sender=keys.guest(OTHER))
    for _ in range(5000):
        service.receive(forged)
    assert len(service.recorded) == 5000
    assert len(caplog.records) == 1


def test_a_senders_name_cannot_write_lines_of_the_log(
        service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.receive(sealed(sender="guest:x\n2026-01-01 INFO all is well\x1b[2J"))
    line, = caplog.messages
    assert "\n" not in line
    assert "\x1b" not in line


class _Line:
    """A transport whose receiver answers what a test wants."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def prepare(self, **_options: Any) -> _Line:
        return self

    def call(self, _context: Any, method: str, envelope: Any = None) -> Any:
        return None if method == "probe" else self._answer(envelope)


def _nonce_of(envelope: Any) -> str:
    return str(json.loads(open_body(Ring(), keys.guest(ME), envelope))["nonce"])


@pytest.mark.parametrize(("name", "answer"), [
    ("nothing", lambda sent: None),
    ("plaintext", lambda sent: {"nonce": _nonce_of(sent), "result": {}}),
    ("echo", lambda sent: sent),
    ("another guest's", lambda sent: sealed(
        SECRETS[OTHER], keys.guest(OTHER), keys.API,
        json.dumps({"nonce": _nonce_of(sent)}).encode(), Kind.ANSWER)),
    ("another guest's key", lambda sent: sealed(
        SECRETS[OTHER], keys.guest(ME), keys.API,
        json.dumps({"nonce": _nonce_of(sent)}).encode(), Kind.ANSWER)),
    ("for another request", lambda sent: sealed(
        SECRETS[ME], keys.guest(ME), keys.API, b'{"nonce": "00"}', Kind.ANSWER)),
    ("for another caller", lambda sent: sealed(
        SECRETS[ME], keys.guest(ME), keys.TASKMANAGER,
        json.dumps({"nonce": _nonce_of(sent)}).encode(), Kind.ANSWER)),
    ("a request", lambda sent: sealed(
        SECRETS[ME], keys.guest(ME), keys.API,
        json.dumps({"nonce": _nonce_of(sent)}).encode(), Kind.REQUEST)),
    ("of another type", lambda sent: sealed(
        SECRETS[ME], keys.guest(ME), keys.API,
        json.dumps({"nonce": _nonce_of(sent), "result": {"value": "much"}}).encode(),
        Kind.ANSWER)),
])
def test_an_answer_that_is_none_is_refused(name: str, answer: Any) -> None:
    refused: list[str] = []
    client = SecureClient.__new__(SecureClient)
    client._keys, client._me, client._peer = Ring(), keys.API, keys.guest(ME)
    client._now, client._client = time.time, _Line(answer)
    client._lines = Lines()
    client.refused = Refusals("answer", RefusalsHeard(refused))
    with pytest.raises(GuestTimeout, match="no valid answer"):
        client.call("rpc_ping", messages.Empty(), messages.Flag, 1)
    assert refused == ["answer"]
