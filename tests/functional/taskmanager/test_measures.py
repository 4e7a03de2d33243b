"""What is counted in the store for a scrape."""

from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest
from oslo_db.exception import DBConnectionError
from prometheus_client import CollectorRegistry
from sqlalchemy import event

from tests.scrape import Scrape
from trove_ng.common import metrics as m
from trove_ng.db.models import (
    Backup,
    Datastore,
    DatastoreVersion,
    Instance,
    InstanceTls,
    LogArchive,
    LogPiece,
    Operation,
    Schedule,
    ServiceStatusRow,
)
from trove_ng.db.session import Database
from trove_ng.domain.instance_status import Status
from trove_ng.taskmanager.measures import StoreCollector

NOW = datetime.datetime(2026, 1, 2, 12, 0, 0)
EXPIRY = 60


class FixedClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime.datetime:
        return NOW + datetime.timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


@pytest.fixture
def database(database: Database) -> Database:
    """A store with two datastores."""
    with database.writer() as session:
        for name in ("mariadb", "mysql"):
            session.add(Datastore(id=name, name=name))
            session.flush()
            session.add(DatastoreVersion(id=f"{name}-v", datastore_id=name, name="1",
                                         version="1", manager=name))
    return database


def instance(session: Any, ident: str, beat: float | None = 1, **more: Any) -> None:
    values = {"server_status": "ACTIVE", "task": "NONE", "error": "", **more}
    session.add(Instance(id=ident, name=ident, tenant_id="t", flavor_id="1",
                         datastore_version_id="mariadb-v", **values))
    session.flush()
    session.add(ServiceStatusRow(instance_id=ident, status="HEALTHY",
                                 updated_at=None if beat is None else ago(beat)))
    session.flush()


def backup(session: Any, ident: str, state: str, age: float | None = None, *,
           of: str | None = None, datastore: str = "mariadb", deleted: bool = False) -> None:
    session.add(Backup(id=ident, name=ident, tenant_id="t", instance_id=of, state=state,
                       datastore_version_id=f"{datastore}-v", deleted=deleted,
                       backup_timestamp=None if age is None else ago(age)))
    session.flush()


def operation(session: Any, ident: str, action: str, status: str, age: float) -> None:
    session.add(Operation(
        id=ident, action=action, resource_type="instance", resource_id=ident, tenant_id="t",
        live_key=ident if status in ("PENDING", "RUNNING") else None, status=status,
        created=ago(age)))


def scrape(collector: StoreCollector) -> Scrape:
    registry = CollectorRegistry()
    registry.register(collector)
    return Scrape.of(registry)


def collect(database: Database) -> Scrape:
    return scrape(StoreCollector(database, FixedClock(), EXPIRY, 15))


def test_instances_are_counted_by_what_the_api_shows(database: Database) -> None:
    with database.writer() as session:
        instance(session, "active")
        instance(session, "active-2")
        instance(session, "saving")
        backup(session, "b", "SAVING", of="saving")
        backup(session, "b2", "NEW", of="saving")
        backup(session, "old", "COMPLETED", 5, of="active")
        instance(session, "restart", restart_required=True)
        instance(session, "build", task="BUILDING", server_status=None, beat=None)
        instance(session, "resize", task="RESIZING")
        instance(session, "failed", error="a")
        instance(session, "failed-2", error="b")
        instance(session, "going", task="DELETING", error="a")
        instance(session, "stopped", server_status="SHUTOFF")
        instance(session, "strange", server_status="SOMETHING")
        instance(session, "gone", deleted=True)
    found = collect(database)
    counted = {status: found.get(m.INSTANCES.name, status=status) for status in Status}
    assert {status: value for status, value in counted.items() if value} == {
        "ACTIVE": 2, "BACKUP": 1, "RESTART_REQUIRED": 1, "BUILD": 1, "RESIZE": 1,
        "ERROR": 2, "SHUTDOWN": 2, "UNKNOWN": 1}
    assert None not in counted.values()


