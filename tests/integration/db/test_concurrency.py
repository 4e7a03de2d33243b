"""Locks and races on every kind of store that is supported."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests import stores
from tests.stores import add_version
from trove_ng.common.clock import utcnow
from trove_ng.common.errors import Conflict, QuotaExceeded
from trove_ng.common.states import ReportState
from trove_ng.db.models import Backup, Instance, Operation, ServiceStatusRow
from trove_ng.db.repositories import (
    backups,
    instance_views,
    operation_reports,
    operations,
    quotas,
    service_statuses,
)
from trove_ng.db.session import Database, retry_on_db_error

LIMITS = {"instances": 5, "volumes": -1, "ram": -1, "backups": -1}


@pytest.fixture(params=stores.KINDS)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty store of each kind."""
    with stores.emptied(stores.store_conf(
            stores.url(request.param, request, tmp_path))) as made:
        yield made


def at_once(number: int, work: Callable[[int], Any]) -> list[Any]:
    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        return list(pool.map(work, range(number)))


def operation(db: Database, ident: str, resource: str) -> None:
    with db.writer() as session:
        operations.add(session, Operation(
            id=ident, action="instance.restart", resource_type="instance",
            resource_id=resource, live_key=resource, tenant_id="t"))


def part(ident: str, **values: Any) -> Backup:
    return Backup(**{
        "id": ident, "name": ident, "tenant_id": "t", "region_id": "r", "container": "c",
        "prefix": "p/", "checksum": "s", "state": "RESTORED", **values})


def test_an_operation_is_claimed_by_one(db: Database) -> None:
    for number in range(10):
        operation(db, f"op-{number}", f"r-{number}")

    @retry_on_db_error
    def claim(worker: int, ident: str) -> bool:
        with db.writer() as session:
            return operations.claim(session, ident, f"w{worker}", utcnow(), 30) is not None

    won = at_once(6, lambda worker: [claim(worker, f"op-{number}") for number in range(10)])
    assert [sum(column) for column in zip(*won, strict=True)] == [1] * 10


def test_a_lease_that_ran_out_changes_hands_once(db: Database) -> None:
    operation(db, "op", "r")
    with db.writer() as session:
        first = operations.claim(session, "op", "dead", utcnow(), 0)
    later = utcnow() + datetime.timedelta(seconds=1)

    @retry_on_db_error
    def claim(worker: int) -> int | None:
        with db.writer() as session:
            return operations.claim(session, "op", f"w{worker}", later, 30)

    fences = [one for one in at_once(5, claim) if one is not None]
    assert first is not None
    assert fences == [first + 1]
    with db.writer() as session:
        assert not operations.hold(session, "op", first)
        assert operations.hold(session, "op", fences[0])
        assert operations.renew(session, "dead", [("op", first)], later, 30) == set()


def test_who_takes_an_operation_over_waits_for_the_last_write_of_its_holder(
        db: Database) -> None:
    operation(db, "op", "r")
    now = utcnow()
    with db.writer() as session:
        fence = operations.claim(session, "op", "one", now, 10)
    assert fence is not None

    def take() -> int | None:
        with db.writer() as session:
            return operations.claim(
                session, "op", "two", now + datetime.timedelta(seconds=11), 10)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with db.writer() as session:
            assert operations.hold(session, "op", fence)
            taken = pool.submit(take)
            assert not concurrent.futures.wait([taken], 1).done
            operations.note(session, "op", percent=40)
        assert taken.result(30) == fence + 1
    with db.writer() as session:
        assert not operations.hold(session, "op", fence)
        assert session.get_one(Operation, "op").percent == 40


def test_only_who_gave_it_back_until_later_goes_on_with_the_same_attempt(db: Database) -> None:
    operation(db, "op", "i")

    def claim(name: str, lease: float) -> tuple[int, bool]:
        with db.writer() as session:
            assert operations.claim(session, "op", name, utcnow(), lease) is not None
        with db.reader() as session:
            row = operations.get(session, "op")
        assert row is not None
        return row.attempts, row.not_before is not None

    assert claim("one", 30) == (1, False)
    with db.writer() as session:
        operations.give_back(session, "op", 1, utcnow())
    assert claim("two", 0) == (1, True)
    # it died
    assert claim("three", 0) == (2, False)


