"""Sending the notifications that wait, and making those that come of themselves."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy.orm import Session

from trove_ng.common import notifications as told
from trove_ng.common.clock import Clock
from trove_ng.common.errors import ServiceUnavailable
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.db.models import Notification
from trove_ng.db.repositories import notifications
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.domain.catalog import CloudCatalog
from trove_ng.operations.duty import Duty
from trove_ng.rpc.notifier import NotSent

LOG = logging.getLogger(__name__)

#: names of the duties
SENDING = "notifications"
EXISTS = "notifications.exists"
QUOTAS = "notifications.quotas"

_BATCH = 100
#: see :class:`Relay`
_PATIENCE = 60


class Sends(Protocol):
    """Sends one notification; see :class:`trove_ng.rpc.notifier.Sender`."""

    def send(self, message: dict[str, Any], context: dict[str, str]) -> None:
        """Send it.

        :raises NotSent: it is to be sent again
        """


class Relay:
    """Sends what waits, the oldest first; one taskmanager of all at a time.

    What was sent is removed afterwards, so that a death in between sends it again, with
    the same id.  While it cannot be sent it waits.

    :param catalog: knows the names of flavors
    :param bound: drops what is too much while nothing can be sent
    :param address: of this machine, for what it sends of its own
    :param host: its name
    :param patience: after so many failures, and again, it is seen whether it is the one
        message that cannot be sent
    """

    def __init__(self, db: Database, clock: Clock, sender: Sends, duty: Duty,
                 catalog: CloudCatalog, bound: Bound, address: Callable[[], str], host: str,
                 recorder: Recorder = SILENT, patience: int = _PATIENCE) -> None:
        self._db = db
        self._clock = clock
        self._sender = sender
        self._duty = duty
        self._catalog = catalog
        self._bound = bound
        self._address = address
        self._publisher = f"taskmanager.{host}"
        self._recorder = recorder
        self._patience = patience
        #: the message that could not be sent, and how often
        self._stuck: tuple[str, int] | None = None

    def run(self) -> None:
        """Send what is due; one statement when nothing is."""
        if not self._due(1) or not self._duty.take():
            return
        try:
            while self._send_batch() and self._duty.hold():
                continue
        finally:
            self._duty.end()

    def _due(self, limit: int) -> list[Notification]:
        with self._db.reader() as session:
            found = list(notifications.due(session, self._clock.now(), limit))
            session.expunge_all()
        return found

    def _send_batch(self) -> bool:
        """Send some; return whether there may be more."""
        if self._stuck is not None:
            self._bound.run()
        rows = self._due(_BATCH)
        more = len(rows) == _BATCH
        gone: list[str] = []
        try:
            self._skip_bad(rows, gone)
            for row in rows:
                self._send(row)
                gone.append(row.id)
        except NotSent as err:
            more = False
            LOG.warning("notifications wait: %s", err)
        finally:
            self._forget(gone)
        return more

    def _send(self, row: Notification) -> None:
        try:
            self._sender.send(self._message(row), dict(row.context))
        except NotSent:
            self._recorder.notifications("failed", 1)
            known = self._stuck if self._stuck and self._stuck[0] == row.id else (row.id, 0)
            self._stuck = (row.id, known[1] + 1)
            raise
        self._recorder.notifications("sent", 1)
        self._stuck = None

    def _skip_bad(self, rows: list[Notification], gone: list[str]) -> None:
        """Drop the first message when others can be sent, and this one cannot.

        Seen rarely: the two are sent in the wrong order when it was the driver after all.
        """
        if len(rows) < 2 or self._stuck is None or self._stuck[0] != rows[0].id or (
                self._stuck[1] % self._patience):
            return
        bad, other = rows[:2]
        stuck = self._stuck
        try:
            self._send(other)
        except NotSent:
            self._stuck = (bad.id, stuck[1] + 1)
            raise
        gone.append(other.id)
        del rows[1]
        try:
            self._send(bad)
        except NotSent:
            LOG.error("notification %s (%s) is dropped: it could not be sent %d times, and "
                      "another one could", bad.id, bad.event_type, stuck[1])
            self._recorder.notifications("dropped", 1)
            self._stuck = None
        gone.append(bad.id)
        del rows[0]

    def _message(self, row: Notification) -> dict[str, Any]:
        payload = dict(row.payload)
        if payload.get("server_ip") == "":
            payload["server_ip"] = self._address()
        if told.FLAVOR_NAME in told.FACTS.get(row.event_type, ()):
            payload[told.FLAVOR_NAME] = self._flavor(payload["instance_type_id"])
        return {"message_id": row.id, "publisher_id": row.publisher or self._publisher,
                "event_type": row.event_type, "priority": row.priority, "payload": payload,
                "timestamp": str(row.created)}

    def _flavor(self, ident: str) -> str:
        """Return the name of a flavor, its id when it is not known."""
        try:
            found = self._catalog.get_flavor(ident)
        except ServiceUnavailable as err:
            LOG.warning("the name of flavor %s is not known: %s", ident, err.message)
            return ident
        return found.name if found is not None else ident

    @retry_on_db_error
    def _forget(self, idents: list[str]) -> None:
        if idents:
            with self._db.writer() as session:
                notifications.remove(session, idents)


class Bound:
    """Drops the oldest of too many notifications that nobody sends.

    :param most: how many may wait
    """

    def __init__(self, db: Database, most: int, recorder: Recorder = SILENT) -> None:
        self._db = db
        self._most = most
        self._recorder = recorder

    def run(self) -> None:
        """Drop what is too much."""
        while found := self._drop():
            LOG.error("%d notifications are dropped: more than notification_max_waiting "
                      "wait to be sent", found)
            self._recorder.notifications("dropped", found)

    @retry_on_db_error
    def _drop(self) -> int:
        with self._db.writer() as session:
            excess = notifications.waiting(session) - self._most
            found = notifications.oldest(session, min(excess, _BATCH)) if excess > 0 else ()
            if found:
                notifications.remove(session, found)
        return len(found)


#: tells of a page: the session, beginning and end of the period, the key of the page
#: before; returns the key of this one, None when there are no more
Tell = Callable[[Session, datetime.datetime, datetime.datetime, str], str | None]


class Facts:
    """Tells facts at the end of each period, whichever taskmanager does it.

    Periods begin at multiples of their length, so that all taskmanagers speak of the same
    ones.  Of periods that ended while no taskmanager ran, the last one is told.

    :param interval: length of a period, seconds
    """

    def __init__(self, db: Database, clock: Clock, duty: Duty, interval: int, tell: Tell,
                 ) -> None:
        self._db = db
        self._clock = clock
        self._duty = duty
        self._interval = interval
        self._tell = tell

    def run(self) -> None:
        """Tell of the period that ended last, unless that was done."""
        now = self._clock.now()
        epoch = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - the store's form
        length = datetime.timedelta(seconds=self._interval)
        ending = now - (now - epoch) % length
        if not self._duty.take(max((now - ending).total_seconds(), 1e-6)):
            return
        # when it fails it is left to whoever takes the duty when its time is over
        after: str | None = ""
        while after is not None and self._duty.hold():
            after = self._page(ending - length, ending, after)
        if after is None:
            self._duty.end()

    @retry_on_db_error
    def _page(self, beginning: datetime.datetime, ending: datetime.datetime, after: str,
              ) -> str | None:
        with self._db.writer() as session:
            return self._tell(session, beginning, ending, after)
