"""What the cloud leaves half-done, or loses: the operation ends, and all can be deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.functional.control_plane.scenarios import SCENARIOS
from tests.functional.control_plane.world import Died, World
from trove_ng.api.wiring import _Bus
from trove_ng.db.models import Operation
from trove_ng.db.repositories import operations
from trove_ng.operations import payloads
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.standalone.minicloud.nova_placement import NoValidHost


def run(world: World, action: str, spoil: Callable[[], object]) -> tuple[str, Operation]:
    """Ask for an action, spoil something, have it run; return resource and operation."""
    resource_id, operation_id = SCENARIOS[action].begin(world)
    spoil()
    row = world.finish(operation_id)
    return resource_id, row


def stuck(world: World, job: str) -> Callable[[], object]:
    """Have one job of the cloud never run."""
    return lambda: world.plane.minicloud.faults.add(
        {"kind": "stuck", "path": f"^{job} ", "times": 1})


def failing(world: World, method: str) -> Callable[[], object]:
    """Have the hypervisor fail at something once."""
    return lambda: world.plane.hypervisor.fail_next(method, "The disk is broken.")


def document(world: World, kind: str) -> dict[str, Any]:
    """Return a thing of a kind that the world's instance has."""
    ident, *_ = [one for one in world.plane.minicloud.store.list(kind)
                 if world.instance() in str(one.get("metadata")) + str(one["name"])]
    return ident


@pytest.fixture(autouse=True)
def _hurry(world: World) -> Any:
    world.instance()
    with world.hurry():
        yield
    world.plane.minicloud.faults.clear()


@pytest.mark.parametrize(("job", "why"), [
    ("cinder.create", "the volume"), ("nova.boot", "the server"),
    ("nova.attach_volume", "the volume to be attached")])
def test_a_create_ends_when_the_cloud_is_stuck(world: World, job: str, why: str) -> None:
    resource_id, row = run(world, payloads.INSTANCE_CREATE, stuck(world, job))
    assert row.error == f"Timed out waiting for {why}."
    assert not SCENARIOS[row.action].check(world, resource_id, row.id)
    world.tidy()


@pytest.mark.parametrize(("method", "why"), [
    ("create_server", "The disk is broken."), ("create_volume", "The volume could not")])
def test_a_create_ends_when_the_cloud_fails(world: World, method: str, why: str) -> None:
    resource_id, row = run(world, payloads.INSTANCE_CREATE, failing(world, method))
    assert why in str(row.error)
    assert not SCENARIOS[row.action].check(world, resource_id, row.id)
    world.tidy()


@pytest.mark.parametrize(("kind", "why"), [
    ("image", "There is no image for this datastore version."),
    ("flavor", "The compute service refused: Flavor 1 could not be found.")])
def test_a_create_ends_when_what_it_needs_is_gone(world: World, kind: str, why: str) -> None:
    store = world.plane.minicloud.store
    taken = [one for one in store.list(kind) if kind == "image" or one["id"] == "1"]

    def take() -> None:
        for one in taken:
            store.delete(kind, one["id"])

    try:
        resource_id, row = run(world, payloads.INSTANCE_CREATE, take)
    finally:
        for one in taken:
            store.put(kind, one["id"], one, one.get("owner") or "")
    assert why in str(row.error)
    assert not SCENARIOS[row.action].check(world, resource_id, row.id)
    world.tidy()


@pytest.mark.parametrize("job", ["nova.delete", "cinder.delete"])
def test_a_delete_that_the_cloud_forgot_is_done_by_the_next(world: World, job: str) -> None:
    resource_id, row = run(world, payloads.INSTANCE_DELETE, stuck(world, job))
    if row.status == operations.FAILED:
        assert row.error == "Timed out waiting for the server to be deleted."
    world.abandon()
    world.tidy()
    assert world.shown("instances", resource_id) is None


def test_a_volume_that_cannot_be_deleted_is_deleted_by_force(world: World) -> None:
    resource_id, row = run(world, payloads.INSTANCE_DELETE, failing(world, "delete_volume"))
    assert SCENARIOS[row.action].check(world, resource_id, row.id), row.error


