"""Sessions on the store, by oslo.db's enginefacade.

There is no global: a service makes one :class:`Database` and passes it on.  A store that
is away shows as :class:`~trove_ng.db.trouble.StoreAway`, whatever the driver says, and
within a time that is bounded.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from oslo_config import cfg
from oslo_db.exception import DBDuplicateEntry
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import Connection, Engine, event, make_url, text
from sqlalchemy.orm import Session

from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.db import errors, patience, sqlite, trouble
from trove_ng.db.trouble import StoreAway, StoreConflict, StoreUnsure, Trouble

LOG = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


@enginefacade.transaction_context_provider
class _SessionContext:
    """What enginefacade hangs its session on; one per block."""


class Database:
    """The store that ``[database] connection`` names; nothing is connected yet.

    :param conf: configuration with the options of :mod:`trove_ng.conf.database`
    :param recorder: is told of the store's errors
    :param patient: wait for an answer as long as it takes, as changes of the schema need
    """

    def __init__(self, conf: cfg.ConfigOpts, recorder: Recorder = SILENT, *,
                 patient: bool = False) -> None:
        self._recorder = recorder
        self._facade = enginefacade.transaction_context()
        self._facade.append_on_engine_create(
            functools.partial(errors.tell, recorder=recorder))
        options: dict[str, Any] = dict(conf.database)
        for unknown in ("backend", "use_tpool"):
            options.pop(unknown, None)
        # the pause at each check-in is for green threads; native ones only lose time
        self._facade.configure(**{
            **{key: value for key, value in options.items() if value is not None},
            "thread_checkin": False,
            # it would connect at once and keep a service waiting that could answer
            "max_retries": 0})
        self._url: str = conf.database.connection
        self._sqlite = self._url.startswith("sqlite")
        self._limits = patience.Limits.of(conf)
        self._gate = patience.Gate()
        self._prepare(patient)

    @property
    def url(self) -> str:
        """The connection URL, with its password."""
        return self._url

    @functools.cached_property
    def dialect(self) -> str:
        """The kind of the store: mysql, postgresql or sqlite."""
        return make_url(self._url).get_backend_name()

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine of the writer."""
        engine: Engine = self._facade.writer.get_engine()
        return engine

    def close(self) -> None:
        """Close the connections that are kept."""
        self.engine.dispose()

    def _prepare(self, patient: bool) -> None:
        engine, limits = self.engine, self._limits

        @event.listens_for(engine, "handle_error", insert=True)
        def _on_error(context: Any) -> None:
            # The pool forgets all connections to a server that will not serve again:
            # the next ones find the one that took its place.
            if trouble.of(context.original_exception) is Trouble.LEAVE:
                context.is_disconnect = True

        if self._sqlite:
            sqlite.prepare(engine, limits.lock)
            return

        @event.listens_for(engine, "do_connect")
        def _connect(dialect: Any, _record: Any, positional: Any, named: Any) -> Any:
            if patient:
                return None
            patience.limit(dialect.name, named, limits)
            return self._gate.connect(
                lambda: dialect.loaded_dbapi.connect(*positional, **named))

        if not patient:
            @event.listens_for(engine, "connect")
            def _on_connect(connection: Any, _record: Any) -> None:
                patience.prepare(engine.dialect.name, connection, limits)

    @contextlib.contextmanager
    def reader(self) -> Iterator[Session]:
        """Give a session for reading.

        :raises StoreAway: the store does not serve now
        """
        with _translated(self._recorder), self._facade.reader.using(_SessionContext()) as session:
            yield session

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give a connection for plain reads of rows; less work than a session.

        :raises StoreAway: the store does not serve now
        """
        with _translated(self._recorder), self.engine.connect() as connection:
            yield connection

    def ping(self) -> None:
        """Ask the store for a sign of life.

        :raises StoreAway: it gives none
        """
        with self.connection() as connection:
            connection.execute(text("SELECT 1"))

    @contextlib.contextmanager
    def writer(self) -> Iterator[Session]:
        """Give a session whose work is committed when the block ends well.

        :raises StoreConflict: another transaction was in the way
        :raises StoreUnsure: the store went away during the commit
        :raises StoreAway: the store does not serve now
        """
        with (_translated(self._recorder) as phase,
              self._facade.writer.using(_SessionContext()) as session):
            if self._sqlite:
                # Take the write lock at once: a reader that turns writer
                # later is refused by SQLite without waiting.
                session.execute(text(
                    "UPDATE alembic_version SET version_num = version_num WHERE 0"))
            yield session
            session.flush()
            phase.committing = True


class _Phase:
    """How far a transaction is."""

    committing = False


@contextlib.contextmanager
def _translated(recorder: Recorder) -> Iterator[_Phase]:
    """Raise what passes as what it means."""
    phase = _Phase()
    try:
        yield phase
    except Exception as err:
        found = trouble.of(err)
        if found is None:
            raise
        LOG.warning("the store: %s: %s", found.value, _first_line(err))
        if found is Trouble.CONFLICT:
            raise StoreConflict(recorder) from err
        raise (StoreUnsure if phase.committing else StoreAway)(recorder) from err


def _first_line(err: Exception) -> str:
    """Return what an error says, without the statement and its values."""
    return str(getattr(err, "orig", None) or getattr(err, "inner_exception", None)
               or err).partition("\n")[0][:200]


def retrying(seconds: float, tries: int = 10,
             ) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that runs a function again when the store ended its transaction.

    Only for functions whose whole work is inside one transaction.

    :param seconds: no new try begins after that time
    :param tries: how often at most
    """
    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            end = time.monotonic() + seconds
            for attempt in range(1, tries):
                try:
                    return function(*args, **kwargs)
                except StoreUnsure:
                    raise
                except StoreAway as err:
                    # the two of a deadlock must not meet again
                    pause = random.uniform(0.05, min(1.0, 0.1 * 2 ** attempt))  # noqa: S311
                    if time.monotonic() + pause > end:
                        raise
                    err.recorder.store_retried(
                        "deadlock" if isinstance(err, StoreConflict) else "disconnect")
                    time.sleep(pause)
            return function(*args, **kwargs)

        return run

    return decorate


#: decorator: run again when the store reports a deadlock or a lost connection;
#: only for functions whose whole work is inside one transaction
retry_on_db_error = retrying(5.0)


def add_if_new(session: Session, row: object) -> bool:
    """Add a row unless one with a key of its own is there; return whether it was added."""
    try:
        with session.begin_nested():
            session.add(row)
    except DBDuplicateEntry:
        return False
    return True


def flush_or_retry(session: Session) -> None:
    """Write what is pending, under :data:`retry_on_db_error`.

    When another request added the same row meanwhile, the whole transaction is run
    again, and finds it.

    :raises StoreConflict: another request did
    """
    try:
        session.flush()
    except DBDuplicateEntry as err:
        raise StoreConflict from err
