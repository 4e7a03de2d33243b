"""Volumes on loop devices: real file systems, mounts and growth."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import GuestError, UnprocessableEntity
from trove_ng.conf import guestagent as options
from trove_ng.guestagent.os import volumes
from trove_ng.rpc.messages import VolumeSpec

pytestmark = [pytest.mark.integration,
              pytest.mark.skipif(os.getuid() != 0, reason="loop devices need root")]

#: xfs refuses to be smaller
SIZE = 320 * 1024 ** 2


class Disk:
    """A sparse file behind a loop device."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.file = folder / "disk.img"
        with open(self.file, "wb") as out:
            out.truncate(SIZE)
        self.device = self._run("losetup", "--find", "--show", str(self.file)).strip()

    def extend(self, size: int) -> None:
        os.truncate(self.file, size)
        self._run("losetup", "--set-capacity", self.device)

    def release(self) -> None:
        while subprocess.run(["umount", self.device], capture_output=True).returncode == 0:
            continue
        self._run("losetup", "--detach", self.device)

    @staticmethod
    def _run(*argv: str) -> str:
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.release()


@pytest.fixture
def conf(tmp_path: pathlib.Path) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf(args=[], default_config_files=[])
    conf.set_override("fstab_path", str(tmp_path / "fstab"), group="guest_volume")
    return conf


@pytest.fixture
def manager(conf: cfg.ConfigOpts, tmp_path: pathlib.Path) -> volumes.VolumeManager:
    return volumes.VolumeManager(conf, tmp_path / "state", SystemClock())


def spec_of(disk: Disk, tmp_path: pathlib.Path, fstype: str = "ext4") -> VolumeSpec:
    return VolumeSpec(device=disk.device, mount_point=str(tmp_path / "data"), fstype=fstype)


@pytest.mark.parametrize("fstype", ["ext3", "ext4", "xfs"])
def test_a_volume_is_formatted_mounted_remembered_and_grown(
        manager: volumes.VolumeManager, disk: Disk, tmp_path: pathlib.Path,
        fstype: str) -> None:
    spec = spec_of(disk, tmp_path, fstype)
    data = pathlib.Path(spec.mount_point)
    manager.set_up(spec)
    assert data.is_mount()
    (data / "f").write_text("kept")
    manager.set_up(spec)
    assert (data / "f").read_text() == "kept"
    assert manager.filesystem_of(disk.device) == fstype
    fstab = (tmp_path / "fstab").read_text()
    # a copy of a volume of xfs has the same id as the volume
    options = "noatime,nouuid" if fstype == "xfs" else "noatime"
    assert f" {spec.mount_point} {fstype} {options},nofail 0 0" in fstab
    assert "UUID=" in fstab

    before = volumes.filesystem_stats(spec.mount_point).total
    disk.extend(2 * SIZE)
    assert manager.device_size(disk.device) == 2 * SIZE
    after = manager.grow(spec)
    assert after.total > before + SIZE * 0.8
    assert (data / "f").read_text() == "kept"

    manager.unmount(spec)
    manager.unmount(spec)
    assert not data.is_mount()
    assert manager.remembered() == []
    assert (tmp_path / "fstab").read_text() == ""


def test_after_a_boot_the_volume_is_mounted_again(
        manager: volumes.VolumeManager, disk: Disk, tmp_path: pathlib.Path,
        conf: cfg.ConfigOpts) -> None:
    spec = spec_of(disk, tmp_path)
    manager.set_up(spec)
    subprocess.run(["umount", spec.mount_point], check=True)
    booted = volumes.VolumeManager(conf, tmp_path / "state", SystemClock())
    booted.remount()
    assert os.path.ismount(spec.mount_point)
    booted.remount()


