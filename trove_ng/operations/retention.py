"""Removing what is kept for a time only."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from sqlalchemy.orm import Session

from trove_ng.db.repositories import events, idempotency, operations, schedules
from trove_ng.db.session import Database, retry_on_db_error

_BATCH = 1000

#: removes the oldest rows that are older than a time, so many at most; returns how many
Purge = Callable[[Session, datetime.datetime, int], int]


def purge_events(db: Database, now: datetime.datetime, days: float) -> int:
    """Remove the events that are older, in batches; return how many.

    :param days: 0 keeps them all
    """
    return _purge_all(db, events.purge, now, days)


def purge_operations(db: Database, now: datetime.datetime, days: float) -> int:
    """Remove the operations that ended before, in batches; return how many.

    :param days: 0 keeps them all
    """
    return _purge_all(db, operations.purge, now, days)


def purge_executions(db: Database, now: datetime.datetime, days: float) -> int:
    """Remove the executions of schedules that were due before, in batches; return how many.

    :param days: 0 keeps them all
    """
    return _purge_all(db, schedules.purge_executions, now, days)


def purge_keys(db: Database, now: datetime.datetime, seconds: float) -> int:
    """Forget the idempotency keys that are older, in batches; return how many."""
    return _purge_before(db, idempotency.purge, now - datetime.timedelta(seconds=seconds))


def _purge_all(db: Database, purge: Purge, now: datetime.datetime, days: float) -> int:
    return _purge_before(db, purge, now - datetime.timedelta(days=days)) if days else 0


def _purge_before(db: Database, purge: Purge, before: datetime.datetime) -> int:
    removed = 0
    while found := _purge_batch(db, purge, before):
        removed += found
    return removed


@retry_on_db_error
def _purge_batch(db: Database, purge: Purge, before: datetime.datetime) -> int:
    with db.writer() as session:
        return purge(session, before, _BATCH)
