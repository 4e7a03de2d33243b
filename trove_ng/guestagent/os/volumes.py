"""Volumes: find, format once, mount, migrate, grow, and mount again after a boot."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import re
import shlex
import stat
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from oslo_config import cfg

from trove_ng.common.clock import Clock
from trove_ng.common.errors import GuestError, UnprocessableEntity
from trove_ng.guestagent.os import commands, files
from trove_ng.rpc.messages import FilesystemStats, VolumeSpec

LOG = logging.getLogger(__name__)

FSTYPES = ("ext3", "ext4", "xfs")
SHARES = ("nfs", "nfs4")
#: the server of a share: a name, or an address
_SHARE = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(?=/)")
#: what blkid ends with when it finds nothing
_BLKID_NOTHING = 2
#: bytes at the start and the end of a device that must be zero for it to count as empty
_PROBED_BYTES = 1024 * 1024
_OPTIONS = re.compile(r"[A-Za-z0-9_=,.:+-]*")


class VolumeManager:
    """The volumes of this server.

    A device that holds a file system, or any data that is not known, is never
    formatted.  What is mounted is remembered in ``state_dir`` and in the fstab.

    :param conf: configuration with the group ``guest_volume``
    :param state_dir: where the mounts are remembered
    :param run: runs a program; :func:`~trove_ng.guestagent.os.commands.run`
    """

    def __init__(self, conf: cfg.ConfigOpts, state_dir: pathlib.Path, clock: Clock,
                 run: Callable[..., commands.Result] = commands.run) -> None:
        self._options = conf.guest_volume
        self._memory = state_dir / "volumes.json"
        self._fstab = pathlib.Path(conf.guest_volume.fstab_path)
        self._clock = clock
        self._run = run

    def set_up(self, spec: VolumeSpec, *, migrate: bool = False) -> None:
        """Make a volume usable: format it if it is empty, mount it, remember it.

        :param migrate: copy what is below the mount point onto the volume first
        :raises GuestError: the device did not appear, or a program failed
        :raises UnprocessableEntity: the device holds something that is not understood
        """
        _check(spec)
        self._wait_for(spec)
        if self._mounted_as(spec):
            LOG.info("%s is mounted on %s already", spec.device, spec.mount_point)
            self._remember(spec)
            return
        if not spec.raw:
            self._make_directory(spec)
        elif self.filesystem_of(spec.device) is None:
            self.format(spec)
        if migrate:
            self.migrate(spec)
        self.mount(spec)

    def _wait_for(self, spec: VolumeSpec) -> None:
        if spec.raw:
            self.wait_for_device(spec.device)

    def _make_directory(self, spec: VolumeSpec) -> None:
        """Make the instance's own directory in a share, if it is not there."""
        share, _, own = spec.device.rpartition("/")
        with self._mounted_aside(f"{share}/" if share.endswith(":") else share, spec.fstype,
                                 spec.mount_options) as folder:
            files.make_directory(folder / own, mode=0o755)

    @contextlib.contextmanager
    def _mounted_aside(self, device: str, fstype: str, options: str,
                       ) -> Iterator[pathlib.Path]:
        """Mount something in a place where nobody looks, for a while."""
        scratch = self._memory.parent / "scratch"
        files.make_directory(scratch, mode=0o700)
        target = tempfile.mkdtemp(prefix="mount-", dir=scratch)
        try:
            self._mount(device, target, fstype, options)
            try:
                yield pathlib.Path(target)
            finally:
                self._run(["umount", target], timeout=60)
        finally:
            os.rmdir(target)

    def wait_for_device(self, device: str) -> None:
        """Wait until the kernel shows a block device.

        :raises GuestError: it did not appear in ``num_tries`` seconds
        """
        for _ in range(self._options.num_tries):
            if is_block_device(device):
                return
            self._clock.sleep(1)
        if not is_block_device(device):
            raise GuestError(f"The device {device} did not appear.")

    def filesystem_of(self, device: str) -> str | None:
        """Return the type of the file system, None for an empty device.

        :raises UnprocessableEntity: there is data that is no file system
        """
        found = self._blkid(device)
        if "TYPE" in found:
            return found["TYPE"]
        if found:
            raise UnprocessableEntity(
                f"The device {device} holds a partition table and is left alone.")
        if not _is_blank(device):
            raise UnprocessableEntity(
                f"The device {device} holds data that is not known and is left alone.")
        return None

    def format(self, spec: VolumeSpec, *, force: bool = False) -> None:
        """Make a file system on an empty device.

        :param force: destroy what is there; only if that was asked for explicitly
        :raises UnprocessableEntity: the device is not empty
        """
        _check(spec)
        if _mount_of_device(spec.device) is not None:
            raise UnprocessableEntity(f"The device {spec.device} is mounted.")
        if not force:
            held = self.filesystem_of(spec.device)
            if held is not None:
                raise UnprocessableEntity(
                    f"The device {spec.device} holds a file system ({held}).")
        argv = [f"mkfs.{spec.fstype}"]
        if spec.fstype == "xfs":
            argv += ["-q", "-f"] if force else ["-q"]
        else:
            argv += ["-q", "-F", *shlex.split(self._options.format_options)]
        self._run([*argv, spec.device], timeout=self._options.volume_format_timeout)
        made = self._blkid(spec.device).get("TYPE")
        if made != spec.fstype:
            raise GuestError(f"The device {spec.device} has no {spec.fstype} after mkfs.")
        LOG.info("made %s on %s", spec.fstype, spec.device)

    def mount(self, spec: VolumeSpec) -> None:
        """Mount a volume and remember it; nothing if it is mounted there.

        :raises UnprocessableEntity: it has no file system, or something else is
            mounted in its place
        """
        _check(spec)
        self._wait_for(spec)
        if not self._mounted_as(spec):
            held = self._held(spec)
            if os.path.ismount(spec.mount_point):
                raise UnprocessableEntity(
                    f"Another volume is mounted on {spec.mount_point}.")
            pathlib.Path(spec.mount_point).mkdir(parents=True, exist_ok=True)
            self._mount(spec.device, spec.mount_point, held, spec.mount_options)
        if spec.raw:
            self._set_readahead(spec.device)
        self._remember(spec)

    def _held(self, spec: VolumeSpec) -> str:
        """Return the type of the file system of a volume.

        :raises UnprocessableEntity: it has none
        """
        held = self.filesystem_of(spec.device) if spec.raw else spec.fstype
        if held is None:
            raise UnprocessableEntity(f"The device {spec.device} is empty.")
        return held

    def unmount(self, spec: VolumeSpec) -> None:
        """Unmount a volume and forget it; nothing if it is not mounted."""
        _check(spec)
        if os.path.ismount(spec.mount_point):
            self._run(["umount", spec.mount_point], timeout=60)
        self._forget(spec)

    def remount(self) -> None:
        """Mount what is remembered and not mounted, after a boot."""
        for spec in self.remembered():
            if not os.path.ismount(spec.mount_point):
                LOG.info("mounting %s on %s again", spec.device, spec.mount_point)
                self.mount(spec)

    def remembered(self) -> list[VolumeSpec]:
        """Return the volumes that belong to this server, outer mount points first."""
        try:
            specs = msgspec.json.decode(self._memory.read_bytes(), type=list[VolumeSpec])
        except FileNotFoundError:
            return []
        except msgspec.MsgspecError as err:
            # the agent must come up; the fstab still mounts what was remembered
            LOG.error("the remembered volumes cannot be read: %s", err)
            return []
        return sorted(specs, key=lambda spec: spec.mount_point)

    def migrate(self, spec: VolumeSpec) -> None:
        """Copy what is below the mount point onto the unmounted volume."""
        source = pathlib.Path(spec.mount_point)
        if not source.is_dir() or os.path.ismount(source):
            return
        held = self._held(spec)
        with self._mounted_aside(spec.device, held, spec.mount_options) as target:
            files.copy_tree(source, target)
            self._run(["sync", "-f", str(target)],
                      timeout=self._options.volume_format_timeout)

    def grow(self, spec: VolumeSpec) -> FilesystemStats:
        """Grow a mounted file system to its device and return the space it has.

        Where the kernel does not let a mounted file system grow, it is unmounted
        for that, which works while nothing uses it.

        :raises UnprocessableEntity: the volume is not mounted
        :raises GuestError: it can only grow unmounted and is in use
        """
        _check(spec)
        if not spec.raw:
            raise UnprocessableEntity("A share has the size that its server gives it.")
        if not self._mounted_as(spec):
            raise UnprocessableEntity(f"{spec.device} is not mounted on {spec.mount_point}.")
        held = self._blkid(spec.device).get("TYPE", "")
        if held == "xfs":
            self._run(["xfs_growfs", spec.mount_point],
                      timeout=self._options.volume_format_timeout)
        elif held.startswith("ext"):
            self._grow_ext(spec, held)
        else:
            raise UnprocessableEntity(f"A file system of type {held} cannot grow.")
        return filesystem_stats(spec.mount_point)

    def _grow_ext(self, spec: VolumeSpec, fstype: str) -> None:
        timeout = self._options.volume_format_timeout
        try:
            self._run(["resize2fs", spec.device], timeout=timeout)
            return
        except commands.CommandError as err:
            LOG.warning("%s does not grow while it is mounted: %s", spec.device, err.stderr)
        try:
            self._run(["umount", spec.mount_point], timeout=60)
        except commands.CommandError as err:
            raise GuestError(f"The volume on {spec.mount_point} is in use and can only grow "
                             "unmounted.") from err
        try:
            # 1: problems were found and put right
            self._run(["e2fsck", "-f", "-p", spec.device], timeout=timeout, accept=(0, 1))
            self._run(["resize2fs", spec.device], timeout=timeout)
        finally:
            self._mount(spec.device, spec.mount_point, fstype, spec.mount_options)

    def device_size(self, device: str) -> int:
        """Return the size of a block device in bytes."""
        return int(self._run(["blockdev", "--getsize64", device], timeout=30).stdout)

    # ---- inner ------------------------------------------------------------

    def _blkid(self, device: str) -> dict[str, str]:
        # -p looks at the device itself and not at blkid's cache.
        result = self._run(["blkid", "-p", "-o", "export", device], timeout=60,
                           accept=(0, _BLKID_NOTHING))
        pairs = (line.partition("=") for line in result.stdout.splitlines() if "=" in line)
        return {key: value for key, _, value in pairs if key != "DEVNAME"}

    def _mount(self, device: str, target: str, fstype: str, options: str) -> None:
        argv = ["mount", "-t", fstype]
        if options := _options_for(fstype, options):
            argv += ["-o", options]
        self._run([*argv, device, target], timeout=120)

    def _mounted_as(self, spec: VolumeSpec) -> bool:
        if not spec.raw:
            return _source_of(spec.mount_point) == spec.device
        return _is_mounted(spec.device, spec.mount_point)

    def _set_readahead(self, device: str) -> None:
        sectors = self._options.block_device_readahead
        if sectors:
            self._run(["blockdev", "--setra", str(sectors), device], timeout=30)

    def _remember(self, spec: VolumeSpec) -> None:
        specs = [old for old in self.remembered() if old.mount_point != spec.mount_point]
        self._write([*specs, spec])

    def _forget(self, spec: VolumeSpec) -> None:
        self._write([old for old in self.remembered()
                     if old.mount_point != spec.mount_point])

    def _write(self, specs: list[VolumeSpec]) -> None:
        files.make_directory(self._memory.parent, mode=0o700)
        files.write_text(self._memory, json.dumps(
            [msgspec.to_builtins(spec) for spec in specs]), mode=0o600)
        update_fstab(self._fstab, {
            spec.mount_point: self._fstab_line(spec) for spec in specs})

    def _fstab_line(self, spec: VolumeSpec) -> str:
        found = (self._blkid(spec.device) if spec.raw and is_block_device(spec.device)
                 else {})
        # A device may get another name at the next boot; its UUID stays.
        source = f"UUID={found['UUID']}" if "UUID" in found else spec.device
        fstype = found.get("TYPE", spec.fstype)
        options = ",".join(part for part in (
            _options_for(fstype, spec.mount_options), "nofail") if part)
        return f"{source} {spec.mount_point} {fstype} {options} 0 0"


