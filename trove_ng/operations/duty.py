"""Doing a periodic duty in one process at a time."""

from __future__ import annotations

import contextlib
import datetime
import logging
import threading
from collections.abc import Iterator

from trove_ng.common.clock import Clock
from trove_ng.db.repositories import duties
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.db.trouble import StoreAway

LOG = logging.getLogger(__name__)

#: seconds after which another process does what one that died had begun
_SECONDS = 120.0


class Duty:
    """A duty, as one process sees it.

    :param owner: unique name of this process
    """

    def __init__(self, db: Database, clock: Clock, name: str, owner: str) -> None:
        self._db = db
        self._clock = clock
        self._name = name
        self._owner = owner

    @retry_on_db_error
    def take(self, pause: float = 0) -> bool:
        """Take the duty; False if another process does it.

        :param pause: seconds that it is left alone after it was done
        """
        now = self._clock.now()
        since = now - datetime.timedelta(seconds=pause) if pause else None
        with self._db.writer() as session:
            return duties.take(session, self._name, self._owner, now, _SECONDS, since)

    @retry_on_db_error
    def hold(self) -> bool:
        """Keep the duty; False if it was lost, and this process must stop."""
        with self._db.writer() as session:
            return duties.hold(
                session, self._name, self._owner, self._clock.now(), _SECONDS)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the duty, which was taken, within the block, however long that waits for others.

        It ends with the block.
        """
        done = threading.Event()

        def keep() -> None:
            while not done.wait(_SECONDS / 4):
                try:
                    if not self.hold():
                        return
                except StoreAway as err:
                    LOG.warning("%s: the duty is not prolonged: %s", self._name, err.message)

        thread = threading.Thread(target=keep, name=f"duty {self._name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.end()

    @retry_on_db_error
    def end(self) -> None:
        """The duty is done."""
        with self._db.writer() as session:
            duties.end(session, self._name, self._owner, self._clock.now())

    def holder(self) -> str:
        """Return who does it now, for a message."""
        with self._db.reader() as session:
            return duties.holder(session, self._name, self._clock.now()) or "nobody"
