"""Empty stores of each supported kind, and the rows that most tests begin with."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oslo_config import cfg
from sqlalchemy import MetaData, make_url, text
from sqlalchemy.orm import Session

from tests.servers import mariadb, postgresql
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.conf import database as database_conf
from trove_ng.db.migrations import api as migrations
from trove_ng.db.models import Base, Datastore, DatastoreVersion
from trove_ng.db.session import Database

KINDS = ("sqlite", "mariadb", "postgresql")
#: those that are servers
SERVERS = KINDS[1:]
#: what the suites of the control plane have
KIND = os.environ.get("TROVE_TEST_STORE", "sqlite")
if KIND not in KINDS:
    raise pytest.UsageError(f"TROVE_TEST_STORE is one of {', '.join(KINDS)}")


def url(kind: str, request: pytest.FixtureRequest, home: Path) -> str:
    """Return the URL of a store of a kind; servers are started at their first use."""
    if kind == "sqlite":
        return f"sqlite:///{home}/store.db"
    found: str = request.getfixturevalue(f"{kind}_url")
    return found


def store_conf(connection: str) -> cfg.ConfigOpts:
    """Return a configuration that names a store."""
    conf = cfg.ConfigOpts()
    database_conf.register(conf)
    conf([], project="trove")
    conf.set_override("connection", connection, group="database")
    return conf


@contextlib.contextmanager
def emptied(conf: cfg.ConfigOpts, recorder: Recorder = SILENT) -> Iterator[Database]:
    """Give a migrated store without rows; its connections are closed at the end.

    A server has connections for one test's pool, not for those of all tests.
    """
    made = Database(conf, recorder)
    left = MetaData()
    left.reflect(made.engine)
    left.drop_all(made.engine)
    migrations.upgrade(made.engine)
    yield made
    made.engine.dispose()


class _Files:
    """Copies of a store in a file.

    :param home: an empty directory
    """

    def __init__(self, home: Path) -> None:
        self._first = home / "store.db"
        made = Database(store_conf(f"sqlite:///{self._first}"))
        migrations.upgrade(made.engine)
        with made.engine.connect() as connection:
            # all of it into the one file
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        made.close()

    @contextlib.contextmanager
    def one(self, home: Path) -> Iterator[str]:
        """Give the URL of a store in a directory."""
        shutil.copyfile(self._first, home / "store.db")
        yield f"sqlite:///{home}/store.db"


class _Databases:
    """Databases of one server, which are used again: to migrate one takes seconds.

    :param server: nothing that it holds must outlive it
    """

    def __init__(self, server: mariadb.Server | postgresql.Server) -> None:
        self._server = server
        self._url = make_url(server.url)
        self._mysql = self._url.get_backend_name() == "mysql"
        self._made = 0
        self._free: list[str] = []
        for statement in ("SET GLOBAL innodb_flush_log_at_trx_commit = 0",) if self._mysql else (
                "ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()"):
            server.execute(statement)

    @contextlib.contextmanager
    def one(self, _home: Path) -> Iterator[str]:
        """Give the URL of a database; who has it closes all connections."""
        url = self._free.pop() if self._free else self._make()
        yield url
        self._empty(url)
        self._free.append(url)

    def _make(self) -> str:
        self._made += 1
        name = f"trove_{self._made}"
        for statement in (
                f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
                f"GRANT ALL ON {name}.* TO trove@'127.0.0.1'") if self._mysql else (
                f"CREATE DATABASE {name}",):
            self._server.execute(statement)
        url = self._url.set(database=name).render_as_string(hide_password=False)
        made = Database(store_conf(url), patient=True)
        migrations.upgrade(made.engine)
        made.close()
        return url

    def _empty(self, url: str) -> None:
        used = Database(store_conf(url))
        with used.engine.begin() as connection:
            if self._mysql:
                # it looks at each row, also where rows of one table name each other
                connection.execute(text("SET SESSION foreign_key_checks = 0"))
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(table.delete())
        used.close()


class Stores:
    """Migrated stores without rows, of each kind; what serves them starts at its first use.

    :param homes: makes an empty directory
    """

    def __init__(self, homes: Callable[[], Path]) -> None:
        self._homes = homes
        self._running = contextlib.ExitStack()
        self._kinds: dict[str, _Files | _Databases] = {}

    @contextlib.contextmanager
    def empty(self, kind: str, home: Path) -> Iterator[str]:
        """Give the URL of a store that nobody else uses.

        :param home: where its file is, if it has one
        """
        if kind not in self._kinds:
            self._kinds[kind] = self._start(kind)
        with self._kinds[kind].one(home) as url:
            yield url

    def _start(self, kind: str) -> _Files | _Databases:
        if kind == "sqlite":
            return _Files(self._homes())
        serve = {"mariadb": mariadb.server, "postgresql": postgresql.running}[kind]
        return _Databases(self._running.enter_context(serve()))

    def close(self) -> None:
        """Stop the servers."""
        self._running.close()


def add_version(session: Session) -> None:
    """Add the datastore ``d`` and its version ``v``."""
    session.add(Datastore(id="d", name="mariadb"))
    session.flush()
    session.add(DatastoreVersion(id="v", datastore_id="d", name="10.11", version="10.11",
                                 manager="mariadb"))
    session.flush()
