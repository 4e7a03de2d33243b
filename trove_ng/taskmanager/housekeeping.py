"""Forgetting what was kept for a while."""

from __future__ import annotations

import datetime
import logging

from oslo_config import cfg

from trove_ng.common.clock import Clock
from trove_ng.db.repositories import duties, idempotency
from trove_ng.db.session import Database
from trove_ng.operations.retention import purge_events, purge_executions, purge_operations

LOG = logging.getLogger(__name__)


class Housekeeping:
    """Removes rows whose time is over."""

    def __init__(self, conf: cfg.ConfigOpts, db: Database, clock: Clock) -> None:
        self._conf = conf
        self._db = db
        self._clock = clock

    def run(self) -> None:
        """Remove once."""
        now = self._clock.now()
        removed = purge_events(self._db, now, self._conf.event_keep_days)
        if removed:
            LOG.info("%d old events are removed", removed)
        removed = purge_operations(self._db, now, self._conf.operations.keep_days)
        if removed:
            LOG.info("%d old operations are removed", removed)
        removed = purge_executions(self._db, now, self._conf.schedule_execution_keep_days)
        if removed:
            LOG.info("%d old executions of schedules are removed", removed)
        kept = datetime.timedelta(seconds=self._conf.operations.idempotency_key_lifetime)
        with self._db.writer() as session:
            count = idempotency.purge(session, now - kept)
            logs = duties.purge_logs(session, now)
        if count:
            LOG.info("%d idempotency keys are forgotten", count)
        if logs:
            LOG.info("%d requests about logs that agents did not answer are forgotten", logs)
