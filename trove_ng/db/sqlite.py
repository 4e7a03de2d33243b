"""Connections to a store that is a file of SQLite."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import NullPool, QueuePool

#: connections that are kept
_KEPT = 8


def prepare(engine: Engine, lock_timeout: int) -> None:
    """Prepare an engine of oslo.db, before its first connection.

    :param lock_timeout: seconds to wait for another writer
    """
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute(f"PRAGMA busy_timeout={lock_timeout * 1000}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    if isinstance(engine.pool, NullPool):
        _keep_connections(engine)


def _keep_connections(engine: Engine) -> None:
    """Keep connections, where oslo.db would have a new one for each transaction.

    Each time the last connection to a file is closed, SQLite writes its whole log into it,
    syncs and removes the log: most of what a small transaction costs.
    """
    arguments, options = engine.dialect.create_connect_args(engine.url)
    engine.pool = QueuePool(
        lambda: engine.dialect.connect(*arguments, **options), pool_size=_KEPT, max_overflow=-1,
        dialect=engine.dialect, _dispatch=engine.pool.dispatch)
