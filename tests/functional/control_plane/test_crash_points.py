"""A worker dies, at every point of every run-book; another one takes over.

A dead worker gives no lease back and cleans nothing up.  By default a part of the points
is tried, each run-book's among them, chosen by ``TROVE_SEED``; all with
``TROVE_CRASH_POINTS=all``.
"""

from __future__ import annotations

import datetime
import os
import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

import pytest
from sqlalchemy import update

from tests.functional.control_plane.scenarios import (
    OF_ITSELF,
    SCENARIOS,
    WITHOUT_CALLS,
    WITHOUT_WORDS,
    all_points,
)
from tests.functional.control_plane.world import LivingAgent, Worker, World, wait_for
from trove_ng.db.models import OperationStep
from trove_ng.db.repositories import operations
from trove_ng.operations import payloads
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.work import StepFailed, Work

T = TypeVar("T")
_ALL = os.environ.get("TROVE_CRASH_POINTS") == "all"
_SEED = os.environ["TROVE_SEED"]


def some(cases: Sequence[T], share: float, at_least: int = 1) -> list[T]:
    """Return a part of the cases, the same ones for the same seed."""
    if _ALL:
        return list(cases)
    choice = random.Random(f"{_SEED} {cases[0]}")
    count = min(len(cases), max(at_least, round(len(cases) * share)))
    return sorted(choice.sample(list(cases), count), key=cases.index)


def sampled(actions: Iterable[str]) -> list[tuple[str, bool, str]]:
    """Return actions, whether their last step fails, and points to leave them at."""
    found = []
    for action in actions:
        for fails in (False, True):
            cases = [one for one in all_points() if one[:2] == (action, fails)]
            found += some(cases, 0.08)
    return found


def test_every_runbook_has_a_scenario() -> None:
    assert set(SCENARIOS) == set(runbooks())


@pytest.mark.parametrize(("action", "fails", "point"), sampled(runbooks()))
def test_another_worker_ends_what_one_left(world: World, action: str, fails: bool,
                                           point: str) -> None:
    _leave(world, action, fails, point, SCENARIOS[action].begin(world))


@pytest.mark.parametrize(("action", "fails", "point"), sampled(OF_ITSELF))
def test_another_worker_ends_what_the_service_began(world: World, action: str, fails: bool,
                                                    point: str) -> None:
    begun = SCENARIOS[action].begin(world)
    world.change_payload(begun[1], **{OF_ITSELF[action]: True})
    _leave(world, action, fails, point, begun)


def _leave(world: World, action: str, fails: bool, point: str, begun: tuple[str, str]) -> None:
    """Have a worker leave an operation at a point, and another one end it.

    :param begun: ids of resource and operation
    """
    last = runbooks()[action].steps[-1].name

    def stop(_work: Work | None, passed: str) -> bool:
        if fails and passed == f"before {last}":
            raise StepFailed("This fails.")
        return passed == point

    scenario, (resource_id, operation_id) = SCENARIOS[action], begun
    worker = Worker(world.plane, stop)
    assert worker.run(operation_id, world.manager.sweep), f"never at {point}: {worker.points}"
    worker.expire(operation_id)
    row = world.finish(operation_id)
    assert scenario.check(world, resource_id, operation_id) is not fails, row.error
    worker.end()
    assert scenario.check(world, resource_id, operation_id) is not fails
    world.tidy()


class Calls:
    """Stops at the n-th call of the cloud; calls that are made again and again count once.

    :param when: ``ask`` stops before the call is made, ``call`` after it
    :param number: 0 never stops
    :param fails_before: where the operation fails; only what comes later counts
    :param until: what comes later does not count
    """

    def __init__(self, when: str, number: int = 0, fails_before: str | None = None,
                 until: str | None = None) -> None:
        self._when, self._number, self._fails_before = f"{when} ", number, fails_before
        self._until = until
        self._last = ""
        self._turned = fails_before is None
        self.count = 0

    def __call__(self, _work: Work | None, passed: str) -> bool:
        if passed == self._fails_before:
            self._turned = True
            raise StepFailed("This fails.")
        if passed == self._until:
            self._turned = False
        if not (self._turned and passed.startswith(self._when)) or passed == self._last:
            return False
        self._last = passed
        self.count += 1
        return self.count == self._number


