"""Creating instances: what is made, and what is left when something fails."""

from __future__ import annotations

import time

import pytest

from tests.functional.control_plane.conftest import NOTHING, ONE, ControlPlane
from trove_ng.rpc import messages as m


def test_an_instance_is_built_and_its_guest_told_all(plane: ControlPlane) -> None:
    ident = plane.create(
        databases=[{"name": "shop", "character_set": "utf8mb4"}],
        users=[{"name": "app", "password": "app-Pw1", "databases": [{"name": "shop"}]}])
    shown = plane.wait(ident, "ACTIVE")
    assert shown["ip"]
    assert plane.resources() == ONE
    agent, = plane.hypervisor.agents.values()
    name, request = agent.asked[0]
    assert name == "prepare"
    assert isinstance(request, m.PrepareRequest)
    assert [one.name for one in request.databases] == ["shop"]
    assert request.users[0].password is not None
    assert request.users[0].password.reveal() == "app-Pw1"
    assert request.memory_mb == 512
    assert request.config["mysqld"]["innodb_buffer_pool_size"] == "256M"
    assert request.volume is not None
    assert request.volume.mount_point == "/var/lib/mysql"
    assert plane.quota() == {"instances": (1, 0), "volumes": (1, 0), "ram": (512, 0),
                             "backups": (0, 0)}


def test_no_password_is_in_user_data_or_store(plane: ControlPlane) -> None:
    ident = plane.create(databases=[{"name": "shop"}],
                         users=[{"name": "app", "password": "s3cret-Word"}])
    plane.wait(ident, "ACTIVE")
    data, = plane.hypervisor.user_data.values()
    assert "s3cret-Word" not in data
    with plane.db.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        assert all("s3cret-Word" not in line for line in raw.iterdump())


@pytest.mark.parametrize(("service", "path"), [
    ("network", "security-groups$"), ("network", "ports$"), ("volume", "volumes$"),
    ("compute", "servers$"), ("compute", "os-volume_attachments$")])
def test_a_lost_answer_makes_nothing_twice(plane: ControlPlane, service: str,
                                           path: str) -> None:
    plane.minicloud.faults.add({"kind": "reply_lost", "service": service, "method": "POST",
                                "path": path, "times": 1})
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    assert plane.resources() == ONE
    assert plane.minicloud.faults.rules()[0]["hits"] == 1


@pytest.mark.parametrize(("service", "path"), [
    ("network", "ports$"), ("volume", "volumes$"), ("compute", "servers$")])
def test_a_service_that_is_away_for_a_while_is_waited_for(
        plane: ControlPlane, service: str, path: str) -> None:
    plane.minicloud.faults.add({"kind": "error", "service": service, "method": "POST",
                                "path": path, "status": 503, "times": 2})
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    assert plane.resources() == ONE


def _assert_failed(plane: ControlPlane, ident: str, why: str) -> None:
    shown = plane.wait(ident, "ERROR")
    assert why in shown["fault"]["message"]
    assert plane.resources() == NOTHING
    # the failed instance counts until its owner deletes it
    assert plane.quota()["instances"] == (1, 0)
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert plane.quota() == {"instances": (0, 0), "volumes": (0, 0), "ram": (0, 0),
                             "backups": (0, 0)}


def test_a_server_that_fails_leaves_nothing(plane: ControlPlane) -> None:
    plane.hypervisor.fail_next("create_server", "no room")
    _assert_failed(plane, plane.create(), "no room")


def test_a_volume_that_fails_leaves_nothing(plane: ControlPlane) -> None:
    plane.hypervisor.fail_next("create_volume", "disk full")
    _assert_failed(plane, plane.create(), "The volume could not be created.")


@pytest.mark.parametrize(("service", "path", "status"), [
    ("network", "security-groups$", 409), ("network", "ports$", 409),
    ("volume", "volumes$", 413), ("compute", "servers$", 403)])
def test_a_refusal_of_the_cloud_leaves_nothing(plane: ControlPlane, service: str, path: str,
                                               status: int) -> None:
    plane.minicloud.faults.add({"kind": "error", "service": service, "method": "POST",
                                "path": path, "status": status, "times": 1})
    _assert_failed(plane, plane.create(), "service")


def test_an_agent_that_is_never_heard_leaves_nothing(plane: ControlPlane) -> None:
    plane.hypervisor.silent = True
    _assert_failed(plane, plane.create(), "Timed out waiting for the agent of the instance.")


def test_a_prepare_that_fails_leaves_nothing_and_tells_why(plane: ControlPlane) -> None:
    plane.hypervisor.failures["prepare"] = "The disk is full."
    _assert_failed(plane, plane.create(), "The disk is full.")


def test_a_server_that_is_stuck_leaves_nothing(plane: ControlPlane) -> None:
    plane.minicloud.faults.add({"kind": "stuck", "path": "^nova.boot", "times": 1})
    _assert_failed(plane, plane.create(), "Timed out waiting for the server.")


def test_a_missing_image_fails_the_create(plane: ControlPlane) -> None:
    for image in plane.minicloud.store.list("image"):
        plane.minicloud.store.delete("image", image["id"])
    _assert_failed(plane, plane.create(), "There is no image for this datastore version.")


def test_another_taskmanager_finishes_what_one_left(plane: ControlPlane) -> None:
    plane.minicloud.scheduler._delays["nova.boot"] = 0.5
    first = plane.manager
    ident = plane.create()
    end = time.monotonic() + 5
    while not plane.resources()["servers"]:
        assert time.monotonic() < end
    first.stop()
    assert plane.show(ident)["status"] == "BUILD"
    plane.start_taskmanager("tm-2").sweep()
    plane.wait(ident, "ACTIVE")
    assert plane.resources() == ONE


def test_quota_is_refused_before_anything_is_made(plane: ControlPlane) -> None:
    plane.request("PUT", f"/mgmt/quotas/{plane.project_id}",
                  {"quotas": {"instances": 0}}, token="admin", status=200)
    answer = plane.request("POST", "/instances", {"instance": {
        "name": "db", "flavorRef": "1", "volume": {"size": 1},
        "datastore": {"type": "mariadb"}}}, status=413)
    assert "instances" in answer.text
    assert plane.resources() == NOTHING
    assert plane.request("GET", "/instances", status=200).json["instances"] == []
