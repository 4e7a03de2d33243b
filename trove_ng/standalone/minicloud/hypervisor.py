"""What runs the minicloud's servers, volumes and networks.

The REST services decide *what* must exist; a :class:`Hypervisor` makes it so.
:class:`NullHypervisor` only remembers, for tests of the REST surface.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol


class HypervisorError(Exception):
    """The hypervisor could not do what was asked; the text is shown as the fault."""


@dataclass(frozen=True)
class PortSpec:
    """One network interface of a server.

    ``ip`` is a bare address, ``prefixlen`` the length of its subnet's prefix,
    ``gateway`` the default gateway or an empty string when the subnet has none.
    """

    id: str
    mac: str
    ip: str
    prefixlen: int
    gateway: str
    network_id: str


@dataclass(frozen=True)
class FirewallRule:
    """One allowance; what no rule allows is dropped.

    ``direction`` is ``ingress`` or ``egress``. ``protocol`` None means any.
    ``port_min``/``port_max`` None means any port (for icmp: type and code).
    ``remote_cidr`` None means anywhere.
    """

    direction: str
    protocol: str | None
    port_min: int | None
    port_max: int | None
    remote_cidr: str | None


@dataclass(frozen=True)
class ServerSpec:
    """All that is needed to run a server.

    ``image`` is the image's document (id, name, properties). ``volumes`` maps a
    device (``/dev/vdb``) to a volume id. ``config_drive`` maps a path below the
    config drive (``openstack/latest/user_data``) to its content.
    """

    id: str
    name: str
    hostname: str
    vcpus: int
    ram_mb: int
    disk_gb: int
    image: dict[str, Any]
    ports: list[PortSpec] = field(default_factory=list)
    rules: list[FirewallRule] = field(default_factory=list)
    volumes: dict[str, str] = field(default_factory=dict)
    config_drive: dict[str, bytes] = field(default_factory=dict, repr=False)


class Hypervisor(Protocol):
    """Every call blocks until done and raises :class:`HypervisorError` on failure.

    Calls that remove or stop are idempotent: what is gone already is no error.
    Calls come from several threads; calls for one server come one at a time.
    """

    def create_server(self, spec: ServerSpec) -> None:
        """Make a server and start it; called again after a crash it finishes the work."""

    def start_server(self, spec: ServerSpec) -> None:
        """Start a stopped server with its own disk; running already is no error."""

    def stop_server(self, server_id: str) -> None:
        """Stop a server and keep its disk."""

    def destroy_server(self, server_id: str) -> None:
        """Stop a server and remove its disk; attached volumes are only detached."""

    def reboot_server(self, spec: ServerSpec, hard: bool) -> None:
        """Stop and start; a soft reboot lets the processes end by themselves first."""

    def rebuild_server(self, spec: ServerSpec) -> None:
        """Replace the disk by a fresh one of ``spec.image``, keep ports and volumes, start."""

    def resize_server(self, spec: ServerSpec) -> None:
        """Apply the limits of ``spec`` (vcpus, ram_mb, disk_gb) and restart the server."""

    def server_running(self, server_id: str) -> bool:
        """Whether the server's first process is alive."""

    def console_log(self, server_id: str) -> str:
        """What the server wrote to its console so far; empty when unknown."""

    def attach_volume(self, server_id: str, volume_id: str, device: str) -> None:
        """Show the volume as ``device`` inside the server."""

    def detach_volume(self, server_id: str, volume_id: str) -> None:
        """Take the volume away from the server."""

    def create_volume(
        self,
        volume_id: str,
        size_gb: int,
        source_volume_id: str | None = None,
        source_snapshot_id: str | None = None,
    ) -> None:
        """Make a volume of ``size_gb`` GiB, empty or a copy of its source."""

    def extend_volume(self, volume_id: str, size_gb: int) -> None:
        """Grow a volume to ``size_gb`` GiB; a server that has it sees the new size."""

    def delete_volume(self, volume_id: str) -> None:
        """Remove a volume."""

    def create_snapshot(self, snapshot_id: str, volume_id: str) -> None:
        """Keep a copy of the volume's present content."""

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Remove a snapshot."""

    def plug_port(self, server_id: str, port: PortSpec) -> None:
        """Add a network interface to a server."""

    def unplug_port(self, server_id: str, port_id: str) -> None:
        """Remove a network interface from a server."""

    def set_firewall(self, server_id: str, rules: Sequence[FirewallRule]) -> None:
        """Replace the server's rules, at once and without breaking kept connections."""

    def ensure_network(self, network: dict[str, Any]) -> None:
        """Make a network (keys id, cidr, gateway) if it is not there yet."""

    def remove_network(self, network_id: str) -> None:
        """Remove a network."""

    def recover(self, specs: Sequence[ServerSpec]) -> None:
        """After a restart: adopt those of ``specs`` that run and start the others.

        A server that is not in ``specs`` must not run; its disk is kept, because it
        may be one that its owner has stopped.
        """

    def destroy_all(self) -> None:
        """Remove everything this hypervisor ever made."""


