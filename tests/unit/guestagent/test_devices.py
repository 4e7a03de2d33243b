"""What becomes of the volumes that the cloud gave to a server."""

from __future__ import annotations

import os
import pathlib

import pytest
from oslo_config import cfg

from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import UnprocessableEntity
from trove_ng.guestagent import devices, health
from trove_ng.guestagent.os.volumes import VolumeManager
from trove_ng.rpc.messages import DeviceConfig, VolumeSpec

ID = "8d0f6a0e-52f5-4d2c-8a9d-3f0b6f0a0d01"


def device(kind: str, path: str = "/dev/vdb", **more: str) -> DeviceConfig:
    return DeviceConfig(**{"volume_kind": kind, "device_type": "block_ext4",
                           "device_path": path, "mount_options": "noatime", **more})


def test_volumes_are_mounted_below_each_other_in_the_order_of_their_priorities(
        conf: cfg.ConfigOpts) -> None:
    wanted = [device("user_log", "/dev/vdd"),
              device("binlog", "/dev/vdc", device_type="block_xfs"), device("data")]
    assert devices.specs(conf, wanted, "/srv") == [
        VolumeSpec(device="/dev/vdb", mount_point="/srv"),
        VolumeSpec(kind="binlog", device="/dev/vdc", mount_point="/srv/binlog", fstype="xfs"),
        VolumeSpec(kind="user_log", device="/dev/vdd", mount_point="/srv/userlog")]
    conf.set_override("user_log", {"mount_point": "/logs", "mount_priority": "0"},
                      group="volume_mapping")
    conf.set_override("data", {"mount_point": "/data", "mount_priority": "1"},
                      group="volume_mapping")
    assert [one.mount_point for one in devices.specs(conf, wanted, "/srv")] == [
        "/logs", "/data", "/data/binlog"]


def test_a_share_is_mounted_as_it_is(conf: cfg.ConfigOpts) -> None:
    share = device("data", "nas.example.org:/exports/i", device_type="shared")
    assert devices.specs(conf, [share], "/srv") == [VolumeSpec(
        device="nas.example.org:/exports/i", mount_point="/srv", fstype="nfs",
        mount_options="rw", raw=False)]


def test_the_options_of_a_device_type_outrank_those_of_the_control_plane(
        conf: cfg.ConfigOpts) -> None:
    conf.set_override("block_ext4", {"mount_type": "ext4", "mount_options": "-o rw,nodev"},
                      group="device_type")
    assert devices.specs(conf, [device("data")], "/srv")[0].mount_options == "rw,nodev"


@pytest.mark.parametrize("wrong", [{"volume_kind": "index"}, {"device_type": "tape"}])
def test_what_is_not_known_is_refused(conf: cfg.ConfigOpts, wrong: dict[str, str]) -> None:
    with pytest.raises(UnprocessableEntity, match="index|tape"):
        devices.specs(conf, [device("data", **wrong)], "/srv")


@pytest.mark.parametrize("name", [f"virtio-{ID[:20]}", f"scsi-0QEMU_QEMU_HARDDISK_{ID[:20]}"])
def test_a_device_is_found_by_the_id_of_its_volume(
        conf: cfg.ConfigOpts, tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / "vdx").touch()
    (tmp_path / "by-id").mkdir()
    for link in (name, f"{name}-part1", "virtio-another"):
        (tmp_path / "by-id" / link).symlink_to("../vdx")
    found, = devices.specs(conf, [device("data", volume_id=ID)], "/srv", tmp_path / "by-id")
    assert found.device == str(tmp_path / "vdx")
    other, = devices.specs(conf, [device("data", volume_id="other")], "/srv",
                           tmp_path / "by-id")
    assert other.device == "/dev/vdb"


class Mounted(VolumeManager):
    """Knows volumes that nobody mounted."""

    def __init__(self, conf: cfg.ConfigOpts, folder: pathlib.Path, *specs: VolumeSpec) -> None:
        super().__init__(conf, folder, SystemClock())
        self._specs = list(specs)

    def remembered(self) -> list[VolumeSpec]:
        return self._specs


def test_a_volume_that_is_away_or_full_is_named(
        conf: cfg.ConfigOpts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, binlog = str(tmp_path), str(tmp_path / "binlog")
    volumes = devices.ServerVolumes(conf, Mounted(conf, tmp_path, *(
        VolumeSpec(kind=kind, device="/dev/vdx", mount_point=point) for kind, point in (
            ("data", data), ("binlog", binlog), ("user_log", f"{data}/userlog")))), lambda: data)
    assert volumes.has("binlog")
    assert not volumes.has("index")
    assert volumes.known(VolumeSpec(kind="binlog", device="/dev/vdc", mount_point="/x")
                         ).mount_point == binlog
    away = {data, binlog}
    monkeypatch.setattr(os.path, "ismount", lambda path: path not in away)
    monkeypatch.setattr(os.path, "isdir", lambda _path: True)
    full: set[str] = set()
    monkeypatch.setattr(health.VolumeHealth, "trouble",
                        lambda _self, path: health.FULL if path in full else "")
    assert volumes.trouble() == "The data volume is not mounted."
    away.remove(data)
    assert volumes.trouble() == "The binlog volume is not mounted."
    assert volumes.away()
    away.clear()
    full |= {binlog, f"{data}/userlog"}
    assert volumes.trouble() == "The binlog volume is full."
    assert not volumes.away()
    # a database goes on without its logs
    full.remove(binlog)
    assert volumes.trouble() == ""
