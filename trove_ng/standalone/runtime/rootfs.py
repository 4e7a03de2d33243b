"""The root of a server: an overlay over the machine's own, with private parts."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trove_ng.standalone.minicloud.hypervisor import HypervisorError
from trove_ng.standalone.runtime.commands import run

LOG = logging.getLogger(__name__)
_GIB = 1024**3

#: directories of the machine that a server has for itself, empty at first
PRIVATE_DIRECTORIES = {
    "/etc/cron.d": 0o755,
    "/etc/ssh": 0o755,
    "/etc/supervisor": 0o755,
    "/etc/trove": 0o755,
    "/home": 0o755,
    "/media": 0o755,
    "/mnt": 0o755,
    "/root": 0o700,
    "/srv": 0o755,
    "/tmp": 0o1777,  # noqa: S108
    "/var/backups": 0o755,
    "/var/cache/apt": 0o755,
    "/var/lib/mysql": 0o755,
    "/var/lib/postgresql": 0o755,
    "/var/lib/rabbitmq": 0o755,
    "/var/lib/redis": 0o755,
    "/var/lib/trove": 0o755,
    "/var/log": 0o755,
    "/var/mail": 0o755,
    "/var/spool": 0o755,
    "/var/tmp": 0o1777,  # noqa: S108
}

#: file systems whose content belongs into a server's root
_REAL_FILE_SYSTEMS = frozenset({
    "9p", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "virtiofs",
    "xfs", "zfs"})
#: what a server mounts itself or does not get at all
_OWN_MOUNTS = ("/boot", "/dev", "/proc", "/run", "/sys")


@dataclass(frozen=True)
class Layer:
    """One overlay of a root: ``lower`` shows up at ``target``, changes go to ``upper``."""

    target: str
    lower: str
    upper: str
    work: str


class RootStore:
    """Where the changed files of the servers' roots are kept.

    A directory, if the file system below can carry an overlay; else a file
    system of its own in a sparse file, else memory.

    :param root: directory of its own
    """

    def __init__(self, root: Path) -> None:
        self._base = root / "roots"
        self._image = root / "roots.img"
        self._lock = threading.Lock()
        self._ready = False

    def open(self) -> Path:
        """Return the directory, ready for use; called again it is cheap."""
        with self._lock:
            if not self._ready:
                self._open()
                self._ready = True
        return self._base

    def close(self) -> None:
        """Unmount what :meth:`open` mounted and remove everything."""
        with self._lock:
            self._ready = False
            if os.path.ismount(self._base):
                run(["umount", str(self._base)])
            shutil.rmtree(self._base, ignore_errors=True)
            self._image.unlink(missing_ok=True)

    def _open(self) -> None:
        self._base.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.path.ismount(self._base):
            return
        if not self._image.exists() and _carries_overlay(self._base):
            return
        try:
            self._mount_image()
        except HypervisorError as error:
            LOG.warning("Server roots are kept in memory: %s", error)
            run(["mount", "-t", "tmpfs", "-o", "mode=0700", "trove", str(self._base)])

    def _mount_image(self) -> None:
        if not self._image.exists():
            partial = self._image.with_suffix(".partial")
            partial.touch(mode=0o600)
            os.truncate(partial, max(2 * _GIB, int(shutil.disk_usage(self._base).free * 0.8)))
            run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1",
                 str(partial)])
            partial.replace(self._image)
        run(["mount", "-o", "loop", str(self._image), str(self._base)])


def _carries_overlay(directory: Path) -> bool:
    parts = [directory / f".probe-{name}" for name in ("upper", "work", "target")]
    for part in parts:
        part.mkdir(exist_ok=True)
    upper, work, target = parts
    try:
        os.setxattr(upper, "trusted.overlay.opaque", b"y")
        os.removexattr(upper, "trusted.overlay.opaque")
        run(["unshare", "--mount", "--", "mount", "-t", "overlay", "trove", "-o",
             f"lowerdir=/,upperdir={upper},workdir={work}", str(target)])
    except (OSError, HypervisorError) as error:
        LOG.info("%s cannot carry an overlay: %s", directory, error)
        return False
    finally:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
    return True


def layers(rootfs: str, store: Path, hidden: Iterable[str]) -> list[Layer]:
    """Return the overlays that make a root out of a directory.

    A machine whose ``/usr`` or ``/var`` is a mount of its own needs one for each.

    :param rootfs: directory with the file system of the image, mostly ``/``
    :param store: where the changes of this server are kept
    :param hidden: directories that the server does not see
    """
    targets = ["/"]
    if rootfs == "/":
        targets += submounts(Path("/proc/self/mountinfo").read_text(), tuple(hidden))
    made = []
    for target in targets:
        name = target.strip("/").replace("/", "-") or "root"
        made.append(Layer(
            target, rootfs if target == "/" else target,
            str(store / "upper" / name), str(store / "work" / name)))
    return made


def submounts(mountinfo: str, hidden: tuple[str, ...]) -> list[str]:
    """Return the mount points that a root needs a layer for, outermost first."""
    found = set()
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        target = before.split()[4].encode().decode("unicode_escape")
        if target == "/" or after.split()[0] not in _REAL_FILE_SYSTEMS:
            continue
        if _below(target, _OWN_MOUNTS) or _below(target, hidden) or not os.path.isdir(target):
            continue
        found.add(target)
    return sorted(found)


def _below(path: str, parents: Iterable[str]) -> bool:
    return any(path == parent or path.startswith(parent.rstrip("/") + "/") for parent in parents)


def prepare(made: Sequence[Layer], private: dict[str, int], files: dict[str, str]) -> None:
    """Give the layers their private directories and files, before the first start.

    :param private: directory → mode; nothing of the image's content shows through
    :param files: path → content, readable for all
    """
    for layer in made:
        Path(layer.work).mkdir(parents=True, exist_ok=True)
        upper = Path(layer.upper)
        upper.mkdir(parents=True, exist_ok=True)
        _copy_attributes(Path(layer.lower), upper)
    for directory, mode in private.items():
        place = _upper_of(made, directory)
        place.mkdir(exist_ok=True)
        place.chmod(mode)
        os.setxattr(place, "trusted.overlay.opaque", b"y")
    for name, content in files.items():
        place = _upper_of(made, name)
        place.unlink(missing_ok=True)
        place.write_text(content)
        place.chmod(0o644)
    shadow = Path(made[0].lower, "etc/shadow")
    if shadow.exists():
        place = _upper_of(made, "/etc/shadow")
        place.touch(mode=0o600)
        place.write_text(locked_shadow(shadow.read_text()))
        _copy_attributes(shadow, place)


def change(made: Sequence[Layer], source: Path) -> None:
    """Give the layers the files of a directory, over those of the image.

    :raises HypervisorError: there is no such directory
    """
    if not source.is_dir():
        raise HypervisorError(f"There is no directory {source}.")
    for path in source.rglob("*"):
        if path.is_file():
            place = _upper_of(made, f"/{path.relative_to(source)}")
            place.unlink(missing_ok=True)
            shutil.copy(path, place)
            _copy_attributes(path, place)


def locked_shadow(shadow: str) -> str:
    """Return a shadow file with the same accounts and without any password."""
    lines = []
    for line in shadow.splitlines():
        fields = line.split(":")
        lines.append(":".join([fields[0], "*", *fields[2:]]))
    return "\n".join(lines) + "\n"


def _upper_of(made: Sequence[Layer], path: str) -> Path:
    """Return the place of a path in the layer it belongs to, its parents made."""
    layer = max((each for each in made if _below(path, (each.target,))),
                key=lambda each: len(each.target))
    upper, lower = Path(layer.upper), Path(layer.lower)
    parts = Path(path).relative_to(layer.target).parts
    for part in parts[:-1]:
        upper, lower = upper / part, lower / part
        if not upper.is_dir():
            upper.mkdir()
            _copy_attributes(lower, upper)
    return upper / parts[-1] if parts else upper


def _copy_attributes(source: Path, target: Path) -> None:
    try:
        status = source.stat()
    except FileNotFoundError:
        target.chmod(0o755)
        return
    os.chown(target, status.st_uid, status.st_gid)
    target.chmod(stat.S_IMODE(status.st_mode))


def visible_paths(package_parent: Path) -> list[str]:
    """Return the directories with this program's Python code, shortest first.

    They stay visible, read-only and at the same place, in every server: the
    virtual environment, the Python it was made from, and the source tree when
    it is not installed in them.

    :param package_parent: the directory that holds the package ``trove_ng``
    """
    interpreter = Path(os.path.realpath(sys.executable)).parent.parent
    wanted = {os.path.abspath(path) for path in (
        sys.prefix, sys.base_prefix, sys.base_exec_prefix, interpreter, package_parent)}
    wanted |= {os.path.realpath(path) for path in wanted}
    kept: list[str] = []
    for path in sorted(wanted, key=len):
        if not _below(path, (*kept, "/usr", "/bin", "/lib")) and path != "/":
            kept.append(path)
    return kept