@pytest.mark.parametrize("status", ["error_extending", "maintenance"])
def test_a_volume_in_a_strange_state_is_deleted(world: World, status: str) -> None:
    volume = document(world, "volume")

    def spoil() -> None:
        volume["status"] = status
        world.plane.minicloud.store.put("volume", volume["id"], volume, volume["project_id"])

    resource_id, row = run(world, payloads.INSTANCE_DELETE, spoil)
    assert SCENARIOS[row.action].check(world, resource_id, row.id), row.error


def test_a_volume_that_did_not_grow_grows_at_the_next_try(world: World) -> None:
    resource_id, row = run(
        world, payloads.INSTANCE_RESIZE_VOLUME, failing(world, "extend_volume"))
    assert row.error == "The volume could not be extended."
    assert not SCENARIOS[row.action].check(world, resource_id, row.id)
    again, row = run(world, payloads.INSTANCE_RESIZE_VOLUME, lambda: None)
    assert again == resource_id
    assert SCENARIOS[row.action].check(world, resource_id, row.id), row.error


def test_a_server_that_stays_half_resized_is_an_error(world: World) -> None:
    resource_id, row = run(world, payloads.INSTANCE_RESIZE_FLAVOR, stuck(world, "nova.resize"))
    assert row.error == "Timed out waiting for the server."
    assert world.shown("instances", resource_id) == "ERROR"
    world.abandon()
    world.tidy()
    assert world.shown("instances", resource_id) is None


def test_a_server_that_finds_no_host_stays(world: World,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_args: Any, **_options: Any) -> str:
        raise NoValidHost

    monkeypatch.setattr(world.plane.minicloud.nova.servers, "pick_host", nowhere)
    resource_id, row = run(world, payloads.INSTANCE_RESIZE_FLAVOR, lambda: None)
    assert row.error == "The server was not resized."
    assert not SCENARIOS[row.action].check(world, resource_id, row.id)


@pytest.mark.parametrize("kind", ["server", "volume", "port"])
def test_what_is_gone_already_is_no_obstacle(world: World, kind: str) -> None:
    found = document(world, kind)
    clouds = world.plane.tools.clouds

    def take() -> None:
        if kind == "server":
            clouds.compute.delete_server(found["id"])
        elif kind == "volume":
            clouds.volume.force_delete_volume(found["id"])
        else:
            clouds.network.delete_port(found["id"])

    resource_id, row = run(world, payloads.INSTANCE_DELETE, take)
    assert row.status == operations.SUCCEEDED, row.error
    world.tidy()
    assert world.shown("instances", resource_id) is None


def test_a_security_group_that_is_used_elsewhere_stops_a_delete_with_its_reason(
        world: World) -> None:
    network = world.plane.tools.clouds.network
    group = document(world, "security_group")
    other = "00000000-0000-4000-8000-000000000000"
    port = network.create_port(instance_id=other, index=0, security_group_ids=[group["id"]],
                               network_id=str(network.default_network()))
    resource_id, operation_id = SCENARIOS[payloads.INSTANCE_DELETE].begin(world)
    row = world.finish(operation_id)
    error = str(row.error)
    assert error.startswith("Timed out waiting for the security group to be deleted. ")
    assert "in use" in error, error
    assert world.shown("instances", resource_id) == "ERROR"
    network.delete_port(port.id)
    world.abandon()
    world.tidy()
    assert world.shown("instances", resource_id) is None


@pytest.mark.parametrize("action", [
    one for one in runbooks() if SCENARIOS[one].asked])
def test_what_the_api_accepted_and_told_nobody_is_done(
        world: World, action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the API dies between its commit and its cast."""
    world.backup()
    if action == payloads.BACKUP_DELETE_SNAPSHOT:
        world.snapshot()

    def die(_bus: Any, operation_id: str) -> None:
        # what comes before it, or with it, a sweep finds
        if world.operation(operation_id).action == action:
            raise Died("the API")

    with monkeypatch.context() as patch:
        patch.setattr(_Bus, "wake", die)
        with pytest.raises(Died):
            SCENARIOS[action].ask(world)
    with world.plane.db.reader() as session:
        accepted, = (one for one in operations.latest(session, 10, live=True)
                     if one.action == action)
    assert accepted.status == operations.PENDING
    row = world.finish(accepted.id)
    assert SCENARIOS[action].check(world, row.resource_id, row.id), row.error
    world.tidy()
