"""The sealed form of every message, and the checks on opening one.

Wire format: a JSON object ``{"v": 1, "kid": hex, "from": party, "to": party,
"nonce": base64, "body": base64}``.  ``body`` is AES-256-GCM of a JSON document; the
other fields are authenticated with it.  The key is derived by HKDF-SHA256 from
the secret that sender and receiver share; ``kid`` names it.
"""

from __future__ import annotations

import base64
import os
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trove_ng.rpc import keys

VERSION = 1
_NONCE = 12


class Rejected(Exception):
    """A message that is dropped; ``reason`` is one word for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is inside a request's envelope.

    :param time: sender's clock, Unix time in seconds
    :param nonce: unique; an answer carries it back, and a second request is a replay
    """

    method: str
    version: str
    time: float
    nonce: str
    args: msgspec.Raw
    context: dict[str, Any] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is inside an answer's envelope: a result, or an error."""

    nonce: str
    result: msgspec.Raw = msgspec.Raw(b"{}")
    error: dict[str, Any] | None = None


def seal(secret: str, sender: str, receiver: str, body: bytes) -> dict[str, Any]:
    """Return the envelope of a body.

    :param secret: the newest secret that sender and receiver share
    """
    kid, key = keys.derived(secret)
    header = {"v": VERSION, "kid": kid, "from": sender, "to": receiver}
    nonce = os.urandom(_NONCE)
    sealed = AESGCM(key).encrypt(nonce, body, _authenticated(header))
    return {**header, "nonce": base64.b64encode(nonce).decode(),
            "body": base64.b64encode(sealed).decode()}


def sender_of(envelope: Any) -> str:
    """Return who claims to have sent it, before anything is proven.

    :raises Rejected: not an envelope of a known version
    """
    if not isinstance(envelope, dict) or envelope.get("v") != VERSION:
        raise Rejected("plaintext")
    if not all(isinstance(envelope.get(name), str)
               for name in ("kid", "from", "to", "nonce", "body")):
        raise Rejected("plaintext")
    return str(envelope["from"])


def open_body(provider: keys.Keys, me: str, envelope: Any) -> bytes:
    """Return the body of an envelope that was sealed for me.

    :raises Rejected: ``plaintext`` (no envelope), ``misdirected`` (for somebody else),
        ``unknown-key``, ``forged``
    """
    sender = sender_of(envelope)
    if envelope["to"] != me:
        raise Rejected("misdirected")
    shared = provider.secrets(keys.instance_between(me, sender))
    wanted = dict(keys.derived(secret) for secret in shared).get(envelope["kid"])
    if wanted is None:
        raise Rejected("unknown-key")
    header = {name: envelope[name] for name in ("v", "kid", "from", "to")}
    try:
        return AESGCM(wanted).decrypt(
            base64.b64decode(envelope["nonce"], validate=True),
            base64.b64decode(envelope["body"], validate=True), _authenticated(header))
    except (InvalidTag, ValueError) as err:
        raise Rejected("forged") from err


def _authenticated(header: dict[str, Any]) -> bytes:
    return msgspec.json.encode([header["v"], header["kid"], header["from"], header["to"]])


class Freshness:
    """Refuse requests that are too old, or were seen before.

    :param max_age: seconds; nonces are remembered for twice as long, so that a
        message cannot be stale for the clock and forgotten by the memory
    :param now: the wall clock, Unix time in seconds
    :param capacity: nonces remembered at most; beyond it requests are refused, since
        forgetting one would open the door to its replay
    """

    def __init__(self, max_age: float, now: Callable[[], float],
                 capacity: int = 500_000) -> None:
        self._max_age = max_age
        self._now = now
        self._capacity = capacity
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def check(self, sent_at: float, nonce: str) -> None:
        """Remember a request.

        :raises Rejected: ``stale``, ``replayed`` or ``flooded``
        """
        now = self._now()
        if abs(now - sent_at) > self._max_age:
            raise Rejected("stale")
        with self._lock:
            while self._seen and next(iter(self._seen.values())) < now - 2 * self._max_age:
                self._seen.popitem(last=False)
            if nonce in self._seen:
                raise Rejected("replayed")
            if len(self._seen) >= self._capacity:
                raise Rejected("flooded")
            self._seen[nonce] = now