def test_a_resource_has_one_live_operation(db: Database) -> None:
    def accept(worker: int) -> bool:
        try:
            operation(db, f"op-{worker}", "r")
        except Conflict:
            return False
        return True

    assert sum(at_once(5, accept)) == 1


def test_imports_at_once_make_a_part_known_once(db: Database) -> None:
    with db.writer() as session:
        backups.add_part(session, part("corrupt", state="CORRUPT"))
    together = threading.Barrier(4)

    @retry_on_db_error
    def take_over(mine: Backup) -> str:
        with db.writer() as session:
            known = backups.same(session, mine)
            if known is None:
                with contextlib.suppress(threading.BrokenBarrierError):
                    # a store that lets one write at a time never has all of them here
                    together.wait(0.5)
                backups.add_part(session, mine)
            return (known or mine).id

    found = at_once(4, lambda number: take_over(part(f"b{number}")))
    assert len(set(found)) == 1
    with db.reader() as session:
        assert sorted(session.scalars(select(Backup.id))) == [found[0], "corrupt"]


def test_reservations_never_exceed_the_limit(db: Database) -> None:
    @retry_on_db_error
    def reserve(worker: int) -> bool:
        try:
            with db.writer() as session:
                operations.add(session, Operation(
                    id=f"op-{worker}", action="instance.create", resource_type="instance",
                    resource_id=f"r-{worker}", live_key=f"r-{worker}", tenant_id="t"))
                quotas.reserve(session, "t", f"op-{worker}", {"instances": 1, "ram": 512},
                               LIMITS)
        except QuotaExceeded:
            return False
        return True

    assert sum(at_once(10, reserve)) == 5
    with db.reader() as session:
        assert quotas.usage(session, "t")["instances"] == (5, 5)
        assert quotas.usage(session, "t")["ram"] == (2560, 2560)


@pytest.fixture
def instances(db: Database) -> list[str]:
    """Thirty instances of one project and as many of another."""
    now = utcnow()
    ids = [f"{number:036d}" for number in range(60)]
    with db.writer() as session:
        add_version(session)
        for number, ident in enumerate(ids):
            session.add(Instance(id=ident, name="i", tenant_id=f"t{number % 2}", flavor_id="1",
                                 datastore_version_id="v", created=now, updated=now))
        session.flush()
        for ident in ids:
            session.add(ServiceStatusRow(instance_id=ident, status="NEW"))
    return ids


def test_pages_hold_the_projects_own_in_order(db: Database, instances: list[str]) -> None:
    seen: list[str] = []
    marker = None
    while True:
        with db.connection() as reader:
            rows = instance_views.page(reader, tenant_id="t1", limit=7, marker=marker)
        seen += [row.id for row in rows[:7]]
        assert all(row.backup_running in (False, 0) for row in rows)
        if len(rows) <= 7:
            break
        marker = rows[6].id
    assert seen == instances[1::2]


def test_heartbeats_at_once_leave_the_newest(db: Database, instances: list[str]) -> None:
    @retry_on_db_error
    def beat(number: int) -> None:
        with db.writer() as session:
            service_statuses.record(session, [
                {"instance_id": ident, "status": "HEALTHY", "description": "",
                 "sequence": number + 1, "sent_at": 1.0, "updated_at": utcnow(),
                 "agent_version": "", "volume_total": 1, "volume_used": 1, "details": {},
                 "steady": 15.0}
                for ident in instances])

    at_once(4, beat)
    with db.reader() as session:
        for ident in instances:
            row = service_statuses.get(session, ident)
            assert row is not None
            assert row.sequence == 4


def test_reports_at_once_count_once(db: Database, instances: list[str]) -> None:
    operation(db, "op", instances[0])

    @retry_on_db_error
    def report(_number: int) -> bool:
        with db.writer() as session:
            return operation_reports.record(
                session, instances[0], operation_id="op", step="prepare",
                state=ReportState.SUCCEEDED, sequence=1, percent=100, result={}, error="",
                now=utcnow())

    assert sum(at_once(5, report)) == 1
