"""An agent that says nothing is waited for while it has a server, and no longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functional.control_plane.scenarios import SCENARIOS
from tests.functional.control_plane.world import World, wait_for
from trove_ng.common.states import ServiceStatus
from trove_ng.db.repositories import operations
from trove_ng.operations import payloads
from trove_ng.standalone.minicloud.faults import Rule


@pytest.fixture(autouse=True)
def _times(world: World) -> Iterator[None]:
    world.instance()
    # what would be asked again until the end of these times ends sooner than they do
    with world.times(guest_call_timeout=1, prepare_retry=1, guest_long_call_timeout=600,
                     agent_start_timeout=600):
        yield
        world.abandon()
        world.tidy()


def lose(world: World, instance_id: str, how: str) -> str:
    """Have a server be gone, or be in error; return what is said of it."""
    plane = world.plane
    server_id, = (ident for ident, agent in plane.hypervisor.agents.items()
                  if agent.instance_id == instance_id)
    if how == "gone":
        plane.tools.clouds.compute.delete_server(server_id)
        wait_for(lambda: server_id not in plane.hypervisor.agents, "the end of the server")
        return f"The server of instance {instance_id} is gone."
    found, = (one for one in plane.minicloud.store.list("server") if one["id"] == server_id)
    plane.minicloud.store.put(
        "server", server_id, {**found, "vm_state": "error"}, found["project_id"])
    return f"The server of instance {instance_id} failed."


@pytest.mark.parametrize(("action", "how"), [
    (payloads.INSTANCE_RESIZE_VOLUME, "gone"), (payloads.INSTANCE_RESIZE_VOLUME, "error"),
    (payloads.BACKUP_CREATE, "gone")])
def test_an_agent_without_a_server_is_not_asked_again(
        world: World, action: str, how: str) -> None:
    instance_id = world.instance()
    agent = world.plane.agent(instance_id)
    _, operation_id = SCENARIOS[action].begin(world)
    said = lose(world, instance_id, how)
    agent.stop()
    row = world.finish(operation_id, 30)
    assert (row.status, row.error) == (operations.FAILED, said)


def test_what_an_agent_without_a_server_would_tell_is_not_waited_for(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server ends between its answer and its word that the database is stopped."""
    instance_id, operation_id = SCENARIOS[payloads.INSTANCE_STOP].begin(world)
    agent = world.plane.agent(instance_id)
    said: list[str] = []

    def beat(status: ServiceStatus | None = None) -> None:
        if status == ServiceStatus.SHUTDOWN and not said:
            said.append(lose(world, instance_id, "error"))

    monkeypatch.setattr(agent, "beat", beat)
    row = world.finish(operation_id, 30)
    assert (row.status, [row.error]) == (operations.FAILED, said)


def test_a_compute_service_that_is_away_loses_no_server(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def away(service: str, _method: str, path: str) -> Rule | None:
        if service != "compute":
            return None
        asked.append(path)
        return Rule("error", status=503)

    instance_id, operation_id = SCENARIOS[payloads.INSTANCE_RESIZE_VOLUME].begin(world)
    lose(world, instance_id, "gone")
    with monkeypatch.context() as patch, world.times(guest_long_call_timeout=3):
        patch.setattr(world.plane.minicloud.faults, "on_call", away)
        row = world.finish(operation_id, 60)
    assert asked
    assert "did not answer stop_db" in str(row.error)
