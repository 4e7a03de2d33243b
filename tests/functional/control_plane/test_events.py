"""The timeline that an instance's life leaves, with the whole control plane."""

from __future__ import annotations

import time
from typing import Any

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.test_replicas import pair as pair  # noqa: PLC0414  fixture
from tests.functional.control_plane.world import lose
from trove_ng.common.clock import utcnow
from trove_ng.common.states import ServiceStatus
from trove_ng.db.repositories import operations
from trove_ng.operations import payloads


def timeline(plane: ControlPlane, ident: str, query: str = "") -> list[dict[str, Any]]:
    """Return the events, the oldest first."""
    found: list[dict[str, Any]] = plane.request(
        "GET", f"/mgmt/instances/{ident}/events{query}", token="admin",
        status=200).json["events"]
    return found[::-1]


def kinds(plane: ControlPlane, ident: str) -> list[str]:
    return [one["kind"] for one in timeline(plane, ident)]


def wait_for(plane: ControlPlane, ident: str, kind: str, seconds: float = 15) -> dict[str, Any]:
    """Return the newest event of a kind, once there is one."""
    end = time.monotonic() + seconds
    while not (found := timeline(plane, ident, f"?kind={kind}")):
        assert time.monotonic() < end, timeline(plane, ident)
        time.sleep(0.05)
    return found[-1]


def test_create_and_delete_are_told_with_who_asked(plane: ControlPlane, instance: str) -> None:
    told = timeline(plane, instance)
    assert [one["kind"] for one in told if one["kind"].startswith("operation")] == [
        "operation.accepted", "operation.started", "operation.succeeded"]
    assert {one["operation_id"] for one in told if one["operation_id"]} == {
        told[0]["operation_id"]}
    assert told[0]["message"] == "Creating the instance was asked for."
    assert told[0]["user_id"] == "demo"
    assert told[0]["request_id"].startswith("req-")
    assert told[0]["details"] == {"action": "instance.create"}
    status = [one for one in told if one["kind"] == "status.database"]
    # the row begins as NEW, which the first beat repeats
    assert [one["details"] for one in status] == [{"before": "NEW", "after": "HEALTHY"}]

    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.wait_gone(f"/instances/{instance}")
    assert kinds(plane, instance)[-3:] == [
        "operation.accepted", "operation.started", "operation.succeeded"]
    plane.request("GET", f"/instances/{instance}/events", status=404)


def test_a_failure_is_told_with_its_reason_and_fault(plane: ControlPlane) -> None:
    plane.hypervisor.failures["prepare"] = "The disk is too small."
    ident = plane.create()
    plane.wait(ident, "ERROR")
    told = {one["kind"]: one["message"] for one in timeline(plane, ident)}
    assert told["operation.failed"] == "Creating the instance has failed: The disk is too small."
    assert told["fault"] == "The disk is too small."
    assert "operation.succeeded" not in told


def test_a_heartbeat_without_a_change_is_no_event(plane: ControlPlane, instance: str) -> None:
    before = timeline(plane, instance)
    agent, = plane.hypervisor.agents.values()
    for _ in range(5):
        agent.beat(ServiceStatus.HEALTHY)
    agent.beat(ServiceStatus.CRASHED)
    end = time.monotonic() + 15
    while len(after := timeline(plane, instance)) == len(before):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert after[:-1] == before
    assert after[-1]["message"] == "The database is CRASHED; it was HEALTHY."


def test_a_backup_is_told_on_the_timeline_of_its_instance(plane: ControlPlane,
                                                          instance: str) -> None:
    plane.hypervisor.failures["create_backup"] = "The object store is full."
    backup = plane.request("POST", "/backups", {"backup": {"name": "b", "instance": instance}},
                           status=202).json["backup"]["id"]
    failed = wait_for(plane, instance, "operation.failed")
    assert failed["message"] == "Making a backup has failed: The object store is full."
    assert failed["details"] == {"action": "backup.create", "backup_id": backup}


