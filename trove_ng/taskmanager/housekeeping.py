"""Forgetting what was kept for a while."""

from __future__ import annotations

import datetime
import logging

from oslo_config import cfg

from trove_ng.common.clock import Clock
from trove_ng.db.repositories import idempotency
from trove_ng.db.session import Database

LOG = logging.getLogger(__name__)


class Housekeeping:
    """Removes rows whose time is over."""

    def __init__(self, conf: cfg.ConfigOpts, db: Database, clock: Clock) -> None:
        self._conf = conf
        self._db = db
        self._clock = clock

    def run(self) -> None:
        """Remove once."""
        kept = datetime.timedelta(seconds=self._conf.operations.idempotency_key_lifetime)
        with self._db.writer() as session:
            count = idempotency.purge(session, self._clock.now() - kept)
        if count:
            LOG.info("%d idempotency keys are forgotten", count)
