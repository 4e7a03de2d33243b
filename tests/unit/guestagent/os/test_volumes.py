"""Decisions about volumes; what needs devices is in the integration tests."""

from __future__ import annotations

import pathlib

import msgspec
import pytest
from oslo_config import cfg

from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import GuestError, UnprocessableEntity
from trove_ng.guestagent.os import commands, volumes
from trove_ng.rpc.messages import VolumeSpec


class QuickClock(SystemClock):
    """Counts seconds instead of waiting."""

    def __init__(self) -> None:
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.mark.parametrize("fields", [
    {"fstype": "btrfs"}, {"device": "vdb"}, {"device": "/dev/../etc/shadow"},
    {"mount_point": "/var/lib/my sql"}, {"mount_point": "/a\nb"},
    {"mount_options": "noatime /etc"}, {"mount_options": "a\nb"},
])
def test_a_volume_that_would_mean_something_else_is_refused(
        conf: cfg.ConfigOpts, tmp_path: pathlib.Path, fields: dict[str, str]) -> None:
    manager = volumes.VolumeManager(conf, tmp_path, SystemClock())
    spec = VolumeSpec(**({"device": "/dev/vdb", "mount_point": "/mnt/x"} | fields))
    for work in (manager.set_up, manager.mount, manager.format, manager.grow,
                 manager.unmount):
        with pytest.raises(UnprocessableEntity, match="cannot be used"):
            work(spec)


def test_a_device_that_does_not_appear_is_waited_for_and_then_an_error(
        conf: cfg.ConfigOpts, tmp_path: pathlib.Path) -> None:
    clock = QuickClock()
    manager = volumes.VolumeManager(conf, tmp_path, clock)
    with pytest.raises(GuestError, match="did not appear"):
        manager.wait_for_device("/dev/no-such-device")
    assert clock.slept == 30


def test_the_fstab_keeps_the_lines_of_others(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "fstab"
    path.write_text("# mine\n/dev/vda / ext4 defaults 0 1\n")
    volumes.update_fstab(path, {"/b": "UUID=2 /b xfs x 0 0", "/a": "UUID=1 /a ext4 x 0 0"})
    volumes.update_fstab(path, {"/a": "UUID=1 /a ext4 y 0 0"})
    assert path.read_text() == ("# mine\n/dev/vda / ext4 defaults 0 1\n"
                                f"{volumes.FSTAB_MARK}\nUUID=1 /a ext4 y 0 0\n")
    volumes.update_fstab(path, {})
    assert path.read_text() == "# mine\n/dev/vda / ext4 defaults 0 1\n"


def test_an_fstab_that_is_not_there_is_not_made_for_nothing(tmp_path: pathlib.Path) -> None:
    volumes.update_fstab(tmp_path / "fstab", {})
    assert not (tmp_path / "fstab").exists()


def test_the_space_adds_up() -> None:
    stats = volumes.filesystem_stats("/")
    assert 0 < stats.used <= stats.total
    assert stats.free <= stats.total - stats.used


def test_a_file_is_no_block_device(tmp_path: pathlib.Path) -> None:
    (tmp_path / "f").write_text("x")
    assert not volumes.is_block_device(str(tmp_path / "f"))
    assert not volumes.is_block_device(str(tmp_path / "none"))


@pytest.mark.parametrize("content", ["{", "[1]", '[{"device": 1}]', "\0" * 100])
def test_remembered_volumes_that_cannot_be_read_do_not_keep_the_agent_down(
        conf: cfg.ConfigOpts, tmp_path: pathlib.Path, content: str) -> None:
    (tmp_path / "volumes.json").write_text(content)
    manager = volumes.VolumeManager(conf, tmp_path, SystemClock())
    assert manager.remembered() == []
    manager.remount()


class Programs:
    """Remembers what would have been run."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self.hook = lambda argv: None

    def __call__(self, argv: list[str], **_more: object) -> commands.Result:
        self.ran.append(argv)
        self.hook(argv)
        return commands.Result(0, "", "")


SHARE = VolumeSpec(device="nas:/exports/i-1", mount_point="", fstype="nfs", mount_options="rw",
                   raw=False)


def test_a_share_gets_a_directory_for_the_instance_and_is_mounted(
        conf: cfg.ConfigOpts, tmp_path: pathlib.Path) -> None:
    conf.set_override("fstab_path", str(tmp_path / "fstab"), group="guest_volume")
    programs, made = Programs(), []
    manager = volumes.VolumeManager(conf, tmp_path / "state", SystemClock(), programs)
    spec = msgspec.structs.replace(SHARE, mount_point=str(tmp_path / "data"))

    def mounted(argv: list[str]) -> None:
        if argv[0] == "umount":
            made.extend(path.name for path in pathlib.Path(argv[1]).iterdir())
            for path in pathlib.Path(argv[1]).iterdir():
                path.rmdir()

    programs.hook = mounted
    manager.set_up(spec)
    aside = programs.ran[1][1]
    assert programs.ran == [
        ["mount", "-t", "nfs", "-o", "rw", "nas:/exports", aside], ["umount", aside],
        ["mount", "-t", "nfs", "-o", "rw", "nas:/exports/i-1", str(tmp_path / "data")]]
    assert made == ["i-1"]
    assert manager.remembered() == [spec]
    assert f"nas:/exports/i-1 {tmp_path}/data nfs rw,nofail 0 0" in (
        tmp_path / "fstab").read_text()
    with pytest.raises(UnprocessableEntity, match="size that its server"):
        manager.grow(spec)


@pytest.mark.parametrize(("device", "fstype"), [
    ("/dev/vdb", "nfs"), ("nas", "nfs"), ("nas:exports", "nfs"), ("-onas:/x", "ext4"),
    ("nas:/x y", "nfs"), ("nas:/../x", "nfs"), ("nas:/x", "ext4"), ("nas;:/x", "nfs")])
def test_a_share_that_would_mean_something_else_is_refused(
        conf: cfg.ConfigOpts, tmp_path: pathlib.Path, device: str, fstype: str) -> None:
    programs = Programs()
    manager = volumes.VolumeManager(conf, tmp_path, SystemClock(), programs)
    with pytest.raises(UnprocessableEntity, match="cannot be used"):
        manager.set_up(msgspec.structs.replace(
            SHARE, device=device, fstype=fstype, mount_point="/mnt/x"))
    assert programs.ran == []
