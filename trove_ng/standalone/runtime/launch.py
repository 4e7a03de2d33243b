"""The hypervisor's side of starting a server; :mod:`boot` is the other one."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import trove_ng
from trove_ng.standalone.minicloud.hypervisor import HypervisorError, ServerSpec
from trove_ng.standalone.runtime import programs, rootfs
from trove_ng.standalone.runtime.boot import Plan
from trove_ng.standalone.runtime.identity import ProcessIdentity
from trove_ng.standalone.runtime.records import ServerPlace

_READY_SECONDS = 30
_BOOT_SECONDS = 60
_SUPERVISED_SECONDS = 30


def make_plan(
    spec: ServerSpec, place: ServerPlace, layers: Sequence[rootfs.Layer],
    groups: Sequence[Path], devices: Mapping[str, tuple[int, int]],
) -> Plan:
    """Return what the starting process must know.

    :param groups: cgroup files to join
    :param devices: name below /dev → major and minor number
    """
    hosts = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    hosts += [f"{port.ip} {spec.hostname}" for port in spec.ports[:1]]
    return Plan(
        server_id=spec.id,
        hostname=spec.hostname,
        root=str(place.root),
        layers=list(layers),
        visible=rootfs.visible_paths(_package_parent()),
        config_drive=str(place.config_drive),
        console=str(place.console),
        pid_file=str(place.pid_file),
        bin_dir=str(Path(sys.executable).parent),
        hosts="\n".join(hosts) + "\n",
        groups=[str(group) for group in groups],
        devices=dict(devices),
    )


def start(plan: Plan, place: ServerPlace, connect: Callable[[int], None]) -> None:
    """Start a server and return when its supervisord runs.

    :param connect: called with the first process's pid when its network namespace
        exists and nothing runs in it yet
    :raises HypervisorError: it did not start; nothing of it runs any more
    """
    plan.save(place.plan)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8",
                   "PYTHONPATH": str(_package_parent())}
    with subprocess.Popen(
        [sys.executable, "-m", "trove_ng.standalone.runtime.boot", str(place.plan)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, cwd="/",
    ) as process:
        try:
            connect(_wait_ready(process))
            _, reason = process.communicate("go\n", timeout=_BOOT_SECONDS)
        except BaseException:
            # the end of its input makes it give up
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close() if process.stdin else None
            process.kill()
            raise
    if process.returncode:
        raise HypervisorError(f"Server {plan.server_id} did not start: {reason.strip()}")
    _wait_supervised(plan, place)


def _wait_ready(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None and process.stderr is not None
    readable, _, _ = select.select([process.stdout], [], [], _READY_SECONDS)
    line = process.stdout.readline() if readable else ""
    word, _, number = line.strip().partition(" ")
    if word != "ready" or not number.isdigit():
        process.kill()
        raise HypervisorError(
            f"The server's namespaces were not made: {process.stderr.read().strip()}")
    return int(number)


def _wait_supervised(plan: Plan, place: ServerPlace) -> None:
    """Wait until the server's supervisord answers."""
    identity = ProcessIdentity.load(place.pid_file)
    deadline = time.monotonic() + _SUPERVISED_SECONDS
    while identity is not None and identity.alive():
        if _answers(f"/proc/{identity.pid}/root{programs.SOCKET}"):
            return
        if time.monotonic() > deadline:
            identity.end(0)
        time.sleep(0.01)
    raise HypervisorError(
        f"Server {plan.server_id} stopped at its start; its console tells why.")


def _answers(path: str) -> bool:
    """Connect to supervisord; that also wakes it, so that it starts its programs at once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
        except OSError:
            return False
    return True


def _package_parent() -> Path:
    return Path(trove_ng.__file__).resolve().parent.parent
