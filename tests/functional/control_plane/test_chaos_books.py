"""Each run-book, on a bus that loses, doubles, delays and reorders: it ends as on a good one.

Run-books that ask agents join by themselves with their scenario; the others send nothing.  The
agents have the real engine of steps, and have done afterwards what those of a good bus did, in
the same order.  ``TROVE_SEEDS`` and ``TROVE_FIRST_SEED`` are as in ``test_chaos.py``, which
follows instances through a whole life; by default there is one seed, for some of the run-books
that are not part of that life.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_messaging._drivers.impl_fake import FakeDriver

from tests.functional.control_plane.chaos import Chaos
from tests.functional.control_plane.scenarios import SCENARIOS
from tests.functional.control_plane.step_agent import Found, StepAgents
from tests.functional.control_plane.test_chaos import EXPECTED
from tests.functional.control_plane.test_crash_points import some
from tests.functional.control_plane.world import World, wait_for
from trove_ng.operations import payloads
from trove_ng.operations.runbooks.registry import runbooks

SEEDS = int(os.environ.get("TROVE_SEEDS", "1"))
FIRST = int(os.environ.get("TROVE_FIRST_SEED", "1"))
CHANCE = 0.2
#: what test_chaos.py does
_LIFE = {action for action, _, _ in EXPECTED["operations"]}
_ACTIONS = [one for one in runbooks() if SCENARIOS[one].agent is not None]
#: whose calls of agents are no steps, but what may be done twice
_WITHOUT_STEPS = {payloads.BACKUP_SNAPSHOT, payloads.MODULE_REAPPLY}
if "TROVE_SEEDS" not in os.environ:
    _ACTIONS = some([one for one in _ACTIONS if one not in _LIFE], 0.5)


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


@pytest.fixture(autouse=True)
def _own_agents(world: World) -> Iterator[None]:
    hypervisor = world.plane.hypervisor
    before = hypervisor.make_agent
    yield
    hypervisor.make_agent = before
    world.abandon()
    world.tidy()


def run(world: World, home: Path, action: str, seed: int | None) -> Found:
    """Run an action on new instances; return what their agents did and have.

    :param home: directory of the agents' disks
    :param seed: of a bad bus; None: it is a good one
    """
    world.abandon()
    world.tidy()
    agents = world.plane.hypervisor.make_agent = StepAgents(home)
    scenario = SCENARIOS[action]
    resource_id, operation_id = scenario.begin(world)
    agents.forget_done()
    # of a doubled call either may arrive first, and the other one is never answered
    with world.times(guest_call_timeout=3, guest_long_call_timeout=60, prepare_retry=2):
        if seed is None:
            row = world.finish(operation_id, 90)
        else:
            with bad_bus(seed) as chaos:
                row = world.finish(operation_id, 90)
            assert sum(chaos.faults.values()), "nothing was sent"
    # a late heartbeat is followed by a newer one
    wait_for(lambda: world.shown(scenario.kind, resource_id) == scenario.good,
             f"{resource_id} to be {scenario.good}")
    assert scenario.check(world, resource_id, operation_id), row.error
    # an account at a source that did not answer is taken later
    world.settle()
    return agents.found()


@pytest.mark.parametrize("action", _ACTIONS)
def test_a_bad_bus_changes_no_end(world: World, tmp_path: Path, action: str) -> None:
    expected = run(world, tmp_path / "good", action, None)
    done = [step for steps, _ in expected for step in steps]
    assert bool(done) is (action not in _WITHOUT_STEPS)
    for seed in range(FIRST, FIRST + SEEDS):
        assert run(world, tmp_path / str(seed), action, seed) == expected, f"seed {seed}"
