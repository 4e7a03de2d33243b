"""Security groups and their rules, applied to running servers at once."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable
from typing import Any

from trove_ng.standalone.minicloud import neutron_errors as errors
from trove_ng.standalone.minicloud.hypervisor import FirewallRule, Hypervisor
from trove_ng.standalone.minicloud.neutron_base import Document, stamp, touch
from trove_ng.standalone.minicloud.neutron_firewall import (
    EVERYTHING,
    compile_rules,
    protocol_name,
)
from trove_ng.standalone.minicloud.store import Store

_PORTED = ("tcp", "udp", "sctp")
_RULE_KEY = (
    "security_group_id", "direction", "ethertype", "protocol", "port_range_min",
    "port_range_max", "remote_ip_prefix", "remote_group_id",
)


class SecurityGroups:
    """Keeps groups and rules, and tells the hypervisor what they mean."""

    def __init__(self, store: Store, hypervisor: Hypervisor) -> None:
        self._store = store
        self._hypervisor = hypervisor
        self._apply_lock = threading.RLock()

    def default(self, project_id: str) -> Document:
        """Return the project's default group, made when it is not there yet."""
        with self._store.transaction():
            for group in self._store.list("security_group", project_id):
                if group["name"] == "default":
                    return group
            group = self._make(project_id, {
                "name": "default", "description": "Default security group", "stateful": True})
            for ethertype in ("IPv4", "IPv6"):
                self._add_rule(group, direction="ingress", ethertype=ethertype,
                               remote_group_id=group["id"])
            return group

    def create(self, project_id: str, attributes: Document) -> Document:
        """Make a group with the rules that allow everything out."""
        if attributes["name"] == "default":
            self.default(project_id)
            raise errors.conflict(
                "SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
        with self._store.transaction():
            return self._make(project_id, attributes)

    def _make(self, project_id: str, attributes: Document) -> Document:
        group = stamp({**attributes, "shared": False, "tags": []}, project_id)
        self._store.put("security_group", group["id"], group, project_id)
        for ethertype in ("IPv4", "IPv6"):
            self._add_rule(group, direction="egress", ethertype=ethertype)
        return group

    def _add_rule(self, group: Document, **values: Any) -> Document:
        rule = stamp({
            "security_group_id": group["id"], "protocol": None, "port_range_min": None,
            "port_range_max": None, "remote_ip_prefix": None, "remote_group_id": None,
            "remote_address_group_id": None, "description": "", "tags": [], **values,
        }, group["project_id"])
        self._store.put("security_group_rule", rule["id"], rule, group["project_id"])
        return rule

    def update(self, group: Document, attributes: Document) -> Document:
        """Change name or description; the default group keeps its name."""
        if group["name"] == "default" and attributes.get("name", "default") != "default":
            raise errors.conflict(
                "SecurityGroupCannotUpdateDefault",
                "Updating default security group not allowed.")
        changed = touch({**group, **attributes})
        self._store.put("security_group", group["id"], changed, group["project_id"])
        return changed

    def delete(self, group: Document, admin: bool) -> None:
        """Remove a group that no port uses."""
        if group["name"] == "default" and not admin:
            raise errors.conflict(
                "SecurityGroupCannotRemoveDefault",
                "Insufficient rights for removing default security group.")
        with self._store.transaction():
            if any(group["id"] in port["security_groups"] for port in self._store.list("port")):
                raise errors.conflict(
                    "SecurityGroupInUse", f"Security Group {group['id']} in use.")
            touched = self._groups_with_remote({group["id"]})
            for rule in self._store.list("security_group_rule"):
                if group["id"] in (rule["security_group_id"], rule["remote_group_id"]):
                    self._store.delete("security_group_rule", rule["id"])
            self._store.delete("security_group", group["id"])
        self.apply(touched)

    def rules(self, group_id: str) -> list[Document]:
        """Return the rules of a group."""
        return [rule for rule in self._store.list("security_group_rule")
                if rule["security_group_id"] == group_id]

    def create_rule(self, group: Document, attributes: Document) -> Document:
        """Add a rule and enforce it."""
        rule_fault(attributes)
        with self._store.transaction():
            for known in self.rules(group["id"]):
                if all(_canon(known, key) == _canon(attributes, key) for key in _RULE_KEY):
                    raise errors.conflict(
                        "SecurityGroupRuleExists",
                        f"Security group rule already exists. Rule id is {known['id']}.")
            rule = self._add_rule(group, **attributes)
        self.apply({group["id"]})
        return rule

    def delete_rule(self, rule: Document) -> None:
        """Take a rule away and stop enforcing it."""
        self._store.delete("security_group_rule", rule["id"])
        self.apply({rule["security_group_id"]})

    def _groups_with_remote(self, remotes: set[str]) -> set[str]:
        return {rule["security_group_id"] for rule in self._store.list("security_group_rule")
                if rule["remote_group_id"] in remotes}

    def members_changed(self, group_ids: Iterable[str]) -> None:
        """Enforce anew the rules that name these groups as remote ones."""
        wanted = set(group_ids)
        if wanted:
            self.apply(self._groups_with_remote(wanted))

    def apply(self, group_ids: Iterable[str]) -> None:
        """Tell the hypervisor about the rules of all running servers in these groups."""
        wanted = set(group_ids)
        servers = {
            port["device_id"] for port in self._store.list("port")
            if wanted & set(port["security_groups"]) and is_plugged(port)
        }
        for server_id in sorted(servers):
            self.apply_server(server_id)

    def apply_server(self, server_id: str) -> None:
        """Tell the hypervisor the present rules of one server."""
        # one at a time, so that an older view of the rules never overtakes a newer one
        with self._apply_lock:
            if any(is_plugged(port) for port in self._ports_of(server_id)):
                self._hypervisor.set_firewall(server_id, self.server_rules(server_id))

    def _ports_of(self, server_id: str) -> list[Document]:
        return [port for port in self._store.list("port") if port["device_id"] == server_id]

    def server_rules(self, server_id: str) -> list[FirewallRule]:
        """Return what the groups of all ports of a server allow.

        A server has one firewall: a port without port security opens it.
        """
        ports = self._ports_of(server_id)
        if any(not port["port_security_enabled"] for port in ports):
            return list(EVERYTHING)
        groups = {group for port in ports for group in port["security_groups"]}
        rules = [rule for rule in self._store.list("security_group_rule")
                 if rule["security_group_id"] in groups]
        remotes = {rule["remote_group_id"] for rule in rules if rule["remote_group_id"]}
        members: dict[str, list[str]] = {}
        for port in self._store.list("port"):
            for group_id in remotes & set(port["security_groups"]):
                members.setdefault(group_id, []).extend(
                    ip["ip_address"] for ip in port["fixed_ips"])
        return compile_rules(rules, members)


def is_plugged(port: Document) -> bool:
    """Return whether the port is an interface of a server that runs."""
    return bool(port["device_owner"].startswith("compute:") and port["status"] == "ACTIVE")


def _canon(rule: Document, key: str) -> Any:
    value = rule.get(key)
    return protocol_name(value) if key == "protocol" else value


def rule_fault(rule: Document) -> None:
    """Refuse a rule that makes no sense, as Neutron does."""
    low, high = rule["port_range_min"], rule["port_range_max"]
    protocol = protocol_name(rule["protocol"])
    if rule["remote_ip_prefix"] and rule["remote_group_id"]:
        raise errors.bad_request(
            "SecurityGroupRemoteGroupAndRemoteIpPrefix",
            "Only remote_ip_prefix or remote_group_id or remote_address_group_id may be "
            "provided.")
    if rule["remote_ip_prefix"]:
        version = ipaddress.ip_network(rule["remote_ip_prefix"]).version
        if f"IPv{version}" != rule["ethertype"]:
            raise errors.bad_request(
                "SecurityGroupRuleParameterConflict",
                f"Conflicting value ethertype {rule['ethertype']} for CIDR "
                f"{rule['remote_ip_prefix']}")
    if low is None and high is None:
        return
    if protocol is None:
        raise errors.bad_request(
            "SecurityGroupProtocolRequiredWithPorts",
            "Must also specify protocol if port range is given.")
    if protocol in _PORTED:
        _port_range_fault(low, high)
    elif protocol == "icmp" and (
            low is None or any(not 0 <= one <= 255 for one in (low, high) if one is not None)):
        raise errors.bad_request(
            "SecurityGroupInvalidIcmpValue",
            f"Invalid value for ICMP type or code: {low}, {high}.")


def _port_range_fault(low: int | None, high: int | None) -> None:
    for number in (low, high):
        if number is not None and not 1 <= number <= 65535:
            raise errors.bad_request(
                "SecurityGroupInvalidPortValue", f"Invalid value for port {number}")
    if low is None or high is None or low > high:
        raise errors.bad_request(
            "SecurityGroupInvalidPortRange",
            "For TCP/UDP protocols, port_range_min must be <= port_range_max")
