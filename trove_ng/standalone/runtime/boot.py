"""Start a server: make its namespaces, wait for its network, become its first process.

Run as ``python -m trove_ng.standalone.runtime.boot PLAN`` by the hypervisor.  The
process prints ``ready PID`` when the namespaces exist, reads ``go`` when the network
is plugged in, and ends with 0 once supervisord runs in the server, or with 1 and the
reason on standard error.  The server is nobody's child: it outlives the hypervisor.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trove_ng.standalone.runtime import cloudinit, programs, syscalls
from trove_ng.standalone.runtime.identity import ProcessIdentity
from trove_ng.standalone.runtime.rootfs import Layer

#: where a server finds its config drive
CONFIG_DRIVE = "/mnt/config"
_OPEN_FILES = 65536
_APPLIED = "/var/lib/cloud/applied"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8),
          "urandom": (1, 9), "tty": (5, 0)}


@dataclass(frozen=True)
class Plan:
    """What the starting process must know; a JSON file.

    ``groups`` are cgroup.procs files to join, ``visible`` directories of the machine
    to show read-only, ``devices`` maps a name below /dev to its major and minor.
    """

    server_id: str
    hostname: str
    root: str
    layers: list[Layer]
    visible: list[str]
    config_drive: str
    console: str
    pid_file: str
    bin_dir: str
    hosts: str
    groups: list[str] = field(default_factory=list)
    devices: dict[str, tuple[int, int]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the plan."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read what :meth:`save` wrote."""
        found = json.loads(path.read_text())
        found["layers"] = [Layer(**layer) for layer in found["layers"]]
        return cls(**found)


def main(argv: list[str] | None = None) -> int:
    """Start the server of a plan; return 0 once it runs."""
    plan = Plan.load(Path((argv if argv is not None else sys.argv[1:])[0]))
    for group in plan.groups:
        Path(group).write_text(str(os.getpid()))
    os.setsid()
    syscalls.unshare(
        syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS
        | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWCGROUP)
    go_read, go_write = os.pipe()
    report_read, report_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go_write)
        os.close(report_read)
        _first_process(plan, go_read, report_write)
    os.close(go_read)
    os.close(report_write)
    return _watch(plan, pid, go_write, report_read)


def _watch(plan: Plan, pid: int, go: int, report: int) -> int:
    """Tell the hypervisor and the first process of each other, until it runs."""
    pid_file = Path(plan.pid_file)
    ProcessIdentity.of(pid).save(pid_file)
    sys.stdout.write(f"ready {pid}\n")
    sys.stdout.flush()
    if sys.stdin.readline() == "go\n":
        os.write(go, b"g")
    # without it the first process sees the end of the pipe and leaves
    os.close(go)
    with os.fdopen(report, "rb") as stream:
        reason = stream.read().decode("utf-8", "replace")
    if not reason:
        return 0
    os.waitpid(pid, 0)
    pid_file.unlink(missing_ok=True)
    sys.stderr.write(reason)
    return 1


def _first_process(plan: Plan, go: int, report: int) -> None:
    """Become the server; never returns."""
    try:
        _take_console(plan.console)
        if os.read(go, 1) != b"g":
            raise RuntimeError("the hypervisor went away")
        os.umask(0o022)
        _mount_root(plan)
        syscalls.pivot_root(plan.root)
        syscalls.sethostname(plan.hostname)
        _configure(plan)
        _allow_open_files()
        syscalls.drop_capabilities()
        python = f"{plan.bin_dir}/python"
        command = [python, "-m", "supervisor.supervisord", "-n", "-c", programs.CONFIG]
        environment = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        os.execve(python, command, environment)  # noqa: S606 - it must become this process
    except BaseException as error:  # noqa: BLE001 - whatever it is, the hypervisor must hear it
        traceback.print_exc()
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            os.write(report, f"{type(error).__name__}: {error}".encode()[:4000])
    os._exit(1)


