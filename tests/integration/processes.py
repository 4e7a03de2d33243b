"""The processes of an all-in-one: its services, and those in its servers."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import psutil

from tests.integration.cloud import AllInOne, ClientError

SERVICES = ("trove-api", "trove-taskmanager", "trove-conductor")


def services(cloud: AllInOne) -> dict[int, str]:
    """Return pid → name of the running services."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        # gunicorn gives its processes titles of their own
        name = next((one for one in SERVICES if f"/{one} " in line or f"[{one}]" in line), None)
        if name and (str(cloud.state_dir) in line or _below(process, cloud)):
            found[process.pid] = name
    return found


def _below(process: psutil.Process, cloud: AllInOne) -> bool:
    """Return whether a process belongs to the supervisor of this all-in-one."""
    with contextlib.suppress(psutil.Error):
        return any(str(cloud.state_dir) in " ".join(one.cmdline())
                   for one in process.parents())
    return False


def restart(cloud: AllInOne) -> None:
    """Have supervisord start the services anew, and wait until they serve."""
    before = services(cloud)
    for pid in before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 150
    while True:
        now = services(cloud)
        if set(now.values()) == set(SERVICES) and not now.keys() & before.keys():
            with contextlib.suppress(OSError, ClientError):
                if cloud.rest().get("/datastores").ok:
                    return
        assert time.monotonic() < end, now
        time.sleep(0.2)


def root_of(instance: str) -> Path:
    """Return the root directory of an instance's server, by the agent that runs there."""
    for process in psutil.process_iter(["cmdline"]):
        # a release of its own is started by another name
        if not any("guestagent" in word for word in process.info["cmdline"] or []):
            continue
        root = Path("/proc", str(process.pid), "root")
        # it may end just now
        with contextlib.suppress(OSError):
            if instance in (root / "etc/trove/conf.d/guest_info.conf").read_text():
                return root
    raise AssertionError("the agent does not run")


def of_server(ident: str) -> list[psutil.Process]:
    """Return all processes of an instance's server, its first one last."""
    namespace = os.readlink(root_of(ident).parent / "ns/pid")
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.readlink(f"/proc/{one.pid}/ns/pid") == namespace:
                found.append(one)
    return sorted(found, key=lambda one: -one.pid)


def kill(ident: str) -> None:
    """Let a server lose its power."""
    for one in of_server(ident):
        with contextlib.suppress(psutil.Error):
            one.send_signal(signal.SIGKILL)
