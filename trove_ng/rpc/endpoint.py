"""The receiving end: opens envelopes, calls handlers, seals answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from trove_ng.common.context import RequestContext
from trove_ng.common.errors import BadRequest, NotSupported
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.rpc import envelope as sealing
from trove_ng.rpc import faults, keys, messages
from trove_ng.rpc.freshness import Freshness, Journal
from trove_ng.rpc.refusals import Reason, Refusals, Rejected

LOG = logging.getLogger(__name__)


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


class Endpoint:
    """Serves a table of methods to authenticated senders.

    :param table: method name → :class:`Method`
    :param me: own party name, see :mod:`trove_ng.rpc.keys`
    :param max_age: seconds after which a message is stale
    :param recorder: is told of each refused message
    :param journal: memory of requests that outlasts the process
    :param refused: counts them instead
    """

    def __init__(self, table: Mapping[str, Method], me: str, provider: keys.Keys,
                 max_age: float, now: Callable[[], float] = time.time, *,
                 recorder: Recorder = SILENT, journal: Journal | None = None,
                 refused: Refusals | None = None) -> None:
        self._table = dict(table)
        self._me = me
        self._keys = provider
        self._fresh = Freshness(max_age, now, journal=journal)
        #: False for a service that is only told things: it never sends to a queue that
        #: a sender names
        self.answers = me not in keys.TOLD_ONLY
        self.refused = refused or Refusals("request", recorder)

    def receive(self, message: Any) -> dict[str, Any] | None:
        """Handle what came from the transport; None when nothing is to be answered.

        Nothing is raised: what came may be anything.

        :param message: the transport's method and arguments
        """
        if not isinstance(message, dict) or message.get("method") != "invoke" \
                or not isinstance(message.get("args"), dict) \
                or message["args"].keys() != {"envelope"}:
            self.refused.count(Reason.PLAINTEXT, None)
            return None
        return self.invoke(message["args"]["envelope"])

    def invoke(self, envelope: Any) -> dict[str, Any] | None:
        """Handle one envelope; None when it was refused or needs no answer."""
        try:
            sender, request = self._open(envelope)
        except Rejected as err:
            self.refused.count(err.reason, _claimed(envelope))
            return None
        except Exception as err:  # noqa: BLE001  the store is away; its text stays here
            LOG.warning("a message cannot be checked: %s", type(err).__name__)
            self.refused.count(Reason.UNAVAILABLE, _claimed(envelope))
            return None
        answer = self._answer(sender, request)
        return self._sealed(sender, answer) if self.answers else None

    def _sealed(self, sender: str, answer: sealing.Answer) -> dict[str, Any] | None:
        shared = self._keys.secrets(keys.instance_between(self._me, sender))
        if not shared:
            LOG.info("%s is gone before it was answered", sender)
            return None
        return sealing.seal(shared[0], self._me, sender, msgspec.json.encode(answer),
                            sealing.Kind.ANSWER)

    def _open(self, envelope: Any) -> tuple[str, sealing.Request]:
        sender = sealing.sender_of(envelope)
        if not keys.may_ask(sender, self._me):
            raise Rejected(Reason.SENDER)
        body = sealing.open_body(self._keys, self._me, envelope)
        try:
            request = msgspec.json.decode(body, type=sealing.Request)
        except (msgspec.DecodeError, RecursionError) as err:
            raise Rejected(Reason.MALFORMED) from err
        self._fresh.check(sender, request.time, request.nonce)
        return sender, request

    def _answer(self, sender: str, request: sealing.Request) -> sealing.Answer:
        try:
            result = self._handle(sender, request)
        except Exception as err:  # noqa: BLE001  the caller gets it sealed
            if not isinstance(err, tuple(faults.TYPED.values())):
                # An unexpected text may hold anything, a password too.
                LOG.error("%.40s failed: %s", request.method, faults.traced(err))
            return sealing.Answer(nonce=request.nonce, error=faults.describe(err))
        return sealing.Answer(nonce=request.nonce,
                              result=msgspec.Raw(messages.encode(result)))

    def _handle(self, sender: str, request: sealing.Request) -> messages.Message:
        method = self._table.get(request.method)
        if method is None:
            raise NotSupported(f"{self._me} does not know the call {request.method:.40}.")
        try:
            argument = messages.decode(bytes(request.args), method.request)
            context = (msgspec.convert(request.context, RequestContext)
                       if request.context else None)
        except (msgspec.DecodeError, RecursionError) as err:
            self.refused.count(Reason.MALFORMED, sender)
            raise BadRequest(
                f"{self._me} cannot read the argument of {request.method}.") from err
        return method.handler(Caller(sender, context), argument)


def _claimed(envelope: Any) -> object:
    return envelope.get("from") if isinstance(envelope, dict) else None
