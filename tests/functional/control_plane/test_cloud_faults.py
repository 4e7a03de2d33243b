"""Each call that each run-book makes of the cloud goes wrong, in each way.

The calls are those of a run without faults.  By default some are tried, the same ones for
the same ``TROVE_SEED``; all with ``TROVE_FAULTS=all``.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from tests.functional.control_plane.cloud_calls import FAULTS, CloudCall, Fault, Wire, failing
from tests.functional.control_plane.scenarios import SCENARIOS
from tests.functional.control_plane.world import Worker, World, wait_for
from trove_ng.db.models import Operation
from trove_ng.db.repositories import operations
from trove_ng.operations import payloads
from trove_ng.operations.runbooks.registry import runbooks

_ALL = os.environ.get("TROVE_FAULTS") == "all"
_SEED = os.environ["TROVE_SEED"]
#: what a message must name when a service did something wrong
_WORDS = {service: re.compile(rf"\b({words})", re.IGNORECASE) for service, words in {
    "compute": "compute service|server\\b|the flavor",
    "volume": "volume|snapshot",
    "network": "network service|the port|the security group|address",
    "image": "image service|no image",
    "object": "object store|backup",
    "dns": "dns service",
}.items()}
#: what cannot be taken back also without a fault
_FINAL = "The root disk is replaced already."
#: how an operation ends when the fault met the one that it is made for
_NEEDLESS = "No replica is to begin with it any more."


@pytest.fixture
def wire(world: World) -> Iterator[Wire]:
    """What sits before the cloud of the test's world."""
    with Wire.before(world.plane.minicloud) as found:
        yield found


def _run(world: World, wire: Wire, action: str, fails: bool, target: CloudCall | None = None,
         fault: Fault | None = None) -> tuple[str, Operation]:
    """Run an action to its end; return its resource and its operation.

    :param fails: its last step fails
    """
    resource_id, operation_id = SCENARIOS[action].begin(world)
    wire.begin(target, fault)
    Worker(world.plane, failing(action, fails, wire)).run(operation_id, world.manager.sweep)
    return resource_id, world.finish(operation_id)


def _cause(world: World, row: Operation) -> str:
    """Return why an operation failed, or the one did that it was made for."""
    if row.error != _NEEDLESS:
        return str(row.error)
    with world.plane.db.reader() as session:
        return str(session.scalars(select(Operation.error).filter_by(
            action=payloads.INSTANCE_CREATE_REPLICA, status=operations.FAILED,
        ).order_by(Operation.created.desc())).first())


def _check_causes(world: World, row: Operation, target: CloudCall, fails: bool) -> None:
    """Check that what is written down blames the service that was made to fail.

    :param fails: the operation failed by itself; the fault kept it from taking things back
    """
    with world.plane.db.reader() as session:
        left = [str(one.error) for one in operations.left(session, row.id)
                if one.error != _FINAL]
    if fails:
        assert str(row.error).startswith("The database fails."), row.error
    for text in left if fails else [_cause(world, row), *left]:
        assert _WORDS[target.service].search(text), f"another is blamed: {text}"
        assert "unexpected error" not in text, text
        assert not world.secrets_in(text), text


def _case(world: World, wire: Wire, action: str, fails: bool, target: CloudCall,
          fault: Fault) -> None:
    """Run an action with one fault and check how it ended."""
    with world.hurry() if fault.times is None else contextlib.nullcontext():
        resource_id, row = _run(world, wire, action, fails, target, fault)
    if not wire.hits and target.method in ("GET", "HEAD") and target.run > 1:
        # how often it looks whether something is done is left to chance
        wire.begin()
        world.tidy()
        return
    assert wire.hits, f"never called: {wire.seen}"
    if fault.rule.kind == "latency":
        # nobody waited for it, and it is done after all: perhaps a second time
        wait_for(lambda: not wire.late and not world.plane.minicloud.scheduler._queues,
                 "what came late")
        world.settle()
    scenario = SCENARIOS[action]
    if row.status == operations.FAILED:
        _check_causes(world, row, target, fails)
    if fault.times is None:
        # what could not be undone is kept in mind; it goes with its owner
        assert world.shown(scenario.kind, resource_id) in (
            *scenario.shown(row.status == operations.SUCCEEDED), "ERROR")
        wire.begin()
        world.abandon()
    else:
        scenario.check(world, resource_id, row.id)
    wire.begin()
    world.tidy()


def _targets(world: World, wire: Wire, action: str, fails: bool, fault: Fault,
             ) -> list[CloudCall]:
    """Return the calls to spoil: those of a run without faults, or some of them.

    Of an operation whose last step fails, those that take back what was done.
    """
    found = world.calls.get((action, fails))
    if found is None:
        _, row = _run(world, wire, action, fails)
        assert (row.status == operations.FAILED) is fails, row.error
        found = world.calls[action, fails] = wire.seen[wire.turn:]
        world.tidy()
    if _ALL or not found:
        return found
    return [random.Random(f"{_SEED}{action}{fails}{fault.name}").choice(found)]


def _cases() -> list[Any]:
    found = []
    for action, book in runbooks().items():
        for fails in (False, True):
            if not fails or any(step.undo for step in book.steps):
                choice = random.Random(f"{_SEED}{action}{fails}")
                found += [
                    pytest.param(action, fails, fault,
                                 id=f"{action}-{fails}-{fault.name.replace(' ', '_')}")
                    for fault in (FAULTS if _ALL else choice.sample(FAULTS, 2))]
    return found


@pytest.mark.parametrize(("action", "fails", "fault"), _cases())
def test_an_operation_ends_whatever_one_call_does(
        world: World, wire: Wire, action: str, fails: bool, fault: Fault) -> None:
    wrong = []
    for target in _targets(world, wire, action, fails, fault):
        try:
            _case(world, wire, action, fails, target, fault)
        except AssertionError as err:
            wrong.append(f"{target}: {fault.name}: {err}")
            wire.begin()
            world.abandon()
            world.tidy()
    assert not wrong, "\n".join(wrong)
