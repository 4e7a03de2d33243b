"""Networks, ports, security groups, by python-neutronclient."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from oslo_utils import uuidutils

from trove_ng.cloud.calls import Calls
from trove_ng.cloud.errors import CloudConflict, CloudNotFound, CloudUnavailable
from trove_ng.cloud.types import FloatingIP, Port, SecurityGroup, Subnet

_PREFIX = "trove-"

#: protocol, lowest port, highest port, CIDR
Rule = tuple[str, int, int, str]


def _port(found: dict[str, Any]) -> Port:
    fixed = found.get("fixed_ips") or []
    return Port(id=found["id"], name=found.get("name") or "",
                network_id=found["network_id"],
                ip_address=fixed[0]["ip_address"] if fixed else None,
                device_id=found.get("device_id") or "", status=found.get("status") or "",
                is_open=bool(found.get("admin_state_up", True)))


def _floating_ip(found: dict[str, Any]) -> FloatingIP:
    return FloatingIP(
        id=found["id"], name=found.get("description") or "",
        network_id=found["floating_network_id"], address=found["floating_ip_address"],
        port_id=found.get("port_id") or None)


def _whole(cidr: str | None) -> str:
    """Return a CIDR in the one form that means the same, which services make of it."""
    return str(ipaddress.ip_network(cidr or "0.0.0.0/0", strict=False))


def _same(rules: Sequence[Rule]) -> dict[Rule, None]:
    """Return rules once each, with their networks written as the cloud does."""
    return dict.fromkeys((protocol, low, high, _whole(cidr))
                         for protocol, low, high, cidr in rules)


class Network:
    """The network service.

    A service user who is an administrator sees what all projects have.  Only what is in
    the service's own project was made by the service, whatever its name.

    :param client: neutronclient's client
    :param project: returns the id of the service's project
    """

    def __init__(self, client: Any, calls: Calls, project: Callable[[], str]) -> None:
        self._client = client
        self._calls = calls
        self._project = project

    # ports

    def find_ports(self, instance_id: str) -> list[Port]:
        """Return the ports that were made for an instance, in their order."""
        found = [_port(one) for one in self._ports()
                 if one["name"].startswith(f"{_PREFIX}{instance_id}-")]
        return sorted(found, key=lambda one: int(one.name.rsplit("-", 1)[1]))

    def list_ports(self) -> list[Port]:
        """Return all ports of the service's project."""
        return [_port(one) for one in self._ports()]

    def _ports(self) -> list[dict[str, Any]]:
        return list(self._own(self._client.list_ports)["ports"])

    def _own(self, call: Callable[..., dict[str, Any]], **filters: Any) -> dict[str, Any]:
        @functools.wraps(call)  # it is measured by its name
        def asked() -> dict[str, Any]:
            return call(project_id=self._project(), **filters)

        return self._calls.again(asked)

    def create_port(self, *, instance_id: str, index: int, network_id: str,
                    security_group_ids: Sequence[str], fixed_ip: str | None = None,
                    subnet_id: str | None = None) -> Port:
        """Return a new port."""
        wanted: dict[str, Any] = {
            "name": f"{_PREFIX}{instance_id}-{index}", "network_id": network_id,
            "admin_state_up": True, "security_groups": list(security_group_ids)}
        fixed = {name: value for name, value in (
            ("subnet_id", subnet_id), ("ip_address", fixed_ip)) if value}
        if fixed:
            wanted["fixed_ips"] = [fixed]
        return _port(self._calls.once(self._client.create_port, {"port": wanted})["port"])

    def delete_port(self, port_id: str) -> None:
        """Delete a port; one that is gone is no error."""
        self._calls.gone(self._client.delete_port, self._client.show_port, port_id)

    def switch_port(self, port_id: str, *, is_open: bool) -> None:
        """Let a port carry anything, or nothing; one that is gone is no error."""
        self._calls.found(
            self._client.update_port, port_id, {"port": {"admin_state_up": is_open}})

    # security groups

    def find_security_groups(self, instance_id: str) -> list[SecurityGroup]:
        """Return the security groups that were made for an instance.

        There are several when an answer was lost.
        """
        found = self._own(
            self._client.list_security_groups, name=f"{_PREFIX}{instance_id}")
        groups = [SecurityGroup(one["id"], one["name"]) for one in found["security_groups"]]
        return sorted(groups, key=lambda one: one.id)

    def list_security_groups(self) -> list[SecurityGroup]:
        """Return all security groups of the service's project, with whom they let in."""
        return [SecurityGroup(one["id"], one["name"], frozenset(
            _whole(rule["remote_ip_prefix"]) for rule in one.get("security_group_rules", ())
            if rule["direction"] == "ingress" and not rule.get("remote_group_id")))
            for one in self._own(self._client.list_security_groups)["security_groups"]]

    def create_security_group(self, instance_id: str, description: str) -> SecurityGroup:
        """Return a new security group, which lets nobody in."""
        made = self._calls.once(self._client.create_security_group, {"security_group": {
            "name": f"{_PREFIX}{instance_id}", "description": description}})["security_group"]
        return SecurityGroup(made["id"], made["name"])

    def ensure_rules(self, group_id: str, rules: Sequence[Rule]) -> None:
        """Make a group let in exactly what the rules say; what goes out is left alone."""
        have, wanted = self._rules(group_id), _same(rules)
        self._create_rules(group_id, [rule for rule in wanted if rule not in have])
        self._delete_rules([ident for rule, ident in have.items() if rule not in wanted])

    def add_rules(self, group_id: str, rules: Sequence[Rule]) -> None:
        """Make a group let in also what the rules say."""
        have = self._rules(group_id)
        self._create_rules(group_id, [rule for rule in _same(rules) if rule not in have])

    def remove_rules(self, group_id: str, rules: Sequence[Rule]) -> None:
        """Remove rules from a group; those that are gone are no error."""
        have = self._rules(group_id)
        self._delete_rules([have[rule] for rule in _same(rules) if rule in have])

    def _rules(self, group_id: str) -> dict[Rule, str]:
        found = self._calls.again(
            self._client.list_security_group_rules, security_group_id=group_id,
            direction="ingress")["security_group_rules"]
        return {(one["protocol"], one["port_range_min"], one["port_range_max"],
                 one.get("remote_group_id") or _whole(one["remote_ip_prefix"])): one["id"]
                for one in found}

    def _create_rules(self, group_id: str, rules: Iterable[Rule]) -> None:
        for rule in rules:
            try:
                self._create_rule(group_id, rule)
            except CloudConflict:
                # the answer of an earlier try was lost, or a quota is used up: both are told so
                if rule not in self._rules(group_id):
                    raise

    def _delete_rules(self, idents: Iterable[str]) -> None:
        for ident in idents:
            self._calls.gone(self._client.delete_security_group_rule,
                             self._client.show_security_group_rule, ident)

    def _create_rule(self, group_id: str, rule: Rule) -> None:
        protocol, low, high, cidr = rule
        self._calls.once(self._client.create_security_group_rule, {"security_group_rule": {
            "security_group_id": group_id, "direction": "ingress",
            "ethertype": "IPv6" if ":" in cidr else "IPv4", "protocol": protocol,
            "port_range_min": low, "port_range_max": high, "remote_ip_prefix": cidr}})

    def delete_security_group(self, group_id: str) -> None:
        """Delete a security group; one that is gone is no error.

        :raises CloudConflict: a port uses it
        """
        self._calls.gone(
            self._client.delete_security_group, self._client.show_security_group, group_id)

    # networks

    def get_network(self, network_id: str) -> dict[str, Any] | None:
        """Return a network's ``id``, ``name``, ``project_id`` and ``shared``."""
        found = self._calls.found(self._client.show_network, network_id)
        return None if found is None else dict(found["network"])

    def get_subnet(self, subnet_id: str) -> dict[str, Any] | None:
        """Return a subnet's ``id``, ``network_id`` and ``project_id``."""
        found = self._calls.found(self._client.show_subnet, subnet_id)
        return None if found is None else dict(found["subnet"])

    def list_subnets(self, network_id: str) -> list[Subnet]:
        """Return the subnets of a network."""
        found = self._calls.again(
            self._client.list_subnets, network_id=network_id)["subnets"]
        return [Subnet(one["id"], one["cidr"], one.get("gateway_ip") or None) for one in found]

    def address_in_use(self, network_id: str, address: str) -> bool:
        """Return whether a port of anybody has an address of a network."""
        return bool(self._calls.again(
            self._client.list_ports, network_id=network_id,
            fixed_ips=f"ip_address={address}")["ports"])

    def network_id(self, wanted: str) -> str:
        """Return the id of a network of the region.

        :param wanted: its id or, which regions can have in common, its name
        :raises CloudNotFound: not exactly one has the name
        """
        if uuidutils.is_uuid_like(wanted):
            return wanted
        found = self._calls.again(self._client.list_networks, name=wanted)["networks"]
        if len(found) != 1:
            raise CloudNotFound(f"There are {len(found)} networks {wanted}.")
        return str(found[0]["id"])

    def default_network(self) -> str | None:
        """Return the only network that the service may use, None if there are several."""
        found = self._calls.again(
            self._client.list_networks, **{"router:external": False})["networks"]
        return str(found[0]["id"]) if len(found) == 1 else None

    # floating addresses

    def external_networks(self) -> list[str]:
        """Return the ids of the networks that floating addresses are of."""
        found = self._calls.again(
            self._client.list_networks, **{"router:external": True})["networks"]
        return sorted(str(one["id"]) for one in found)

    def find_floating_ips(self, instance_id: str) -> list[FloatingIP]:
        """Return the floating addresses that were made for an instance.

        There are several when an answer was lost.
        """
        found = self._own(self._client.list_floatingips, description=f"{_PREFIX}{instance_id}")
        return sorted((_floating_ip(one) for one in found["floatingips"]),
                      key=lambda one: one.id)

    def list_floating_ips(self) -> list[FloatingIP]:
        """Return all floating addresses of the service's project."""
        return [_floating_ip(one) for one in self._own(
            self._client.list_floatingips)["floatingips"]]

    def create_floating_ip(self, instance_id: str, network_id: str, port_id: str) -> FloatingIP:
        """Return a new floating address that a port has.

        :raises CloudConflict: the port has one
        """
        return _floating_ip(self._calls.once(self._client.create_floatingip, {"floatingip": {
            "floating_network_id": network_id, "port_id": port_id,
            "description": f"{_PREFIX}{instance_id}"}})["floatingip"])

    def associate_floating_ip(self, floating_ip_id: str, port_id: str) -> FloatingIP:
        """Give a floating address to a port; one that has it keeps it."""
        return _floating_ip(self._calls.again(
            self._client.update_floatingip, floating_ip_id,
            {"floatingip": {"port_id": port_id}})["floatingip"])

    def delete_floating_ip(self, floating_ip_id: str) -> None:
        """Give a floating address back; one that is gone is no error."""
        self._calls.found(self._client.delete_floatingip, floating_ip_id)

    def delete_floating_ips(self, instance_id: str) -> None:
        """Give back the floating addresses that were made for an instance."""
        found = self.find_floating_ips(instance_id)
        while found:
            for one in found:
                self.delete_floating_ip(one.id)
            left = self.find_floating_ips(instance_id)
            if len(left) == len(found):
                raise CloudUnavailable("The network service does not delete an address.")
            found = left
