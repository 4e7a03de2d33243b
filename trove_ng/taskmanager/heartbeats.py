"""Noticing agents that are silent."""

from __future__ import annotations

import datetime
import logging

from trove_ng.common.clock import Clock
from trove_ng.db.repositories import service_statuses
from trove_ng.db.session import Database, retry_on_db_error

LOG = logging.getLogger(__name__)

_BATCH = 200


class HeartbeatWatch:
    """Tells on an instance's timeline, once, that its heartbeats have stopped.

    That they are back is told where the next one is written.  Several taskmanagers may
    watch at the same time.

    :param expiry: seconds after which a heartbeat says nothing any more
    """

    def __init__(self, db: Database, clock: Clock, expiry: float) -> None:
        self._db = db
        self._clock = clock
        self._expiry = expiry

    def run(self) -> None:
        """Look once; one statement when nobody is newly silent."""
        while self._note() == _BATCH:
            continue

    @retry_on_db_error
    def _note(self) -> int:
        now = self._clock.now()
        before = now - datetime.timedelta(seconds=self._expiry)
        with self._db.reader() as session:
            silent = service_statuses.newly_silent(session, before, _BATCH)
        if not silent:
            return 0
        with self._db.writer() as session:
            told = service_statuses.note_silent(session, silent, now)
        for ident in told:
            LOG.warning("the agent of instance %s is not heard of any more", ident)
        return len(silent)