def test_a_takeover_and_a_reset_are_told(plane: ControlPlane) -> None:
    plane.hypervisor.silent = True
    ident = plane.create()
    wait_for(plane, ident, "operation.started")
    with plane.db.writer() as session:
        row = operations.live(session, ident)
        assert row is not None
        row.lease_expires_at, taken = utcnow(), row.id
    with plane.db.writer() as session:
        assert operations.claim(session, taken, "another", utcnow(), 600) is not None
    resumed = wait_for(plane, ident, "operation.resumed")
    assert resumed["details"] == {"action": "instance.create", "attempt": 2}
    plane.request("POST", f"/instances/{ident}/action", {"reset_status": {}}, token="admin",
                  status=202)
    told = timeline(plane, ident)[-2:]
    assert [one["kind"] for one in told] == ["operation.cancelled", "status.reset"]
    assert told[1]["user_id"] == "admin"


def test_no_password_is_told(plane: ControlPlane) -> None:
    ident = plane.create(databases=[{"name": "shop"}], users=[
        {"name": "app", "password": "canary-Pw-17", "databases": [{"name": "shop"}]}])
    plane.wait(ident, "ACTIVE")
    assert "canary-Pw-17" not in str(timeline(plane, ident))


def told_of(plane: ControlPlane, ident: str, operation_id: str) -> list[str]:
    return [one["kind"] for one in timeline(plane, ident) if one["operation_id"] == operation_id]


def check_members(plane: ControlPlane, action: str, members: list[str]) -> None:
    """Check that the operation on a set is on all timelines, and found by each member."""
    found = {ident: plane.request("GET", f"/operations?resource_id={ident}&action={action}",
                                  status=200).json["operations"] for ident in members}
    operation_id = found[members[0]][0]["id"]
    for ident in members:
        assert [one["id"] for one in found[ident]] == [operation_id], ident
        assert told_of(plane, ident, operation_id) == [
            "operation.accepted", "operation.started", "operation.succeeded"], ident


def test_a_failover_is_told_to_all_of_the_set(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    lose(plane, source)
    plane.agent(two).progress += 1
    plane.request("POST", f"/instances/{source}/action", {"eject_replica_source": {}}, status=202)
    for ident in (one, two):
        plane.wait(ident, "ACTIVE")
    check_members(plane, "instance.eject", [source, one, two])
    roles = {ident: [(event["message"], event["details"]) for event in timeline(
        plane, ident, "?kind=role.changed")] for ident in pair}
    assert roles == {
        source: [(f"Instance {two} is the source of its set now; it was.", {})],
        one: [(f"It follows instance {two} now; it followed instance {source}.",
               {"before": source, "after": two})],
        two: [(f"It is the source of its set now; it followed instance {source}.",
               {"before": source, "after": None})]}
    accepted = timeline(plane, two, "?kind=operation.accepted")[-1]
    assert accepted["message"] == (
        f"Giving the replicas another source (instance {source}) was asked for.")
    assert accepted["details"] == {"action": "instance.eject", "instance_id": source}


def test_what_is_done_with_a_set_is_told_to_all_of_it(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, _ = pair
    for action, ident, body in (
            (payloads.INSTANCE_GROW_SET, source, {"resize": {"volume": {"size": 2}}}),
            (payloads.INSTANCE_PROMOTE, one, {"promote_to_replica_source": {}}),
            (payloads.INSTANCE_PROMOTE, source, {"promote_to_replica_source": {}})):
        plane.request("POST", f"/instances/{ident}/action", body, status=202)
        for member in pair:
            plane.wait(member, "ACTIVE")
        if ident != source or action == payloads.INSTANCE_GROW_SET:
            check_members(plane, action, [*pair])
    assert [event["details"]["after"] for event in timeline(
        plane, source, "?kind=role.changed")] == [one, None]
    plane.request("POST", f"/instances/{one}/action", {"detach_replica": {}}, status=202)
    plane.wait(one, "ACTIVE")
    assert timeline(plane, one, "?kind=role.changed")[-1]["message"] == (
        f"It stands alone now; it followed instance {source}.")
