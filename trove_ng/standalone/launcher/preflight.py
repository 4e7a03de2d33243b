"""What must hold before anything is made."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from trove_ng.standalone.launcher.errors import LauncherError

_LOW_DISK_BYTES = 3 * 1024**3

#: program → Debian package
PROGRAMS = {
    "/usr/lib/postgresql/15/bin/postgres": "postgresql",
    "epmd": "erlang-base",
    "ip": "iproute2",
    "losetup": "mount",
    "mariadb-backup": "mariadb-backup",
    "mariadbd": "mariadb-server",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "nft": "nftables",
    "nsenter": "util-linux",
    "rabbitmq-server": "rabbitmq-server",
    "redis-server": "redis-server",
}
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def check_machine() -> None:
    """Refuse a system that cannot run servers.

    :raises LauncherError: with the reason
    """
    if platform.system() != "Linux":
        raise LauncherError(f"The all-in-one runs on Linux only, not on {platform.system()}.")
    if os.geteuid() != 0:
        raise LauncherError("The all-in-one makes namespaces and mounts: run it as root (sudo).")


def check_programs() -> None:
    """Refuse when a program is missing; the text names its package."""
    missing = {package for program, package in PROGRAMS.items() if not _which(program)}
    if missing:
        raise LauncherError(
            f"Programs are missing. Install them: apt-get install {' '.join(sorted(missing))}")


def check_disk(directory: Path, needed: int = _LOW_DISK_BYTES) -> None:
    """Refuse when the file system of a directory is nearly full.

    :param needed: bytes that must be free
    """
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise LauncherError(
            f"Low disk: {free / 1024**3:.1f} GiB are free at {directory},"
            f" {needed / 1024**3:.1f} GiB are needed.")


def check_ports(ports: Mapping[str, int], addresses: Iterable[str]) -> None:
    """Refuse when something listens where a service shall; name port and holder."""
    for address in addresses:
        for service, port in ports.items():
            if _free(address, port):
                continue
            holder = port_holder(port)
            by = f" by {holder}" if holder else ""
            raise LauncherError(
                f"Port {port} ({service}) on {address} is in use{by}. Stop that program,"
                " or use another --state-dir (it gets other ports).")


def _free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def check_bind(address: str) -> None:
    """Refuse an address that is not this machine's."""
    if not _free(address, 0):
        raise LauncherError(f"--bind {address}: this machine does not have that address.")


def port_holder(port: int) -> str:
    """Return name and pid of the process that listens on a TCP port; empty if unknown."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        try:
            if any(os.readlink(link) in inodes for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return ""


def _which(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":" + _SYSTEM_PATH)
