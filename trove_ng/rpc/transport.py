"""oslo.messaging underneath: transports, servers, and the sealing client."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import oslo_messaging
from oslo_config import cfg
from oslo_messaging import opts as oslo_options
from oslo_messaging.rpc.server import RPCServer

from trove_ng.common.context import RequestContext
from trove_ng.common.errors import GuestTimeout, NotFound
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.rpc import endpoint as receiving
from trove_ng.rpc import envelope as sealing
from trove_ng.rpc import faults, intake, keys, messages
from trove_ng.rpc.lines import BusAway, Lines
from trove_ng.rpc.refusals import Reason, Refusals, Rejected

LOG = logging.getLogger(__name__)

T = TypeVar("T", bound=messages.Message)


#: groups that oslo.messaging reads for every message and registers on the
#: process-wide configuration only (18.3 does)
_GLOBAL_GROUPS = ("oslo_messaging_tracing", "oslo_messaging_metrics")

_RABBIT = "oslo_messaging_rabbit"
#: other defaults than the driver's: a broker that is back is found within seconds, and one
#: that vanished without a word is noticed soon
_RABBIT_DEFAULTS = {"rabbit_interval_max": 4, "heartbeat_timeout_threshold": 20}

#: seconds that the broker may take to accept a message
SEND_TIME = 10.0
#: and when it is only asked whether it does
PROBE_TIME = 2.0
#: tries to send: the first may find a connection that is lost
_RETRY = 1
#: seconds that nobody's answer to the question is waited for
_PROBE_ANSWER = 0.01
#: whose errors tell of a lost connection
_LIBRARIES = frozenset({"amqp", "kombu"})
#: seconds for which an answer proves the bus
_PROVEN = 5.0


def get_transport(conf: cfg.ConfigOpts, url: str | None = None) -> Any:
    """Return the RPC transport that ``transport_url``, or ``url``, names."""
    prepare(conf)
    return oslo_messaging.get_rpc_transport(conf, url=url)


def prepare(conf: cfg.ConfigOpts) -> None:
    """Register the options of transports, with our defaults."""
    for name in _GLOBAL_GROUPS:
        if name in cfg.CONF and name not in conf:
            # Not listed in oslo_messaging.opts, hence from the group itself.
            options = cfg.CONF._groups[name]._opts.values()
            conf.register_opts([entry["opt"] for entry in options], group=name)
    conf.register_opts(dict(oslo_options.list_opts())[_RABBIT], group=_RABBIT)
    for name, value in _RABBIT_DEFAULTS.items():
        conf.set_default(name, value, group=_RABBIT)


def start_server(conf: cfg.ConfigOpts, transport: Any, topic: str, server: str,
                 endpoint: receiving.Endpoint) -> Any:
    """Start to serve a topic in threads, and return the server.

    :param server: name of this process among those of the topic
    :return: has ``stop()`` and ``wait()``
    """
    made = _Server(transport, oslo_messaging.Target(topic=topic, server=server), endpoint,
                   backlog=2 * conf.rpc_threads)
    made.start(override_pool_size=conf.rpc_threads)
    return made


class _Server(RPCServer):
    """Gives what comes to the endpoint, and answers only what the endpoint answers.

    oslo.messaging's own dispatching writes a traceback, and an answer to a queue that the
    sender names, for each message that it cannot dispatch.

    :param backlog: messages that are taken from the broker and wait for a thread; more
        stay at the broker
    """

    def __init__(self, transport: Any, target: oslo_messaging.Target,
                 endpoint: receiving.Endpoint, backlog: int) -> None:
        super().__init__(transport, target, endpoint, executor="threading")
        self._endpoint = endpoint
        self._slots = threading.Semaphore(backlog)

    def _create_listener(self) -> Any:
        listener = super()._create_listener()
        intake.guard(listener, self._endpoint.refused)
        return listener

    def _on_incoming(self, incoming: Any) -> None:
        self._slots.acquire()
        try:
            work = self._work_executor.submit(self._process_incoming, incoming)
        except BaseException:
            self._slots.release()
            raise
        work.add_done_callback(lambda _work: self._slots.release())

    def _process_incoming(self, incoming: Any) -> None:
        message = incoming[0]
        try:
            message.acknowledge()
            answer = self._endpoint.receive(message.message)
            if answer is not None:
                message.reply(answer)
        except Exception as err:  # noqa: BLE001  one message must not end the thread
            LOG.warning("a message was not answered: %s", type(err).__name__)


class SecureClient:
    """Sends typed, sealed messages to one party.

    :param me: own party name
    :param peer: receiver's party name
    :param now: the wall clock, Unix time in seconds
    :param recorder: is told when an answer is refused
    :param lines: shared by the clients of a process
    """

    def __init__(self, transport: Any, topic: str, provider: keys.Keys, me: str, peer: str,
                 now: Callable[[], float] = time.time, recorder: Recorder = SILENT,
                 lines: Lines | None = None) -> None:
        self._topic = topic
        self.refused = Refusals("answer", recorder)
        self._client = oslo_messaging.get_rpc_client(
            transport, oslo_messaging.Target(topic=topic, version="1.0"), retry=_RETRY)
        self._lines = lines or Lines()
        self._keys = provider
        self._me = me
        self._peer = peer
        self._now = now

    def cast(self, method: str, message: messages.Message,
             context: RequestContext | None = None) -> None:
        """Send and do not wait.

        :raises BusAway: the bus does not take it within :data:`SEND_TIME`
        """
        envelope, _nonce = self._sealed(method, message, context)
        self._send(lambda: self._client.cast({}, "invoke", envelope=envelope), SEND_TIME)

    def call(self, method: str, message: messages.Message, answer_type: type[T],
             timeout: float, context: RequestContext | None = None) -> T:
        """Send and return the answer.

        :param timeout: seconds to wait
        :raises GuestTimeout: no answer in time, or none that can be trusted
        :raises BusAway: the bus does not take it
        :raises TroveError: the error that the receiver's handler raised
        """
        envelope, nonce = self._sealed(method, message, context)
        self._prove()
        prepared = self._client.prepare(timeout=timeout)
        try:
            answer = self._send(lambda: prepared.call({}, "invoke", envelope=envelope),
                                timeout + PROBE_TIME)
        except oslo_messaging.MessagingTimeout as err:
            raise GuestTimeout(
                f"{self._peer} did not answer {method} within {timeout:g} seconds.") from err
        except (BusAway, GuestTimeout):
            raise
        except oslo_messaging.RemoteError:
            answer = None
        except Exception as err:  # noqa: BLE001  a forged failure names any class
            LOG.warning("%s is said to have failed with %s", self._peer, type(err).__name__)
            answer = None
        self._lines.prove()
        return self._opened(method, answer, nonce, answer_type)

    def _prove(self) -> None:
        """See that the bus takes calls before one waits long for an answer.

        The call that proves it has no receiver: its own timeout is the good end.

        :raises BusAway: it does not
        """
        if self._lines.proven(_PROVEN):
            return
        probe = self._client.prepare(topic="trove-probe", timeout=_PROBE_ANSWER)

        def ask() -> None:
            with contextlib.suppress(oslo_messaging.MessagingTimeout):
                probe.call({}, "probe")

        self._send(ask, PROBE_TIME)
        self._lines.prove()

    def _send(self, work: Callable[[], Any], seconds: float) -> Any:
        try:
            return self._lines.run(work, seconds)
        except (oslo_messaging.MessagingTimeout, oslo_messaging.RemoteError, BusAway):
            raise
        except Exception as err:
            # not only MessagingException: connecting raises the library's own errors
            if not isinstance(err, oslo_messaging.MessagingException | OSError) and (
                    type(err).__module__.partition(".")[0] not in _LIBRARIES):
                raise
            self._lines.failed()
            raise BusAway from err

    def _sealed(self, method: str, message: messages.Message,
                context: RequestContext | None) -> tuple[dict[str, Any], str]:
        owner = keys.instance_between(self._me, self._peer)
        shared = self._keys.secrets(owner)
        if not shared and owner is not None and isinstance(self._keys, keys.Renewable):
            # that there was none may have been found a moment before it was made
            self._keys.forget(owner)
            shared = self._keys.secrets(owner)
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
            if sealing.sender_of(envelope) != self._peer:
                raise Rejected(Reason.ANSWER)
            body = sealing.open_body(
                self._keys, self._me, envelope, sealing.Kind.ANSWER)
            answer = msgspec.json.decode(body, type=sealing.Answer)
            if answer.nonce != nonce:
                raise Rejected(Reason.ANSWER)
            if answer.error is None:
                return messages.decode(bytes(answer.result), answer_type)
        except (Rejected, msgspec.DecodeError, RecursionError) as err:
            self.refused.count(Reason.ANSWER, self._peer)
            LOG.warning("the answer to %s from %s cannot be trusted: %s", method, self._peer,
                        err if isinstance(err, Rejected) else Reason.MALFORMED)
            raise GuestTimeout(f"{self._peer} gave no valid answer to {method}.") from err
        raise faults.revive(answer.error)
