"""The receiving end: opens envelopes, calls handlers, seals answers."""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import oslo_messaging

from trove_ng.common.context import RequestContext
from trove_ng.common.errors import NotSupported
from trove_ng.rpc import envelope as sealing
from trove_ng.rpc import faults, keys, messages

LOG = logging.getLogger(__name__)

#: seconds between two log lines about dropped messages of one reason
_LOG_EVERY = 10.0


@dataclass(frozen=True)
class Caller:
    """Who sent a request, proven by its key."""

    party: str
    context: RequestContext | None

    @property
    def instance_id(self) -> str | None:
        """The instance whose agent it is; None for the control plane."""
        return keys.instance_of(self.party)


Handler = Callable[[Caller, Any], messages.Message]


@dataclass(frozen=True)
class Method:
    """What one method takes, gives, and who does it."""

    request: type[messages.Message]
    answer: type[messages.Message]
    handler: Handler


class Dropped:
    """Counts dropped messages and tells of them, without their content."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: collections.Counter[str] = collections.Counter()
        self._told: dict[str, float] = {}

    def count(self, reason: str, sender: str) -> None:
        """Count one; log at most one line per reason in ten seconds."""
        now = time.monotonic()
        with self._lock:
            self.counts[reason] += 1
            if now - self._told.get(reason, -_LOG_EVERY) < _LOG_EVERY:
                return
            self._told[reason] = now
            total = self.counts[reason]
        LOG.warning("dropped a message that is %s, by its word from %.80s (%d so far)",
                    reason, sender, total)


class Endpoint:
    """Serves a table of methods to authenticated senders.

    :param table: method name → :class:`Method`
    :param me: own party name, see :mod:`trove_ng.rpc.keys`
    :param max_age: seconds after which a message is stale
    """

    target = oslo_messaging.Target(version="1.0")

    def __init__(self, table: Mapping[str, Method], me: str, provider: keys.Keys,
                 max_age: float, now: Callable[[], float] = time.time) -> None:
        self._table = dict(table)
        self._me = me
        self._keys = provider
        self._fresh = sealing.Freshness(max_age, now)
        self.dropped = Dropped()

    def invoke(self, _context: dict[str, Any], envelope: Any) -> dict[str, Any] | None:
        """Handle one message; None when it was dropped.

        oslo.messaging calls this; nothing it raises may leave unsealed.
        """
        try:
            sender = sealing.sender_of(envelope)
            request = self._open(envelope)
        except sealing.Rejected as err:
            claimed = envelope.get("from") if isinstance(envelope, dict) else "nobody"
            self.dropped.count(err.reason, str(claimed))
            return None
        body = self._answer(sender, request)
        secret = self._keys.secrets(keys.instance_between(self._me, sender))[0]
        return sealing.seal(secret, self._me, sender, msgspec.json.encode(body))

    def _open(self, envelope: Any) -> sealing.Request:
        body = sealing.open_body(self._keys, self._me, envelope)
        try:
            request = msgspec.json.decode(body, type=sealing.Request)
        except msgspec.DecodeError as err:
            raise sealing.Rejected("malformed") from err
        self._fresh.check(request.time, request.nonce)
        return request

    def _answer(self, sender: str, request: sealing.Request) -> sealing.Answer:
        try:
            result = self._handle(sender, request)
        except Exception as err:  # noqa: BLE001  the caller gets it sealed
            if not isinstance(err, tuple(faults.TYPED.values())):
                LOG.exception("%s failed", request.method)
            return sealing.Answer(nonce=request.nonce, error=faults.describe(err))
        return sealing.Answer(nonce=request.nonce,
                              result=msgspec.Raw(messages.encode(result)))

    def _handle(self, sender: str, request: sealing.Request) -> messages.Message:
        method = self._table.get(request.method)
        if method is None:
            raise NotSupported(f"{self._me} does not know the call {request.method}.")
        argument = messages.decode(bytes(request.args), method.request)
        context = msgspec.convert(request.context, RequestContext) if request.context else None
        return method.handler(Caller(sender, context), argument)
