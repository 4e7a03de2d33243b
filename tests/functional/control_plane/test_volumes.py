"""Volume configurations, and the volumes that instances get by them."""

from __future__ import annotations

from typing import Any

from tests.functional.control_plane.conftest import NOTHING, ControlPlane
from tests.functional.control_plane.world import wait_for
from trove_ng.common.clock import utcnow
from trove_ng.db.models import InstanceVolume, VolumeConfig
from trove_ng.db.repositories import volumes


def configure(plane: ControlPlane, name: str, kind: str = "data", **more: Any) -> None:
    now = utcnow()
    values = {"size": 3, "device_type": "block_xfs", "provider": "cinder", **more}
    with plane.db.writer() as session:
        volumes.put(session, VolumeConfig(
            name=name, volume_kind=kind, created=now, updated=now, **values))


def create(plane: ControlPlane, **more: Any) -> Any:
    return plane.request("POST", "/instances", {"instance": {
        "name": "db", "flavorRef": "1", **more}})


def told(plane: ControlPlane, call: str) -> list[Any]:
    agent, = plane.hypervisor.agents.values()
    return [request for name, request in agent.asked if name == call]


def shown(plane: ControlPlane, ident: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plane.request(
        "GET", f"/instances/{ident}/volumes", status=200).json["volumes"]
    return found


def test_an_instance_is_made_and_grown_as_its_configuration_says(plane: ControlPlane) -> None:
    kind = plane.request("GET", "/volume-types", status=200).json["volume_types"][0]["name"]
    configure(plane, "fast", provider_type=kind)
    assert plane.request("GET", "/volume_configs", status=200).json == {
        "volume_configs": ["fast"]}
    assert plane.request("GET", "/volume_configs/fast", status=200).json["volume_config"][
        "volumes"] == [{"volume_kind": "data", "size": 3, "provider": "cinder",
                        "provider_type": kind, "device_type": "block_xfs", "required": False}]
    plane.request("GET", "/volume_configs/slow", status=404)
    ident = create(plane, volume_config="fast").json["instance"]["id"]
    assert plane.wait(ident, "ACTIVE")["volume"]["size"] == 3
    volume, = plane.minicloud.store.list("volume")
    assert shown(plane, ident) == [{
        "volume_id": volume["id"], "size": 3, "volume_kind": "data", "provider": "cinder",
        "device_type": "block_xfs"}]
    assert told(plane, "prepare")[0].volume.fstype == "xfs"
    resize = {"resize": {"volume": {"size": 5, "volume_kind": "data"}}}
    plane.request("POST", f"/instances/{ident}/action", resize, status=202)
    plane.wait(ident, "ACTIVE")
    assert told(plane, "resize_fs")[0].fstype == "xfs"
    assert shown(plane, ident)[0]["size"] == 5
    resize["resize"]["volume"].update(size=6, volume_kind="binlog")
    plane.request("POST", f"/instances/{ident}/action", resize, status=400)
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    with plane.db.reader() as session:
        assert session.query(InstanceVolume).all() == []


def test_the_file_system_stays_when_the_default_changes(plane: ControlPlane) -> None:
    plane.conf.set_override("volume_fstype", "ext3")
    ident = create(plane, volume_list=[{"volume_kind": "data", "size": 1}]).json[
        "instance"]["id"]
    plane.wait(ident, "ACTIVE")
    plane.conf.set_override("volume_fstype", "xfs")
    assert shown(plane, ident)[0]["device_type"] == "block_ext3"
    plane.request("POST", f"/instances/{ident}/action", {"resize": {"volume": {"size": 2}}},
                  status=202)
    plane.wait(ident, "ACTIVE")
    assert told(plane, "resize_fs")[0].fstype == "ext3"


def test_the_configuration_named_default_is_that_of_requests_that_name_none(
        plane: ControlPlane) -> None:
    answer = create(plane)
    assert (answer.status_int, "volume is required" in answer.text) == (400, True)
    configure(plane, "default", size=2)
    assert create(plane).json["instance"]["volume"] == {"size": 2}
    assert create(plane, volume={"size": 1}).json["instance"]["volume"] == {"size": 1}


def test_what_cannot_be_made_is_refused(plane: ControlPlane) -> None:
    configure(plane, "two")
    configure(plane, "two", "index", size=1, required=True)
    configure(plane, "gold", provider_type="gold")
    configure(plane, "big", size=11)
    for wanted, why in (
            ({"volume_config": "two"}, "no volumes of kind index"),
            ({"volume_config": "gold"}, "gold does not exist"),
            ({"volume_config": "big"}, "from 1 to 10 GB"),
            ({"volume_config": "none"}, "none does not exist")):
        answer = create(plane, **wanted)
        assert answer.status_int == 400, answer.text
        assert why in answer.json["badRequest"]["message"]
    assert plane.resources()["volumes"] == 0


def several(plane: ControlPlane, **more: Any) -> str:
    """Return an instance with three volumes, one of them optional, that works."""
    configure(plane, "three", size=2)
    configure(plane, "three", "binlog", size=1, device_type="block_ext4", required=True)
    configure(plane, "three", "user_log", size=1, device_type="block_ext3")
    ident = str(create(plane, volume_config="three", **more).json["instance"]["id"])
    plane.wait(ident, "ACTIVE")
    return ident


ALL = {"volume_list": [{"volume_kind": "user_log", "size": 3}]}


def test_an_instance_has_a_volume_of_each_kind(plane: ControlPlane) -> None:
    ident = several(plane, **ALL)
    found = shown(plane, ident)
    assert [(one["volume_kind"], one["size"], one["device_type"]) for one in found] == [
        ("data", 2, "block_xfs"), ("binlog", 1, "block_ext4"), ("user_log", 3, "block_ext3")]
    made = {one["id"]: one for one in plane.minicloud.store.list("volume")}
    assert {one["volume_id"] for one in found} == set(made)
    assert {one["status"] for one in made.values()} == {"in-use"}
    request = told(plane, "prepare")[0]
    assert request.volume.device == "/dev/vdb"
    assert [(one.volume_kind, one.device_type, one.device_path, one.volume_id)
            for one in request.device_config] == [
        (one["volume_kind"], one["device_type"], f"/dev/vd{letter}", one["volume_id"])
        for one, letter in zip(found, "bcd", strict=True)]
    assert plane.quota()["volumes"] == (6, 0)
    assert plane.show(ident)["volume"]["size"] == 2
    assert plane.reconcile() == []
    _one_grows(plane, ident)
    _another_cannot(plane, ident)
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert plane.resources() == NOTHING
    assert plane.quota()["volumes"] == (0, 0)


def _one_grows(plane: ControlPlane, ident: str) -> None:
    resize = {"resize": {"volume": {"size": 4, "volume_kind": "user_log"}}}
    plane.request("POST", f"/instances/{ident}/action", resize, status=202)
    plane.wait(ident, "ACTIVE")
    request, = told(plane, "resize_fs")
    assert (request.kind, request.device, request.fstype) == ("user_log", "/dev/vdd", "ext3")
    assert [one["size"] for one in shown(plane, ident)] == [2, 1, 4]
    assert {one["size"] for one in plane.minicloud.store.list("volume")} == {2, 1, 4}
    assert plane.quota()["volumes"] == (7, 0)
    assert plane.show(ident)["volume"]["size"] == 2
    answer = plane.request("POST", f"/instances/{ident}/action", resize, status=400)
    assert "larger than the present 4 GB" in answer.json["badRequest"]["message"]


def _another_cannot(plane: ControlPlane, ident: str) -> None:
    plane.hypervisor.failures["resize_fs"] = "no"
    plane.request("POST", f"/instances/{ident}/action", {"resize": {"volume": {
        "size": 2, "volume_kind": "binlog"}}}, status=202)
    wait_for(lambda: plane.quota()["volumes"] == (7, 0) and "fault" in plane.show(ident),
             "the failure")
    assert [one["size"] for one in shown(plane, ident)] == [2, 1, 4]
    # the volume did grow, and only the next resize can use that
    outcome, = plane.reconcile()
    assert (outcome.finding.kind, outcome.finding.resource_id, outcome.finding.after) == (
        "volume-size", shown(plane, ident)[1]["volume_id"], "2")


def test_the_quota_is_of_all_volumes_together(plane: ControlPlane) -> None:
    plane.conf.set_override("max_volumes_per_tenant", 4)
    answer = create(plane, volume_list=[{"volume_kind": "data", "size": 2},
                                        {"volume_kind": "binlog", "size": 3}])
    assert (answer.status_int, "requested 5" in answer.text) == (413, True)
    answer = create(plane, volume_list=[{"volume_kind": "data", "size": 1},
                                        {"volume_kind": "binlog", "size": 11}])
    assert "the size of binlog must be from 1 to 10 GB" in answer.text
    assert plane.resources() == NOTHING


def test_a_create_that_fails_leaves_no_volume(plane: ControlPlane) -> None:
    plane.hypervisor.failures["prepare"] = "The disk is broken."
    ident = create(plane, volume_list=[{"volume_kind": "data", "size": 1},
                                       {"volume_kind": "binlog", "size": 2}]).json[
        "instance"]["id"]
    plane.wait(ident, "ERROR")
    assert plane.resources() == NOTHING
    assert shown(plane, ident) == []
    # what failed counts until its owner deletes it
    assert plane.quota()["volumes"] == (3, 0)
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert plane.quota()["volumes"] == (0, 0)


def test_a_new_root_disk_gets_all_volumes(plane: ControlPlane) -> None:
    # the optional volume is made if it is named
    ident = several(plane)
    assert [one["volume_kind"] for one in shown(plane, ident)] == ["data", "binlog"]
    plane.request("PATCH", f"/instances/{ident}", {"instance": {"datastore_version": "v"}},
                  status=202)
    plane.wait(ident, "ACTIVE")
    request = told(plane, "post_upgrade")[-1]
    assert [one.volume_kind for one in request.device_config] == ["data", "binlog"]
    assert request.volume.kind == "data"


def flavor(plane: ControlPlane, ident: str, ephemeral: int) -> str:
    """Make a flavor with disks of the server's own; return its id."""
    plane.tools.clouds.compute.create_flavor(
        name=f"db.{ident}", flavor_id=ident, ram_mb=512, vcpus=1, disk_gb=5,
        ephemeral_gb=ephemeral)
    return ident


def test_the_server_brings_disks_along(plane: ControlPlane) -> None:
    configure(plane, "local", size=1)
    configure(plane, "local", "root", size=4, provider="nova", device_type="root",
              required=True)
    configure(plane, "local", "binlog", size=2, provider="nova", required=True)
    configure(plane, "local", "user_log", size=1, provider="nova", device_type="block_ext4",
              required=True)
    small, large = flavor(plane, "7", 2), flavor(plane, "8", 3)
    answer = create(plane, volume_config="local", flavorRef=small)
    assert "the volumes need 3 GB of ephemeral disk, the flavor has 2 GB" in answer.text
    ident = create(plane, volume_config="local", flavorRef=large).json["instance"]["id"]
    plane.wait(ident, "ACTIVE")
    assert [(one["volume_kind"], one["provider"], one["size"], one["volume_id"] is None)
            for one in shown(plane, ident)] == [
        ("data", "cinder", 1, False), ("binlog", "nova", 2, True), ("root", "nova", 4, True),
        ("user_log", "nova", 1, True)]
    (server, spec), = plane.hypervisor.servers.items()
    sizes = {device: plane.hypervisor.volumes[volume]
             for device, volume in spec.volumes.items()}
    assert sizes == {"/dev/vdb": 2, "/dev/vdc": 1, "/dev/vdd": 1}
    assert [(one.volume_kind, one.device_path) for one in told(plane, "prepare")[
        0].device_config] == [
            ("data", "/dev/vdd"), ("binlog", "/dev/vdb"), ("user_log", "/dev/vdc")]
    # a root disk is no volume
    assert plane.quota()["volumes"] == (4, 0)
    for body, why in (({"volume": {"size": 3, "volume_kind": "binlog"}}, "nova does not resize"),
                      ({"flavorRef": small}, "3 GB of ephemeral disk")):
        answer = plane.request("POST", f"/instances/{ident}/action", {"resize": body}, status=400)
        assert why in answer.text
    assert plane.reconcile() == []

    plane.request("PATCH", f"/instances/{ident}", {"instance": {"datastore_version": "v"}},
                  status=202)
    plane.wait(ident, "ACTIVE")
    assert len(told(plane, "post_upgrade")[-1].device_config) == 3
    after = plane.hypervisor.servers[server].volumes
    # the server's own disks are empty again, the volume is the same
    assert [after[one] == spec.volumes[one] for one in sorted(after)] == [False, False, True]
    assert len(plane.hypervisor.volumes) == 3
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert plane.resources() == NOTHING
    assert plane.hypervisor.volumes == {}
    assert plane.quota()["volumes"] == (0, 0)


def test_data_on_the_disks_of_the_server_do_not_outlive_it(plane: ControlPlane) -> None:
    configure(plane, "local", size=2, provider="nova")
    ident = create(plane, volume_config="local", flavorRef=flavor(plane, "7", 2)).json[
        "instance"]["id"]
    assert plane.wait(ident, "ACTIVE")["volume"]["size"] == 2
    request = told(plane, "prepare")[0]
    assert request.volume is None
    assert [one.device_path for one in request.device_config] == ["/dev/vdb"]
    assert plane.minicloud.store.list("volume") == []
    answer = plane.request("PATCH", f"/instances/{ident}", {
        "instance": {"datastore_version": "v"}}, status=400)
    assert "which would be replaced" in answer.text


def test_a_share_of_others_is_mounted(plane: ControlPlane) -> None:
    configure(plane, "shared", size=9, provider="external", device_type="shared",
              provider_type="nas:/exports/trove/")
    ident = create(plane, volume_config="shared").json["instance"]["id"]
    plane.wait(ident, "ACTIVE")
    assert [(one.device_type, one.device_path) for one in told(plane, "prepare")[
        0].device_config] == [("shared", f"nas:/exports/trove/{ident}")]
    assert plane.minicloud.store.list("volume") == []
    assert [(one["provider"], one["size"]) for one in shown(plane, ident)] == [("external", 9)]
    plane.request("POST", f"/instances/{ident}/action", {"resize": {"volume": {"size": 10}}},
                  status=400)
    plane.request("PATCH", f"/instances/{ident}", {"instance": {"datastore_version": "v"}},
                  status=202)
    plane.wait(ident, "ACTIVE")
    assert told(plane, "post_upgrade")[-1].volume.raw is False
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert plane.resources() == NOTHING
