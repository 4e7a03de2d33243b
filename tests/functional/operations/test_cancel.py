"""Cancelling an operation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.functional.operations.conftest import RESOURCE, Bench
from trove_ng.db.repositories import events
from trove_ng.operations.lease import Abandoned, Lease, LeaseKeeper
from trove_ng.operations.runbook import Step
from trove_ng.operations.work import CANCELLED, Work

Maker = Callable[..., Step]


def claimed(bench: Bench, ident: str, owner: str = "one", lease: float = 30) -> Lease:
    found = bench.claim(ident, owner, lease)
    assert found is not None
    return found


def test_an_operation_is_cancelled_at_the_end_of_its_step(
        bench: Bench, step: Maker, said: list[str]) -> None:
    ident = bench.submit()
    bench.run(claimed(bench, ident), step("one", lambda work: bench.cancel(work.id)),
              step("two"), cancellable=True)
    assert said == ["one", "undo one"]
    row = bench.row(ident)
    assert (row.status, row.error, row.live_key) == ("CANCELLED", CANCELLED, None)
    assert bench.ended == [("failed", CANCELLED)]


def test_a_step_that_waits_is_cancelled_by_the_keeper_of_its_lease(
        bench: Bench, step: Maker, said: list[str]) -> None:
    def wait(work: Work) -> None:
        bench.cancel(work.id)
        work.wait("the end of the test", lambda: None, timeout=10)

    ident = bench.submit()
    keeper = LeaseKeeper(bench.db, bench.clock, "one", 3)
    keeper.start()
    try:
        lease = keeper.claim(ident)
        assert lease is not None
        bench.run(lease, step("one", wait), cancellable=True)
    finally:
        keeper.stop()
    assert said == ["one", "undo one"]
    assert bench.row(ident).status == "CANCELLED"


def test_an_operation_that_nobody_runs_yet_is_cancelled_too(
        bench: Bench, step: Maker, said: list[str]) -> None:
    ident = bench.submit()
    bench.cancel(ident)
    bench.run(claimed(bench, ident), step("one"), cancellable=True)
    assert said == ["undo one"]
    assert bench.row(ident).status == "CANCELLED"


@pytest.mark.parametrize("point", ["done one", "written one", "before two", "done two"])
def test_what_was_accepted_is_cancelled_whenever_it_was_asked(
        bench: Bench, step: Maker, said: list[str], point: str) -> None:
    """Also between two steps, the second of which is final, and at the end of the last one."""
    ident = bench.submit()
    bench.run(claimed(bench, ident), step("one"),
              step("two", final="two" not in point), cancellable=True,
              observe=lambda work, passed: bench.cancel(work.id) if passed == point else None)
    assert said[-1] == "undo one"
    assert bench.row(ident).status == "CANCELLED"


def test_what_was_cancelled_is_told_as_such(bench: Bench, step: Maker) -> None:
    ident = bench.submit()
    bench.cancel(ident)
    bench.run(claimed(bench, ident), step("one"), cancellable=True)
    with bench.db.connection() as reader:
        told = events.page(reader, RESOURCE, limit=10)
    assert [one.kind for one in told] == [
        "operation.cancelled", "operation.started", "operation.accepted"]


@pytest.mark.parametrize("final", ["two", None])
def test_what_may_not_be_cancelled_goes_on(
        bench: Bench, step: Maker, said: list[str], final: str | None) -> None:
    ident = bench.submit()
    bench.run(claimed(bench, ident), step("one"),
              step("two", lambda work: bench.cancel(work.id), final=final is not None),
              step("three"), cancellable=final is not None)
    assert said == ["one", "two", "three"]
    assert bench.row(ident).status == "SUCCEEDED"


def test_the_next_worker_knows_that_it_undoes_a_cancelled_operation(
        bench: Bench, step: Maker, said: list[str]) -> None:
    died: list[bool] = []

    def die_once(work: Work) -> None:
        if not died:
            died.append(True)
            raise Abandoned(work.id)

    ident = bench.submit()
    steps = (step("one", lambda work: bench.cancel(work.id), die_once), step("two"))
    with pytest.raises(Abandoned):
        bench.run(claimed(bench, ident, lease=0), *steps, cancellable=True)
    bench.run(claimed(bench, ident, "two"), *steps, cancellable=True)
    assert said[-1] == "undo one"
    assert bench.row(ident).status == "CANCELLED"


def test_the_undoing_of_a_failure_is_not_cancelled(
        bench: Bench, step: Maker, said: list[str]) -> None:
    def fail(work: Work) -> None:
        raise RuntimeError("broken")

    def undo(work: Work) -> None:
        bench.cancel(work.id)
        work.lease.cancel()
        work.check()
        said.append("undone")

    ident = bench.submit()
    bench.run(claimed(bench, ident), step("one", None, undo), step("two", fail),
              cancellable=True)
    assert said[-1] == "undone"
    assert bench.row(ident).status == "FAILED"