class NullHypervisor:
    """Keeps in memory what exists; nothing runs. Safe to use from several threads.

    Public attributes are snapshots for assertions: ``servers`` (id → spec),
    ``running`` (ids), ``volumes`` (id → GiB), ``snapshots`` (id → volume id),
    ``networks`` (id → document), ``firewalls`` (server id → rules) and ``calls``
    (method names with the id they were about, in order).
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._failures: dict[str, list[str]] = {}
        self.servers: dict[str, ServerSpec] = {}
        self.running: set[str] = set()
        self.volumes: dict[str, int] = {}
        self.snapshots: dict[str, str] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.firewalls: dict[str, list[FirewallRule]] = {}
        self.calls: list[tuple[str, str]] = []

    def fail_next(self, method: str, message: str) -> None:
        """Make the next call of ``method`` raise :class:`HypervisorError` with ``message``."""
        with self._lock:
            self._failures.setdefault(method, []).append(message)

    def _note(self, method: str, resource_id: str) -> None:
        self.calls.append((method, resource_id))
        waiting = self._failures.get(method)
        if waiting:
            raise HypervisorError(waiting.pop(0))

    def _known(self, server_id: str) -> ServerSpec:
        spec = self.servers.get(server_id)
        if spec is None:
            raise HypervisorError(f"Server {server_id} does not exist.")
        return spec

    def _run(self, method: str, spec: ServerSpec) -> None:
        with self._lock:
            self._note(method, spec.id)
            self.servers[spec.id] = spec
            self.firewalls[spec.id] = list(spec.rules)
            self.running.add(spec.id)

    def create_server(self, spec: ServerSpec) -> None:
        self._run("create_server", spec)

    def start_server(self, spec: ServerSpec) -> None:
        self._run("start_server", spec)

    def stop_server(self, server_id: str) -> None:
        with self._lock:
            self._note("stop_server", server_id)
            self.running.discard(server_id)

    def destroy_server(self, server_id: str) -> None:
        with self._lock:
            self._note("destroy_server", server_id)
            self.running.discard(server_id)
            self.servers.pop(server_id, None)
            self.firewalls.pop(server_id, None)

    def reboot_server(self, spec: ServerSpec, hard: bool) -> None:
        self._run("reboot_server", spec)

    def rebuild_server(self, spec: ServerSpec) -> None:
        self._run("rebuild_server", spec)

    def resize_server(self, spec: ServerSpec) -> None:
        self._run("resize_server", spec)

    def server_running(self, server_id: str) -> bool:
        with self._lock:
            return server_id in self.running

    def console_log(self, server_id: str) -> str:
        with self._lock:
            spec = self.servers.get(server_id)
            return f"{spec.hostname} login: \n" if spec else ""

    def attach_volume(self, server_id: str, volume_id: str, device: str) -> None:
        with self._lock:
            self._note("attach_volume", volume_id)
            spec = self._known(server_id)
            if volume_id not in self.volumes:
                raise HypervisorError(f"Volume {volume_id} does not exist.")
            volumes = {**spec.volumes, device: volume_id}
            self.servers[server_id] = replace(spec, volumes=volumes)

    def detach_volume(self, server_id: str, volume_id: str) -> None:
        with self._lock:
            self._note("detach_volume", volume_id)
            spec = self.servers.get(server_id)
            if spec is not None:
                kept = {dev: vol for dev, vol in spec.volumes.items() if vol != volume_id}
                self.servers[server_id] = replace(spec, volumes=kept)

    def create_volume(
        self,
        volume_id: str,
        size_gb: int,
        source_volume_id: str | None = None,
        source_snapshot_id: str | None = None,
    ) -> None:
        with self._lock:
            self._note("create_volume", volume_id)
            if source_volume_id is not None and source_volume_id not in self.volumes:
                raise HypervisorError(f"Volume {source_volume_id} does not exist.")
            if source_snapshot_id is not None and source_snapshot_id not in self.snapshots:
                raise HypervisorError(f"Snapshot {source_snapshot_id} does not exist.")
            self.volumes[volume_id] = size_gb

    def extend_volume(self, volume_id: str, size_gb: int) -> None:
        with self._lock:
            self._note("extend_volume", volume_id)
            if volume_id not in self.volumes:
                raise HypervisorError(f"Volume {volume_id} does not exist.")
            self.volumes[volume_id] = size_gb

    def delete_volume(self, volume_id: str) -> None:
        with self._lock:
            self._note("delete_volume", volume_id)
            self.volumes.pop(volume_id, None)

    def create_snapshot(self, snapshot_id: str, volume_id: str) -> None:
        with self._lock:
            self._note("create_snapshot", snapshot_id)
            if volume_id not in self.volumes:
                raise HypervisorError(f"Volume {volume_id} does not exist.")
            self.snapshots[snapshot_id] = volume_id

    def delete_snapshot(self, snapshot_id: str) -> None:
        with self._lock:
            self._note("delete_snapshot", snapshot_id)
            self.snapshots.pop(snapshot_id, None)

    def plug_port(self, server_id: str, port: PortSpec) -> None:
        with self._lock:
            self._note("plug_port", port.id)
            spec = self._known(server_id)
            others = [known for known in spec.ports if known.id != port.id]
            self.servers[server_id] = replace(spec, ports=[*others, port])

    def unplug_port(self, server_id: str, port_id: str) -> None:
        with self._lock:
            self._note("unplug_port", port_id)
            spec = self.servers.get(server_id)
            if spec is not None:
                kept = [known for known in spec.ports if known.id != port_id]
                self.servers[server_id] = replace(spec, ports=kept)

    def set_firewall(self, server_id: str, rules: Sequence[FirewallRule]) -> None:
        with self._lock:
            self._note("set_firewall", server_id)
            self._known(server_id)
            self.firewalls[server_id] = list(rules)

    def ensure_network(self, network: dict[str, Any]) -> None:
        with self._lock:
            self._note("ensure_network", str(network["id"]))
            self.networks[str(network["id"])] = dict(network)

    def remove_network(self, network_id: str) -> None:
        with self._lock:
            self._note("remove_network", network_id)
            self.networks.pop(network_id, None)

    def recover(self, specs: Sequence[ServerSpec]) -> None:
        with self._lock:
            self._note("recover", "")
            wanted = {spec.id for spec in specs}
            self.running &= wanted
            for spec in specs:
                self.servers[spec.id] = spec
                self.firewalls[spec.id] = list(spec.rules)
                self.running.add(spec.id)

    def destroy_all(self) -> None:
        with self._lock:
            self._note("destroy_all", "")
            for known in (self.servers, self.volumes, self.snapshots, self.networks):
                known.clear()
            self.firewalls.clear()
            self.running.clear()