def _allow_open_files() -> None:
    """Let the programs open as many files as a database needs, or as the machine allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, max(hard, _OPEN_FILES)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _take_console(console: str) -> None:
    descriptor = os.open(console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    empty = os.open("/dev/null", os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(empty)
    os.close(descriptor)


def _mount_root(plan: Plan) -> None:
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    root = plan.root
    for layer in plan.layers:
        syscalls.mount(
            "overlay", root if layer.target == "/" else root + layer.target, "overlay",
            data=f"lowerdir={layer.lower},upperdir={layer.upper},workdir={layer.work}")
    quiet = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    for name in ("proc", "sys", "dev", "run"):
        Path(root, name).mkdir(exist_ok=True)
    syscalls.mount("proc", f"{root}/proc", "proc", quiet)
    for name in ("sys", "sysrq-trigger"):
        # these reach the kernel of the whole machine
        if os.path.exists(f"{root}/proc/{name}"):
            syscalls.bind(f"{root}/proc/{name}", f"{root}/proc/{name}", readonly=True)
    syscalls.mount("sysfs", f"{root}/sys", "sysfs", quiet | syscalls.MS_RDONLY)
    if plan.groups:
        _mount_groups(root, quiet)
    syscalls.mount("tmpfs", f"{root}/run", "tmpfs",
                   syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=0755")
    _make_devices(root, plan.devices)
    for path in plan.visible:
        Path(root + path).mkdir(parents=True, exist_ok=True)
        syscalls.bind(path, root + path, readonly=True)
    Path(root + CONFIG_DRIVE).mkdir(parents=True, exist_ok=True)
    syscalls.bind(plan.config_drive, root + CONFIG_DRIVE, readonly=True)


def _mount_groups(root: str, quiet: int) -> None:
    """Show the server its own control groups, so that it can read its limits."""
    place = f"{root}/sys/fs/cgroup"
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        syscalls.mount("cgroup2", place, "cgroup2", quiet)
        syscalls.bind(place, place, readonly=True)
        return
    syscalls.mount("tmpfs", place, "tmpfs", quiet, "mode=0755,size=64k")
    for controller in ("memory", "cpu"):
        os.mkdir(f"{place}/{controller}")
        syscalls.mount("cgroup", f"{place}/{controller}", "cgroup", quiet, controller)
        syscalls.bind(f"{place}/{controller}", f"{place}/{controller}", readonly=True)


def _make_devices(root: str, devices: dict[str, tuple[int, int]]) -> None:
    dev = f"{root}/dev"
    syscalls.mount("tmpfs", dev, "tmpfs", syscalls.MS_NOSUID, "mode=0755,size=4m")
    for name, (major, minor) in _NODES.items():
        os.mknod(f"{dev}/{name}", 0o020666, os.makedev(major, minor))
        os.chmod(f"{dev}/{name}", 0o666)  # noqa: S103 - these are for everybody
    for name, (major, minor) in devices.items():
        os.mknod(f"{dev}/{name}", 0o060660, os.makedev(major, minor))
    for name in ("pts", "shm"):
        os.mkdir(f"{dev}/{name}")
    syscalls.mount("devpts", f"{dev}/pts", "devpts",
                   syscalls.MS_NOSUID | syscalls.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    syscalls.mount("tmpfs", f"{dev}/shm", "tmpfs",
                   syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=1777")
    for name, target in {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0",
                         "stdout": "fd/1", "stderr": "fd/2"}.items():
        os.symlink(target, f"{dev}/{name}")


def _configure(plan: Plan) -> None:
    """Write what a server's system knows of itself, apply user data, mount its volumes."""
    Path("/etc/hostname").write_text(plan.hostname + "\n")
    Path("/etc/hosts").write_text(plan.hosts)
    applied = Path(_APPLIED)
    if not applied.exists() or applied.read_text() != plan.server_id:
        _apply_user_data()
        applied.parent.mkdir(parents=True, exist_ok=True)
        applied.write_text(plan.server_id)
    if any(line.strip() and not line.lstrip().startswith("#")
           for line in Path("/etc/fstab").read_text().splitlines()):
        # a volume that cannot be mounted must not keep the server from starting
        subprocess.run(["mount", "--all"], env={"PATH": _PATH}, check=False)
    programs.install(programs.PROGRAMS, plan.bin_dir)


def _apply_user_data() -> None:
    path = Path(CONFIG_DRIVE, "openstack/latest/user_data")
    if not path.exists():
        return
    files, ignored = cloudinit.parse(path.read_bytes())
    for file in files:
        cloudinit.write(file)
    if ignored:
        sys.stderr.write(f"user data: not supported here: {', '.join(ignored)}\n")


if __name__ == "__main__":
    sys.exit(main())
