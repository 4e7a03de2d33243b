"""The timeline that an instance's life leaves, with the whole control plane."""

from __future__ import annotations

import time
from typing import Any

from tests.functional.control_plane.conftest import ControlPlane
from trove_ng.common.clock import utcnow
from trove_ng.common.states import ServiceStatus
from trove_ng.db.repositories import operations


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
