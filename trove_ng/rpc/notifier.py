"""Sending notifications by the drivers of oslo.messaging.

oslo.messaging's own Notifier gives each sending a new message id, and its messaging driver
only logs, with the whole payload, that a message was not sent.  Here a message keeps its id
when it is sent again, and a failure is known.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from oslo_config import cfg
from oslo_messaging.notify import notifier as drivers
from oslo_messaging.transport import NotificationTransport
from oslo_utils import netutils
from stevedore import named

from trove_ng.rpc.lines import BusAway, Lines
from trove_ng.rpc.transport import SEND_TIME, prepare

LOG = logging.getLogger(__name__)

_NAMESPACE = "oslo.messaging.notify.drivers"
_GROUP = "oslo_messaging_notifications"
_NOBODY = frozenset({"", "noop"})
#: tries of one sending; what fails is sent again later, so that none may be without end
_RETRIES = 1


def is_on(conf: cfg.ConfigOpts) -> bool:
    """Return whether the configuration names a driver that tells anybody."""
    return bool(_drivers(conf))


def own_address() -> str:
    """Return the address of this machine towards others."""
    return str(netutils.get_my_ipv4())


def _drivers(conf: cfg.ConfigOpts) -> list[str]:
    conf.register_opts(drivers._notifier_opts, group=_GROUP)
    return [name for name in conf[_GROUP].driver if name not in _NOBODY]


class NotSent(Exception):
    """A driver did not take a notification; it is to be sent again."""


class _Transport(NotificationTransport):
    """Keeps a failure for :class:`Sender`, where the driver would log it with the payload."""

    def __init__(self, below: Any) -> None:
        super().__init__(below._driver)
        # a sending that was given up may fail when the next one is under way
        self.failures = threading.local()

    def _send_notification(self, target: Any, ctxt: Any, message: Any, version: Any,
                           retry: int | None = None) -> None:
        try:
            super()._send_notification(target, ctxt, message, version, retry=retry)
        except Exception as err:  # noqa: BLE001 - connecting raises the library's own errors
            self.failures.last = err


class Sender:
    """Sends notifications, each by all configured drivers.

    :param conf: with the options of oslo.messaging, which are registered here
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        names = _drivers(conf)
        retries = conf[_GROUP].retry
        self._retries = retries if retries >= 0 else _RETRIES
        self._lines = Lines(2)
        self._drivers: list[drivers.Driver] = []
        if names:
            prepare(conf)
            self._transport = _Transport(drivers.get_notification_transport(conf))
            found: Iterable[Any] = named.NamedExtensionManager(
                _NAMESPACE, names=names, invoke_on_load=True, invoke_args=(conf,),
                invoke_kwds={"topics": conf[_GROUP].topics, "transport": self._transport})
            self._drivers = [one.obj for one in found]
            if len(self._drivers) != len(set(names)):
                LOG.error("of the notification drivers %s, only %d can be used", names,
                          len(self._drivers))

    def send(self, message: Mapping[str, Any], context: Mapping[str, str]) -> None:
        """Send a notification; return when all drivers have it.

        :param message: message_id, publisher_id, event_type, priority, payload, timestamp
        :param context: request_id, project_id, user_id
        :raises NotSent: one of them did not take it in time
        """
        try:
            self._lines.run(lambda: self._send(message, context), SEND_TIME)
        except BusAway as err:
            raise NotSent(err.message) from None

    def _send(self, message: Mapping[str, Any], context: Mapping[str, str]) -> None:
        for driver in self._drivers:
            self._transport.failures.last = None
            try:
                driver.notify(dict(context), dict(message), message["priority"], self._retries)
            except Exception as err:  # noqa: BLE001 - a driver may raise anything
                self._failed(err)
            if self._transport.failures.last is not None:
                self._failed(self._transport.failures.last)

    def _failed(self, err: Exception) -> None:
        self._lines.failed()
        # its text may hold the payload
        raise NotSent(f"The driver raised {type(err).__name__}.") from None

    def close(self) -> None:
        """Let go of the connections."""
        if self._drivers:
            self._transport.cleanup()
