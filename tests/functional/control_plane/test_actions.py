"""Deleting, restarting, resizing and backing up, with and without failures."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from tests.functional.control_plane.conftest import NOTHING, ONE, ControlPlane
from trove_ng.common.errors import GuestError, UnsavedChanges
from trove_ng.common.states import ServiceStatus
from trove_ng.operations.work import CANCELLED
from trove_ng.rpc import messages as m
from trove_ng.rpc.messages import Empty

FREE = {"instances": (0, 0), "volumes": (0, 0), "ram": (0, 0), "backups": (0, 0)}


def act(plane: ControlPlane, ident: str, body: object, status: int = 202,
        token: str = "demo") -> None:
    plane.request("POST", f"/instances/{ident}/action", body, status=status, token=token)


def asked(plane: ControlPlane) -> list[str]:
    agent, = plane.hypervisor.agents.values()
    return [name for name, _ in agent.asked]


def test_a_deleted_instance_leaves_nothing(plane: ControlPlane, instance: str) -> None:
    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.wait_gone(f"/instances/{instance}")
    assert plane.resources() == NOTHING
    assert plane.quota() == FREE


def test_the_record_of_a_deleted_instance_says_what_it_had(
        plane: ControlPlane, instance: str) -> None:
    server, = plane.minicloud.store.list("server")
    volume, = plane.minicloud.store.list("volume")
    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.wait_gone(f"/instances/{instance}")
    shown = plane.request("GET", f"/mgmt/instances/{instance}?deleted=true", token="admin",
                          status=200).json["instance"]
    assert (shown["server"]["id"], shown["server"]["status"]) == (server["id"], "DELETED")
    assert (shown["volume"]["id"], shown["volume"]["size"]) == (volume["id"], 1)
    assert plane.reconcile() == []


def test_deleting_twice_is_no_error(plane: ControlPlane, instance: str) -> None:
    plane.minicloud.scheduler._delays["nova.delete"] = 0.5
    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.wait_gone(f"/instances/{instance}")
    assert plane.quota() == FREE


@pytest.mark.parametrize(("service", "path"), [
    ("compute", "servers/"), ("volume", "volumes/"), ("network", "ports/"),
    ("network", "security-groups/")])
def test_a_delete_goes_on_when_answers_are_lost(plane: ControlPlane, instance: str,
                                                service: str, path: str) -> None:
    plane.minicloud.faults.add({"kind": "reply_lost", "service": service,
                                "method": "DELETE", "path": path, "times": 1})
    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.wait_gone(f"/instances/{instance}")
    assert plane.resources() == NOTHING


def test_a_delete_that_fails_tells_why_and_can_be_repeated(
        plane: ControlPlane, instance: str) -> None:
    plane.minicloud.faults.add({"kind": "error", "service": "network", "method": "DELETE",
                                "path": "ports/", "status": 400})
    plane.request("DELETE", f"/instances/{instance}", status=202)
    shown = plane.wait(instance, "ERROR")
    assert "network service refused" in shown["fault"]["message"]
    plane.minicloud.faults.clear()
    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.wait_gone(f"/instances/{instance}")
    assert plane.resources() == NOTHING
    assert plane.quota() == FREE


def test_force_delete_ends_a_create(plane: ControlPlane) -> None:
    plane.hypervisor.silent = True
    ident = plane.create()
    end = time.monotonic() + 5
    while not plane.resources()["servers"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    plane.request("DELETE", f"/instances/{ident}", status=422)
    act(plane, ident, {"reset_status": {"force_delete": True}})
    plane.wait_gone(f"/instances/{ident}")
    assert plane.resources() == NOTHING
    assert plane.quota() == FREE


def test_what_a_lost_worker_made_after_the_end_is_deleted(plane: ControlPlane,
                                                          instance: str) -> None:
    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.wait_gone(f"/instances/{instance}")
    clouds = plane.tools.clouds
    clouds.volume.create_volume(instance_id=instance, name="late", size_gb=1)
    clouds.network.create_port(
        instance_id=instance, index=0, network_id=clouds.network.default_network(),
        security_group_ids=[])
    time.sleep(0.2)
    plane.reconcile()
    end = time.monotonic() + 5
    while plane.resources() != NOTHING:
        assert time.monotonic() < end, plane.resources()
        time.sleep(0.05)


def test_the_state_of_a_server_that_somebody_stopped_is_seen(
        plane: ControlPlane, instance: str) -> None:
    server, = plane.minicloud.store.list("server")
    plane.tools.clouds.compute.stop_server(server["id"])
    end = time.monotonic() + 5
    while plane.show(instance)["status"] != "SHUTDOWN":
        assert time.monotonic() < end
        plane.reconcile()


def test_a_restart_is_asked_of_the_agent(plane: ControlPlane, instance: str) -> None:
    act(plane, instance, {"restart": {}})
    plane.wait(instance, "ACTIVE")
    assert "restart" in asked(plane)


def test_a_restart_that_fails_leaves_a_fault(plane: ControlPlane, instance: str) -> None:
    plane.hypervisor.failures["restart"] = "The database server does not start."
    act(plane, instance, {"restart": {}})
    shown = plane.wait(instance, "ACTIVE")
    assert shown["fault"]["message"] == "The database server does not start."


def test_only_one_action_at_a_time(plane: ControlPlane, instance: str) -> None:
    plane.minicloud.scheduler._delays["nova.resize"] = 0.5
    act(plane, instance, {"resize": {"flavorRef": "2"}})
    act(plane, instance, {"restart": {}}, status=422)
    plane.wait(instance, "ACTIVE")


def test_a_flavor_is_resized_with_its_quota(plane: ControlPlane, instance: str) -> None:
    act(plane, instance, {"resize": {"flavorRef": "2"}})
    shown = plane.wait(instance, "ACTIVE")
    assert shown["flavor"]["id"] == "2"
    assert plane.quota()["ram"] == (1024, 0)
    assert asked(plane)[-2:] == ["stop_db", "start_db_with_conf_changes"]
    act(plane, instance, {"resize": {"flavorRef": "1"}})
    plane.wait(instance, "ACTIVE")
    assert plane.quota()["ram"] == (512, 0)


def test_a_resize_that_fails_goes_back(plane: ControlPlane, instance: str) -> None:
    agent, = plane.hypervisor.agents.values()
    starts = iter([True])

    def start(_request: object) -> object:
        if next(starts, False):
            raise GuestError("The database server does not start.")
        agent.beat(ServiceStatus.HEALTHY)
        return Empty()

    agent._start_db_with_conf_changes = start  # type: ignore[method-assign,assignment]
    act(plane, instance, {"resize": {"flavorRef": "2"}})
    shown = plane.wait(instance, "ACTIVE")
    assert shown["flavor"]["id"] == "1"
    assert shown["fault"]["message"] == "The database server does not start."
    assert plane.quota()["ram"] == (512, 0)
    server, = plane.minicloud.store.list("server")
    assert server["flavor"]["id"] == "1"


def test_a_volume_grows_with_its_quota(plane: ControlPlane, instance: str) -> None:
    act(plane, instance, {"resize": {"volume": {"size": 3}}})
    shown = plane.wait(instance, "ACTIVE")
    assert shown["volume"]["size"] == 3
    assert plane.quota()["volumes"] == (3, 0)
    volume, = plane.minicloud.store.list("volume")
    assert volume["size"] == 3
    assert asked(plane)[-4:] == [
        "stop_db", "resize_fs", "stop_db", "start_db_with_conf_changes"]


def test_a_volume_grows_below_a_database_that_has_no_room_to_end(
        plane: ControlPlane, instance: str) -> None:
    agent, = plane.hypervisor.agents.values()
    stop, grown = agent._stop_db, agent._resize_fs
    full = iter([True])

    def refuse(request: m.StepRequest) -> m.Empty:
        if next(full, False):
            raise UnsavedChanges("It would lose changes.")
        return stop(request)

    def grow(request: m.VolumeSpec) -> m.FilesystemStats:
        assert agent.status is ServiceStatus.HEALTHY
        return grown(request)

    agent._stop_db, agent._resize_fs = refuse, grow  # type: ignore[method-assign]
    act(plane, instance, {"resize": {"volume": {"size": 3}}})
    shown = plane.wait(instance, "ACTIVE")
    assert shown["volume"]["size"] == 3
    assert "fault" not in shown
    assert asked(plane)[-4:] == [
        "stop_db", "resize_fs", "stop_db", "start_db_with_conf_changes"]


def test_a_volume_that_does_not_grow_leaves_the_database_running(
        plane: ControlPlane, instance: str) -> None:
    plane.minicloud.faults.add({"kind": "error", "service": "volume", "method": "POST",
                                "path": "action$", "status": 413})
    act(plane, instance, {"resize": {"volume": {"size": 3}}})
    shown = plane.wait(instance, "ACTIVE")
    assert shown["volume"]["size"] == 1
    assert "volume service refused" in shown["fault"]["message"]
    assert plane.quota()["volumes"] == (1, 0)
    assert asked(plane)[-1] == "start_db_with_conf_changes"


def test_reset_status_is_for_administrators(plane: ControlPlane, instance: str) -> None:
    act(plane, instance, {"reset_status": {}}, status=403)
    act(plane, instance, {"reset_status": {}}, token="admin")
    assert plane.resources() == ONE


def backup(plane: ControlPlane, instance: str) -> str:
    return str(plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": instance}}, status=202).json["backup"]["id"])


def wait_backup(plane: ControlPlane, ident: str, wanted: str) -> dict[str, Any]:
    end = time.monotonic() + 10
    while True:
        shown: dict[str, Any] = plane.request(
            "GET", f"/backups/{ident}", status=200).json["backup"]
        if shown["status"] == wanted:
            return shown
        assert time.monotonic() < end, shown
        time.sleep(0.05)


def test_a_backup_that_fails_is_told_and_counts_until_deleted(
        plane: ControlPlane, instance: str) -> None:
    plane.hypervisor.failures["create_backup"] = "The object store is full."
    ident = backup(plane, instance)
    wait_backup(plane, ident, "FAILED")
    plane.wait(instance, "ACTIVE")
    assert plane.quota()["backups"] == (1, 0)
    plane.request("DELETE", f"/backups/{ident}", status=202)
    plane.wait_gone(f"/backups/{ident}")
    assert plane.quota()["backups"] == (0, 0)


def test_the_segments_of_a_backup_that_failed_are_deleted(
        plane: ControlPlane, instance: str) -> None:
    plane.hypervisor.failures["create_backup"] = "The object store answered 507."
    agent, = plane.hypervisor.agents.values()
    objects = plane.minicloud.swift._store
    account, stored = f"AUTH_{plane.project_id}", []

    def store_and_fail(request: m.BackupRequest) -> m.Empty:
        grant = request.grant
        assert grant.put_query is not None
        answer = requests.put(f"{grant.container_url}/{grant.prefix}00000001?"
                              f"{grant.put_query.reveal()}", data=b"x", timeout=10)
        assert answer.status_code == 201
        stored.extend(one.name for one in objects.objects(account, "database_backups"))
        type(agent)._create_backup(agent, request)
        return m.Empty()

    agent._create_backup = store_and_fail
    wait_backup(plane, backup(plane, instance), "FAILED")
    assert len(stored) == 1
    assert objects.objects(account, "database_backups") == []


def test_the_guest_is_given_leave_for_its_backup_only(plane: ControlPlane,
                                                      instance: str) -> None:
    ident = backup(plane, instance)
    # the scripted agent stored nothing, which the object store finds when it is sealed
    wait_backup(plane, ident, "FAILED")
    agent, = plane.hypervisor.agents.values()
    (name, request), (last, _) = agent.asked[-2:]
    assert (name, last) == ("create_backup", "cancel_step")
    grant = request.grant  # type: ignore[attr-defined]
    assert grant.prefix == f"backup_{ident}/"
    assert f"AUTH_{plane.project_id}/database_backups" in grant.container_url
    assert "Secret(***)" in repr(request)


def cancel(plane: ControlPlane, resource_id: str) -> str:
    """Cancel what is done with a resource; return the operation's end."""
    one, = plane.request("GET", f"/operations?resource_id={resource_id}&status=RUNNING",
                         status=200).json["operations"]
    plane.request("POST", f"/operations/{one['id']}/cancel", status=202)
    end = time.monotonic() + 15
    while True:
        shown = plane.request("GET", f"/operations/{one['id']}", status=200).json["operation"]
        if shown["ended_at"] is not None:
            return str(shown["status"])
        assert time.monotonic() < end, shown
        time.sleep(0.05)


def test_a_cancelled_create_leaves_nothing_in_the_cloud(plane: ControlPlane) -> None:
    plane.hypervisor.silent = True
    plane.conf.set_override("agent_start_timeout", 60)
    ident = plane.create()
    end = time.monotonic() + 15
    while plane.resources()["servers"] == 0:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert cancel(plane, ident) == "CANCELLED"
    assert plane.resources() == NOTHING
    shown = plane.wait(ident, "ERROR")
    assert shown["fault"]["message"] == CANCELLED
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert plane.quota()["instances"] == (0, 0)


def test_the_agent_leaves_a_backup_that_is_cancelled(plane: ControlPlane, instance: str,
                                                     ) -> None:
    agent, = plane.hypervisor.agents.values()
    agent.quiet = True
    ident = backup(plane, instance)
    wait_backup(plane, ident, "BUILDING")
    assert cancel(plane, ident) == "CANCELLED"
    assert agent.asked[-1][0] == "cancel_step"
    shown = wait_backup(plane, ident, "FAILED")
    assert shown["locationRef"] is None
    plane.wait(instance, "ACTIVE")
