"""Empty stores of each supported kind, and the rows that most tests begin with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg
from sqlalchemy import MetaData
from sqlalchemy.orm import Session

from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.conf import database as database_conf
from trove_ng.db.migrations import api as migrations
from trove_ng.db.models import Datastore, DatastoreVersion
from trove_ng.db.session import Database

KINDS = ("sqlite", "mariadb", "postgresql")


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


def add_version(session: Session) -> None:
    """Add the datastore ``d`` and its version ``v``."""
    session.add(Datastore(id="d", name="mariadb"))
    session.flush()
    session.add(DatastoreVersion(id="v", datastore_id="d", name="10.11", version="10.11",
                                 manager="mariadb"))
    session.flush()
