"""Events, duties and the comparison's statements on every kind of store."""

from __future__ import annotations

import concurrent.futures
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from tests import stores
from tests.stores import add_version
from trove_ng.common.clock import SystemClock, utcnow
from trove_ng.common.crypto import SecretBox
from trove_ng.common.states import EventKind
from trove_ng.db.models import (
    Backup,
    Duty,
    Event,
    Instance,
    InstanceKey,
    LogArchive,
    Operation,
    QuotaUsage,
    Reservation,
    ServiceStatusRow,
)
from trove_ng.db.repositories import (
    duties,
    events,
    instance_keys,
    operations,
    quotas,
    reconciliation,
    sealed,
    service_statuses,
)
from trove_ng.db.session import Database, add_if_new, retry_on_db_error
from trove_ng.taskmanager.heartbeats import HeartbeatWatch

COUNT = 30


@pytest.fixture(params=stores.KINDS)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A store of each kind with instances ``i00`` to ``i29``, all HEALTHY."""
    with stores.emptied(stores.store_conf(
            stores.url(request.param, request, tmp_path))) as made:
        with made.writer() as session:
            add_version(session)
            for number in range(COUNT):
                session.add(Instance(id=f"i{number:02}", name="x", tenant_id="t", flavor_id="1",
                                     flavor_ram=10, volume_size=2, datastore_version_id="v"))
            session.flush()
            for number in range(COUNT):
                session.add(ServiceStatusRow(instance_id=f"i{number:02}", status="HEALTHY",
                                             sequence=1, updated_at=utcnow()))
                session.add(InstanceKey(instance_id=f"i{number:02}", encrypted_key="x"))
        yield made


def at_once(number: int, work: Callable[[int], Any]) -> list[Any]:
    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        return list(pool.map(work, range(number)))


def told(db: Database, kind: EventKind) -> int:
    with db.reader() as session:
        return int(session.scalar(select(func.count()).where(Event.kind == kind)) or 0)


def test_conductors_at_once_tell_each_change_of_status_once(db: Database) -> None:
    @retry_on_db_error
    def beat(worker: int) -> None:
        with db.writer() as session:
            service_statuses.record(session, [
                {"instance_id": f"i{number:02}", "status": "CRASHED", "description": "",
                 "sequence": 2 + worker, "sent_at": 1.0, "updated_at": utcnow(),
                 "agent_version": "1", "volume_total": 1, "volume_used": 1, "details": {},
                 "steady": 15.0}
                # each in another order
                for number in ((one * 7 + worker) % COUNT for one in range(COUNT))])

    at_once(6, beat)
    assert told(db, EventKind.DATABASE_STATUS) == COUNT
    with db.reader() as session:
        states = set(session.scalars(select(ServiceStatusRow.status)))
    assert states == {"CRASHED"}


def test_watchers_at_once_tell_each_silence_once(db: Database) -> None:
    with db.writer() as session:
        session.execute(update(ServiceStatusRow).values(
            updated_at=utcnow() - datetime.timedelta(seconds=90)))
    at_once(4, lambda _: HeartbeatWatch(db, SystemClock(), 60).run())
    assert told(db, EventKind.HEARTBEAT_LOST) == COUNT


def test_a_duty_is_taken_by_one(db: Database) -> None:
    now = utcnow()

    @retry_on_db_error
    def take(worker: int) -> bool:
        with db.writer() as session:
            return duties.take(session, "duty", f"w{worker}", now, 60)

    assert sum(at_once(8, take)) == 1
    later = now + datetime.timedelta(seconds=61)

    @retry_on_db_error
    def take_over(worker: int) -> bool:
        with db.writer() as session:
            return duties.take(session, "duty", f"n{worker}", later, 60)

    assert sum(at_once(8, take_over)) == 1


def test_events_are_paged_and_removed(db: Database) -> None:
    start = utcnow()
    for number in range(30):
        with db.writer() as session:
            events.add(session, EventKind.FAULT, str(number),
                       start + datetime.timedelta(microseconds=number), tenant_id="t",
                       resource_id="i00")
    seen: list[str] = []
    marker = None
    while True:
        with db.reader() as session:
            found = events.page(session, "i00", limit=7, marker=marker)
        seen += [one.message for one in found[:7]]
        if len(found) <= 7:
            break
        marker = found[6].id
    assert seen == [str(number) for number in reversed(range(30))]
    with db.writer() as session:
        removed = events.purge(session, start + datetime.timedelta(microseconds=20), 15)
        removed_more = events.purge(session, start + datetime.timedelta(microseconds=20), 15)
    assert (removed, removed_more, told(db, EventKind.FAULT)) == (15, 5, 10)


def test_what_is_known_of_instances(db: Database) -> None:
    ended = utcnow() - datetime.timedelta(hours=1)
    with db.writer() as session:
        session.execute(update(Instance).where(Instance.id == "i02").values(region_id="there"))
        for ident, live, status in (("a", None, "SUCCEEDED"), ("b", "i01", "RUNNING")):
            session.add(Operation(
                id=ident, action="instance.restart", resource_type="instance", status=status,
                resource_id="i00" if live is None else live, live_key=live, tenant_id="t",
                ended_at=ended if live is None else None))
    with db.reader() as session:
        rows = reconciliation.existing(session, "here", unnamed=True)
        some = reconciliation.of(session, {"i00", "nowhere"})
    assert len(rows) == COUNT - 1
    assert "i02" not in rows
    assert (rows["i00"].live, rows["i00"].worked_at, rows["i00"].has_key) == (False, ended, True)
    assert (bool(rows["i01"].live), rows["i01"].worked_at) == (True, None)
    assert list(some) == ["i00"]


def test_regions_are_looked_at_for_a_while_after_their_last_instance(db: Database) -> None:
    now = utcnow()
    with db.writer() as session:
        for ident, region, deleted_at in (
                ("i01", "used", None), ("i02", "left", now - datetime.timedelta(days=2)),
                ("i03", "gone", now - datetime.timedelta(days=4))):
            session.execute(update(Instance).where(Instance.id == ident).values(
                region_id=region, deleted=deleted_at is not None, deleted_at=deleted_at))
    with db.reader() as session:
        found = reconciliation.regions(session, now - datetime.timedelta(days=3))
    assert found == {"used", "left"}


def test_work_that_nobody_does_is_found_and_ended_but_not_the_other(db: Database) -> None:
    with db.writer() as session:
        session.execute(update(Instance).where(Instance.id.in_(["i00", "i01"])).values(
            task="RESIZING"))
        session.add(Operation(id="b", action="instance.resize_volume", resource_type="instance",
                              status="RUNNING", resource_id="i01", live_key="i01",
                              tenant_id="t"))
        session.add(Backup(id="bk", name="b", tenant_id="t", state="SAVING", instance_id="i00",
                           datastore_version_id="v"))
    with db.writer() as session:
        assert [one.id for one in reconciliation.stuck_instances(session)] == ["i00"]
        assert [one.id for one in reconciliation.stuck_backups(session)] == ["bk"]
        assert reconciliation.clear_task(session, "i00", "RESIZING", "")
        assert not reconciliation.clear_task(session, "i01", "RESIZING", "")
        assert reconciliation.fail_backup(session, "bk", "SAVING", "FAILED", "why")
        assert not reconciliation.fail_backup(session, "bk", "SAVING", "FAILED", "why")
        assert not reconciliation.stuck_instances(session)
        assert not reconciliation.stuck_backups(session)


def test_keys_and_waiting_operations(db: Database) -> None:
    now = utcnow()
    with db.writer() as session:
        session.execute(update(Instance).where(Instance.id == "i03").values(deleted=True))
        session.add(Operation(
            id="w", action="instance.restart", resource_type="instance", resource_id="i04",
            live_key="i04", tenant_id="t", status=operations.PENDING, created=now, updated=now))
    with db.writer() as session:
        assert [one.id for one in reconciliation.keys_of_deleted(session)] == ["i03"]
        assert reconciliation.delete_key_of_deleted(session, "i03")
        assert not reconciliation.delete_key_of_deleted(session, "i04")
        assert reconciliation.waiting(session, now) == (0, None)
        assert reconciliation.waiting(session, now + datetime.timedelta(seconds=1)) == (1, "w")


def test_what_could_not_be_deleted(db: Database) -> None:
    then = utcnow().replace(microsecond=0) - datetime.timedelta(hours=1)
    with db.writer() as session:
        session.execute(update(Instance).where(Instance.id.in_(("i03", "i04"))).values(
            error="DELETE"))
        session.execute(update(Instance).where(Instance.id == "i05").values(
            error="DELETE", deleted=True))
        session.add(Backup(id="bk", name="b", tenant_id="t", instance_id="i06",
                           state="DELETE_FAILED"))
        for number, (action, resource, live) in enumerate((
                ("instance.delete", "i03", None), ("instance.force_delete", "i03", None),
                ("instance.restart", "i03", None), ("instance.delete", "i04", "i04"),
                ("backup.delete", "bk", None))):
            session.add(Operation(
                id=f"o{number}", action=action, resource_type="instance", resource_id=resource,
                live_key=live, tenant_id="t", created=then, updated=then,
                status=operations.RUNNING if live else operations.FAILED,
                ended_at=None if live else then + datetime.timedelta(minutes=number)))
    with db.reader() as session:
        assert [(row.kind, row.id, row.instance_id, row.failures, row.failed_at)
                for row in reconciliation.undeleted(session)] == [
            ("instance", "i03", "i03", 2, then + datetime.timedelta(minutes=1)),
            ("backup", "bk", "i06", 1, then + datetime.timedelta(minutes=4))]


def test_operations_are_taken_in_the_order_in_which_they_became_free(db: Database) -> None:
    now = utcnow()

    def ago(seconds: float) -> datetime.datetime:
        return now - datetime.timedelta(seconds=seconds)

    with db.writer() as session:
        for ident, created, not_before, deadline in (
                ("waits", 90, -5, -900), ("looked", 80, 10, -900), ("new", 20, None, -900),
                ("strange", 70, None, 30), ("late", 60, None, 100)):
            session.add(Operation(
                id=ident, resource_type="instance", resource_id=ident, live_key=ident,
                tenant_id="t", status=operations.PENDING, created=ago(created), updated=now,
                action="known" if ident in ("waits", "looked", "new") else "strange",
                not_before=None if not_before is None else ago(not_before),
                deadline_at=ago(deadline)))
    skills = operations.Skills({"known"}, 60)
    with db.reader() as session:
        assert operations.claimable(session, now, 9, skills) == ["late", "new", "looked"]
        assert operations.claimable(session, now, 9) == ["strange", "late", "new", "looked"]


def test_all_that_is_sealed_is_sealed_anew(db: Database) -> None:
    old, both, new = (SecretBox(secrets, instance_keys.PURPOSE)
                      for secrets in (["old"], ["new", "old"], ["new"]))
    with db.writer() as session:
        session.execute(update(InstanceKey).values(
            encrypted_key=old.seal("k", "i00"), next_key=old.seal("n", "i00")))
        session.execute(delete(InstanceKey).where(InstanceKey.instance_id != "i00"))
        session.add(Backup(id="b", name="b", tenant_id="t", sealed_key=old.seal(
            "b", sealed.BACKUPS.bound("b"))))
        session.add(Backup(id="plain", name="b", tenant_id="t"))
        session.add(LogArchive(instance_id="i00", enabled=True, tenant_id="t", container="c",
                               retention_days=1, sealed_key=old.seal(
                                   "a", sealed.LOG_ARCHIVES.bound("i00"))))
    with db.reader() as session:
        before = session.get_one(Backup, "b").updated
    with db.writer() as session:
        assert [one.reseal(session, both) for one in (
            sealed.GUESTS, sealed.BACKUPS, sealed.LOG_ARCHIVES)] == [1, 1, 1]
        assert sealed.GUESTS.sealed_with(session) == {new.names[0]: 2}
        assert sealed.BACKUPS.sealed_with(session) == {new.names[0]: 1}
    with db.reader() as session:
        key = session.scalars(select(InstanceKey)).one()
        assert (new.open(key.encrypted_key, "i00"), new.open(key.next_key or "", "i00")) == (
            "k", "n")
        row = session.get_one(Backup, "b")
        assert (new.open(row.sealed_key or "", sealed.BACKUPS.bound("b")), row.updated) == (
            "b", before)


def test_a_row_that_is_there_is_not_added_again(db: Database) -> None:
    with db.writer() as session:
        assert add_if_new(session, Duty(name="d", owner="a", until=utcnow()))
    with db.writer() as session:
        # what else the transaction does goes on
        assert not add_if_new(session, Duty(name="d", owner="b", until=utcnow()))
        assert add_if_new(session, Duty(name="e", owner="b", until=utcnow()))
    with db.reader() as session:
        assert session.execute(select(Duty.name, Duty.owner).order_by(Duty.name)).all() == [
            ("d", "a"), ("e", "b")]


def test_quotas_are_compared_and_counted_while_others_reserve(db: Database) -> None:
    truth = {"instances": COUNT, "volumes": 2 * COUNT, "ram": 10 * COUNT}
    with db.writer() as session:
        for resource, used in truth.items():
            session.add(QuotaUsage(tenant_id="t", resource=resource, in_use=used + 5))
    with db.reader() as session:
        found = quotas.differences(session)
    assert found == {"t": {name: (used + 5, used) for name, used in truth.items()}}

    @retry_on_db_error
    def work(worker: int) -> Any:
        if worker % 2:
            with db.writer() as session:
                return quotas.recount_quiet(session, "t")
        with db.writer() as session:
            # as the API accepts a create: the row, the operation, the reservation
            session.add(Instance(id=f"n{worker}", name="x", tenant_id="t", flavor_id="1",
                                 flavor_ram=10, volume_size=2, datastore_version_id="v"))
            session.add(Operation(id=f"n{worker}", action="instance.create", tenant_id="t",
                                  resource_type="instance", resource_id=f"n{worker}",
                                  live_key=f"n{worker}", status="RUNNING"))
            session.flush()
            quotas.reserve(session, "t", f"n{worker}", {"instances": 1, "volumes": 2, "ram": 10},
                           {"instances": -1, "volumes": -1, "ram": -1})
        return None

    at_once(8, work)
    with db.writer() as session:
        for worker in range(0, 8, 2):
            quotas.commit(session, f"n{worker}")
            session.execute(update(Operation).where(Operation.id == f"n{worker}").values(
                live_key=None, status="SUCCEEDED"))
    with db.writer() as session:
        quotas.recount_quiet(session, "t")
    with db.reader() as session:
        assert quotas.differences(session) == {}
        used = quotas.usage(session, "t")
        held = session.scalars(select(Reservation).where(Reservation.status == "RESERVED")).all()
    assert used["instances"] == (COUNT + 4, 0)
    assert not held
