"""Every run-book that may be cancelled is, at each of its steps.

Cancelling is asked for through the API, at each point that the worker passes.  What is
accepted ends as cancelled and leaves nothing behind; what is refused is done.
"""

from __future__ import annotations

import pytest

from tests.functional.control_plane.scenarios import SCENARIOS, points
from tests.functional.control_plane.test_crash_points import some
from tests.functional.control_plane.world import Worker, World
from trove_ng.db.repositories import operations
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.work import CANCELLED, Work


def cases() -> list[tuple[str, str]]:
    """Return actions, and points to cancel them at."""
    return [(action, point) for action, book in runbooks().items() if book.cancellable
            for point in some(points(book, fails=False)[:-1], 0.1, 3)]


@pytest.mark.parametrize(("action", "point"), cases())
def test_what_is_cancelled_leaves_nothing(world: World, action: str, point: str) -> None:
    answers: list[int] = []

    def cancel(work: Work | None, passed: str) -> bool:
        if work is not None and passed == point and not answers:
            answers.append(world.plane.request(
                "POST", f"/operations/{work.id}/cancel", {}).status_int)
        return False

    scenario = SCENARIOS[action]
    resource_id, operation_id = scenario.begin(world)
    Worker(world.plane, cancel).run(operation_id, world.manager.sweep)
    row = world.finish(operation_id)
    status, = answers
    if status == 202:
        assert (row.status, row.error) == (operations.CANCELLED, CANCELLED)
        assert world.shown(scenario.kind, resource_id) == scenario.bad
    else:
        assert status == 409
        assert row.status == operations.SUCCEEDED, row.error
        assert world.shown(scenario.kind, resource_id) == scenario.good
    world.check()
    world.tidy()


def _taken_back() -> list[tuple[str, str]]:
    """Return actions with the steps that can be cancelled, of which something is undone."""
    found = []
    for action, book in runbooks().items():
        names = [step.name for number, step in enumerate(book.steps)
                 if book.may_cancel(step.name) and any(
                     one.undo for one in book.steps[:number + 1])]
        found += some([(action, name) for name in names], 0.1) if names else []
    return found


@pytest.mark.parametrize(("action", "step"), _taken_back())
def test_who_dies_while_it_cancels_leaves_that_to_another_worker(
        world: World, action: str, step: str) -> None:
    answers: list[int] = []

    def die(work: Work | None, passed: str) -> bool:
        if work is not None and passed == f"before {step}" and not answers:
            answers.append(world.plane.request(
                "POST", f"/operations/{work.id}/cancel", {}).status_int)
        return passed.startswith("undo ")

    scenario = SCENARIOS[action]
    resource_id, operation_id = scenario.begin(world)
    worker = Worker(world.plane, die)
    assert worker.run(operation_id, world.manager.sweep), worker.points
    assert answers == [202]
    worker.expire(operation_id)
    row = world.finish(operation_id)
    worker.end()
    assert (row.status, row.error) == (operations.CANCELLED, CANCELLED)
    assert world.shown(scenario.kind, resource_id) == scenario.bad
    world.check()
    world.tidy()


def test_some_run_book_can_be_cancelled() -> None:
    assert cases()
    assert _taken_back()
