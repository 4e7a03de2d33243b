"""From security groups to the rules that a hypervisor enforces. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trove_ng.standalone.minicloud.hypervisor import FirewallRule

EVERYTHING = (
    FirewallRule("ingress", None, None, None, None),
    FirewallRule("egress", None, None, None, None),
)

# Neutron's names and numbers of protocols → the name that the hypervisor gets
PROTOCOLS = {
    "tcp": "tcp", "6": "tcp",
    "udp": "udp", "17": "udp",
    "icmp": "icmp", "1": "icmp",
    "sctp": "sctp", "132": "sctp",
    "vrrp": "vrrp", "112": "vrrp",
}


def protocol_name(protocol: Any) -> str | None:
    """Return the hypervisor's name of a protocol; None means any."""
    if protocol is None or str(protocol).lower() in ("any", "0"):
        return None
    text = str(protocol).lower()
    return PROTOCOLS.get(text, text)


def compile_rules(
    rules: Iterable[Mapping[str, Any]], members: Mapping[str, Sequence[str]],
) -> list[FirewallRule]:
    """Return the hypervisor's rules for security group rules, in a stable order.

    ``members`` maps a security group to the addresses of the ports in it; a rule
    with a remote group becomes one rule for each of its members. Rules for IPv6
    are left out: the minicloud's networks have IPv4 only.
    """
    found: set[tuple[str, str, int, int, str]] = set()
    answer: list[FirewallRule] = []
    for rule in rules:
        if rule.get("ethertype") == "IPv6":
            continue
        for remote in _remotes(rule, members):
            made = FirewallRule(
                direction=str(rule["direction"]),
                protocol=protocol_name(rule.get("protocol")),
                port_min=rule.get("port_range_min"),
                port_max=rule.get("port_range_max"),
                remote_cidr=remote,
            )
            key = _key(made)
            if key not in found:
                found.add(key)
                answer.append(made)
    return sorted(answer, key=_key)


def _remotes(
    rule: Mapping[str, Any], members: Mapping[str, Sequence[str]],
) -> list[str | None]:
    group = rule.get("remote_group_id")
    if group:
        return [f"{address}/32" for address in members.get(group, ())]
    return [rule.get("remote_ip_prefix") or None]


def _key(rule: FirewallRule) -> tuple[str, str, int, int, str]:
    low = -1 if rule.port_min is None else rule.port_min
    high = -1 if rule.port_max is None else rule.port_max
    return (rule.direction, rule.protocol or "", low, high, rule.remote_cidr or "")
