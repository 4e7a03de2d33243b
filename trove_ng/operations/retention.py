"""Removing what is kept for a time only."""

from __future__ import annotations

import datetime

from trove_ng.db.repositories import events
from trove_ng.db.session import Database, retry_on_db_error

_BATCH = 1000


def purge_events(db: Database, now: datetime.datetime, days: float) -> int:
    """Remove the events that are older, in batches; return how many.

    :param days: 0 keeps them all
    """
    if not days:
        return 0
    before = now - datetime.timedelta(days=days)
    removed = 0
    while found := _purge(db, before):
        removed += found
    return removed


@retry_on_db_error
def _purge(db: Database, before: datetime.datetime) -> int:
    with db.writer() as session:
        return events.purge(session, before, _BATCH)
