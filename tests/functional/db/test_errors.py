"""Errors of the store are counted by kind.

Lost connections and deadlocks need a real server: tests/integration/db.
"""

from __future__ import annotations

import pytest
from oslo_config import cfg
from oslo_db.exception import DBDuplicateEntry, DBError
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from tests.scrape import Scrape
from trove_ng.common import metrics as m
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.db.migrations import api as migrations
from trove_ng.db.models import Datastore
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.db.trouble import StoreAway


class Store:
    """A store whose errors can be read."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.registry = CollectorRegistry()
        self.db = Database(conf, PrometheusRecorder(self.registry, m.CONDUCTOR))
        migrations.upgrade(self.db.engine)

    def counted(self) -> dict[str, float]:
        """Return what is not 0, by its only label."""
        return {f"{name} {dict(labels)['kind']}": value
                for (name, labels), value in Scrape.of(self.registry).counts().items()}


@pytest.fixture
def store(store_conf: cfg.ConfigOpts) -> Store:
    """See :class:`Store`."""
    return Store(store_conf)


def test_duplicates_and_other_errors_are_told_apart_and_not_tried_again(store: Store) -> None:
    calls = []

    @retry_on_db_error
    def add() -> None:
        calls.append(1)
        with store.db.writer() as session:
            session.add(Datastore(id="d", name="mariadb"))

    add()
    with pytest.raises(DBDuplicateEntry):
        add()
    assert len(calls) == 2
    with pytest.raises(DBError), store.db.reader() as session:
        session.execute(text("SELECT nonsense FROM nowhere"))
    assert store.counted() == {f"{m.STORE_ERRORS.name} duplicate": 1,
                               f"{m.STORE_ERRORS.name} other": 1}


def test_retries_without_a_recorder_still_happen(store: Store) -> None:
    left = [1]

    @retry_on_db_error
    def work() -> str:
        if left:
            left.pop()
            raise StoreAway
        return "done"

    assert work() == "done"
    assert store.counted() == {}
