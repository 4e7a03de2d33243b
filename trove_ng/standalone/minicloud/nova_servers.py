"""Servers as documents: lookup, faults, and what the hypervisor needs of them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from trove_ng.common.clock import utcnow
from trove_ng.standalone.minicloud import nova_configdrive, nova_placement, nova_states
from trove_ng.standalone.minicloud import nova_errors as errors
from trove_ng.standalone.minicloud.hypervisor import PortSpec, ServerSpec
from trove_ng.standalone.minicloud.neutron_groups import SecurityGroups
from trove_ng.standalone.minicloud.neutron_ports import Ports, floating_spec
from trove_ng.standalone.minicloud.store import Store

Document = dict[str, Any]
ZONE = "nova"


def moment() -> str:
    """Return the present time in Nova's form."""
    return utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_moment() -> str:
    """Return the present time with microseconds, as some of Nova's fields have it."""
    return utcnow().strftime("%Y-%m-%dT%H:%M:%S.%f")


class Servers:
    """Reads and writes server documents."""

    def __init__(
        self, store: Store, ports: Ports, groups: SecurityGroups, hosts: Sequence[str],
    ) -> None:
        self._store = store
        self._ports = ports
        self._groups = groups
        self.hosts = tuple(hosts)
        self._locks: dict[str, threading.RLock] = {}
        self._locks_guard = threading.Lock()

    @contextmanager
    def locked(self, server_id: str) -> Iterator[None]:
        """Hold the lock under which the hypervisor works on one server."""
        with self._locks_guard:
            lock = self._locks.setdefault(server_id, threading.RLock())
        with lock:
            yield

    def get(self, server_id: str, project_id: str | None = None) -> Document:
        """Return a server; with ``project_id`` only if it belongs to that project."""
        server = self._store.get("server", server_id)
        if server is None or project_id not in (None, server["project_id"]):
            raise errors.not_found(f"Instance {server_id} could not be found.")
        return server

    def find(self, server_id: str) -> Document | None:
        """Return a server, or None."""
        return self._store.get("server", server_id)

    def all(self, project_id: str | None = None) -> list[Document]:
        """Return servers, the newest first."""
        found = self._store.list("server", project_id)
        return sorted(found, key=lambda one: (one["created_exact"], one["id"]), reverse=True)

    def save(self, server: Document) -> Document:
        """Keep a changed server."""
        server["updated"] = moment()
        self._store.put("server", server["id"], server, server["project_id"])
        return server

    def change(self, server_id: str, **changes: Any) -> Document | None:
        """Change some fields of a server that may be gone; returns what is kept."""
        with self._store.transaction():
            server = self.find(server_id)
            if server is None:
                return None
            if server["task_state"] == "deleting":
                # a delete that came meanwhile keeps its mark
                changes.pop("task_state", None)
            server.update(changes)
            return self.save(server)

    def failed(self, server_id: str, message: str, code: int = 500, details: str = "") -> None:
        """Put a server into ERROR with a fault."""
        self.change(
            server_id, vm_state=nova_states.ERROR, task_state=None,
            fault={"code": code, "created": moment(), "message": message[:255],
                   "details": details or message})

    def forget(self, server_id: str) -> None:
        """Remove a server's document."""
        self._store.delete("server", server_id)
        with self._locks_guard:
            self._locks.pop(server_id, None)

    def require(self, action: str, server: Document, shown_as: str | None = None) -> None:
        """Refuse an action in a wrong state with Nova's sentence."""
        reason = nova_states.refusal(action, server, shown_as)
        if reason:
            raise errors.conflict(reason)

    # network

    def ports(self, server_id: str) -> list[Document]:
        """Return the ports of a server with the name of their network and floating addresses."""
        floating: dict[str, list[str]] = {}
        for one in self._store.list("floatingip"):
            if one["port_id"]:
                floating.setdefault(one["port_id"], []).append(one["floating_ip_address"])
        found = []
        for port in self._ports.of_server(server_id):
            network = self._store.get("network", port["network_id"]) or {"name": ""}
            found.append({**port, "network_name": network["name"],
                          "floating": floating.get(port["id"], [])})
        return found

    def group_names(self, server_id: str) -> list[str]:
        """Return the names of the security groups of a server's ports."""
        seen: dict[str, str] = {}
        for port in self._ports.of_server(server_id):
            for group_id in port["security_groups"]:
                group = self._store.get("security_group", group_id)
                if group is not None:
                    seen[group_id] = group["name"]
        return list(seen.values())

    # hypervisor

    def spec(self, server: Document) -> ServerSpec:
        """Return what the hypervisor needs to run a server."""
        own = [port for port in self._ports.of_server(server["id"]) if port["admin_state_up"]]
        ports = [self._ports.spec(port) for port in own]
        keypair = None
        if server["key_name"]:
            keypair = self._store.get("keypair", keypair_id(
                server["user_id"], server["key_name"]))
        dns = [address for port in own for ip in port["fixed_ips"]
               for address in (self._store.get("subnet", ip["subnet_id"]) or {})
               .get("dns_nameservers", [])]
        return ServerSpec(
            id=server["id"], name=server["name"], hostname=server["hostname"],
            vcpus=server["flavor"]["vcpus"], ram_mb=server["flavor"]["ram"],
            disk_gb=server["flavor"]["disk"], image=dict(server["image"]),
            ports=[*ports, *self._floating(own)],
            rules=self._groups.server_rules(server["id"]),
            volumes={one["device"]: one["id"] for one in server["ephemeral"]} | {
                link["device"]: volume_id
                for volume_id, link in server["volumes"].items() if link["connected"]},
            config_drive=nova_configdrive.build(server, ports, keypair, dns),
        )

    def _floating(self, ports: Sequence[Document]) -> list[PortSpec]:
        own = {port["id"] for port in ports}
        return [floating_spec(self._store, one) for one in self._store.list("floatingip")
                if one["port_id"] in own]

    def should_run(self) -> list[ServerSpec]:
        """Return the specs of all servers that run."""
        return [self.spec(server) for server in self.all()
                if server["power_state"] == nova_states.RUNNING]

    def pick_host(
        self, server: Document, excluded: Sequence[str] = (), forced: str | None = None,
    ) -> str:
        """Return a host for a server; raises NoValidHost."""
        others = [one for one in self.all() if one["id"] != server["id"]]
        load = {host: sum(1 for one in others if one["host"] == host) for host in self.hosts}
        group = self._store.get("server_group", server["group_id"] or "")
        members = [one["host"] for one in others
                   if group and one["group_id"] == group["id"] and one["host"]]
        return nova_placement.choose(
            load, group["policy"] if group else None, members,
            int((group or {}).get("rules", {}).get("max_server_per_host", 1)),
            excluded, forced)


def keypair_id(user_id: str, name: str) -> str:
    """Return the key of a key pair's document: names are unique for a user."""
    return f"{user_id}/{name}"


def host_id(project_id: str, host: str | None) -> str:
    """Return the opaque host id that a project sees."""
    if not host:
        return ""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest()
