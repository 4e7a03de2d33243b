"""A worker dies, at every point of every run-book; another one takes over.

A dead worker gives no lease back and cleans nothing up.  By default a part of the points
is tried, each run-book's among them; all with ``TROVE_CRASH_POINTS=all``.
"""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Sequence
from typing import TypeVar

import pytest

from tests.functional.control_plane.scenarios import SCENARIOS, all_points
from tests.functional.control_plane.world import Worker, World
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.work import StepFailed, Work

T = TypeVar("T")
_ALL = os.environ.get("TROVE_CRASH_POINTS") == "all"
_SEED = os.environ.get("TROVE_SEED", "1")


def some(cases: Sequence[T], share: float, at_least: int = 1) -> list[T]:
    """Return a part of the cases, the same ones for the same seed."""
    if _ALL:
        return list(cases)
    choice = random.Random(zlib.crc32(f"{_SEED} {cases[0]}".encode()))
    count = min(len(cases), max(at_least, round(len(cases) * share)))
    return sorted(choice.sample(list(cases), count), key=cases.index)


def _sampled() -> list[tuple[str, bool, str]]:
    found = []
    for action in runbooks():
        for fails in (False, True):
            cases = [one for one in all_points() if one[:2] == (action, fails)]
            found += some(cases, 0.25)
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
    assert worker.run(operation_id), f"never at {point}: {worker.points}"
    worker.expire(operation_id)
    row = world.finish(operation_id)
    assert scenario.check(world, resource_id, operation_id) is not fails, row.error
    worker.end()
    assert scenario.check(world, resource_id, operation_id) is not fails
    world.tidy()
