"""A real store for each test: SQLite, migrated, in the test's own directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from tests.stores import Stores
from tests.stores import store_conf as store_conf_of
from trove_ng.conf import rpc as rpc_conf
from trove_ng.db.session import Database


def make_store_conf(url: str) -> cfg.ConfigOpts:
    """Return the configuration of a store, and of the bus."""
    conf = store_conf_of(url)
    rpc_conf.register(conf)
    conf.set_override("taskmanager_rpc_encr_key", ["control-plane-key-for-tests"])
    conf.set_override("inst_rpc_key_encr_key", ["instance-key-for-tests"])
    return conf


@pytest.fixture
def store_conf(tmp_path: Path) -> cfg.ConfigOpts:
    """Configuration of the store and the bus."""
    return make_store_conf(f"sqlite:///{tmp_path}/store.db")


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Migrated, empty stores."""
    made = Stores(lambda: tmp_path_factory.mktemp("migrated"))
    yield made
    made.close()


@pytest.fixture
def database(store_conf: cfg.ConfigOpts, stores: Stores, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty store."""
    with stores.empty("sqlite", tmp_path):
        made = Database(store_conf)
        yield made
        made.close()
