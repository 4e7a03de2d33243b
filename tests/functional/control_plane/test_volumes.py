"""Volume configurations, and the volumes that instances get by them."""

from __future__ import annotations

from typing import Any

from tests.functional.control_plane.conftest import ControlPlane
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
    configure(plane, "two", "binlog", size=1)
    configure(plane, "gold", provider_type="gold")
    configure(plane, "big", size=11)
    for wanted, why in (
            ({"volume_config": "two"}, "no volumes of kind binlog"),
            ({"volume_config": "gold"}, "gold does not exist"),
            ({"volume_config": "big"}, "from 1 to 10 GB"),
            ({"volume_config": "none"}, "none does not exist")):
        answer = create(plane, **wanted)
        assert answer.status_int == 400, answer.text
        assert why in answer.json["badRequest"]["message"]
    assert plane.resources()["volumes"] == 0
