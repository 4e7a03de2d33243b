"""Sessions on the store, by oslo.db's enginefacade.

There is no global: a service makes one :class:`Database` and passes it on.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from oslo_config import cfg
from oslo_db.exception import DBDeadlock, DBDuplicateEntry, DBError, RetryRequest
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.db import errors


@enginefacade.transaction_context_provider
class _SessionContext:
    """What enginefacade hangs its session on; one per block."""


class Database:
    """The store that ``[database] connection`` names.

    :param conf: configuration with oslo.db's options registered
    :param recorder: is told of the store's errors
    """

    def __init__(self, conf: cfg.ConfigOpts, recorder: Recorder = SILENT) -> None:
        self._facade = enginefacade.transaction_context()
        self._facade.append_on_engine_create(
            functools.partial(errors.tell, recorder=recorder))
        options: dict[str, Any] = dict(conf.database)
        for unknown in ("backend", "use_tpool"):
            options.pop(unknown, None)
        # the pause at each check-in is for green threads; native ones only lose time
        self._facade.configure(thread_checkin=False, **{
            key: value for key, value in options.items() if value is not None})
        self._url: str = conf.database.connection
        self._sqlite = self._url.startswith("sqlite")
        if self._sqlite:
            self._prepare_sqlite()

    @property
    def url(self) -> str:
        """The connection URL, with its password."""
        return self._url

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine of the writer."""
        engine: Engine = self._facade.writer.get_engine()
        return engine

    def _prepare_sqlite(self) -> None:
        engine = self.engine

        @event.listens_for(engine, "connect")
        def _on_connect(connection: Any, _record: Any) -> None:
            _sqlite_pragmas(connection)

        engine.dispose()

    @contextlib.contextmanager
    def reader(self) -> Iterator[Session]:
        """Give a session for reading."""
        with self._facade.reader.using(_SessionContext()) as session:
            yield session

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give a connection for plain reads of rows; less work than a session."""
        with self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writer(self) -> Iterator[Session]:
        """Give a session whose work is committed when the block ends well.

        :raises DBDeadlock: also when the end of a savepoint hid it
        """
        try:
            with self._facade.writer.using(_SessionContext()) as session:
                if self._sqlite:
                    # Take the write lock at once: a reader that turns writer
                    # later is refused by SQLite without waiting.
                    session.execute(text(
                        "UPDATE alembic_version SET version_num = version_num WHERE 0"))
                yield session
        except DBError as err:
            hidden = _deadlock_behind(err)
            if hidden is None:
                raise
            raise hidden from err


def _deadlock_behind(error: DBError) -> DBDeadlock | None:
    """Return the deadlock that an error hides.

    MariaDB ends the whole transaction at a deadlock; going back to a savepoint then fails
    with an error of its own, which nobody would try again.
    """
    cause: BaseException | None = error
    while isinstance(cause, DBError):
        if isinstance(cause, DBDeadlock):
            return cause
        cause = cause.cause
    return None


def _sqlite_pragmas(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


#: where those who write transactions look for it
retry_on_db_error = errors.retry_on_db_error


def flush_or_retry(session: Session) -> None:
    """Write what is pending, under :data:`retry_on_db_error`.

    When another request added the same row meanwhile, the whole transaction is run
    again, and finds it.
    """
    try:
        session.flush()
    except DBDuplicateEntry as err:
        raise RetryRequest(err) from err