def test_silent_guests_are_counted_unless_something_is_done_with_them(
        database: Database) -> None:
    with database.writer() as session:
        instance(session, "fresh", EXPIRY - 1)
        instance(session, "silent", EXPIRY + 1)
        instance(session, "long-silent", 3600)
        instance(session, "never-heard", None)
        instance(session, "resizing", 7200, task="RESIZING")
        instance(session, "failed", 7200, error="a")
        instance(session, "gone", 7200, deleted=True)
    found = collect(database)
    assert found.get(m.SILENT_INSTANCES.name) == 3
    assert found.get(m.OLDEST_BEAT.name) == 3600


def test_operations_that_have_not_ended(database: Database) -> None:
    with database.writer() as session:
        operation(session, "1", "backup.create", "PENDING", 5)
        operation(session, "2", "backup.create", "RUNNING", 90)
        operation(session, "3", "backup.create", "RUNNING", 30)
        operation(session, "4", "instance.delete", "RUNNING", 7)
        operation(session, "5", "instance.create", "SUCCEEDED", 999)
        operation(session, "6", "backup.create", "FAILED", 999)
    found = collect(database)
    assert found.get(m.OPERATIONS.name, action="backup.create", status="RUNNING") == 2
    assert found.get(m.OPERATIONS.name, action="backup.create", status="PENDING") == 1
    assert found.sum(m.OPERATIONS.name) == 4
    assert found.get(m.OLDEST_OPERATION.name, action="backup.create") == 90
    assert found.get(m.OLDEST_OPERATION.name, action="instance.delete") == 7
    assert found.get(m.OLDEST_OPERATION.name, action="instance.create") is None


def test_backups(database: Database) -> None:
    with database.writer() as session:
        backup(session, "1", "COMPLETED", 100)
        backup(session, "2", "COMPLETED", 50)
        backup(session, "3", "FAILED", 10)
        backup(session, "4", "COMPLETED", 10, deleted=True)
        backup(session, "5", "FAILED", datastore="mysql")
        backup(session, "6", "SAVING")
        for ident, age in (("1", 40), ("2", 30), ("4", 5)):
            session.get_one(Backup, ident).verified_at = ago(age)
    found = collect(database)
    assert found.get(m.NEWEST_VERIFICATION.name, datastore="mariadb") == 30
    assert found.get(m.NEWEST_VERIFICATION.name, datastore="mysql") is None
    assert found.get(m.NEWEST_BACKUP.name, datastore="mariadb") == 50
    assert found.get(m.NEWEST_BACKUP.name, datastore="mysql") is None
    assert {state: found.get(m.BACKUPS.name, state=state) for state in (
        "COMPLETED", "FAILED", "CORRUPT", "SAVING", "NEW")} == {
        "COMPLETED": 2, "FAILED": 2, "CORRUPT": 0, "SAVING": 1, "NEW": None}


def test_the_schedule_that_is_behind_most(database: Database) -> None:
    assert collect(database).get(m.STALEST_SCHEDULE.name) is None
    with database.writer() as session:
        for number, (backed_up, made, more) in enumerate((
                (100, 900, {}), (300, 900, {}), (None, 200, {}), (800, 900, {"paused": True}),
                (850, 900, {"deleted": True}))):
            ident = f"s{number}"
            instance(session, ident)
            session.add(Schedule(
                id=ident, name="s", tenant_id="t", instance_id=ident, pattern="0 * * * *",
                created=ago(made), **more))
            if backed_up is not None:
                backup(session, ident, "COMPLETED", backed_up, of=ident)
        # what failed, or is deleted, is no backup
        for ident, more in (("f", {}), ("d", {"deleted": True})):
            backup(session, ident, "COMPLETED" if more else "FAILED", 5, of="s1", **more)
    assert collect(database).get(m.STALEST_SCHEDULE.name) == 300


def test_archived_logs(database: Database) -> None:
    assert collect(database).get(m.OLDEST_LOG.name) is None
    with database.writer() as session:
        for ident, age, error, more in (
                ("new", None, None, {}), ("old", 300, "x", {}), ("off", 400, "x", {}),
                ("gone", 500, "x", {"deleted": True}), ("fresh", 10, None, {}),
                ("replica", 600, "x", {"slave_of_id": "old"})):
            instance(session, ident, **more)
            session.add(LogArchive(
                instance_id=ident, tenant_id="t", retention_days=1, container="c", error=error,
                enabled=ident != "off", created=ago(20), latest=age and ago(age)))
        session.flush()
        for number, (ident, damage) in enumerate((
                ("new", None), ("old", "x"), ("old", "x"), ("off", "x"), ("fresh", None))):
            session.add(LogPiece(
                instance_id=ident, stream="s", first_number=number, next_number=number + 1,
                data_size=1, created=ago(1), damage=damage))
    found = collect(database)
    assert found.get(m.OLDEST_LOG.name) == 300
    assert found.get(m.FAILING_LOGS.name) == 1
    assert found.get(m.DAMAGED_LOGS.name) == 2


