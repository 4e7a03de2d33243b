"""What a scrape of a taskmanager says after real operations."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.functional.operations.conftest import RESOURCE, Bench
from tests.scrape import Scrape
from trove_ng.cloud.errors import CloudUnavailable
from trove_ng.common import metrics as m
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.db.repositories import operations
from trove_ng.db.trouble import StoreAway
from trove_ng.operations.engine import Engine
from trove_ng.operations.lease import LeaseKeeper
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.work import StepFailed, Work
from trove_ng.taskmanager.manager import Manager

Maker = Callable[..., Step]


class Numbers:
    """A recorder whose numbers can be read."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.recorder = PrometheusRecorder(self.registry, m.TASKMANAGER)

    def of(self, definition: m.Definition) -> dict[tuple[str, ...], float]:
        """Return what was counted of a metric, by its labels in their order."""
        return {tuple(dict(labels)[one] for one in definition.labels): value
                for (name, labels), value in Scrape.of(self.registry).counts().items()
                if name == definition.name}


@pytest.fixture
def numbers(bench: Bench) -> Numbers:
    """The numbers of the bench's taskmanager."""
    made = Numbers()
    bench.tools = dataclasses.replace(bench.tools, recorder=made.recorder)
    return made


def run(bench: Bench, *steps: Step) -> None:
    lease = bench.claim(bench.submit())
    assert lease is not None
    bench.run(lease, *steps)


def test_steps_and_the_end_of_an_operation_are_counted(
        bench: Bench, numbers: Numbers, step: Maker) -> None:
    run(bench, step("one", lambda _work: time.sleep(0.06)), step("two"))
    assert numbers.of(m.STEP_TIME) == {("test.run", "one", "succeeded"): 1,
                                       ("test.run", "two", "succeeded"): 1}
    assert numbers.of(m.OPERATION_TIME) == {("test.run", "SUCCEEDED"): 1}
    assert numbers.of(m.CLAIMS) == {("test.run", "first"): 1}
    found = Scrape.of(numbers.registry)
    took = found.get(f"{m.STEP_TIME.name}_sum", action="test.run", step="one",
                     outcome="succeeded")
    assert took is not None
    assert took >= 0.06
    assert found.sum(f"{m.OPERATION_TIME.name}_sum") >= took


def test_the_way_back_is_counted(bench: Bench, numbers: Numbers, step: Maker) -> None:
    def fail(_work: Work) -> None:
        raise StepFailed("no")

    run(bench, step("one", undo=lambda _work: None), step("two", undo=fail),
        step("three", fail))
    assert numbers.of(m.STEP_TIME) == {
        ("test.run", "one", "succeeded"): 1, ("test.run", "two", "succeeded"): 1,
        ("test.run", "three", "failed"): 1, ("test.run", "two", "undo_failed"): 1,
        ("test.run", "one", "undone"): 1,
        # what a failed step began is undone too
        ("test.run", "three", "undone"): 1}
    assert numbers.of(m.OPERATION_TIME) == {("test.run", "FAILED"): 1}


def test_a_cancelled_operation_is_counted_as_such(
        bench: Bench, numbers: Numbers, step: Maker) -> None:
    lease = bench.claim(bench.submit())
    assert lease is not None
    bench.run(lease, step("one", lambda work: bench.cancel(work.id)), step("two"),
              cancellable=True)
    assert numbers.of(m.OPERATION_TIME) == {("test.run", "CANCELLED"): 1}


def test_tries_while_the_cloud_is_away_are_counted(
        bench: Bench, numbers: Numbers, step: Maker) -> None:
    bench.tools.conf.set_override("step_retry_interval", 0, group="operations")
    away = [1, 2]

    def unsteady(_work: Work) -> None:
        if away:
            away.pop()
            raise CloudUnavailable("away")

    run(bench, step("one", unsteady))
    assert numbers.of(m.STEP_RETRIES) == {("test.run", "one"): 2}
    assert numbers.of(m.STEP_TIME) == {("test.run", "one", "succeeded"): 1}


