"""Messages that somebody without the right key, or with another one, can make."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from trove_ng.common.states import ServiceStatus
from trove_ng.rpc import envelope, keys, messages

ME = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
SECRETS = {None: "control-plane-secret", ME: "secret-of-me", OTHER: "secret-of-other"}
WORD = "a-word-that-no-log-shows"


class Ring:
    """Keys from a table."""

    def __init__(self) -> None:
        self.table: dict[str | None, Sequence[str]] = {
            owner: (secret,) for owner, secret in SECRETS.items()}

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        return self.table.get(instance_id, ())


def request(nonce: str | None = None, *, method: str = "heartbeat", args: Any = None,
            sent_at: float | None = None, **more: Any) -> bytes:
    """Return the body of a request, good unless told otherwise."""
    beat = messages.Heartbeat(status=ServiceStatus.HEALTHY, sequence=1, sent_at=1.0,
                              description=WORD)
    return msgspec.json.encode({
        "method": method, "version": "1.0",
        "time": time.time() if sent_at is None else sent_at,
        "nonce": nonce or os.urandom(16).hex(),
        "args": msgspec.Raw(messages.encode(beat)) if args is None else args, **more})


def sealed(secret: str = SECRETS[ME], sender: str = keys.guest(ME),
           receiver: str = keys.CONDUCTOR, body: bytes | None = None,
           kind: envelope.Kind = envelope.Kind.REQUEST) -> dict[str, Any]:
    """Return an envelope, good unless told otherwise."""
    return envelope.seal(secret, sender, receiver, request() if body is None else body, kind)


def flipped(text: bytes, masks: Sequence[int] = (0x01,)) -> Iterator[bytes]:
    """Yield the text with each of its bytes changed."""
    for place in range(len(text)):
        for mask in masks:
            yield text[:place] + bytes([text[place] ^ mask]) + text[place + 1:]


def changed(made: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return an envelope with other fields."""
    return {**copy.deepcopy(made), **fields}


def _nested(depth: int) -> Any:
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


#: name → (reason it is refused with, what makes it); all are meant for the conductor
FORGERIES: dict[str, tuple[str, Callable[[], Any]]] = {
    "plaintext": ("plaintext", lambda: json.loads(request())),
    "no object": ("plaintext", lambda: [1, 2]),
    "nothing": ("plaintext", lambda: None),
    "text": ("plaintext", lambda: "envelope"),
    "nested": ("plaintext", lambda: _nested(50)),
    "a field more": ("plaintext", lambda: changed(sealed(), extra=1)),
    "a field less": ("plaintext", lambda: {
        name: value for name, value in sealed().items() if name != "nonce"}),
    "a field of another type": ("plaintext", lambda: changed(sealed(), body=[1])),
    "unknown version": ("version", lambda: changed(sealed(), v=2)),
    "version of another type": ("version", lambda: changed(sealed(), v=True)),
    "version as text": ("version", lambda: changed(sealed(), v="1")),
    "huge body": ("oversized", lambda: changed(sealed(), body="A" * (envelope.MAX_BODY + 4))),
    "huge sender": ("oversized", lambda: sealed(sender="guest:" + "a" * 10_000)),
    "for another service": ("misdirected", lambda: sealed(receiver=keys.TASKMANAGER)),
    "for another guest": ("misdirected", lambda: sealed(receiver=keys.guest(OTHER))),
    "another guest in the header": ("unknown-key", lambda: sealed(sender=keys.guest(OTHER))),
    "header changed after sealing": ("unknown-key", lambda: changed(
        sealed(), **{"from": keys.guest(OTHER)})),
    "an instance that does not exist": ("unknown-key", lambda: sealed(
        sender=keys.guest("33333333-3333-4333-8333-333333333333"))),
    "no instance": ("unknown-key", lambda: sealed(sender="guest:")),
    "an old key": ("unknown-key", lambda: sealed(secret="before the rotation")),
    "a guest as the API": ("sender", lambda: sealed(sender=keys.API)),
    "the API's own key": ("sender", lambda: sealed(
        secret=SECRETS[None], sender=keys.API)),
    "nobody": ("sender", lambda: sealed(sender="")),
    "key id of another key": ("forged", lambda: changed(
        sealed(secret="x"), kid=sealed()["kid"])),
    "an answer": ("forged", lambda: sealed(kind=envelope.Kind.ANSWER)),
    "base64 in another spelling": ("forged", lambda: changed(
        (made := sealed()), body=made["body"] + "\n")),
    "not base64": ("forged", lambda: changed(sealed(), body="\u2603" * 40)),
    "empty body": ("forged", lambda: changed(sealed(), body="")),
    "sealed, not JSON": ("malformed", lambda: sealed(body=b"\xff\x00")),
    "sealed, no request": ("malformed", lambda: sealed(body=b'{"nonce":"00"}')),
    "sealed, nested too deep": ("malformed", lambda: sealed(body=b"[" * 100_000)),
    "time as text": ("malformed", lambda: sealed(body=request(time="now"))),
    "an endless nonce": ("malformed", lambda: sealed(body=request("ab" * 100_000))),
    "a short nonce": ("malformed", lambda: sealed(body=request("ab"))),
    "nonce with spaces": ("malformed", lambda: sealed(body=request("ab " * 16))),
    "from yesterday": ("stale", lambda: sealed(body=request(sent_at=time.time() - 86400))),
    "from tomorrow": ("stale", lambda: sealed(body=request(sent_at=time.time() + 86400))),
    "from the end of time": ("stale", lambda: sealed(body=request(sent_at=1e308))),
    "argument of another type": ("malformed", lambda: sealed(
        body=request(args={"status": "HEALTHY", "sequence": "many"}))),
    "argument nested too deep": ("malformed", lambda: sealed(
        body=request().replace(b'"sequence":1', b'"sequence":1,"details":' + b"[" * 5000))),
}
