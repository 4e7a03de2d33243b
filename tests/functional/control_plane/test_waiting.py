"""Operations that wait for others leave them the threads that they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select, update

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.scenarios import SCENARIOS
from tests.functional.control_plane.world import World, wait_for
from trove_ng.db.models import Instance, Operation
from trove_ng.db.repositories import events, operations
from trove_ng.operations import payloads
from trove_ng.operations.engine import Engine
from trove_ng.operations.lease import LeaseKeeper
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.taskmanager.manager import Manager


@pytest.fixture
def lonely(world: World) -> Iterator[Manager]:
    """The only taskmanager, with one thread."""
    plane = world.plane
    keeper = LeaseKeeper(plane.db, plane.clock, "lonely", plane.conf.operations.lease)
    keeper.start()
    found = Manager(plane.db, plane.clock, keeper, Engine(plane.tools, runbooks()).run, 1)
    yield found
    found.stop()
    keeper.stop()


def _ends(plane: ControlPlane, manager: Manager) -> Callable[[], bool]:
    """Return what sweeps, and tells whether nothing is under way any more."""
    def done() -> bool:
        manager.sweep()
        with plane.db.reader() as session:
            return not manager._taken and not operations.latest(session, 1, live=True)
    return done


@pytest.mark.parametrize("action", runbooks())
def test_one_thread_is_enough(world: World, lonely: Manager, action: str) -> None:
    scenario = SCENARIOS[action]
    resource_id, operation_id = scenario.begin(world)
    wait_for(_ends(world.plane, lonely), f"the end of {action}")
    assert scenario.check(world, resource_id, operation_id), world.operation(operation_id).error
    row = world.operation(operation_id)
    # looking at others is no new attempt, and is not told
    assert row.attempts == 1
    with world.plane.db.connection() as reader:
        told = [one.kind for one in events.page(reader, resource_id, limit=100)
                if one.operation_id == operation_id]
    assert "operation.resumed" not in told
    with world.plane.db.reader() as session:
        assert {one.attempts for one in operations.steps(session, operation_id)} == {1}
    world.tidy()


def test_many_that_wait_starve_nobody(world: World, lonely: Manager) -> None:
    """What needs no other comes to its end as well."""
    ids = [world.instance(), *(world.plane.create() for _ in range(3))]
    wait_for(_ends(world.plane, world.manager), "the instances")
    for number, ident in enumerate(ids):
        group = str(world.plane.request("POST", "/configurations", {"configuration": {
            "name": f"g{number}", "values": {"wait_timeout": 99}}},
            status=200).json["configuration"]["id"])
        with world.plane.db.writer() as session:
            session.execute(update(Instance).where(Instance.id == ident).values(
                configuration_id=group))
        world.plane.request("PATCH", f"/configurations/{group}", {"configuration": {
            "values": {"wait_timeout": 100 + number}}}, status=200)
    last = world.plane.create()
    wait_for(_ends(world.plane, lonely), "all operations")
    assert world.shown("instances", last) == "ACTIVE"
    with world.plane.db.reader() as session:
        ended = session.execute(select(Operation.action, Operation.status).where(
            Operation.action.in_((payloads.CONFIGURATION_APPLY, payloads.INSTANCE_CONFIGURE))
        ).order_by(Operation.action)).all()
    assert [tuple(one) for one in ended] == [
        (payloads.CONFIGURATION_APPLY, operations.SUCCEEDED)] * 4 + [
        (payloads.INSTANCE_CONFIGURE, operations.SUCCEEDED)] * 4
    world.tidy()
