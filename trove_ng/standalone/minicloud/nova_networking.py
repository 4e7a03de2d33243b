"""Nova's part of networking: which ports a server gets, and who removes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trove_ng.standalone.minicloud import nova_errors as errors
from trove_ng.standalone.minicloud.hypervisor import Hypervisor
from trove_ng.standalone.minicloud.neutron_groups import SecurityGroups
from trove_ng.standalone.minicloud.neutron_ports import Ports
from trove_ng.standalone.minicloud.nova_call import CloudFault
from trove_ng.standalone.minicloud.nova_servers import Servers
from trove_ng.standalone.minicloud.store import Store

Document = dict[str, Any]


class Networking:
    """Binds ports to servers."""

    def __init__(
        self, store: Store, hypervisor: Hypervisor, ports: Ports, groups: SecurityGroups,
        servers: Servers,
    ) -> None:
        self._store = store
        self._hypervisor = hypervisor
        self._ports = ports
        self._groups = groups
        self._servers = servers

    # requests

    def network(self, network_id: str, project_id: str) -> Document:
        """Return a network that a project may use."""
        found = self._store.get("network", network_id)
        if found is None or not (found["shared"] or found["project_id"] == project_id):
            raise errors.bad_request(f"Network {network_id} could not be found.")
        return found

    def free_port(self, port_id: str, project_id: str, admin: bool) -> Document:
        """Return a port of a project that no server has."""
        port = self._store.get("port", port_id)
        if port is None or not (admin or port["project_id"] == project_id):
            raise errors.bad_request(f"Port id {port_id} could not be found.")
        if port["device_id"]:
            raise errors.conflict(f"Port {port_id} is still in use.")
        return port

    def resolve(
        self, wanted: str | list[Document], project_id: str, admin: bool,
    ) -> list[Document]:
        """Check the networks of a create request, and return one entry for each interface."""
        if wanted == "none":
            return []
        if wanted == "auto":
            return [{"uuid": found} for found in self._automatic(project_id)]
        entries: list[Document] = []
        for one in wanted:
            assert isinstance(one, dict)
            if "port" in one:
                self.free_port(one["port"], project_id, admin)
            else:
                self.network(one["uuid"], project_id)
            entries.append(one)
        return entries

    def _automatic(self, project_id: str) -> list[str]:
        usable = [one for one in self._store.list("network")
                  if (one["shared"] or one["project_id"] == project_id)
                  and not one["router:external"]]
        own = [one["id"] for one in usable if one["project_id"] == project_id]
        found = own or [one["id"] for one in usable]
        if len(found) > 1:
            raise errors.conflict(
                "Multiple possible networks found, use a Network ID to be more specific.")
        return found

    def group_ids(self, wanted: Sequence[str], project_id: str) -> list[str]:
        """Return the ids of security groups that are named by id or name."""
        known = self._store.list("security_group", project_id)
        found = []
        for name in wanted:
            if name == "default":
                found.append(self._groups.default(project_id)["id"])
                continue
            matches = [one["id"] for one in known if name in (one["id"], one["name"])]
            if not matches:
                raise errors.bad_request(
                    f"Security group {name} not found for project {project_id}.")
            if len(matches) > 1:
                raise errors.conflict(
                    f"Multiple security groups found matching '{name}'. Use an ID to be more "
                    "specific.")
            found.append(matches[0])
        return found

    # binding

    def prepare(
        self, server_id: str, entries: Sequence[Document], groups: Sequence[str],
    ) -> None:
        """Make or bind the ports of a new server; done ones are left as they are."""
        server = self._servers.get(server_id)
        bound = {port.get("nova_order"): port for port in self._ports.of_server(server_id)}
        for order, entry in enumerate(entries):
            if order not in bound:
                self.bind(server, entry, order, groups)

    def bind(
        self, server: Document, entry: Document, order: int, groups: Sequence[str] = (),
    ) -> Document:
        """Give a server one port: the named one, or a new one on the named network."""
        place = {
            "device_id": server["id"], "binding:host_id": server["host"],
            "device_owner": f"compute:{server['availability_zone']}",
        }
        if "port" in entry:
            with self._store.transaction():
                port = self._store.get("port", entry["port"])
                if port is None:
                    raise CloudFault(404, f"Port id {entry['port']} could not be found.")
                if port["project_id"] != server["project_id"]:
                    # also for administrators
                    raise CloudFault(
                        400, f"Port {port['id']} not usable for instance {server['id']}.")
                if port["device_id"] not in ("", server["id"]):
                    raise CloudFault(409, f"Port {port['id']} is still in use.")
                port.update(place, nova_order=order, nova_made=False)
                self._store.put("port", port["id"], port, port["project_id"])
            return port
        network = self._store.get("network", entry["uuid"])
        if network is None:
            raise CloudFault(404, f"Network {entry['uuid']} could not be found.")
        attributes = {
            "name": "", "description": "", "admin_state_up": True, "network_id": network["id"],
            "allowed_address_pairs": [], "extra_dhcp_opts": [], "binding:profile": {},
            "binding:vnic_type": "normal", "dns_name": "", "nova_order": order,
            "nova_made": True, **place,
        }
        if entry.get("fixed_ip"):
            attributes["fixed_ips"] = [{"ip_address": entry["fixed_ip"]}]
        if groups:
            attributes["security_groups"] = list(groups)
        return self._ports.create(network, server["project_id"], attributes)

    def set_status(self, server_id: str, status: str) -> None:
        """Note that the ports of a server are plugged, or not; rules follow at once."""
        with self._store.transaction():
            for port in self._ports.of_server(server_id):
                port["status"] = status if port["admin_state_up"] else "DOWN"
                self._store.put("port", port["id"], port, port["project_id"])
        # a rule may have changed while the server was booting
        self._groups.apply_server(server_id)

    def release(self, server_id: str) -> None:
        """Delete the ports that Nova made, and let go of the others."""
        for port in self._ports.of_server(server_id):
            self.release_port(port)

    def release_port(self, port: Document) -> None:
        """Delete a port that Nova made, or let go of another."""
        if port.get("nova_made"):
            self._ports.delete(port)
            return
        port.update({"device_id": "", "device_owner": "", "binding:host_id": "",
                     "status": "DOWN"})
        port.pop("nova_made", None)
        port.pop("nova_order", None)
        self._store.put("port", port["id"], port, port["project_id"])

    # interfaces of a server that exists

    def attach(self, server: Document, entry: Document) -> Document:
        """Add an interface to a server, at once."""
        taken = [port.get("nova_order", 0) for port in self._ports.of_server(server["id"])]
        port = self.bind(server, entry, max(taken, default=-1) + 1)
        if server["power_state"] == 1:
            try:
                self._hypervisor.plug_port(server["id"], self._ports.spec(port))
            except Exception:
                self.release_port(port)
                raise
            self.set_status(server["id"], "ACTIVE")
        return self._store.get("port", port["id"]) or port

    def detach(self, server: Document, port: Document) -> None:
        """Take an interface from a server."""
        if port["status"] == "ACTIVE":
            self._hypervisor.unplug_port(server["id"], port["id"])
            port["status"] = "DOWN"
        self.release_port(port)
        self._groups.apply_server(server["id"])

    def change_groups(self, server: Document, group_id: str, add: bool) -> None:
        """Add a security group to all ports of a server, or take it from them."""
        ports = [port for port in self._ports.of_server(server["id"])
                 if port["port_security_enabled"]]
        if not add and not any(group_id in port["security_groups"] for port in ports):
            raise errors.not_found(
                f"Security group {group_id} not associated with the instance {server['id']}")
        for port in ports:
            kept = [one for one in port["security_groups"] if one != group_id]
            self._ports.update(port, {"security_groups": [*kept, group_id] if add else kept})