def _options_for(fstype: str, options: str) -> str:
    """Return mount options; a copy of a volume has the same UUID, which xfs does not like."""
    return ",".join(part for part in (options, "nouuid") if part) if fstype == "xfs" else options


#: marks the lines of the fstab that are the agent's
FSTAB_MARK = "# trove-guestagent"


def update_fstab(path: pathlib.Path, lines: dict[str, str]) -> None:
    """Make the agent's lines of an fstab these, and leave all others.

    :param lines: mount point → line
    """
    old = files.read_text(path).splitlines() if path.exists() else []
    kept = [line for number, line in enumerate(old)
            if line != FSTAB_MARK and not (number and old[number - 1] == FSTAB_MARK)]
    for point in sorted(lines):
        kept += [FSTAB_MARK, lines[point]]
    if kept != old:
        files.write_text(path, "\n".join(kept) + "\n" if kept else "")


def filesystem_stats(path: str) -> FilesystemStats:
    """Return the space of the file system that holds a path, in bytes.

    ``free`` is what an ordinary user may still use.
    """
    info = os.statvfs(path)
    total = info.f_blocks * info.f_frsize
    return FilesystemStats(total=total, used=total - info.f_bfree * info.f_frsize,
                           free=info.f_bavail * info.f_frsize)


def is_block_device(path: str) -> bool:
    """Return True if a path names a block device."""
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_blank(device: str) -> bool:
    """Return True if start and end of a device hold nothing but zeros."""
    with open(device, "rb") as data:
        size = data.seek(0, os.SEEK_END)
        for offset in (0, max(0, size - _PROBED_BYTES)):
            data.seek(offset)
            if any(data.read(_PROBED_BYTES)):
                return False
    return True


