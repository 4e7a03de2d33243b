"""Upgrading, rebuilding, migrating, rebooting, with and without failures."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.test_reconcile import wait_until
from trove_ng.common.clock import utcnow
from trove_ng.db.models import DatastoreVersion
from trove_ng.operations.reconcile.findings import Kind
from trove_ng.standalone.minicloud.hypervisor import HypervisorError, ServerSpec


@pytest.fixture
def image(plane: ControlPlane) -> str:
    """The image of another version of the datastore."""
    known, = plane.minicloud.store.list("image")
    ident = "6f2d4a10-7c55-4b0e-9f43-2a9cf1b20d11"
    plane.minicloud.store.put("image", ident, {**known, "id": ident, "name": "newer",
                                               "tags": []}, known["owner"])
    with plane.db.writer() as session:
        session.add(DatastoreVersion(
            id="n", datastore_id="d", name="11.4", version="11.4", manager="mariadb",
            image_id=ident, created=utcnow(), updated=utcnow()))
    return ident


def upgrade(plane: ControlPlane, instance: str) -> None:
    plane.request("PATCH", f"/instances/{instance}", {
        "instance": {"datastore_version": "11.4"}}, status=202)


def manage(plane: ControlPlane, instance: str, body: object) -> None:
    plane.request("POST", f"/mgmt/instances/{instance}/action", body, status=202,
                  token="admin")


def server(plane: ControlPlane) -> dict[str, Any]:
    found, = plane.minicloud.store.list("server")
    return found


def asked(plane: ControlPlane) -> list[str]:
    agent, = plane.hypervisor.agents.values()
    return [name for name, _ in agent.asked]


def test_an_upgrade_replaces_the_disk_and_nothing_else(
        plane: ControlPlane, instance: str, image: str) -> None:
    before, shown = server(plane), plane.show(instance)
    upgrade(plane, instance)
    after = plane.wait(instance, "ACTIVE")
    assert after["datastore"]["version"] == "11.4"
    assert after["operating_status"] == "HEALTHY"
    for name in ("ip", "volume", "flavor"):
        assert after[name] == shown[name]
    assert server(plane)["id"] == before["id"]
    assert server(plane)["image_ref"] == image
    # the agent is asked until it says that it serves
    assert [*dict.fromkeys(asked(plane)[-5:])][-3:] == [
        "pre_upgrade", "stop_db", "post_upgrade"]


def test_an_upgrade_that_the_agent_refuses_touches_nothing(
        plane: ControlPlane, instance: str, image: str) -> None:
    plane.hypervisor.failures["pre_upgrade"] = "The database cannot go there."
    upgrade(plane, instance)
    shown = plane.wait(instance, "ACTIVE")
    assert shown["fault"]["message"] == "The database cannot go there."
    assert shown["datastore"]["version"] == "10.11"
    assert "stop_db" not in asked(plane)
    assert server(plane)["image_ref"] != image


def test_an_upgrade_that_the_cloud_refuses_starts_the_database_again(
        plane: ControlPlane, instance: str, image: str) -> None:
    plane.minicloud.faults.add({"kind": "error", "service": "compute", "method": "POST",
                                "path": "/action", "status": 403})
    upgrade(plane, instance)
    shown = plane.wait(instance, "ACTIVE")
    assert "compute service refused" in shown["fault"]["message"]
    assert shown["datastore"]["version"] == "10.11"
    assert asked(plane)[-2:] == ["stop_db", "start_db_with_conf_changes"]
    assert server(plane)["image_ref"] != image


@pytest.mark.parametrize("broken", ["image", "agent"])
def test_an_upgrade_whose_image_does_not_work_goes_back(
        plane: ControlPlane, instance: str, image: str, broken: str,
        monkeypatch: pytest.MonkeyPatch) -> None:
    before, rebuild = server(plane), plane.hypervisor.rebuild_server
    agent, = plane.hypervisor.agents.values()

    def replace(spec: ServerSpec) -> None:
        if spec.image["id"] != image:
            monkeypatch.undo()
        elif broken == "image":
            raise HypervisorError("The image is broken.")
        else:
            monkeypatch.setattr(agent, "beat", lambda _status=None: None)
        rebuild(spec)

    monkeypatch.setattr(plane.hypervisor, "rebuild_server", replace)
    upgrade(plane, instance)
    shown = plane.wait(instance, "ACTIVE", seconds=60)
    assert ("The image is broken." if broken == "image" else "agent") in (
        shown["fault"]["message"])
    assert (shown["datastore"]["version"], shown["operating_status"]) == ("10.11", "HEALTHY")
    assert (server(plane)["id"], server(plane)["image_ref"]) == (
        before["id"], before["image_ref"])
    assert asked(plane)[-1] == "post_upgrade"
    assert plane.reconcile() == []


def test_a_disk_that_could_not_be_replaced_is_an_error_until_a_rebuild(
        plane: ControlPlane, instance: str, image: str,
        monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_spec: object) -> None:
        raise HypervisorError("The image is broken.")

    with monkeypatch.context() as patch:
        patch.setattr(plane.hypervisor, "rebuild_server", fail)
        upgrade(plane, instance)
        shown = plane.wait(instance, "ERROR")
    assert "The image is broken." in shown["fault"]["message"]
    assert shown["datastore"]["version"] == "10.11"
    assert "start_db_with_conf_changes" not in asked(plane)
    plane.request("PATCH", f"/instances/{instance}", {
        "instance": {"datastore_version": "11.4"}}, status=422)
    manage(plane, instance, {"rebuild": {"image_id": image}})
    shown = plane.wait(instance, "ACTIVE")
    assert "fault" not in shown
    assert asked(plane)[-1] == "post_upgrade"


def test_a_rebuild_that_comes_when_it_is_given_up_is_put_to_use(
        plane: ControlPlane, instance: str, image: str) -> None:
    plane.minicloud.faults.add({"kind": "error", "status": 409, "service": "compute",
                                "method": "POST", "path": "action"})
    upgrade(plane, instance)
    shown = plane.wait(instance, "ACTIVE")
    assert shown["datastore"]["version"] == "10.11"
    plane.minicloud.faults.clear()
    operation, = (one for one in plane.request("GET", "/operations").json["operations"]
                  if one["action"] == "instance.upgrade")
    # the request arrives after all
    now, compute = server(plane), plane.tools.clouds.compute
    compute.rebuild_server(now["id"], image, plane.hypervisor.user_data[now["id"]],
                           {**now["metadata"], "trove_rebuild": operation["id"]})
    wait_until(lambda: plane.show(instance)["operating_status"] == "NEW")
    kinds = [one.finding.kind for one in plane.reconcile() if one.repaired]
    assert kinds == [Kind.AGENT_NEW]
    assert plane.show(instance)["status"] == "BUILD"
    plane.manager.sweep()
    shown = plane.wait(instance, "ACTIVE")
    assert (shown["operating_status"], shown["datastore"]["version"]) == ("HEALTHY", "11.4")
    assert plane.reconcile() == []


def test_a_disk_that_cannot_be_put_to_use_is_tried_again(
        plane: ControlPlane, instance: str) -> None:
    plane.conf.set_override("recover_tries", 3)
    plane.hypervisor.failures["post_upgrade"] = "The database does not start."
    agent, = plane.hypervisor.agents.values()
    agent.begin_anew()
    wait_until(lambda: plane.show(instance)["operating_status"] == "NEW")

    def tried() -> list[bool]:
        found = [one.repaired for one in plane.reconcile()]
        plane.manager.sweep()
        wait_until(lambda: all(one["status"] in ("SUCCEEDED", "FAILED") for one in
                               plane.request("GET", "/operations").json["operations"]))
        return found

    assert tried() == [True]
    shown = plane.show(instance)
    assert (shown["status"], shown["fault"]["message"]) == (
        "ERROR", "The database does not start.")
    # not at once
    assert tried() == []
    plane.conf.set_override("recover_interval", 0)
    for _ in range(2):
        assert tried() == [True]
    # a person must look at it, and says when it is worth another try
    assert tried() == [False]
    kinds = [one["kind"] for one in plane.request(
        "GET", f"/instances/{instance}/events").json["events"]]
    assert [kinds.count(one) for one in (
        "mismatch.repaired", "operation.failed", "mismatch.found")] == [3, 3, 1]
    plane.hypervisor.failures.clear()
    plane.request("POST", f"/instances/{instance}/action", {"reset_status": {}}, status=202,
                  token="admin")
    assert tried() == [True]
    assert "fault" not in plane.wait(instance, "ACTIVE")
    assert plane.reconcile() == []


def test_a_database_that_does_not_start_on_the_new_disk_is_an_error(
        plane: ControlPlane, instance: str, image: str) -> None:
    plane.hypervisor.failures["post_upgrade"] = "The database does not start."
    upgrade(plane, instance)
    shown = plane.wait(instance, "ERROR")
    assert shown["fault"]["message"] == "The database does not start."
    # what runs there is the new one
    assert shown["datastore"]["version"] == "11.4"
    assert server(plane)["image_ref"] == image


def test_a_server_goes_where_the_operator_says(plane: ControlPlane, instance: str) -> None:
    here = server(plane)["host"]
    there = next(one for one in ("compute-1", "compute-2", "compute-3") if one != here)
    manage(plane, instance, {"migrate": {"host": there}})
    shown = plane.wait(instance, "ACTIVE")
    assert "fault" not in shown
    assert server(plane)["host"] == there
    assert asked(plane)[-2:] == ["stop_db", "start_db_with_conf_changes"]


def test_a_server_that_finds_no_machine_works_where_it_is(
        plane: ControlPlane, instance: str) -> None:
    here = server(plane)["host"]
    manage(plane, instance, {"migrate": {"host": "nowhere"}})
    shown = plane.wait(instance, "ACTIVE")
    assert "compute service refused" in shown["fault"]["message"]
    assert server(plane)["host"] == here
    assert asked(plane)[-2:] == ["stop_db", "start_db_with_conf_changes"]


def test_a_database_that_does_not_start_elsewhere_comes_back(
        plane: ControlPlane, instance: str) -> None:
    here = server(plane)["host"]
    plane.hypervisor.failures["start_db_with_conf_changes"] = "It does not start."
    manage(plane, instance, {"migrate": {}})
    shown = plane.wait(instance, "ERROR")
    assert shown["fault"]["message"] == "It does not start."
    # the script's database starts nowhere; the server is back all the same
    assert server(plane)["host"] == here
    assert server(plane)["vm_state"] == "active"


def test_a_server_that_was_stopped_is_booted(plane: ControlPlane, instance: str) -> None:
    plane.tools.clouds.compute.stop_server(server(plane)["id"])
    manage(plane, instance, {"reboot": {}})
    plane.wait(instance, "ACTIVE")
    assert server(plane)["vm_state"] == "active"


def test_a_stopped_database_is_shown_and_can_be_restarted(
        plane: ControlPlane, instance: str) -> None:
    manage(plane, instance, {"stop": {}})
    assert plane.wait(instance, "ACTIVE")["operating_status"] == "SHUTDOWN"
    assert asked(plane)[-1] == "stop_db"


@pytest.mark.parametrize("works", [True, False])
def test_an_agent_is_upgraded_unless_the_release_does_not_work(
        plane: ControlPlane, instance: str, works: bool) -> None:
    for option, value in {"version": "2.0", "location": "http://192.0.2.1/agent.whl",
                          "sha256": "ab" * 32}.items():
        plane.conf.set_override(option, value, group="agent_package")
    if not works:
        plane.hypervisor.failures["release"] = "It does not start."
    plane.request("POST", f"/mgmt/instances/{instance}/upgrade", {"upgrade": {}}, status=202,
                  token="admin")
    shown = plane.wait(instance, "ACTIVE")
    assert shown.get("fault", {}).get("message", "") == (
        "" if works else "The new agent did not work; the one before is back.")
    assert shown["operating_status"] == "HEALTHY"
    agent, = plane.hypervisor.agents.values()
    assert (agent.version, agent.trial) == ("2.0" if works else "1.0", "")
    shown = plane.request("GET", f"/mgmt/instances/{instance}", token="admin").json["instance"]
    assert shown["guest_status"]["agent_version"] == agent.version
