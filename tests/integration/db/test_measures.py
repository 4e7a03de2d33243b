"""What is counted of, and in, every kind of store that is supported."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests import stores
from tests.scrape import Scrape
from tests.stores import add_version
from trove_ng.cmd.metrics import Health
from trove_ng.common import metrics as m
from trove_ng.common.clock import SystemClock, utcnow
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.db.models import (
    Backup,
    Datastore,
    Instance,
    Operation,
    ServiceStatusRow,
)
from trove_ng.db.repositories import service_statuses
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.taskmanager.measures import StoreCollector


class Store:
    """A store whose errors can be read."""

    def __init__(self, kind: str, registry: CollectorRegistry, db: Database) -> None:
        self.kind, self.registry, self.db = kind, registry, db

    def count(self, definition: m.Definition, kind: str) -> float:
        found = Scrape.of(self.registry).get(definition.name, kind=kind)
        assert found is not None
        return found


@pytest.fixture(params=stores.KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    registry = CollectorRegistry()
    conf = stores.store_conf(stores.url(request.param, request, tmp_path))
    with stores.emptied(conf, PrometheusRecorder(registry, m.CONDUCTOR)) as db:
        yield Store(request.param, registry, db)


@pytest.fixture
def server(store: Store) -> Store:
    """A store that is a server."""
    if store.kind == "sqlite":
        pytest.skip("there is no connection that could be lost")
    return store


def lose_connection(store: Store, session: Session) -> None:
    """Have the server end the session's connection, and use it once more."""
    mine, end = {"mariadb": ("SELECT CONNECTION_ID()", "KILL {}"),
                 "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})")
                 }[store.kind]
    number = session.scalar(text(mine))
    with store.db.connection() as other:
        other.execute(text(end.format(number)))
    session.execute(text("SELECT 1"))


def test_a_lost_connection_is_counted_with_the_new_try(server: Store) -> None:
    left = [1, 2]

    @retry_on_db_error
    def work() -> None:
        with server.db.writer() as session:
            if left:
                left.pop()
                lose_connection(server, session)

    work()
    assert server.count(m.STORE_RETRIES, "disconnect") == 2
    assert server.count(m.STORE_ERRORS, "disconnect") >= 2
    with pytest.raises(StoreAway), server.db.writer() as session:
        lose_connection(server, session)
    assert server.count(m.STORE_RETRIES, "disconnect") == 2
    assert server.count(m.STORE_ERRORS, "disconnect") >= 3


def test_a_deadlock_is_counted_with_the_new_try(server: Store) -> None:
    with server.db.writer() as session:
        for name in ("a", "b"):
            session.add(Datastore(id=name, name=name))
    both = threading.Barrier(2)
    tries: list[str] = []

    @retry_on_db_error
    def lock(first: str, second: str) -> None:
        tries.append(first)
        again = tries.count(first) > 1
        with server.db.writer() as session:
            for name in (first, second):
                session.execute(text("UPDATE datastores SET name = name WHERE id = :id"),
                                {"id": name})
                if name == first and not again:
                    both.wait(20)

    threads = [threading.Thread(target=lock, args=names) for names in ("ab", "ba")]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert len(tries) == 3
    assert server.count(m.STORE_ERRORS, "deadlock") == 1
    assert server.count(m.STORE_RETRIES, "deadlock") == 1


def fill(store: Store) -> None:
    now = utcnow()
    with store.db.writer() as session:
        add_version(session)
        for number in range(4):
            session.add(Instance(
                id=f"i{number}", name="i", tenant_id="t", flavor_id="1",
                datastore_version_id="v", server_status="ACTIVE", restart_required=number == 3))
        session.flush()
        for number in range(4):
            session.add(ServiceStatusRow(
                instance_id=f"i{number}", status="HEALTHY", sequence=10,
                updated_at=now - datetime.timedelta(seconds=100 * number)))
        for ident, state, age in (("b1", "COMPLETED", 500), ("b2", "COMPLETED", 300),
                                  ("b3", "FAILED", 0), ("b4", "SAVING", 0)):
            session.add(Backup(
                id=ident, name=ident, tenant_id="t", instance_id="i1", state=state,
                datastore_version_id="v",
                backup_timestamp=now - datetime.timedelta(seconds=age) if age else None))
        for ident, status in (("o1", "RUNNING"), ("o2", "PENDING"), ("o3", "FAILED")):
            session.add(Operation(
                id=ident, action="backup.create", resource_type="backup", resource_id=ident,
                live_key=ident, tenant_id="t", status=status,
                created=now - datetime.timedelta(seconds=50)))


def test_the_store_is_counted_alike_everywhere(store: Store) -> None:
    fill(store)
    registry = CollectorRegistry()
    registry.register(StoreCollector(store.db, SystemClock(), 150, 0))
    found = Scrape.of(registry)
    assert [found.get(m.INSTANCES.name, status=one) for one in (
        "ACTIVE", "BACKUP", "RESTART_REQUIRED", "ERROR")] == [2, 1, 1, 0]
    assert found.get(m.SILENT_INSTANCES.name) == 2
    assert found.get(m.OLDEST_BEAT.name) == pytest.approx(300, abs=30)
    assert found.get(m.NEWEST_BACKUP.name, datastore="mariadb") == pytest.approx(300, abs=30)
    assert [found.get(m.BACKUPS.name, state=one) for one in (
        "COMPLETED", "FAILED", "SAVING")] == [2, 1, 1]
    assert found.sum(m.OPERATIONS.name, action="backup.create") == 2
    assert found.get(m.OLDEST_OPERATION.name, action="backup.create") == pytest.approx(
        50, abs=30)


def beat(instance_id: str, sequence: int) -> dict[str, Any]:
    return {"instance_id": instance_id, "status": "HEALTHY", "description": "",
            "sequence": sequence, "sent_at": 1.0, "updated_at": utcnow(), "agent_version": "",
            "volume_total": 1, "volume_used": 1, "details": {}, "steady": 15.0}


def test_the_store_tells_how_many_heartbeats_were_news(store: Store) -> None:
    fill(store)
    beats = [beat("i0", 11), beat("i1", 9), beat("i2", 11), beat("gone", 1)]
    with store.db.writer() as session:
        # with SQLAlchemy 2.0, psycopg2 does not tell
        assert service_statuses.record(session, beats) in (
            (2, 4) if store.kind == "postgresql" else (2,))
    with store.db.writer() as session:
        assert service_statuses.record(session, [beat("i1", 9)]) == 0


def test_the_health_of_each_kind_of_store(store: Store) -> None:
    assert Health(store.db)() is True
