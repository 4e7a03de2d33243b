"""What nobody works on is found and ended within a time that is promised.

Nothing is moved by hand: a lease ends by itself, and a taskmanager with its own keeper of
leases and its own sweep finds what is free.  Twice what is promised may pass, since the
machine may be busy.  ``TROVE_CRASH_POINTS=all`` has a process of each run-book killed.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.control_plane.scenarios import SCENARIOS
from tests.functional.control_plane.test_crash_points import some
from tests.functional.control_plane.test_kill import kill, points_of, telling_nobody
from tests.functional.control_plane.world import Died, World, wait_for
from trove_ng.api.wiring import _Bus
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.taskmanager.service import Service

#: seconds of the lease of who dies, and between two sweeps of who takes over
LEASE, SWEEP = 3, 1
#: seconds that all steps of an operation take where cloud and agents answer at once
STEPS = 10
#: seconds until an operation is begun of which no taskmanager was told
TOLD_NOBODY = 10


@contextlib.contextmanager
def _service(world: World, **times: float) -> Iterator[Service]:
    """Give a taskmanager with all that it does in its process, to be started."""
    # what is being made is no orphan, and nobody is told of what exists
    with world.times(orphan_age=600, orphan_objects_age=600, exists_notification_interval=0,
                     quota_notification_interval=0, **times):
        service = Service(world.plane.conf)
        try:
            yield service
        finally:
            service.database.close()


@contextlib.contextmanager
def _serving(world: World, service: Service) -> Iterator[None]:
    """Have a taskmanager work."""
    with telling_nobody(world):
        service.start()
        try:
            yield
        finally:
            service.stop()


def _killed() -> list[tuple[str, str]]:
    """Return actions, each with a point where a process is killed that has not ended it."""
    found = []
    for action in runbooks():
        points = [one for one in points_of(action) if one != "ended"]
        choice = random.Random(f"{os.environ['TROVE_SEED']}{action}")
        found.append((action, choice.choice(points)))
    return some(found, 0.1)


@pytest.mark.parametrize(("action", "point"), _killed())
def test_what_a_killed_process_left_is_over_in_time(
        world: World, tmp_path: Path, action: str, point: str) -> None:
    """F1: within the lease, a sweep and the time of its steps."""
    scenario = SCENARIOS[action]
    resource_id, operation_id = scenario.begin(world)
    with _service(world, sweep_interval=SWEEP) as service:
        kill(world, tmp_path, action, point, LEASE)
        killed = time.monotonic()
        assert world.operation(operation_id).attempts == 1

        def left(promised: float) -> float:
            return killed + 2 * promised - time.monotonic()

        with _serving(world, service):
            wait_for(lambda: world.operation(operation_id).attempts > 1,
                     "somebody to take it over", left(LEASE + SWEEP))
            wait_for(lambda: world.operation(operation_id).live_key is None,
                     "its end", left(LEASE + SWEEP + STEPS))
            # the process may have worked on what goes with it, too
            wait_for(lambda: not world.under_way(), "the end of the others",
                     left(LEASE + SWEEP + 2 * STEPS))
    row = world.operation(operation_id)
    assert scenario.check(world, resource_id, operation_id), row.error
    world.tidy()


def test_what_the_api_told_nobody_is_begun_in_time(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: the API dies between its commit and its cast; who asks again gets the same."""
    plane = world.plane
    body = {"backup": {"name": "told nobody", "instance": world.instance()}}

    def ask() -> Any:
        return plane.app.post_json(f"{plane.url}/backups", body, headers={
            "X-Auth-Token": "demo", "Idempotency-Key": "the-key-of-this-test"})

    def die(_bus: Any, _operation_id: str) -> None:
        raise Died("the API")

    with (_service(world) as service, _serving(world, service),
          monkeypatch.context() as patch):
        patch.setattr(_Bus, "wake", die)
        with pytest.raises(Died):
            ask()
        accepted = time.monotonic()
        backup, = (one["id"] for one in plane.request("GET", "/backups", status=200).json[
            "backups"] if one["name"] == "told nobody")
        wait_for(lambda: world.shown("backups", backup) != "NEW", "somebody to begin",
                 accepted + 2 * TOLD_NOBODY - time.monotonic())
        wait_for(lambda: world.shown("backups", backup) == "COMPLETED", "its end")
    again = ask()
    assert again.json["backup"]["id"] == backup
    world.tidy()
