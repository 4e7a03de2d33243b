"""Networks and subnets."""

from __future__ import annotations

import ipaddress
from typing import Any

from trove_ng.standalone.minicloud import neutron_address as addressing
from trove_ng.standalone.minicloud import neutron_errors as errors
from trove_ng.standalone.minicloud.hypervisor import Hypervisor
from trove_ng.standalone.minicloud.neutron_base import Document, stamp, touch
from trove_ng.standalone.minicloud.store import Store


class Networks:
    """Keeps networks and subnets, and has the hypervisor make them."""

    def __init__(self, store: Store, hypervisor: Hypervisor) -> None:
        self._store = store
        self._hypervisor = hypervisor

    def subnets_of(self, network_id: str) -> list[Document]:
        """Return the subnets of a network."""
        return [subnet for subnet in self._store.list("subnet")
                if subnet["network_id"] == network_id]

    def view(self, network: Document) -> Document:
        """Return a network as the API shows it."""
        subnets = [subnet["id"] for subnet in self.subnets_of(network["id"])]
        return {**network, "subnets": subnets}

    def create_network(self, project_id: str, attributes: Document) -> Document:
        """Make a network; it reaches the hypervisor with its subnet."""
        network = stamp({
            **attributes, "status": "ACTIVE", "tags": [], "availability_zones": ["nova"],
            "provider:network_type": "flat", "provider:physical_network": None,
            "provider:segmentation_id": None, "ipv4_address_scope": None,
            "ipv6_address_scope": None, "l2_adjacency": True,
        }, project_id)
        self._store.put("network", network["id"], network, project_id)
        return network

    def update_network(self, network: Document, attributes: Document) -> Document:
        """Change a network."""
        changed = touch({**network, **attributes})
        self._store.put("network", network["id"], changed, network["project_id"])
        return changed

    def delete_network(self, network: Document) -> None:
        """Remove a network without ports, and its subnets."""
        with self._store.transaction():
            if self._ports_of(network["id"]):
                raise errors.conflict(
                    "NetworkInUse",
                    f"Unable to complete operation on network {network['id']}. There are one "
                    "or more ports still in use on the network.")
            for subnet in self.subnets_of(network["id"]):
                self._store.delete("subnet", subnet["id"])
            self._store.delete("network", network["id"])
        self._hypervisor.remove_network(network["id"])

    def _ports_of(self, network_id: str) -> list[Document]:
        return [port for port in self._store.list("port") if port["network_id"] == network_id]

    def create_subnet(
        self, network: Document, project_id: str, attributes: Document,
    ) -> Document:
        """Make a subnet and the hypervisor's network for it.

        A network of the minicloud is one bridge of one machine: it takes one
        subnet, and subnets of different networks must not overlap.
        """
        cidr = attributes["cidr"]
        if ipaddress.ip_network(cidr).version != 4:
            raise errors.invalid_input(f"The requested subnet {cidr} is not an IPv4 subnet.")
        if ipaddress.ip_network(cidr).prefixlen > 30:
            raise errors.invalid_input(f"The requested subnet {cidr} has no room for hosts.")
        gateway = attributes.get("gateway_ip", addressing.first_address(cidr))
        self._gateway_fault(cidr, gateway)
        pools = attributes.get("allocation_pools") or addressing.default_pools(cidr, gateway)
        self._pools_fault(cidr, gateway, pools)
        subnet = stamp({
            **attributes, "gateway_ip": gateway, "allocation_pools": pools, "ip_version": 4,
            "tags": [], "subnetpool_id": None, "segment_id": None, "ipv6_ra_mode": None,
            "ipv6_address_mode": None,
        }, project_id)
        with self._store.transaction():
            self._room_fault(network, cidr)
            self._store.put("subnet", subnet["id"], subnet, project_id)
        self.ensure(subnet)
        return subnet

    def ensure(self, subnet: Document) -> None:
        """Have the hypervisor make a subnet's network."""
        self._hypervisor.ensure_network({
            "id": subnet["network_id"], "cidr": subnet["cidr"],
            "gateway": subnet["gateway_ip"] or ""})

    def ensure_all(self) -> None:
        """Have the hypervisor make every network, after a restart."""
        for subnet in self._store.list("subnet"):
            self.ensure(subnet)

    def _room_fault(self, network: Document, cidr: str) -> None:
        if self.subnets_of(network["id"]):
            raise errors.invalid_input(
                f"Requested subnet with cidr: {cidr} for network: {network['id']} overlaps "
                "with another subnet: this cloud's networks have one subnet each.")
        if addressing.overlaps(cidr, [one["cidr"] for one in self._store.list("subnet")]):
            raise errors.invalid_input(
                f"Requested subnet with cidr: {cidr} for network: {network['id']} overlaps "
                "with another subnet.")

    @staticmethod
    def _gateway_fault(cidr: str, gateway: str | None) -> None:
        if gateway is not None and not addressing.in_cidr(gateway, cidr):
            raise errors.invalid_input("Gateway is not valid on subnet.")

    @staticmethod
    def _pools_fault(cidr: str, gateway: str | None, pools: Any) -> None:
        fault = addressing.pools_fault(cidr, gateway, pools)
        if fault:
            raise errors.conflict("InvalidAllocationPool", fault)

    def update_subnet(self, subnet: Document, attributes: Document) -> Document:
        """Change a subnet; servers see a new gateway when they boot the next time."""
        changed = touch({**subnet, **attributes})
        self._gateway_fault(changed["cidr"], changed["gateway_ip"])
        self._pools_fault(
            changed["cidr"], changed["gateway_ip"], changed["allocation_pools"])
        self._store.put("subnet", subnet["id"], changed, subnet["project_id"])
        if changed["gateway_ip"] != subnet["gateway_ip"]:
            self.ensure(changed)
        return changed

    def delete_subnet(self, subnet: Document) -> None:
        """Remove a subnet without addresses in use."""
        with self._store.transaction():
            for port in self._ports_of(subnet["network_id"]):
                if any(ip["subnet_id"] == subnet["id"] for ip in port["fixed_ips"]):
                    raise errors.conflict(
                        "SubnetInUse",
                        f"Unable to complete operation on subnet {subnet['id']}: One or more "
                        "ports have an IP allocation from this subnet.")
            self._store.delete("subnet", subnet["id"])
        self._hypervisor.remove_network(subnet["network_id"])
