"""Floating addresses.

The external network is one more bridge of the machine. A floating address that is
associated with a port is a further interface of the port's server, which has that
address: it answers from outside, and the server's rules hold for it too.
"""

from __future__ import annotations

from trove_ng.standalone.minicloud import neutron_address as addressing
from trove_ng.standalone.minicloud import neutron_errors as errors
from trove_ng.standalone.minicloud.hypervisor import Hypervisor
from trove_ng.standalone.minicloud.neutron_base import Document, stamp, touch
from trove_ng.standalone.minicloud.neutron_groups import is_plugged
from trove_ng.standalone.minicloud.neutron_networks import Networks
from trove_ng.standalone.minicloud.neutron_ports import Ports, floating_spec
from trove_ng.standalone.minicloud.store import Store


class FloatingAddresses:
    """Keeps floating addresses, and plugs those that are associated."""

    def __init__(
        self, store: Store, hypervisor: Hypervisor, networks: Networks, ports: Ports,
    ) -> None:
        self._store = store
        self._hypervisor = hypervisor
        self._networks = networks
        self._ports = ports

    def create(self, network: Document, project_id: str, attributes: Document) -> Document:
        """Take an address of an external network, and associate it if a port is named."""
        if not network["router:external"]:
            raise errors.bad_request(
                "BadRequest", "Bad floatingip request: Network "
                f"{network['id']} is not a valid external network.")
        with self._store.transaction():
            address = self._address(network, attributes.pop("floating_ip_address"))
            floating = stamp({
                **attributes, "port_id": None, "fixed_ip_address": None,
                "floating_ip_address": address, "status": "DOWN", "router_id": None,
                "port_details": None, "qos_policy_id": None, "dns_domain": "", "dns_name": "",
                "port_forwardings": [], "tags": [],
            }, project_id)
            floating.pop("subnet_id", None)
            self._save(floating)
        if attributes.get("port_id"):
            try:
                return self.associate(
                    floating, attributes["port_id"], attributes.get("fixed_ip_address"))
            except Exception:
                self._store.delete("floatingip", floating["id"])
                raise
        return floating

    def _save(self, floating: Document) -> Document:
        self._store.put("floatingip", floating["id"], floating, floating["project_id"])
        return floating

    def _address(self, network: Document, wanted: str | None) -> str:
        subnets = self._networks.subnets_of(network["id"])
        taken = self._ports.taken(network["id"])
        if wanted is not None:
            if wanted in taken:
                raise errors.conflict(
                    "IpAddressAlreadyAllocated", f"IP address {wanted} already allocated.")
            if not any(addressing.in_cidr(wanted, subnet["cidr"]) for subnet in subnets):
                raise errors.bad_request(
                    "InvalidIpForNetwork", f"IP address {wanted} is not a valid IP for any of "
                    "the subnets on the specified network.")
            return wanted
        for subnet in subnets:
            try:
                return addressing.free_address(subnet, taken)
            except addressing.AddressesUsedUp:
                continue
        raise errors.conflict(
            "IpAddressGenerationFailure",
            f"No more IP addresses available on network {network['id']}.")

    def associate(
        self, floating: Document, port_id: str | None, fixed_ip: str | None = None,
    ) -> Document:
        """Give a floating address to a port, or take it away (``port_id`` None)."""
        port = None
        if port_id is not None:
            port = self._store.get("port", port_id)
            if port is None:
                raise errors.not_found("PortNotFound", f"Port {port_id} could not be found.")
            fixed_ip = self._fixed_ip(port, fixed_ip, floating)
        self._unplug(floating)
        floating.update(
            port_id=port_id, fixed_ip_address=fixed_ip if port else None,
            status="ACTIVE" if port else "DOWN")
        self._save(touch(floating))
        if port is not None and is_plugged(port):
            self._hypervisor.plug_port(port["device_id"], floating_spec(self._store, floating))
        return floating

    def _fixed_ip(self, port: Document, wanted: str | None, floating: Document) -> str:
        own = [ip["ip_address"] for ip in port["fixed_ips"]]
        if not own or (wanted is not None and wanted not in own):
            raise errors.bad_request(
                "BadRequest", f"Bad floatingip request: Port {port['id']} does not have fixed "
                f"ip {wanted}.")
        for other in self._store.list("floatingip"):
            if other["port_id"] == port["id"] and other["id"] != floating["id"]:
                raise errors.conflict(
                    "FloatingIPPortAlreadyAssociated",
                    f"Cannot associate floating IP {floating['floating_ip_address']} "
                    f"({floating['id']}) with port {port['id']} using fixed IP {own[0]}, as "
                    "that fixed IP already has a floating IP on external network "
                    f"{other['floating_network_id']}.")
        return wanted or own[0]

    def _unplug(self, floating: Document) -> None:
        if not floating["port_id"]:
            return
        port = self._store.get("port", floating["port_id"])
        if port is not None and is_plugged(port):
            self._hypervisor.unplug_port(port["device_id"], floating["id"])

    def delete(self, floating: Document) -> None:
        """Give a floating address back."""
        self._unplug(floating)
        self._store.delete("floatingip", floating["id"])
