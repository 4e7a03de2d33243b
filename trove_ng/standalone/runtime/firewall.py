"""Security groups as an nftables ruleset inside a server's network namespace."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from trove_ng.standalone.minicloud.hypervisor import FirewallRule, HypervisorError
from trove_ng.standalone.runtime.commands import run

TABLE = "trove"
_ICMP = {"icmp": "icmp", "icmpv6": "icmpv6", "ipv6-icmp": "icmpv6"}
_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")


def render(rules: Iterable[FirewallRule]) -> str:
    """Return the nft script that replaces all rules in one transaction.

    What no rule allows is dropped, in both directions.  Answers to allowed
    traffic and loopback always pass.

    :raises HypervisorError: a rule is not understood
    """
    chains = {"ingress": list[str](), "egress": list[str]()}
    for rule in rules:
        if rule.direction not in chains:
            raise HypervisorError(f"Firewall direction {rule.direction!r} is not known.")
        line = _match(rule)
        if line not in chains[rule.direction]:
            chains[rule.direction].append(line)
    return "\n".join([
        f"add table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *_chain("input", "iif", chains["ingress"]),
        *_chain("output", "oif", chains["egress"]),
        "}",
        "",
    ])


def _chain(hook: str, device: str, lines: list[str]) -> list[str]:
    return [
        f"  chain {hook} {{",
        f"    type filter hook {hook} priority 0; policy drop;",
        "    ct state established,related accept",
        f'    {device} "lo" accept',
        "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert,"
        " nd-router-advert } accept",
        *(f"    {line} accept" for line in lines),
        "  }",
    ]


def _match(rule: FirewallRule) -> str:
    parts = []
    if rule.remote_cidr:
        parts.append(_remote(rule.direction, rule.remote_cidr))
    if rule.protocol:
        parts.append(_protocol(rule))
    return " ".join(parts) or "meta l4proto 0-255"


def _remote(direction: str, cidr: str) -> str:
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        raise HypervisorError(f"Firewall address {cidr!r} is not understood.") from None
    family = "ip" if network.version == 4 else "ip6"
    if network.prefixlen == 0:
        # nft refuses to match an empty prefix; the family is what is left of it
        return "meta nfproto " + ("ipv4" if network.version == 4 else "ipv6")
    return f"{family} {'saddr' if direction == 'ingress' else 'daddr'} {network}"


def _protocol(rule: FirewallRule) -> str:
    protocol = str(rule.protocol).lower()
    low, high = rule.port_min, rule.port_max
    if protocol in _ICMP:
        family = _ICMP[protocol]
        if low is None:
            return f"meta l4proto {family}"
        return f"{family} type {low}" + ("" if high is None else f" {family} code {high}")
    if protocol.isdigit():
        if int(protocol) > 255:
            raise HypervisorError(f"Firewall protocol {protocol!r} is not known.")
        return f"meta l4proto {protocol}"
    if protocol not in _WITH_PORTS:
        raise HypervisorError(f"Firewall protocol {protocol!r} is not known.")
    if low is None and high is None:
        return f"meta l4proto {protocol}"
    first = low if low is not None else 0
    last = high if high is not None else 65535
    if not 0 <= first <= last <= 65535:
        raise HypervisorError(f"Firewall ports {first}-{last} are not valid.")
    return f"{protocol} dport {first}" + (f"-{last}" if last != first else "")


def apply(pid: int, rules: Iterable[FirewallRule]) -> None:
    """Replace the rules of the namespace of a process, all at once.

    :param pid: a process inside the server
    :raises HypervisorError: a rule was refused; the old rules stay
    """
    run(["nsenter", "-t", str(pid), "-n", "nft", "-f", "-"], text=render(rules))
