"""Addresses of networks: pools, free addresses, MACs. No I/O."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Iterable
from typing import Any

MAC_FORM = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")


class AddressesUsedUp(Exception):
    """No address of the subnet is free."""


def first_address(cidr: str) -> str:
    """Return the address that is the gateway by default."""
    return str(ipaddress.ip_network(cidr)[1])


def default_pools(cidr: str, gateway: str | None) -> list[dict[str, str]]:
    """Return the allocation pools of a subnet for which none were asked.

    All usable addresses except the gateway's, as Neutron does it.
    """
    network = ipaddress.ip_network(cidr)
    first, last = int(network[1]), int(network[-2])
    if network.version == 6:
        last = int(network[-1])
    if gateway is None or ipaddress.ip_address(gateway) not in network:
        return [_pool(network.version, first, last)]
    hole = int(ipaddress.ip_address(gateway))
    ranges = [(first, hole - 1), (hole + 1, last)]
    return [_pool(network.version, low, high) for low, high in ranges if low <= high]


def _pool(version: int, low: int, high: int) -> dict[str, str]:
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return {"start": str(kind(low)), "end": str(kind(high))}


def pools_fault(cidr: str, gateway: str | None, pools: Iterable[dict[str, str]]) -> str:
    """Return what is wrong with the pools of a subnet, or an empty string."""
    network = ipaddress.ip_network(cidr)
    seen: list[tuple[int, int]] = []
    for pool in pools:
        try:
            start = ipaddress.ip_address(pool["start"])
            end = ipaddress.ip_address(pool["end"])
        except (KeyError, TypeError, ValueError):
            return f"Invalid allocation pool {pool}."
        if start not in network or end not in network or int(start) > int(end):
            return f"The allocation pool {start}-{end} spans beyond the subnet cidr {cidr}."
        if any(int(start) <= high and low <= int(end) for low, high in seen):
            return f"Found overlapping allocation pools: {start}-{end}."
        if gateway and int(start) <= int(ipaddress.ip_address(gateway)) <= int(end):
            return f"Gateway ip {gateway} conflicts with allocation pool {start}-{end}."
        seen.append((int(start), int(end)))
    return ""


def in_cidr(address: str, cidr: str) -> bool:
    """Return whether ``address`` is a usable host address of ``cidr``."""
    network = ipaddress.ip_network(cidr)
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed not in network:
        return False
    edges = (network.network_address, network.broadcast_address)
    return network.version == 6 or parsed not in edges


def free_address(subnet: dict[str, Any], taken: Iterable[str]) -> str:
    """Return the first address of the subnet's pools that is not taken.

    Raises AddressesUsedUp when there is none.
    """
    used = {int(ipaddress.ip_address(address)) for address in taken}
    version = ipaddress.ip_network(subnet["cidr"]).version
    for pool in subnet["allocation_pools"]:
        low = int(ipaddress.ip_address(pool["start"]))
        high = int(ipaddress.ip_address(pool["end"]))
        for number in range(low, high + 1):
            if number not in used:
                return _pool(version, number, number)["start"]
    raise AddressesUsedUp(subnet["id"])


def overlaps(cidr: str, others: Iterable[str]) -> bool:
    """Return whether ``cidr`` shares addresses with one of ``others``."""
    network = ipaddress.ip_network(cidr)
    for other in others:
        known = ipaddress.ip_network(other)
        if known.version == network.version and int(network[0]) <= int(known[-1]) \
                and int(known[0]) <= int(network[-1]):
            return True
    return False


def new_mac(taken: Iterable[str]) -> str:
    """Return a locally administered MAC that is not taken."""
    used = set(taken)
    while True:
        tail = secrets.token_bytes(3)
        mac = "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in tail)
        if mac not in used:
            return mac