class Way:
    """One way through a run-book, to be stopped at a call of the cloud.

    :param fails: its last step fails, and it is stopped while it takes back what was done
    :param back: it is stopped while there is a way back
    """

    def __init__(self, world: World, action: str, fails: bool, when: str, *,
                 back: bool = False) -> None:
        self._world, self._action, self._fails, self._when = world, action, fails, when
        self._until = next((f"written {step.name}" for step in runbooks()[action].steps
                            if back and step.final), None)
        self.scenario = SCENARIOS[action]

    def begin(self, number: int = 0) -> tuple[Worker, Calls, str, str]:
        """Have a worker go as far as a call; 0: to the end.

        :return: the worker, what it counted, and the ids of resource and operation
        """
        before = f"before {runbooks()[self._action].steps[-1].name}" if self._fails else None
        resource_id, operation_id = self.scenario.begin(self._world)
        calls = Calls(self._when, number, before, self._until)
        worker = Worker(self._world.plane, calls)
        parked = worker.run(operation_id, self._world.manager.sweep)
        if calls.count in range(1, number) and not parked:
            # there was less to do than when calls were counted: its last call, then
            self._through(worker, resource_id, operation_id)
            return self.begin(calls.count)
        assert parked is bool(number), f"made {calls.count} calls, not {number}"
        return worker, calls, resource_id, operation_id

    def count(self) -> int:
        """Return how many calls are made."""
        known = self._world.counts
        key = (self._action, self._fails, f"{self._when} {self._until}")
        if key not in known:
            worker, calls, resource_id, operation_id = self.begin()
            self._through(worker, resource_id, operation_id)
            known[key] = calls.count
        return known[key]

    def _through(self, worker: Worker, resource_id: str, operation_id: str) -> None:
        """Have an operation end that was not stopped."""
        row = self._world.finish(operation_id)
        worker.end()
        assert self.scenario.check(
            self._world, resource_id, operation_id) is not self._fails, row.error
        self._world.tidy()

    def numbers(self) -> Sequence[int]:
        """Return which calls to stop at: one that is made, or all."""
        count = self.count()
        assert count, f"{self._action} makes no calls: it belongs to WITHOUT_CALLS"
        if _ALL:
            return range(1, count + 1)
        return [random.Random(f"{_SEED}{self._action}{self._fails}{self._when}").randint(
            1, count)]


def _ways() -> list[tuple[str, bool]]:
    return [(action, fails) for action, book in runbooks().items() for fails in (False, True)
            if not fails or any(step.undo for step in book.steps)]


def calling(share: float) -> list[tuple[str, bool]]:
    """Return ways that call the cloud, some that succeed and some that fail."""
    found = []
    for fails in (False, True):
        found += some([one for one in _ways() if one not in WITHOUT_CALLS
                       and one[1] is fails], share)
    return found


def test_ways_without_calls_are_ways() -> None:
    assert set(_ways()) >= WITHOUT_CALLS


@pytest.mark.parametrize(("action", "fails"), some(sorted(WITHOUT_CALLS), 0.25))
def test_a_way_without_calls_makes_none(world: World, action: str, fails: bool) -> None:
    """Such a way is left out below."""
    assert Way(world, action, fails, "ask").count() == 0


@pytest.mark.parametrize(("action", "fails"), calling(0.25))
def test_another_worker_ends_what_one_left_after_a_call(
        world: World, action: str, fails: bool) -> None:
    """The cloud did something, and nobody wrote it down."""
    way = Way(world, action, fails, "call")
    for number in way.numbers():
        worker, _, resource_id, operation_id = way.begin(number)
        worker.expire(operation_id)
        row = world.finish(operation_id)
        assert way.scenario.check(world, resource_id, operation_id) is not fails, row.error
        worker.end()
        assert way.scenario.check(world, resource_id, operation_id) is not fails
        world.tidy()


@pytest.mark.parametrize("when", ["call", "ask"])
@pytest.mark.parametrize(("action", "fails"), calling(0.2))
def test_a_worker_that_comes_back_does_no_more(
        world: World, action: str, fails: bool, when: str) -> None:
    """It was stopped in the middle of a call, for longer than its lease.

    What was on its way to the cloud (``ask``) arrives after all; the reconciliation finds
    what that made.
    """
    way = Way(world, action, fails, when)
    for number in way.numbers():
        worker, _, resource_id, operation_id = way.begin(number)
        worker.expire(operation_id)
        row = world.finish(operation_id)
        assert way.scenario.check(world, resource_id, operation_id) is not fails, row.error
        worker.end(dies=False)
        calls = [one for one in worker.later if one.startswith(("ask", "call"))]
        assert calls in ([], [str(worker.where).replace("ask", "call")]), worker.later
        if when == "ask":
            wait_for(lambda: not world.plane.minicloud.scheduler._queues, "the cloud's jobs")
            world.settle()
        assert way.scenario.check(world, resource_id, operation_id) is not fails
        world.tidy()


def telling(share: float, failing: tuple[bool, ...]) -> list[tuple[str, bool]]:
    """Return ways that ask agents for something."""
    return some([one for one in _ways() if SCENARIOS[one[0]].agent is not None
                 and one not in WITHOUT_WORDS and one[1] in failing], share)


