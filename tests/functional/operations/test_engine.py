"""Operations end, whatever happens to those who work on them."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import func, select

from tests.functional.operations.conftest import RESOURCE, Bench
from trove_ng.cloud.session import Clients, Clouds
from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import Conflict, GuestTimeout
from trove_ng.common.secret import Secret
from trove_ng.db.models import Operation, OperationRecord
from trove_ng.db.repositories import events, operations
from trove_ng.db.trouble import StoreAway
from trove_ng.operations.engine import Engine
from trove_ng.operations.lease import Abandoned, Later, LeaseKeeper
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import keys
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.lines import BusAway
from trove_ng.rpc.messages import StepRequest
from trove_ng.rpc.replication_messages import ReplicaAccounts
from trove_ng.rpc.transport import get_transport
from trove_ng.taskmanager.manager import Manager

Maker = Callable[..., Step]


def fail(message: str) -> Callable[[Work], None]:
    def do(work: Work) -> None:
        raise StepFailed(message)
    return do


def die(work: Work) -> None:
    raise Abandoned(work.id)


def records(bench: Bench) -> int:
    with bench.db.reader() as session:
        return int(session.scalar(select(func.count()).select_from(OperationRecord)) or 0)


def test_all_steps_run_in_order_and_the_operation_succeeds(
        bench: Bench, step: Maker, said: list[str]) -> None:
    ident = bench.submit()
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease, step("one"), step("two"))
    assert said == ["one", "two"]
    row = bench.row(ident)
    assert (row.status, row.percent, row.live_key, row.owner) == ("SUCCEEDED", 100, None, None)
    assert bench.ended == [("succeeded", None)]
    assert records(bench) == 0


def test_a_failure_undoes_what_was_done_and_is_told(
        bench: Bench, step: Maker, said: list[str]) -> None:
    ident = bench.submit()
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease, step("one"), step("two", fail("No valid host was found.")), step("three"))
    assert said == ["one", "two", "undo two", "undo one"]
    row = bench.row(ident)
    assert (row.status, row.error, row.live_key) == ("FAILED", "No valid host was found.", None)
    assert bench.ended == [("failed", "No valid host was found.")]


def test_what_was_undone_is_shown_with_its_time(bench: Bench, step: Maker) -> None:
    ident = bench.submit()
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease, step("one"), Step("kept", lambda work: None), step("stuck", undo=fail("no")),
              step("last", fail("why")))
    with bench.db.reader() as session:
        shown = {one.step: (one.state, one.ended_at is not None, one.error)
                 for one in operations.steps(session, ident)}
    assert shown == {
        "one": ("UNDONE", True, None), "kept": ("SUCCEEDED", True, None),
        "stuck": ("LEFT", True, "no"), "last": ("FAILED", True, "why")}


def test_an_unexpected_error_is_told_without_its_text(bench: Bench, step: Maker) -> None:
    def explode(work: Work) -> None:
        raise RuntimeError("password=hunter2")

    ident = bench.submit()
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease, step("one", explode))
    row = bench.row(ident)
    assert row.error == "An unexpected error (RuntimeError) occurred at step one."


def test_an_undo_that_fails_does_not_stop_the_others(
        bench: Bench, step: Maker, said: list[str]) -> None:
    ident = bench.submit()
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease, step("one"), step("two", undo=fail("stuck")), step("three", fail("why")))
    assert said[-3:] == ["undo three", "undo two", "undo one"]
    assert bench.row(ident).error == "why"


def test_another_worker_goes_on_where_a_dead_one_stopped(
        bench: Bench, step: Maker, said: list[str]) -> None:
    ident = bench.submit()
    first = bench.claim(ident, lease=0)
    assert first is not None
    with pytest.raises(Abandoned):
        bench.run(first, step("one"), step("two", die), step("three"))
    second = bench.claim(ident, "two")
    assert second is not None
    bench.run(second, step("one"), step("two"), step("three"))
    assert said == ["one", "two", "two", "three"]
    assert bench.row(ident).status == "SUCCEEDED"


def test_another_worker_goes_on_undoing(
        bench: Bench, step: Maker, said: list[str]) -> None:
    ident = bench.submit()
    first = bench.claim(ident, lease=0)
    assert first is not None
    with pytest.raises(Abandoned):
        bench.run(first, step("one"), step("two", undo=die), step("three", fail("why")))
    second = bench.claim(ident, "two")
    assert second is not None
    bench.run(second, step("one"), step("two"), step("three"))
    assert said == ["one", "two", "three", "undo three", "undo two", "undo two", "undo one"]
    assert bench.ended == [("failed", "why")]
    assert bench.row(ident).status == "FAILED"


@pytest.mark.parametrize("good", [True, False])
def test_a_worker_that_dies_before_the_last_write_is_replaced(
        bench: Bench, step: Maker, said: list[str], good: bool,
        monkeypatch: pytest.MonkeyPatch) -> None:
    ident = bench.submit()
    first = bench.claim(ident, lease=0)
    assert first is not None
    end = operations.end

    def dying(*_args: Any) -> None:
        raise Abandoned(ident)

    steps = [step("one"), step("two", None if good else fail("why"))]
    with monkeypatch.context() as patch:
        patch.setattr(operations, "end", dying)
        with pytest.raises(Abandoned):
            bench.run(first, *steps)
    assert operations.end is end
    done = list(said)
    bench.ended.clear()
    second = bench.claim(ident, "two")
    assert second is not None
    bench.run(second, *steps)
    assert said == done
    assert bench.ended == [("succeeded", None) if good else ("failed", "why")]


def test_a_worker_without_the_lease_writes_nothing(
        bench: Bench, step: Maker, said: list[str]) -> None:
    ident = bench.submit()
    first = bench.claim(ident, lease=0)
    assert first is not None

    def lose(work: Work) -> None:
        assert bench.claim(ident, "two") is not None

    with pytest.raises(Abandoned):
        bench.run(first, step("one", lose), step("two"))
    row = bench.row(ident)
    assert said == ["one"]
    assert (row.status, row.owner, row.fence) == ("RUNNING", "two", 2)
    assert first.ended


def test_a_lease_is_held_by_one(bench: Bench) -> None:
    ident = bench.submit()
    assert bench.claim(ident, "one") is not None
    assert bench.claim(ident, "two") is None


def test_a_resource_has_one_live_operation(bench: Bench) -> None:
    bench.submit()
    with pytest.raises(Conflict, match=RESOURCE):
        bench.submit()


def test_an_operation_that_supersedes_takes_the_lease_away(bench: Bench, step: Maker) -> None:
    first = bench.submit()
    lease = bench.claim(first)
    assert lease is not None
    second = bench.submit(supersede=True)
    with pytest.raises(Abandoned):
        bench.run(lease, step("one"))
    assert bench.row(first).status == "CANCELLED"
    assert bench.row(second).status == "PENDING"


def test_work_after_the_deadline_fails(bench: Bench, step: Maker, said: list[str]) -> None:
    ident = bench.submit()
    with bench.db.writer() as session:
        row = operations.get(session, ident)
        assert row is not None
        row.deadline_at = bench.clock.now() - datetime.timedelta(seconds=1)
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease, step("one"))
    assert said == ["undo one"]
    assert bench.row(ident).error == "test.run took too long."


def test_a_wait_ends_with_its_time(bench: Bench, step: Maker) -> None:
    def wait(work: Work) -> None:
        work.wait("the server", lambda: None, timeout=0.05)

    ident = bench.submit()
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease, step("one", wait))
    assert bench.row(ident).error == "Timed out waiting for the server."


def test_secrets_reach_the_steps_and_are_erased_at_the_end(bench: Bench, step: Maker) -> None:
    seen: dict[str, Secret] = {}
    ident = bench.submit({"root": Secret("s3cret-word")})
    stored = bench.row(ident).secrets
    assert stored and "s3cret-word" not in stored
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease, step("one", lambda work: seen.update(work.secrets())))
    assert seen["root"].reveal() == "s3cret-word"
    assert bench.row(ident).secrets is None


def test_an_unknown_action_fails(bench: Bench) -> None:
    ident = bench.submit()
    with bench.db.writer() as session:
        row = session.get(Operation, ident)
        assert row is not None
        row.action = "instance.paint"
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease)
    assert bench.row(ident).error == "instance.paint is not known to any taskmanager."


def test_what_only_a_newer_release_knows_is_left_to_it(bench: Bench) -> None:
    """It ends here when even the time to clean up after it is over."""
    ident = bench.submit()
    older = LeaseKeeper(bench.db, bench.clock, "older", 30, operations.Skills({"test.walk"}, 60))
    newer = LeaseKeeper(bench.db, bench.clock, "newer", 30, operations.Skills({"test.run"}, 60))

    def deadline(seconds: float) -> None:
        with bench.db.writer() as session:
            operations.note(session, ident, deadline_at=bench.clock.now() + datetime.timedelta(
                seconds=seconds))

    for seconds in (3600, -30):
        deadline(seconds)
        assert older.claimable(5) == []
        assert older.claim(ident) is None
        assert newer.claimable(5) == [ident]
    assert bench.row(ident).status == "PENDING"
    deadline(-61)
    assert older.claimable(5) == [ident]
    lease = older.claim(ident)
    assert lease is not None
    Engine(bench.tools, {}).run(lease)
    assert (bench.row(ident).status, bench.row(ident).live_key) == ("FAILED", None)


def test_a_keeper_prolongs_and_tells_of_a_loss(bench: Bench) -> None:
    ident = bench.submit()
    keeper = LeaseKeeper(bench.db, bench.clock, "one", 1.5)
    keeper.start()
    try:
        lease = keeper.claim(ident)
        assert lease is not None
        lease.sleep(2.5)
        assert bench.claim(ident, "two") is None, "the lease was prolonged"
        with bench.db.writer() as session:
            operations.cancel_live(session, RESOURCE, bench.clock.now())
        with pytest.raises(Abandoned):
            lease.sleep(5)
    finally:
        keeper.stop()


class HandClock(SystemClock):
    """A clock whose monotonic time is set by hand."""

    time = 0.0

    def monotonic(self) -> float:
        return self.time


def test_a_lease_that_is_not_prolonged_ends_by_itself(bench: Bench) -> None:
    clock = HandClock()
    keeper = LeaseKeeper(bench.db, clock, "one", 30)
    lease = keeper.claim(bench.submit())
    assert lease is not None
    clock.time = 26.0
    lease.check()
    clock.time = 28.0
    with pytest.raises(Abandoned):
        lease.check()
    lease.prolong(100.0)
    assert lease.ended, "others may have begun"


def test_a_worker_whose_lease_is_over_calls_nobody(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = bench.submit()
    clock, asked = HandClock(), []
    keeper = LeaseKeeper(bench.db, clock, "one", 30)
    lease = keeper.claim(ident)
    assert lease is not None
    client = SimpleNamespace(list_ports=lambda **_: asked.append("ports") or {"ports": []})
    clouds = Clouds(bench.tools.conf, cast(Clients, SimpleNamespace(
        neutron=client, patience=SimpleNamespace(tries=3), region="RegionOne",
        session=SimpleNamespace(get_project_id=lambda: "p"))))
    tools = dataclasses.replace(
        bench.tools, clouds=clouds,
        guests=lambda instance_id, context=None: GuestClient(
            bench.tools.conf, get_transport(bench.tools.conf, "fake://"), cast(keys.Keys, None),
            keys.TASKMANAGER, instance_id))
    work = Work(tools, bench.row(ident), lease)
    work.tools.clouds.network.find_ports(RESOURCE)
    guest = work.tools.guests(RESOURCE)
    monkeypatch.setattr(guest, "_client", SimpleNamespace(
        call=lambda _method, request, *_more: asked.append(request)))
    guest.stop_db(StepRequest(operation_id=ident, step="stop"))
    guest.set_replica_accounts(ReplicaAccounts(keep=[]))
    clock.time = 60.0
    with pytest.raises(Abandoned):
        work.tools.clouds.network.find_ports(RESOURCE)
    with pytest.raises(Abandoned):
        guest.stop_db(StepRequest(operation_id=ident, step="stop"))
    assert asked == [
        "ports", StepRequest(operation_id=ident, step="stop", fence=1, word=1),
        ReplicaAccounts(keep=[], operation_id=ident, fence=1, word=2)]


def test_the_way_of_an_operation_is_told(bench: Bench, step: Maker) -> None:
    points: list[str] = []

    def observe(_work: Work, point: str) -> None:
        points.append(point)

    for fails in (False, True):
        lease = bench.claim(bench.submit())
        assert lease is not None
        bench.run(lease, step("one"), step("two", fail("why") if fails else None),
                  observe=observe)
    assert points == [
        "before one", "done one", "written one", "before two", "done two", "written two",
        "end", "ended",
        "before one", "done one", "written one", "before two", "undo two", "undone two",
        "undo one", "undone one", "end", "ended"]
def test_a_holder_stops_before_others_may_begin_when_the_store_is_frozen(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = bench.submit()
    keeper = LeaseKeeper(bench.db, bench.clock, "one", 0.6)
    thawed = threading.Event()

    def hang(*_args: Any) -> set[str]:
        thawed.wait(30)
        raise StoreAway

    monkeypatch.setattr(operations, "renew", hang)
    keeper.start()
    try:
        lease = keeper.claim(ident)
        assert lease is not None
        with pytest.raises(Abandoned):
            lease.sleep(20)
        # renewing hangs still: nobody told the holder
        assert not thawed.is_set()
        with pytest.raises(Abandoned), lease.writer(bench.db):
            raise AssertionError("the holder wrote")
    finally:
        thawed.set()
        keeper.stop()


def test_an_operation_that_cannot_even_be_undone_ends_some_time(
        bench: Bench, step: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("the records are damaged")

    monkeypatch.setattr("trove_ng.operations.engine.engines.load", broken)
    ident = bench.submit()
    lease = bench.claim(ident, lease=0)
    assert lease is not None
    with pytest.raises(RuntimeError):
        bench.run(lease, step("one"))
    assert bench.row(ident).status == "RUNNING"
    with bench.db.writer() as session:
        row = operations.get(session, ident)
        assert row is not None
        row.deadline_at = bench.clock.now() - datetime.timedelta(days=1)
    second = bench.claim(ident, "two")
    assert second is not None
    bench.run(second, step("one"))
    assert bench.row(ident).status == "FAILED"
    assert bench.ended == [("failed", "test.run took too long.")]


def test_a_store_that_is_away_fails_nothing(
        bench: Bench, step: Maker, said: list[str]) -> None:
    away = [True]

    def need_the_store(work: Work) -> None:
        if away:
            raise StoreAway()

    ident = bench.submit()
    first = bench.claim(ident, lease=0)
    assert first is not None
    with pytest.raises(Abandoned):
        bench.run(first, step("one"), step("two", need_the_store))
    assert (bench.row(ident).status, bench.row(ident).error) == ("RUNNING", None)
    away.clear()
    second = bench.claim(ident, "two")
    assert second is not None
    bench.run(second, step("one"), step("two", need_the_store))
    assert said == ["one", "two", "two"]
    assert bench.row(ident).status == "SUCCEEDED"


@pytest.mark.parametrize("error", [
    BusAway(), GuestTimeout("no answer"), Conflict("The guest agent works on step restart.")])
def test_a_step_waits_for_a_bus_that_is_away_and_for_an_agent_that_is_at_it(
        bench: Bench, step: Maker, said: list[str], error: Exception) -> None:
    bench.tools.conf.set_override("step_retry_interval", 0.01, group="operations")
    # more often than a cloud's service would be tried
    away = [error] * (bench.tools.conf.operations.step_tries + 2)

    def ask(work: Work) -> None:
        if away:
            raise away.pop()

    ident = bench.submit()
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease, step("one"), step("two", ask))
    assert bench.row(ident).status == "SUCCEEDED"
    assert not away


def test_an_agent_that_never_answers_fails_the_step(bench: Bench, step: Maker) -> None:
    def ask(work: Work) -> None:
        raise GuestTimeout("no answer")

    bench.tools.conf.set_override("guest_long_call_timeout", 1)
    bench.tools.conf.set_override("step_retry_interval", 0.1, group="operations")
    ident = bench.submit()
    lease = bench.claim(ident)
    assert lease is not None
    bench.run(lease, step("one", ask))
    assert (bench.row(ident).status, bench.row(ident).error) == ("FAILED", "no answer")


def test_one_that_waits_for_others_gives_its_lease_back(
        bench: Bench, step: Maker, said: list[str]) -> None:
    """Whoever takes it then begins the step again, and counts that as the same attempt."""
    ended: list[bool] = []
    books = {"test.run": Runbook("test.run", (
        step("one"), step("two", lambda work: work.wait_for_others(
            "the others", lambda: True if ended else None)), step("three")),
        lambda work, session: None, lambda work, session, why: None)}
    ident = bench.submit()
    keeper = LeaseKeeper(bench.db, bench.clock, "one", 30)
    manager = Manager(bench.db, bench.clock, keeper, Engine(bench.tools, books).run, 1)
    bench.tools.conf.set_override("others_interval_max", 0.01, group="operations")

    def look() -> str:
        time.sleep(0.02)
        manager.sweep()
        while manager._taken:
            time.sleep(0.01)
        return bench.row(ident).status

    assert [look(), look()] == ["RUNNING"] * 2
    row = bench.row(ident)
    assert (row.owner, row.attempts, row.fence) == (None, 1, 2)
    ended.append(True)
    assert look() == "SUCCEEDED"
    manager.stop()
    assert said == ["one", "two", "two", "two", "three"]
    with bench.db.reader() as session:
        assert [one.attempts for one in operations.steps(session, ident)] == [1, 1, 1]
        told = [one.kind for one in events.page(session, RESOURCE, limit=10)]
    assert told == ["operation.succeeded", "operation.started", "operation.accepted"]


def test_one_that_waits_for_others_does_so_until_its_deadline(
        bench: Bench, step: Maker) -> None:
    ident = bench.submit()
    first = bench.claim(ident)
    assert first is not None

    def wait(work: Work) -> None:
        work.wait_for_others("the others", lambda: None)

    with pytest.raises(Later):
        bench.run(first, step("one", wait))
    with bench.db.writer() as session:
        operations.give_back(session, ident, first.fence, bench.clock.now())
        operations.note(session, ident,
                        deadline_at=bench.clock.now() - datetime.timedelta(seconds=1))
    second = bench.claim(ident, "two")
    assert second is not None
    bench.run(second, step("one", wait))
    assert (bench.row(ident).status, bench.row(ident).error) == (
        "FAILED", "test.run took too long.")
