"""Ports: addresses, MACs, and their place in a server."""

from __future__ import annotations

import hashlib
import ipaddress

from trove_ng.standalone.minicloud import neutron_address as addressing
from trove_ng.standalone.minicloud import neutron_errors as errors
from trove_ng.standalone.minicloud.hypervisor import Hypervisor, PortSpec
from trove_ng.standalone.minicloud.neutron_base import Document, stamp, touch
from trove_ng.standalone.minicloud.neutron_groups import SecurityGroups, is_plugged
from trove_ng.standalone.minicloud.neutron_networks import Networks
from trove_ng.standalone.minicloud.nova_states import RUNNING
from trove_ng.standalone.minicloud.store import Store


class Ports:
    """Keeps ports; those of running servers are changed in place."""

    def __init__(
        self, store: Store, hypervisor: Hypervisor, networks: Networks, groups: SecurityGroups,
    ) -> None:
        self._store = store
        self._hypervisor = hypervisor
        self._networks = networks
        self._groups = groups

    def create(self, network: Document, project_id: str, attributes: Document) -> Document:
        """Make a port with addresses of its network."""
        secured = attributes.get("port_security_enabled", network["port_security_enabled"])
        groups = attributes.get("security_groups")
        if groups and not secured:
            raise errors.conflict(
                "PortSecurityAndIPRequiredForSecurityGroups",
                "Port security must be enabled and port must have an IP address in order to "
                "use security groups.")
        if groups is None:
            groups = [self._groups.default(project_id)["id"]] if secured else []
        with self._store.transaction():
            port = stamp({
                **attributes,
                "mac_address": self._mac(attributes.get("mac_address")),
                "fixed_ips": self._addresses(network, attributes.get("fixed_ips")),
                "security_groups": groups, "port_security_enabled": secured,
                "status": "DOWN", "tags": [], "binding:vif_type": "bridge",
                "binding:vif_details": {"port_filter": True}, "propagate_uplink_status": False,
                "qos_policy_id": None,
            }, project_id)
            self._store.put("port", port["id"], port, project_id)
        self._groups.members_changed(groups)
        return port

    def _mac(self, wanted: str | None) -> str:
        taken = {port["mac_address"] for port in self._store.list("port")}
        if wanted is None:
            return addressing.new_mac(taken)
        if wanted in taken:
            raise errors.conflict(
                "MacAddressInUse", f"Unable to complete operation. The mac address {wanted} "
                "is in use.")
        return wanted

    def _addresses(
        self, network: Document, wanted: list[Document] | None, own: tuple[str, ...] = (),
    ) -> list[Document]:
        subnets = self._networks.subnets_of(network["id"])
        if wanted is None:
            wanted = [{"subnet_id": subnet["id"]} for subnet in subnets[:1]]
        taken = self.taken(network["id"]) - set(own)
        found: list[Document] = []
        for one in wanted:
            subnet = self._subnet_for(network, subnets, one)
            address = one.get("ip_address")
            if address is None:
                try:
                    address = addressing.free_address(subnet, taken)
                except addressing.AddressesUsedUp:
                    raise errors.conflict(
                        "IpAddressGenerationFailure",
                        f"No more IP addresses available on network {network['id']}.") from None
            elif address in taken:
                raise errors.conflict(
                    "IpAddressAlreadyAllocated",
                    f"IP address {address} already allocated in subnet {subnet['id']}")
            elif not addressing.in_cidr(address, subnet["cidr"]):
                raise errors.bad_request(
                    "InvalidIpForSubnet",
                    f"IP address {address} is not a valid IP for the specified subnet.")
            taken.add(address)
            found.append({"subnet_id": subnet["id"], "ip_address": address})
        return found

    @staticmethod
    def _subnet_for(
        network: Document, subnets: list[Document], wanted: Document,
    ) -> Document:
        for subnet in subnets:
            if "subnet_id" in wanted and subnet["id"] != wanted["subnet_id"]:
                continue
            if "ip_address" in wanted and ipaddress.ip_address(wanted["ip_address"]) \
                    not in ipaddress.ip_network(subnet["cidr"]) and "subnet_id" not in wanted:
                continue
            return subnet
        if "subnet_id" in wanted:
            raise errors.bad_request(
                "InvalidInput", "Invalid input for operation: Failed to create port on network "
                f"{network['id']}, because fixed_ips included invalid subnet "
                f"{wanted['subnet_id']}.")
        raise errors.bad_request(
            "InvalidIpForNetwork",
            f"IP address {wanted.get('ip_address', '')} is not a valid IP for any of the "
            "subnets on the specified network.")

    def taken(self, network_id: str) -> set[str]:
        """Return the addresses of a network that are in use, the gateway's too."""
        used = {ip["ip_address"] for port in self._store.list("port")
                if port["network_id"] == network_id for ip in port["fixed_ips"]}
        used |= {subnet["gateway_ip"] for subnet in self._networks.subnets_of(network_id)
                 if subnet["gateway_ip"]}
        return used | {fip["floating_ip_address"] for fip in self._store.list("floatingip")
                       if fip["floating_network_id"] == network_id}

    def update(self, port: Document, attributes: Document) -> Document:
        """Change a port; a running server sees new addresses and groups at once."""
        network = self._store.get("network", port["network_id"])
        with self._store.transaction():
            port = self._store.get("port", port["id"]) or port
            changed = {**port, **attributes}
            if attributes.get("mac_address", port["mac_address"]) != port["mac_address"]:
                if port["device_id"]:
                    raise errors.conflict(
                        "PortBound", f"Unable to complete operation on port {port['id']}, port "
                        "is already bound.")
                changed["mac_address"] = self._mac(attributes["mac_address"])
            if "fixed_ips" in attributes and network is not None:
                own = tuple(ip["ip_address"] for ip in port["fixed_ips"])
                changed["fixed_ips"] = self._addresses(network, attributes["fixed_ips"], own)
            changed["security_groups"] = self._changed_groups(port, attributes, changed)
            touch(changed)
            self._store.put("port", port["id"], changed, port["project_id"])
        self._after_update(port, changed)
        return changed

    def _changed_groups(
        self, port: Document, attributes: Document, changed: Document,
    ) -> list[str]:
        groups = list(attributes.get("security_groups", port["security_groups"]) or [])
        if groups and not changed["port_security_enabled"]:
            raise errors.conflict(
                "PortSecurityPortHasSecurityGroup",
                "Port has security group associated. Cannot disable port security or IP "
                "address until security group is removed.")
        return groups

    def _after_update(self, before: Document, after: Document) -> None:
        server_id = after["device_id"]
        if before["admin_state_up"] != after["admin_state_up"]:
            self._switch(after)
        elif is_plugged(before) and is_plugged(after) and \
                before["fixed_ips"] != after["fixed_ips"]:
            self._hypervisor.unplug_port(server_id, before["id"])
            self._hypervisor.plug_port(server_id, self.spec(after))
        if is_plugged(after) and (
                before["security_groups"] != after["security_groups"]
                or before["port_security_enabled"] != after["port_security_enabled"]):
            self._groups.apply_server(server_id)
        if before["security_groups"] != after["security_groups"] \
                or before["fixed_ips"] != after["fixed_ips"]:
            self._groups.members_changed(
                {*before["security_groups"], *after["security_groups"]})

    def _switch(self, port: Document) -> None:
        """Connect the port of a running server, or cut it off, as it says itself."""
        server = self._store.get("server", port["device_id"]) if port["device_id"] else None
        if server is None or server["power_state"] != RUNNING:
            return
        carried = [one for one in self._store.list("floatingip") if one["port_id"] == port["id"]]
        if port["admin_state_up"]:
            for spec in (self.spec(port), *(floating_spec(self._store, one) for one in carried)):
                self._hypervisor.plug_port(server["id"], spec)
        else:
            for interface in (*carried, port):
                self._hypervisor.unplug_port(server["id"], interface["id"])
        port["status"] = "ACTIVE" if port["admin_state_up"] else "DOWN"
        self._store.put("port", port["id"], port, port["project_id"])
        if port["admin_state_up"]:
            self._groups.apply_server(server["id"])

    def delete(self, port: Document) -> None:
        """Remove a port, also from the server that has it."""
        carried = [one for one in self._store.list("floatingip")
                   if one["port_id"] == port["id"]]
        if is_plugged(port):
            for interface in (*carried, port):
                self._hypervisor.unplug_port(port["device_id"], interface["id"])
        with self._store.transaction():
            for floating in carried:
                floating.update(port_id=None, fixed_ip_address=None, status="DOWN")
                self._store.put(
                    "floatingip", floating["id"], floating, floating["project_id"])
            self._store.delete("port", port["id"])
        if is_plugged(port):
            self._groups.apply_server(port["device_id"])
        self._groups.members_changed(port["security_groups"])

    def of_server(self, server_id: str) -> list[Document]:
        """Return the ports of a server, the oldest binding first."""
        found = [port for port in self._store.list("port") if port["device_id"] == server_id
                 and port["device_owner"].startswith("compute:")]
        return sorted(found, key=lambda port: (port.get("nova_order", 0), port["id"]))

    def spec(self, port: Document) -> PortSpec:
        """Return what the hypervisor needs of a port."""
        address, prefixlen, gateway = "", 0, ""
        if port["fixed_ips"]:
            first = port["fixed_ips"][0]
            subnet = self._store.get("subnet", first["subnet_id"])
            address = first["ip_address"]
            if subnet is not None:
                prefixlen = ipaddress.ip_network(subnet["cidr"]).prefixlen
                gateway = subnet["gateway_ip"] or ""
        return PortSpec(port["id"], port["mac_address"], address, prefixlen, gateway,
                        port["network_id"])


def floating_spec(store: Store, floating: Document) -> PortSpec:
    """Return the interface that carries a floating address."""
    prefixlen = 32
    for subnet in store.list("subnet"):
        if subnet["network_id"] == floating["floating_network_id"]:
            prefixlen = ipaddress.ip_network(subnet["cidr"]).prefixlen
    digest = hashlib.sha256(floating["id"].encode()).hexdigest()
    mac = f"fa:16:3f:{digest[0:2]}:{digest[2:4]}:{digest[4:6]}"
    return PortSpec(floating["id"], mac, floating["floating_ip_address"], prefixlen, "",
                    floating["floating_network_id"])
