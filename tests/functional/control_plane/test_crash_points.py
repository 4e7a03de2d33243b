"""A worker dies, at every point of every run-book; another one takes over.

A dead worker gives no lease back and cleans nothing up.  By default a part of the points
is tried, each run-book's among them; all with ``TROVE_CRASH_POINTS=all``.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

import pytest

from tests.functional.control_plane.scenarios import SCENARIOS, all_points
from tests.functional.control_plane.world import Worker, World, wait_for
from trove_ng.db.repositories import operations
from trove_ng.operations import payloads
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.work import StepFailed, Work

T = TypeVar("T")
_ALL = os.environ.get("TROVE_CRASH_POINTS") == "all"
_SEED = os.environ.get("TROVE_SEED", "1")


def some(cases: Sequence[T], share: float, at_least: int = 1) -> list[T]:
    """Return a part of the cases, the same ones for the same seed."""
    if _ALL:
        return list(cases)
    choice = random.Random(f"{_SEED} {cases[0]}")
    count = min(len(cases), max(at_least, round(len(cases) * share)))
    return sorted(choice.sample(list(cases), count), key=cases.index)


def _sampled() -> list[tuple[str, bool, str]]:
    found = []
    for action in runbooks():
        for fails in (False, True):
            cases = [one for one in all_points() if one[:2] == (action, fails)]
            found += some(cases, 0.08)
    return found


def test_every_runbook_has_a_scenario() -> None:
    assert set(SCENARIOS) == set(runbooks())


@pytest.mark.parametrize(("action", "fails", "point"), _sampled())
def test_another_worker_ends_what_one_left(world: World, action: str, fails: bool,
                                           point: str) -> None:
    last = runbooks()[action].steps[-1].name

    def stop(_work: Work | None, passed: str) -> bool:
        if fails and passed == f"before {last}":
            raise StepFailed("This fails.")
        return passed == point

    scenario = SCENARIOS[action]
    resource_id, operation_id = scenario.begin(world)
    worker = Worker(world.plane, stop)
    assert worker.run(operation_id, world.manager.sweep), f"never at {point}: {worker.points}"
    worker.expire(operation_id)
    row = world.finish(operation_id)
    assert scenario.check(world, resource_id, operation_id) is not fails, row.error
    worker.end()
    assert scenario.check(world, resource_id, operation_id) is not fails
    world.tidy()


class Calls:
    """Stops at the n-th call of the cloud; calls that are made again and again count once."""

    def __init__(self, when: str, number: int, fails_before: str | None = None) -> None:
        self._when, self._number, self._fails_before = f"{when} ", number, fails_before
        self._last = ""
        self.count = 0
        self.failed = False

    def __call__(self, _work: Work | None, passed: str) -> bool:
        if passed == self._fails_before:
            self.failed = True
            raise StepFailed("This fails.")
        if not passed.startswith(self._when) or passed == self._last:
            return False
        self._last = passed
        self.count += 1
        return self.count == self._number


def _numbers(action: str) -> Iterator[int]:
    """Return which calls to stop at: all until there are no more, or one of the first."""
    if _ALL:
        yield from itertools.count(1)
    yield random.Random(f"{_SEED}{action}").randint(1, 6)


def _ways() -> list[tuple[str, bool]]:
    return [(action, fails) for action, book in runbooks().items() for fails in (False, True)
            if not fails or any(step.undo for step in book.steps)]


@pytest.mark.parametrize(("action", "fails"), some(_ways(), 0.25))
def test_another_worker_ends_what_one_left_after_a_call(
        world: World, action: str, fails: bool) -> None:
    """The cloud did something, and nobody wrote it down."""
    before = f"before {runbooks()[action].steps[-1].name}" if fails else None
    scenario = SCENARIOS[action]
    for number in _numbers(f"{action} {fails}"):
        resource_id, operation_id = scenario.begin(world)
        calls = Calls("call", number, before)
        worker = Worker(world.plane, calls)
        parked = worker.run(operation_id, world.manager.sweep)
        if parked:
            worker.expire(operation_id)
        row = world.finish(operation_id)
        assert scenario.check(world, resource_id, operation_id) is not calls.failed, row.error
        worker.end()
        assert scenario.check(world, resource_id, operation_id) is not calls.failed
        world.tidy()
        if not parked:
            break


@pytest.mark.parametrize("when", ["call", "ask"])
@pytest.mark.parametrize(("action", "fails"), some(_ways(), 0.25))
def test_a_worker_that_comes_back_does_no_more(
        world: World, action: str, fails: bool, when: str) -> None:
    """It was stopped in the middle of a call, for longer than its lease.

    What was on its way to the cloud (``ask``) arrives after all; the reconciliation finds
    what that made.
    """
    before = f"before {runbooks()[action].steps[-1].name}" if fails else None
    scenario = SCENARIOS[action]
    for number in _numbers(f"{action} {fails} {when}"):
        resource_id, operation_id = scenario.begin(world)
        worker = Worker(world.plane, Calls(when, number, before))
        parked = worker.run(operation_id, world.manager.sweep)
        if parked:
            worker.expire(operation_id)
        world.finish(operation_id)
        good = scenario.check(world, resource_id, operation_id)
        worker.end(dies=False)
        calls = [one for one in worker.later if one.startswith(("ask", "call"))]
        assert calls in ([], [str(worker.where).replace("ask", "call")]), worker.later
        if when == "ask":
            wait_for(lambda: not world.plane.minicloud.scheduler._queues, "the cloud's jobs")
            world.settle()
        assert scenario.check(world, resource_id, operation_id) is good
        world.tidy()
        if not parked:
            break


@pytest.mark.parametrize("action", some([
    action for action in runbooks() if SCENARIOS[action].kind == "instances"
    and action not in {payloads.INSTANCE_FORCE_DELETE, *payloads.OF_SETS}], 0.5))
def test_a_force_delete_wins_against_a_worker_in_a_call(world: World, action: str) -> None:
    """The worker does not know yet, and has a call on its way that arrives."""
    scenario = SCENARIOS[action]
    for number in _numbers(action):
        resource_id, operation_id = scenario.begin(world)
        worker = Worker(world.plane, Calls("ask", number))
        parked = worker.run(operation_id, world.manager.sweep)
        if parked:
            world.act(resource_id, {"reset_status": {"force_delete": True}})
            row = world.finish(world.live(resource_id))
            assert row.status == operations.SUCCEEDED, row.error
            assert world.operation(operation_id).status == operations.CANCELLED
        worker.end(dies=False)
        wait_for(lambda: not world.plane.minicloud.scheduler._queues, "the cloud's jobs")
        world.settle()
        world.tidy()
        if not parked:
            break
