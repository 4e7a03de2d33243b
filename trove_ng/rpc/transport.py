"""oslo.messaging underneath: transports, servers, and the sealing client."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import oslo_messaging
from oslo_config import cfg

from trove_ng.common.context import RequestContext
from trove_ng.common.errors import GuestError, GuestTimeout, NotFound, ServiceUnavailable
from trove_ng.rpc import endpoint as receiving
from trove_ng.rpc import envelope as sealing
from trove_ng.rpc import faults, keys, messages

LOG = logging.getLogger(__name__)

T = TypeVar("T", bound=messages.Message)


#: groups that oslo.messaging reads for every message and registers on the
#: process-wide configuration only (18.3 does)
_GLOBAL_GROUPS = ("oslo_messaging_tracing", "oslo_messaging_metrics")


def get_transport(conf: cfg.ConfigOpts, url: str | None = None) -> Any:
    """Return the RPC transport that ``transport_url``, or ``url``, names."""
    for name in _GLOBAL_GROUPS:
        if name in cfg.CONF and name not in conf:
            # Not listed in oslo_messaging.opts, hence from the group itself.
            options = cfg.CONF._groups[name]._opts.values()
            conf.register_opts([entry["opt"] for entry in options], group=name)
    return oslo_messaging.get_rpc_transport(conf, url=url)


def start_server(conf: cfg.ConfigOpts, transport: Any, topic: str, server: str,
                 endpoint: receiving.Endpoint) -> Any:
    """Start to serve a topic in threads, and return the server.

    :param server: name of this process among those of the topic
    :return: has ``stop()`` and ``wait()``
    """
    target = oslo_messaging.Target(topic=topic, server=server)
    made = oslo_messaging.get_rpc_server(
        transport, target, [endpoint], executor="threading",
        access_policy=oslo_messaging.DefaultRPCAccessPolicy)
    made.start(override_pool_size=conf.rpc_threads)
    return made


class SecureClient:
    """Sends typed, sealed messages to one party.

    :param me: own party name
    :param peer: receiver's party name
    :param now: the wall clock, Unix time in seconds
    """

    def __init__(self, transport: Any, topic: str, provider: keys.Keys, me: str, peer: str,
                 now: Callable[[], float] = time.time) -> None:
        self._topic = topic
        self._client = oslo_messaging.get_rpc_client(
            transport, oslo_messaging.Target(topic=topic, version="1.0"))
        self._keys = provider
        self._me = me
        self._peer = peer
        self._now = now

    def cast(self, method: str, message: messages.Message,
             context: RequestContext | None = None) -> None:
        """Send and do not wait.

        :raises ServiceUnavailable: the bus does not take it
        """
        envelope, _nonce = self._sealed(method, message, context)
        try:
            self._client.cast({}, "invoke", envelope=envelope)
        except oslo_messaging.MessagingException as err:
            raise ServiceUnavailable("The message bus is not available.") from err

    def call(self, method: str, message: messages.Message, answer_type: type[T],
             timeout: float, context: RequestContext | None = None) -> T:
        """Send and return the answer.

        :param timeout: seconds to wait
        :raises GuestTimeout: no answer in time
        :raises ServiceUnavailable: the bus does not take it
        :raises TroveError: the error that the receiver's handler raised
        """
        envelope, nonce = self._sealed(method, message, context)
        try:
            answer = self._client.prepare(timeout=timeout).call(
                {}, "invoke", envelope=envelope)
        except oslo_messaging.MessagingTimeout as err:
            raise GuestTimeout(
                f"{self._peer} did not answer {method} within {timeout:g} seconds.") from err
        except oslo_messaging.MessagingException as err:
            raise ServiceUnavailable("The message bus is not available.") from err
        return self._opened(method, answer, nonce, answer_type)

    def _sealed(self, method: str, message: messages.Message,
                context: RequestContext | None) -> tuple[dict[str, Any], str]:
        shared = self._keys.secrets(keys.instance_between(self._me, self._peer))
        if not shared:
            raise NotFound(f"There is no key for {self._peer}.")
        nonce = secrets.token_hex(16)
        request = sealing.Request(
            method=method, version=messages.VERSION, time=self._now(), nonce=nonce,
            args=msgspec.Raw(messages.encode(message)),
            context=dataclasses.asdict(context) if context else {})
        return sealing.seal(shared[0], self._me, self._peer,
                            msgspec.json.encode(request)), nonce

    def _opened(self, method: str, envelope: Any, nonce: str, answer_type: type[T]) -> T:
        try:
            body = sealing.open_body(self._keys, self._me, envelope)
            answer = msgspec.json.decode(body, type=sealing.Answer)
            if sealing.sender_of(envelope) != self._peer or answer.nonce != nonce:
                raise sealing.Rejected("replayed")
            if answer.error is None:
                return messages.decode(bytes(answer.result), answer_type)
        except (sealing.Rejected, msgspec.DecodeError) as err:
            LOG.warning("the answer to %s from %s cannot be trusted: %s",
                        method, self._peer, err if isinstance(err, sealing.Rejected)
                        else "malformed")
            raise GuestError(f"{self._peer} gave no valid answer to {method}.") from err
        raise faults.revive(answer.error)