@pytest.mark.parametrize(("action", "fails"), telling(0.2, (False, True)))
def test_a_worker_that_comes_back_is_not_heard_by_agents(
        world: World, action: str, fails: bool) -> None:
    """It was stopped just before it sent something; what it meant is done meanwhile."""
    way = Way(world, action, fails, "tell")
    for number in way.numbers():
        worker, _, resource_id, operation_id = way.begin(number)
        worker.expire(operation_id)
        row = world.finish(operation_id)
        assert way.scenario.check(world, resource_id, operation_id) is not fails, row.error
        heard = world.heard()
        worker.end(dies=False)
        assert world.heard() == heard
        assert way.scenario.check(world, resource_id, operation_id) is not fails
        world.tidy()


@pytest.mark.parametrize("action", [
    action for action, _ in telling(0.2, (False,))
    # that agents of many instances apply a module again changes nothing
    if action != payloads.MODULE_REAPPLY])
def test_a_worker_that_comes_back_is_not_heard_after_what_it_did_was_taken_back(
        world: World, action: str) -> None:
    """The database that it was to stop, for one, stays as it is."""
    way = Way(world, action, False, "tell", back=True)
    for number in way.numbers():
        worker, _, resource_id, operation_id = way.begin(number)
        step = next(one for one in reversed(worker.points) if one.startswith("before "))
        worker.expire(operation_id)

        def fail(_work: Work | None, passed: str, at: str = step) -> bool:
            if passed == at:
                raise StepFailed("This fails.")
            return False

        other = Worker(world.plane, fail)
        other.run(operation_id, world.manager.sweep)
        world.finish(operation_id)
        other.end()
        assert not way.scenario.check(world, resource_id, operation_id)
        heard = world.heard()
        worker.end(dies=False)
        assert world.heard() == heard, (worker.where, worker.points)
        assert not way.scenario.check(world, resource_id, operation_id)
        world.tidy()


@pytest.mark.parametrize("action", some([
    action for action, _ in telling(1, (False,)) if SCENARIOS[action].kind == "instances"], 0.2))
def test_a_worker_that_comes_back_is_not_heard_after_a_reset_of_the_status(
        world: World, action: str) -> None:
    """No other worker has its operation, which has ended."""
    way = Way(world, action, False, "tell", back=True)
    for number in way.numbers():
        worker, _, resource_id, operation_id = way.begin(number)
        world.act(resource_id, {"reset_status": {}})
        row = world.operation(operation_id)
        assert row.status == operations.CANCELLED
        agents = [one for one in world.plane.hypervisor.agents.values()
                  if isinstance(one, LivingAgent)
                  and one.instance_id in {resource_id, *row.others}]
        wait_for(lambda agents=agents, row=row: all(  # type: ignore[misc]
            one.order.newest(row.id) >= (row.fence, 0) for one in agents), "agents to hear it")
        heard = world.heard()
        worker.end(dies=False)
        assert world.heard() == heard, (worker.where, worker.points)
        world.abandon()
        world.settle()
        world.tidy()


#: actions that a force delete is to win against
FORCED = some([
    action for action, fails in _ways() if not fails and (action, fails) not in WITHOUT_CALLS
    and SCENARIOS[action].kind == "instances"
    and action not in {payloads.INSTANCE_FORCE_DELETE, *payloads.OF_SETS}], 0.5)


@pytest.mark.parametrize("action", FORCED)
def test_a_force_delete_wins_against_a_worker_in_a_call(world: World, action: str) -> None:
    """The worker does not know yet, and has a call on its way that arrives."""
    way = Way(world, action, False, "ask")
    for number in way.numbers():
        worker, _, resource_id, operation_id = way.begin(number)
        world.act(resource_id, {"reset_status": {"force_delete": True}})
        row = world.finish(world.live(resource_id))
        assert row.status == operations.SUCCEEDED, row.error
        assert world.operation(operation_id).status == operations.CANCELLED
        worker.end(dies=False)
        wait_for(lambda: not world.plane.minicloud.scheduler._queues, "the cloud's jobs")
        world.settle()
        world.tidy()


def test_a_promotion_goes_on_whose_worker_dies_as_the_roles_are_written(world: World) -> None:
    """It is found when the time is over in which nobody may write."""
    scenario = SCENARIOS[payloads.INSTANCE_PROMOTE]
    resource_id, operation_id = scenario.begin(world)
    worker = Worker(world.plane, lambda _work, point: point == "done roles")
    assert worker.run(operation_id, world.manager.sweep), worker.points
    with world.plane.db.writer() as session:
        session.execute(update(OperationStep).where(
            OperationStep.operation_id == operation_id).values(
                started_at=world.plane.clock.now() - datetime.timedelta(hours=1)))
    worker.expire(operation_id)
    row = world.finish(operation_id)
    worker.end()
    assert (row.status, row.error) == (operations.SUCCEEDED, None)
    assert not world.plane.agent(resource_id).read_only
    world.check()
    world.tidy()
