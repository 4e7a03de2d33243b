"""Each run-book, on a bus that loses, doubles, delays and reorders: it ends as on a good one.

Run-books that ask agents join by themselves with their scenario; the others send nothing.
``TROVE_SEEDS`` and ``TROVE_FIRST_SEED`` are as in ``test_chaos.py``, which follows instances
through a whole life; by default there is one seed, for the run-books that are not part of
that life.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from oslo_messaging._drivers.impl_fake import FakeDriver

from tests.functional.control_plane.chaos import Chaos
from tests.functional.control_plane.scenarios import SCENARIOS
from tests.functional.control_plane.test_chaos import EXPECTED
from tests.functional.control_plane.world import World, wait_for
from trove_ng.operations.runbooks.registry import runbooks

SEEDS = int(os.environ.get("TROVE_SEEDS", "1"))
FIRST = int(os.environ.get("TROVE_FIRST_SEED", "1"))
CHANCE = 0.2
#: what test_chaos.py does
_LIFE = {action for action, _, _ in EXPECTED["operations"]}
_ACTIONS = [one for one in runbooks() if SCENARIOS[one].agent is not None
            and ("TROVE_SEEDS" in os.environ or one not in _LIFE)]


@contextlib.contextmanager
def bad_bus(seed: int) -> Iterator[Chaos]:
    """Spoil what is sent, until all that is late has arrived."""
    send = FakeDriver.send
    chaos = Chaos(seed, CHANCE, send)
    FakeDriver.send = lambda driver, *args, **more: chaos.send(driver, *args, **more)
    try:
        yield chaos
    finally:
        FakeDriver.send = send
        chaos.close()


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
@pytest.mark.parametrize("action", _ACTIONS)
def test_a_bad_bus_changes_no_end(world: World, action: str, seed: int) -> None:
    scenario = SCENARIOS[action]
    resource_id, operation_id = scenario.begin(world)
    # of a doubled call either may arrive first, and the other one is never answered
    with world.times(guest_call_timeout=3, guest_long_call_timeout=60, prepare_retry=2), (
            bad_bus(seed)) as chaos:
        row = world.finish(operation_id, 90)
    assert sum(chaos.faults.values()), "nothing was sent"
    # a late heartbeat is followed by a newer one
    wait_for(lambda: world.shown(scenario.kind, resource_id) == scenario.good,
             f"{resource_id} to be {scenario.good}")
    assert scenario.check(world, resource_id, operation_id), row.error
    world.tidy()