def _mounts() -> list[tuple[int, str]]:
    """Return device number and mount point of each mount, in the order mounted."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields = line.split(" ")
            major, minor = fields[2].split(":")
            found.append((os.makedev(int(major), int(minor)), _unescape(fields[4])))
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _is_mounted(device: str, mount_point: str) -> bool:
    number = os.stat(device).st_rdev
    point = os.path.realpath(mount_point)
    on_point = [held for held, where in _mounts() if where == point]
    return bool(on_point) and on_point[-1] == number


def is_mount_point(path: str) -> bool:
    """Return True if something is mounted on a path, be it a part of the same file system."""
    point = os.path.realpath(path)
    return any(where == point for _held, where in _mounts())


def _source_of(mount_point: str) -> str | None:
    """Return what is mounted on a path last, as its file system names it."""
    point, found = os.path.realpath(mount_point), None
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields = line.split(" ")
            if _unescape(fields[4]) == point:
                found = _unescape(fields[fields.index("-") + 2])
    return found


def _mount_of_device(device: str) -> str | None:
    number = os.stat(device).st_rdev
    return next((where for held, where in _mounts() if held == number), None)


def _check(spec: VolumeSpec) -> None:
    """Refuse what would mean something else to mount or to an fstab."""
    problems: list[Any] = []
    known = FSTYPES if spec.raw else SHARES
    if spec.fstype not in known:
        problems.append(f"the file system {spec.fstype!r} is not one of {', '.join(known)}")
    if not spec.raw and not _SHARE.match(spec.device):
        problems.append(f"the share {spec.device!r} is not a server, a colon and a path")
    device = spec.device if spec.raw else _SHARE.sub("", spec.device)
    for what, path in (("device", device), ("mount point", spec.mount_point)):
        if not path.startswith("/") or re.search(r"[\s\\]", path) or ".." in path.split("/"):
            problems.append(f"the {what} {path!r} is not a plain absolute path")
    if not _OPTIONS.fullmatch(spec.mount_options):
        problems.append(f"the mount options {spec.mount_options!r} are not plain")
    if problems:
        raise UnprocessableEntity("The volume cannot be used: " + "; ".join(problems) + ".")