def test_an_empty_store(database: Database) -> None:
    found = collect(database)
    assert found.get(m.STORE_UP.name) == 1
    assert found.get(m.BACKUPS.name, state="FAILED") == 0
    assert found.get(m.INSTANCES.name, status="ERROR") == 0
    assert found.get(m.SILENT_INSTANCES.name) == 0
    assert found.get(m.OLDEST_BEAT.name) is None
    assert found.sum(m.OPERATIONS.name) == 0


def test_certificates_that_end_first(database: Database) -> None:
    assert collect(database).sum(m.SOONEST_EXPIRY.name) == 0
    with database.writer() as session:
        for ident, ends, reference, deleted in (
                ("a", 50, None, False), ("b", 20, None, False), ("c", 10, None, True),
                ("d", -5, "https://keys/1", False), ("e", 9, "https://keys/2", False)):
            instance(session, ident, deleted=deleted)
            for place, end in (("current", ends), ("previous", 1)):
                session.add(InstanceTls(instance_id=ident, place=place, mode="basic",
                                        reference=reference, expires_at=ago(-end)))
            session.flush()
    found = collect(database)
    assert found.get(m.SOONEST_EXPIRY.name, issuer="service") == 20
    assert found.get(m.SOONEST_EXPIRY.name, issuer="owner") == -5


def statements(database: Database) -> list[str]:
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement != "BEGIN":
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    return seen


def test_a_scrape_asks_as_much_of_a_full_store_and_remembers(database: Database) -> None:
    with database.writer() as session:
        for number in range(50):
            instance(session, f"i{number}")
            backup(session, f"b{number}", "COMPLETED", number, of=f"i{number}")
            operation(session, f"o{number}", "backup.create", "RUNNING", 1)
    seen = statements(database)
    clock = FixedClock()
    collector = StoreCollector(database, clock, EXPIRY, 15)
    assert scrape(collector).get(m.INSTANCES.name, status="ACTIVE") == 50
    assert len(seen) == 7
    clock.seconds = 14
    scrape(collector)
    assert len(seen) == 7
    clock.seconds = 15
    assert scrape(collector).get(m.OLDEST_OPERATION.name, action="backup.create") == 16
    assert len(seen) == 14


def test_registering_asks_nothing(database: Database) -> None:
    seen = statements(database)
    CollectorRegistry().register(StoreCollector(database, FixedClock(), EXPIRY, 15))
    assert seen == []


def test_a_store_that_is_away_is_told_and_comes_back(
        database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_arguments: Any) -> None:
        raise DBConnectionError

    clock = FixedClock()
    collector = StoreCollector(database, clock, EXPIRY, 15)
    with monkeypatch.context() as patch:
        patch.setattr("trove_ng.db.repositories.measures.backups", away)
        found = scrape(collector)
    assert found.get(m.STORE_UP.name) == 0
    assert set(found.families) == {m.STORE_UP.name}
    clock.seconds = 15
    assert scrape(collector).get(m.STORE_UP.name) == 1


def test_a_slow_store_holds_one_scrape_only(
        database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FixedClock()
    collector = StoreCollector(database, clock, EXPIRY, 15)
    scrape(collector)
    clock.seconds = 100
    asked, answer = threading.Event(), threading.Event()

    def slow(*_arguments: Any) -> list[Any]:
        asked.set()
        assert answer.wait(10)
        return []

    monkeypatch.setattr("trove_ng.db.repositories.measures.backups", slow)
    first = threading.Thread(target=scrape, args=[collector])
    first.start()
    assert asked.wait(10)
    # what was known before, at once
    assert scrape(collector).get(m.STORE_UP.name) == 1
    answer.set()
    first.join(10)
    assert not first.is_alive()