def test_an_unknown_action_counts_as_failed(bench: Bench, numbers: Numbers) -> None:
    lease = bench.claim(bench.submit())
    assert lease is not None
    Engine(bench.tools, {}).run(lease)
    assert numbers.of(m.OPERATION_TIME) == {("test.run", "FAILED"): 1}


class Taskmanager:
    """A manager with one run-book of one step."""

    def __init__(self, bench: Bench, numbers: Numbers, do: Callable[[Work], None],
                 lease: float = 30) -> None:
        def nothing(*_arguments: Any) -> None:
            """Nothing else is written."""

        book = Runbook("test.run", (Step("one", do),), nothing, nothing)
        self.keeper = LeaseKeeper(bench.db, bench.clock, f"tm-{id(self)}", lease)
        self.manager = Manager(
            bench.db, bench.clock, self.keeper, Engine(bench.tools, {"test.run": book}).run,
            2, numbers.recorder)
        self.keeper.start()

    def stop(self) -> None:
        self.manager.stop()
        self.keeper.stop()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_operation_that_is_handed_over_is_a_takeover_for_the_next(
        bench: Bench, numbers: Numbers) -> None:
    begun = threading.Event()

    def wait(work: Work) -> None:
        begun.set()
        work.lease.sleep(30)

    first = Taskmanager(bench, numbers, wait)
    ident = bench.submit()
    first.manager.take(ident)
    assert begun.wait(10)
    first.stop()
    assert numbers.of(m.ABANDONED) == {("shutdown",): 1}
    assert numbers.of(m.STEP_TIME) == {("test.run", "one", "abandoned"): 1}
    second = Taskmanager(bench, numbers, lambda _work: None)
    second.manager.take(ident)
    until(lambda: bench.row(ident).status == "SUCCEEDED")
    second.stop()
    assert numbers.of(m.CLAIMS) == {("test.run", "first"): 1, ("test.run", "takeover"): 1}
    assert numbers.of(m.OPERATION_TIME) == {("test.run", "SUCCEEDED"): 1}


def test_a_lease_that_another_worker_took_is_lost(bench: Bench, numbers: Numbers) -> None:
    def lose(_work: Work) -> None:
        with bench.db.writer() as session:
            operations.cancel_live(session, RESOURCE, bench.clock.now())

    taskmanager = Taskmanager(bench, numbers, lose)
    taskmanager.manager.take(bench.submit())
    until(lambda: bool(numbers.of(m.ABANDONED)))
    taskmanager.stop()
    assert numbers.of(m.ABANDONED) == {("lease_lost",): 1}
    assert numbers.of(m.OPERATION_TIME) == {}


def test_a_lease_that_cannot_be_prolonged_expires(
        bench: Bench, numbers: Numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_arguments: Any) -> None:
        raise StoreAway

    monkeypatch.setattr("trove_ng.db.repositories.operations.renew", away)
    taskmanager = Taskmanager(bench, numbers, lambda work: work.lease.sleep(30), lease=0.3)
    taskmanager.manager.take(bench.submit())
    until(lambda: bool(numbers.of(m.ABANDONED)))
    taskmanager.stop()
    assert numbers.of(m.ABANDONED) == {("lease_expired",): 1}


def test_an_operation_is_left_when_the_store_is_away(bench: Bench, numbers: Numbers) -> None:
    def away(_work: Work) -> None:
        raise StoreAway

    taskmanager = Taskmanager(bench, numbers, away)
    taskmanager.manager.take(bench.submit())
    until(lambda: bool(numbers.of(m.ABANDONED)))
    taskmanager.stop()
    assert numbers.of(m.ABANDONED) == {("store_away",): 1}
    assert numbers.of(m.STEP_TIME) == {("test.run", "one", "abandoned"): 1}
