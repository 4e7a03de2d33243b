"""The few system calls that Python does not offer yet."""

from __future__ import annotations

import ctypes
import os
import platform

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

_MNT_DETACH = 2
_PR_CAPBSET_DROP = 24
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}

#: capabilities that no server has: they reach the kernel of the whole machine
DROPPED_CAPABILITIES = {
    "sys_module": 16,
    "sys_rawio": 17,
    "sys_boot": 22,
    "sys_time": 25,
    "mknod": 27,
    "mac_override": 32,
    "mac_admin": 33,
    "syslog": 34,
    "wake_alarm": 35,
}


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Move this process (its children, for pids) into new namespaces."""
    _check(_libc().unshare(flags), "unshare")


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """Mount; see mount(2).

    :raises OSError: with the target in its text
    """
    _check(
        _libc().mount(
            source.encode(),
            target.encode(),
            fstype.encode() or None,
            ctypes.c_ulong(flags),
            data.encode() or None,
        ),
        f"mount {fstype or source} on {target}",
    )


def bind(source: str, target: str, *, readonly: bool = False) -> None:
    """Show a file or directory at a second place."""
    mount(source, target, flags=MS_BIND | MS_REC)
    if readonly:
        mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def detach(target: str) -> None:
    """Unmount a tree as soon as nothing uses it."""
    _check(_libc().umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def pivot_root(new_root: str) -> None:
    """Make a mount point the root and drop the old root from sight.

    :raises OSError: also on a machine whose system call number is unknown
    """
    machine = platform.machine()
    if machine not in _PIVOT_ROOT:
        raise OSError(f"pivot_root is not known on {machine}")
    os.chdir(new_root)
    _check(_libc().syscall(_PIVOT_ROOT[machine], b".", b"."), "pivot_root")
    detach(".")
    os.chdir("/")


def sethostname(name: str) -> None:
    """Set the host name of this UTS namespace."""
    encoded = name.encode()
    _check(_libc().sethostname(encoded, len(encoded)), "sethostname")


def drop_capabilities() -> None:
    """Take from this process and its children what reaches beyond a server."""
    libc = _libc()
    for name, number in DROPPED_CAPABILITIES.items():
        _check(libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"drop cap_{name}")
