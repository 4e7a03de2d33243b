"""Forgetting what was kept for a while."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from oslo_config import cfg

from trove_ng.common.clock import Clock
from trove_ng.db.repositories import duties
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.operations.retention import (
    purge_events,
    purge_executions,
    purge_keys,
    purge_operations,
)

LOG = logging.getLogger(__name__)


class Housekeeping:
    """Removes rows whose time is over."""

    def __init__(self, conf: cfg.ConfigOpts, db: Database, clock: Clock) -> None:
        self._conf = conf
        self._db = db
        self._clock = clock

    def run(self) -> None:
        """Remove once; what fails keeps nothing else from being removed.

        :raises Exception: the last failure, in whose context the others are
        """
        db, conf, now = self._db, self._conf, self._clock.now()
        with contextlib.ExitStack() as work:
            for told, remove in (
                    ("%d old events are removed",
                     lambda: purge_events(db, now, conf.event_keep_days)),
                    ("%d old operations are removed",
                     lambda: purge_operations(db, now, conf.operations.keep_days)),
                    ("%d old executions of schedules are removed",
                     lambda: purge_executions(db, now, conf.schedule_execution_keep_days)),
                    ("%d idempotency keys are forgotten",
                     lambda: purge_keys(db, now, conf.operations.idempotency_key_lifetime)),
                    ("%d requests about logs that agents did not answer are forgotten",
                     self._purge_logs)):
                work.callback(_remove, told, remove)

    @retry_on_db_error
    def _purge_logs(self) -> int:
        with self._db.writer() as session:
            return duties.purge_logs(session, self._clock.now())


def _remove(told: str, remove: Callable[[], int]) -> None:
    count = remove()
    if count:
        LOG.info(told, count)
