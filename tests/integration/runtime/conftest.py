"""A hypervisor on this machine, in a directory and a subnet of its own."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from trove_ng.standalone.minicloud.hypervisor import FirewallRule, PortSpec, ServerSpec
from trove_ng.standalone.runtime.hypervisor import NamespaceHypervisor
from trove_ng.standalone.runtime.identity import ProcessIdentity

SUBNET = "10.78.231"
NETWORK = "runtime-tests"
ALLOW_OUT = FirewallRule("egress", None, None, None, None)
ALLOW_WEB = FirewallRule("ingress", "tcp", 8000, 8000, f"{SUBNET}.0/24")

WEB_SERVER = """#cloud-config
write_files:
- path: /etc/supervisor/trove.d/web.conf
  content: |
    [program:web]
    command=python3 -m http.server 8000 --directory /srv
- path: /srv/page
  content: hello
- path: /etc/trove/secret
  owner: mysql:mysql
  permissions: '0600'
  encoding: b64
  content: c2VjcmV0
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.integration)


@dataclass(frozen=True)
class Config:
    state_dir: Path


@dataclass
class Lab:
    """A hypervisor and shortcuts to look into its servers."""

    state_dir: Path
    hypervisor: NamespaceHypervisor
    _last: int = field(default=10)

    def spec(self, rules: Sequence[FirewallRule] = (ALLOW_OUT, ALLOW_WEB),
             volumes: dict[str, str] | None = None, user_data: str = WEB_SERVER) -> ServerSpec:
        self._last += 1
        port = PortSpec(str(uuid.uuid4()), f"fa:16:3e:00:00:{self._last:02x}",
                        f"{SUBNET}.{self._last}", 24, f"{SUBNET}.1", NETWORK)
        return ServerSpec(
            str(uuid.uuid4()), "test", f"host-{self._last}", 1, 512, 5,
            {"id": "image", "rootfs": "/"}, [port], list(rules), dict(volumes or {}),
            {"openstack/latest/user_data": user_data.encode()})

    def volume(self, size_gb: int = 1) -> str:
        volume_id = str(uuid.uuid4())
        self.hypervisor.create_volume(volume_id, size_gb)
        return volume_id

    def pid(self, spec: ServerSpec) -> int:
        path = self.state_dir / "runtime/servers" / spec.id / "process.json"
        identity = ProcessIdentity.load(path)
        assert identity is not None
        return identity.pid

    def attempt(self, spec: ServerSpec, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script inside a server."""
        return subprocess.run(
            ["nsenter", "-t", str(self.pid(spec)), "-m", "-u", "-i", "-n", "-p", "-r", "-w",
             "sh", "-ec", script], capture_output=True, text=True, timeout=60)

    def inside(self, spec: ServerSpec, script: str) -> str:
        """Run a shell script inside a server; it must succeed."""
        done = self.attempt(spec, script)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def page(self, spec: ServerSpec, path: str = "page") -> str | None:
        """Fetch from the server's web server; None when it does not answer."""
        done = subprocess.run(
            ["curl", "-s", "-m", "1", f"http://{spec.ports[0].ip}:8000/{path}"],
            capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else None


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@dataclass(frozen=True)
class Machine:
    """What of the machine a hypervisor could leave changed."""

    links: frozenset[str]
    loops: frozenset[str]
    mounts: tuple[str, ...]
    groups: tuple[str, ...]

    @classmethod
    def look(cls, state_dir: Path) -> Machine:
        backing = [path.read_text().strip()
                   for path in Path("/sys/block").glob("loop*/loop/backing_file")]
        mounts = [line for line in Path("/proc/mounts").read_text().splitlines()
                  if str(state_dir) in line]
        return cls(
            frozenset(path.name for path in Path("/sys/class/net").iterdir()
                      if path.name.startswith("tn")),
            frozenset(path for path in backing if str(state_dir) in path),
            tuple(mounts),
            tuple(str(path) for path in Path("/sys/fs/cgroup").glob("**/trove-standalone/*/")))


def processes_with(text: str) -> list[str]:
    """Return the pids of processes whose root or command mentions a path."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            mounts = (entry / "mountinfo").read_text()
            command = (entry / "cmdline").read_text()
        except OSError:
            continue
        if f"upperdir={text}" in mounts or text in command:
            found.append(entry.name)
    return found


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("servers are namespaces: root is needed")
    state_dir = tmp_path / "state"
    hypervisor = NamespaceHypervisor(Config(state_dir), stop_seconds=10)
    hypervisor.ensure_network(
        {"id": NETWORK, "cidr": f"{SUBNET}.0/24", "gateway": f"{SUBNET}.1"})
    try:
        yield Lab(state_dir, hypervisor)
    finally:
        hypervisor.destroy_all()


def with_rules(spec: ServerSpec, *rules: FirewallRule) -> ServerSpec:
    return replace(spec, rules=list(rules))
