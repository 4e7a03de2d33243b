"""What other services are told of each run-book, from the request to the driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg
from oslo_messaging.notify import _impl_test
from sqlalchemy import select, update

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.scenarios import SCENARIOS
from tests.functional.control_plane.test_reconcile import wait_until
from tests.functional.control_plane.world import LivingAgent, Worker, World
from trove_ng.common import notifications as told
from trove_ng.common.notifications import EVENTS, Phase
from trove_ng.db.models import Notification, Operation, Schedule
from trove_ng.operations import payloads
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc.notifier import is_on
from trove_ng.taskmanager.service import Service

#: what is told of an operation that succeeds besides its start and end
USAGE = {
    payloads.INSTANCE_CREATE: [told.CREATED], payloads.INSTANCE_CREATE_REPLICA: [told.CREATED],
    payloads.INSTANCE_DELETE: [told.DELETED],
    payloads.INSTANCE_FORCE_DELETE: [told.DELETED],
    payloads.INSTANCE_RESIZE_FLAVOR: [told.NEW_FLAVOR],
    payloads.INSTANCE_RESIZE_VOLUME: [told.NEW_VOLUME],
    # of a replica, and of the source
    payloads.INSTANCE_GROW_SET: [told.NEW_VOLUME, told.NEW_VOLUME],
}


def rows(world: World, operation: Operation) -> list[Notification]:
    """Return what is told with the request id of an operation."""
    with world.plane.db.reader() as session:
        found = [one for one in session.scalars(select(Notification).order_by(
            Notification.id))
            if one.context["request_id"] == operation.request_id]
        session.expunge_all()
    return found


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("action", [
    # replicas tell of what they begin with
    one for one in SCENARIOS if one != payloads.BACKUP_SEED_REPLICAS])
def test_an_operation_is_told_with_exactly_its_keys(
        world: World, action: str, fails: bool) -> None:
    last = runbooks()[action].steps[-1].name

    def fail(_work: Work | None, passed: str) -> bool:
        if fails and passed == f"before {last}":
            raise StepFailed("This fails.")
        return False

    resource_id, operation_id = SCENARIOS[action].begin(world)
    worker = Worker(world.plane, fail)
    worker.run(operation_id, world.manager.sweep)
    worker.end()
    row = world.finish(operation_id)
    assert SCENARIOS[action].check(world, resource_id, operation_id) is not fails
    found = rows(world, row)
    event = EVENTS[row.notification["event"]]
    phase = Phase.ERROR if fails else Phase.END
    assert [one.event_type for one in found if one.event_type.startswith("dbaas.")] == [
        event.type(Phase.START), event.type(phase)]
    for one in found:
        assert one.payload["tenant_id"] == one.context["project_id"] == row.tenant_id
        if one.event_type.startswith("dbaas."):
            name = Phase(one.event_type.rpartition(".")[2])
            missing = set(event.keys(name)) - set(one.payload)
            assert missing <= event.optional
            assert set(one.payload) <= set(event.keys(name))
    used = [one for one in found if not one.event_type.startswith("dbaas.")]
    assert fails or [one.event_type for one in used] == USAGE.get(action, [])
    for one in used:
        # it is in no cluster, and the flavor's name is made when it is sent
        absent = {told.FLAVOR_NAME, "cluster_id"}
        assert set(one.payload) == set(told.FACTS[one.event_type]) - absent
    # other members of a set come first
    assert {one.payload["instance_id"] for one in used[-1:]} <= {resource_id}
    assert len({one.payload["instance_id"] for one in used}) == len(used)
    if phase is Phase.ERROR:
        assert "This fails." in found[-1].payload["message"]
    world.tidy()


@pytest.fixture
def conf(conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    assert not is_on(conf)
    conf.set_override("driver", ["test"], group="oslo_messaging_notifications")
    conf.set_override("notification_interval", 0.05)
    for name in ("exists", "quota"):
        conf.set_override(f"{name}_notification_interval", 1)
    return conf


@pytest.fixture
def sent(plane: ControlPlane) -> Iterator[list[tuple[Any, dict[str, Any], str, int]]]:
    """What the driver of the test was given: context, message, priority, retries."""
    _impl_test.reset()
    yield _impl_test.NOTIFICATIONS
    _impl_test.reset()


def test_a_taskmanager_sends_it(
        plane: ControlPlane, sent: list[tuple[Any, dict[str, Any], str, int]]) -> None:
    service = Service(plane.conf)
    service.start()
    try:
        ident = plane.create(users=[{"name": "app", "password": "s3cret-Word"}])
        plane.wait(ident, "ACTIVE")
        plane.request("DELETE", f"/instances/{ident}/users/app", status=202)
        wait_until(lambda: {"dbaas.user_delete.end", told.QUOTA, told.EXISTS} <= {
            message["event_type"] for _, message, *_ in sent})
    finally:
        service.stop()
    events = [message["event_type"] for _, message, *_ in sent]
    assert [one for one in events if one not in (told.QUOTA, told.EXISTS)] == [
        "dbaas.instance_create.start", told.CREATED, "dbaas.instance_create.end",
        "dbaas.user_delete.start", "dbaas.user_delete.end"]
    for context, message, priority, retries in sent:
        assert set(context) == {"request_id", "project_id", "user_id"}
        assert set(message) == {"message_id", "publisher_id", "event_type", "priority",
                                "payload", "timestamp"}
        assert priority == message["priority"] == "INFO"
        assert retries >= 0
    assert "s3cret-Word" not in str(sent)
    created = next(message for _, message, *_ in sent if message["event_type"] == told.CREATED)
    assert set(created["payload"]) == set(told.FACTS[told.CREATED]) - {"cluster_id"}
    flavor = plane.minicloud.store.get("flavor", created["payload"]["instance_type_id"])
    assert created["payload"]["instance_type"] == flavor["name"]
    ended = next(message for _, message, *_ in sent
                 if message["event_type"] == "dbaas.instance_create.end")
    assert ended["payload"]["instance_id"] == ident
    assert ended["payload"]["server_ip"]
    assert ended["publisher_id"].startswith("taskmanager.")


@pytest.mark.parametrize("fails", [False, True])
def test_a_backup_of_a_schedule_is_told_like_one_of_a_request(
        plane: ControlPlane, sent: list[tuple[Any, dict[str, Any], str, int]],
        fails: bool) -> None:
    plane.conf.set_override("schedule_interval", 0.1)
    plane.hypervisor.make_agent = LivingAgent
    if fails:
        plane.hypervisor.failures["create_backup"] = "No space left."
    service = Service(plane.conf)
    service.start()
    try:
        ident = plane.create()
        plane.wait(ident, "ACTIVE")
        schedule = plane.request("POST", "/schedules", {"schedule": {
            "name": "nightly", "instance": ident, "pattern": "0 2 1 1 *"}},
            status=201).json["schedule"]["id"]
        with plane.db.writer() as session:
            session.execute(update(Schedule).where(Schedule.id == schedule).values(
                next_run_at=plane.clock.now()))
        phase = Phase.ERROR if fails else Phase.END
        wait_until(lambda: f"dbaas.backup_create.{phase}" in {
            message["event_type"] for _, message, *_ in sent})
    finally:
        service.stop()
    start, end = (message for _, message, *_ in sent
                  if message["event_type"].startswith("dbaas.backup_create."))
    assert (start["event_type"], end["event_type"]) == (
        "dbaas.backup_create.start", f"dbaas.backup_create.{phase}")
    event = EVENTS["backup_create"]
    assert set(start["payload"]) == set(event.keys(Phase.START))
    assert set(end["payload"]) == set(event.keys(phase))
    made = start["payload"]
    assert (made["name"], made["instance_id"], made["tenant_id"]) == (
        "nightly", ident, plane.project_id)
    for one in (made, end["payload"]):
        assert (one["server_type"], one["client_ip"]) == ("task", "")
        assert one["server_ip"]
        assert one["request_id"] == made["request_id"]
    assert start["publisher_id"].startswith("taskmanager.")
    if fails:
        assert end["payload"]["message"] == "No space left."
