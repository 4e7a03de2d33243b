"""The sealed form of every message, and the checks on opening one.

Wire format: a JSON object ``{"v": 1, "kid": hex, "from": party, "to": party,
"nonce": base64, "body": base64}`` and nothing else.  ``body`` is AES-256-GCM of a JSON
document; the other fields, and whether it is a request or an answer, are authenticated
with it.  The key is derived by HKDF-SHA256 from the secret that sender and receiver
share; ``kid`` names it.
"""

from __future__ import annotations

import base64
import enum
import os
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trove_ng.rpc import keys
from trove_ng.rpc.refusals import Reason, Rejected

VERSION = 1
_NONCE = 12
_FIELDS = frozenset({"v", "kid", "from", "to", "nonce", "body"})
#: characters of a body; a backup of many terabytes has a list of segments of one million
MAX_BODY = 8 * 1024 ** 2
_MAX_FIELD = 128


class Kind(enum.StrEnum):
    """What an envelope carries; one is never taken for the other."""

    REQUEST = "request"
    ANSWER = "answer"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is inside a request's envelope.

    :param time: sender's clock, Unix time in seconds
    :param nonce: 16 bytes in hex, unique; an answer carries it back, and a second
        request with it is a replay
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


def seal(secret: str, sender: str, receiver: str, body: bytes,
         kind: Kind = Kind.REQUEST) -> dict[str, Any]:
    """Return the envelope of a body.

    :param secret: the secret that sender and receiver seal with at present
    """
    kid, key = keys.derived(secret)
    header = {"v": VERSION, "kid": kid, "from": sender, "to": receiver}
    nonce = os.urandom(_NONCE)
    sealed = AESGCM(key).encrypt(nonce, body, _authenticated(header, kind))
    return {**header, "nonce": base64.b64encode(nonce).decode(),
            "body": base64.b64encode(sealed).decode()}


def sender_of(envelope: Any) -> str:
    """Return who claims to have sent it, before anything is proven.

    :raises Rejected: not an envelope, of another version, or too large
    """
    if not isinstance(envelope, dict) or "v" not in envelope:
        raise Rejected(Reason.PLAINTEXT)
    if type(envelope["v"]) is not int or envelope["v"] != VERSION:
        raise Rejected(Reason.VERSION)
    if envelope.keys() != _FIELDS or not all(
            isinstance(envelope[name], str) for name in _FIELDS - {"v"}):
        raise Rejected(Reason.PLAINTEXT)
    if len(envelope["body"]) > MAX_BODY or any(
            len(envelope[name]) > _MAX_FIELD for name in ("kid", "from", "to", "nonce")):
        raise Rejected(Reason.OVERSIZED)
    return str(envelope["from"])


def open_body(provider: keys.Keys, me: str, envelope: Any,
              kind: Kind = Kind.REQUEST) -> bytes:
    """Return the body of an envelope that was sealed for me.

    :raises Rejected: with its reason
    """
    sender = sender_of(envelope)
    if envelope["to"] != me:
        raise Rejected(Reason.MISDIRECTED)
    key = keys.find(provider, keys.instance_between(me, sender), envelope["kid"])
    if key is None:
        raise Rejected(Reason.UNKNOWN_KEY)
    try:
        return AESGCM(key).decrypt(_bytes(envelope["nonce"]), _bytes(envelope["body"]),
                                   _authenticated(envelope, kind))
    except (InvalidTag, ValueError) as err:
        raise Rejected(Reason.FORGED) from err


def _bytes(text: str) -> bytes:
    """Return what base64 means, of which there is one form only.

    :raises ValueError: it is not base64, or another spelling of it
    """
    found = base64.b64decode(text, validate=True)
    if base64.b64encode(found).decode() != text:
        raise ValueError("not the canonical form")
    return found


def _authenticated(header: dict[str, Any], kind: Kind) -> bytes:
    return msgspec.json.encode(
        [kind, header["v"], header["kid"], header["from"], header["to"]])
