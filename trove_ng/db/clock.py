"""The clock that all services share: the store's.

Leases, deadlines and the ages of heartbeats are written by one process and read by another.
By the clock of each host, one that is an hour ahead would take what others work on, and end
what has just begun.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import text

from trove_ng.common.clock import SystemClock
from trove_ng.db.session import Database
from trove_ng.db.trouble import StoreAway

LOG = logging.getLogger(__name__)

#: what tells the time, as naive UTC; a store without an entry is on this host
_ASK = {"mysql": "SELECT UTC_TIMESTAMP(6)", "mariadb": "SELECT UTC_TIMESTAMP(6)",
        "postgresql": "SELECT timezone('UTC', clock_timestamp())"}
#: seconds between two looks at the store's clock, and after one that failed
_INTERVAL, _PAUSE = 60.0, 5.0
#: difference that is told, seconds
_NOTABLE = datetime.timedelta(seconds=2)


class StoreClock(SystemClock):
    """The store's wall clock, looked at now and then; between, a clock that nobody sets goes on.

    Until the store is there for the first time, the clock of this host stands for it.

    :param steady: seconds that never go backwards
    """

    def __init__(self, db: Database, steady: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._steady = steady
        self._lock = threading.Lock()
        self._next = 0.0
        self._anchor: tuple[datetime.datetime, float] | None = None

    def now(self) -> datetime.datetime:
        """Return the store's time as naive UTC."""
        statement = _ASK.get(self._db.dialect)
        if statement is None:
            return super().now()
        # who comes while another one looks takes what is known
        if self._steady() >= self._next and self._lock.acquire(blocking=self._anchor is None):
            try:
                if self._steady() >= self._next:
                    self._look(statement)
            finally:
                self._lock.release()
        return self._known()

    def _known(self) -> datetime.datetime:
        if self._anchor is None:
            return super().now()
        moment, at = self._anchor
        return moment + datetime.timedelta(seconds=self._steady() - at)

    def _look(self, statement: str) -> None:
        before = self._steady()
        try:
            with self._db.connection() as connection:
                # asked after the connection is there, which may take long
                before = self._steady()
                told: datetime.datetime = connection.execute(text(statement)).scalar_one()
        except StoreAway as err:
            self._next = self._steady() + _PAUSE
            LOG.warning("the store's clock cannot be read: %s", err.message)
            return
        after = self._steady()
        known, self._anchor = self._known(), (told, (before + after) / 2)
        self._next = after + _INTERVAL
        if abs(self._known() - known) > _NOTABLE:
            LOG.warning("the store's clock says %s where %s was expected: the store's counts",
                        told, known)