def test_a_file_system_that_is_there_is_never_made_anew(
        manager: volumes.VolumeManager, disk: Disk, tmp_path: pathlib.Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-L", "precious", disk.device], check=True)
    spec = spec_of(disk, tmp_path, "xfs")
    with pytest.raises(UnprocessableEntity, match="holds a file system"):
        manager.format(spec)
    manager.set_up(spec)
    assert manager.filesystem_of(disk.device) == "ext4"
    with pytest.raises(UnprocessableEntity, match="is mounted"):
        manager.format(spec, force=True)
    manager.unmount(spec)
    manager.format(spec, force=True)
    assert manager.filesystem_of(disk.device) == "xfs"


@pytest.mark.parametrize("where", ["start", "end"])
def test_unknown_data_is_left_alone(manager: volumes.VolumeManager, disk: Disk,
                                    tmp_path: pathlib.Path, where: str) -> None:
    with open(disk.device, "r+b") as raw:
        raw.seek(4096 if where == "start" else SIZE - 4096)
        raw.write(b"somebody's own format")
    with pytest.raises(UnprocessableEntity, match="left alone"):
        manager.set_up(spec_of(disk, tmp_path))
    with open(disk.device, "rb") as raw:
        raw.seek(4096 if where == "start" else SIZE - 4096)
        assert raw.read(8) == b"somebody"


def test_a_partition_table_is_left_alone(manager: volumes.VolumeManager, disk: Disk,
                                         tmp_path: pathlib.Path) -> None:
    with open(disk.device, "r+b") as raw:
        raw.seek(446)
        raw.write(bytes([0, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 255, 0, 0, 0]))
        raw.seek(510)
        raw.write(b"\x55\xaa")
    with pytest.raises(UnprocessableEntity, match="left alone"):
        manager.set_up(spec_of(disk, tmp_path))


def test_what_was_below_the_mount_point_moves_onto_the_volume(
        manager: volumes.VolumeManager, disk: Disk, tmp_path: pathlib.Path) -> None:
    spec = spec_of(disk, tmp_path)
    source = pathlib.Path(spec.mount_point)
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "f").write_text("x")
    os.chown(source / "deep" / "f", 65534, 65534)
    source.chmod(0o700)
    os.chown(source, 65534, 65534)
    manager.set_up(spec, migrate=True)
    assert source.is_mount()
    assert (source / "deep" / "f").stat().st_uid == 65534
    assert (source.stat().st_uid, source.stat().st_mode & 0o777) == (65534, 0o700)


def test_an_empty_device_is_not_mounted_and_another_mount_not_covered(
        manager: volumes.VolumeManager, disk: Disk, tmp_path: pathlib.Path) -> None:
    spec = spec_of(disk, tmp_path)
    with pytest.raises(UnprocessableEntity, match="is empty"):
        manager.mount(spec)
    with pytest.raises(UnprocessableEntity, match="is not mounted"):
        manager.grow(spec)
    manager.format(spec)
    (tmp_path / "data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", spec.mount_point], check=True)
    with contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", spec.mount_point], check=True)
        with pytest.raises(UnprocessableEntity, match="Another volume"):
            manager.mount(spec)


def test_read_ahead_is_set_when_it_is_configured(
        conf: cfg.ConfigOpts, disk: Disk, tmp_path: pathlib.Path) -> None:
    conf.set_override("block_device_readahead", 4096, group="guest_volume")
    manager = volumes.VolumeManager(conf, tmp_path / "state", SystemClock())
    manager.set_up(spec_of(disk, tmp_path))
    shown = subprocess.run(["blockdev", "--getra", disk.device], check=True,
                           capture_output=True, text=True).stdout
    assert int(shown) == 4096


def test_a_volume_that_is_in_use_stays_mounted_whether_it_grows_or_not(
        manager: volumes.VolumeManager, disk: Disk, tmp_path: pathlib.Path) -> None:
    spec = spec_of(disk, tmp_path)
    manager.set_up(spec)
    disk.extend(2 * SIZE)
    with open(pathlib.Path(spec.mount_point) / "f", "w") as used:
        used.write("x")
        with contextlib.suppress(GuestError):
            manager.grow(spec)
        assert os.path.ismount(spec.mount_point)
    assert manager.grow(spec).total > SIZE * 1.5
