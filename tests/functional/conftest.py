"""A real store for each test: SQLite, migrated, in the test's own directory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from trove_ng.conf import database as database_conf
from trove_ng.conf import rpc as rpc_conf
from trove_ng.db.migrations import api as migrations
from trove_ng.db.session import Database


def make_store_conf(home: Path) -> cfg.ConfigOpts:
    """Return the configuration of a store in a directory, and of the bus."""
    conf = cfg.ConfigOpts()
    database_conf.register(conf)
    rpc_conf.register(conf)
    conf([], project="trove")
    conf.set_override("connection", f"sqlite:///{home}/store.db", group="database")
    conf.set_override("taskmanager_rpc_encr_key", ["control-plane-key-for-tests"])
    conf.set_override("inst_rpc_key_encr_key", ["instance-key-for-tests"])
    return conf


@pytest.fixture
def store_conf(tmp_path: Path) -> cfg.ConfigOpts:
    """Configuration of the store and the bus."""
    return make_store_conf(tmp_path)


def make_database(conf: cfg.ConfigOpts) -> Database:
    """Return a migrated, empty store."""
    made = Database(conf)
    migrations.upgrade(made.engine)
    return made


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a migrated, empty store, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "store.db"
    conf = cfg.ConfigOpts()
    database_conf.register(conf)
    conf([], project="trove")
    conf.set_override("connection", f"sqlite:///{path}", group="database")
    made = make_database(conf)
    with made.engine.connect() as connection:
        # all of it into the one file
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    made.close()
    return path


@pytest.fixture
def database(store_conf: cfg.ConfigOpts, migrated_store: Path) -> Iterator[Database]:
    """A migrated, empty store."""
    path = store_conf.database.connection.removeprefix("sqlite:///")
    shutil.copyfile(migrated_store, path)
    made = Database(store_conf)
    yield made
    made.close()
