"""The attributes of Neutron's resources and how requests are checked. No I/O."""

from __future__ import annotations

import copy
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trove_ng.standalone.minicloud import neutron_address

UNSET = object()
REQUIRED = object()
_UUID = re.compile(r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")


class BadAttribute(Exception):
    """A request's body is refused; the text is Neutron's message."""


@dataclass(frozen=True)
class Attribute:
    """One attribute that a request may set.

    ``check`` returns the value to keep, or raises ValueError with the reason.
    ``default`` REQUIRED: a create must give it; UNSET: left out when not given.
    """

    check: Callable[[Any], Any]
    default: Any = UNSET
    update: bool = True
    admin_only: bool = False


def text(value: Any) -> str:
    """Accept a string of at most 255 characters."""
    if not isinstance(value, str):
        raise ValueError(f"'{value}' is not a valid string.")
    if len(value) > 255:
        raise ValueError(f"'{value}' exceeds maximum length of 255.")
    return value


def truth(value: Any) -> bool:
    """Accept what Neutron converts to a boolean."""
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "false": False, "0": False}
    found = known.get(str(value).lower())
    if found is None:
        raise ValueError(f"'{value}' cannot be converted to boolean.")
    return found


def number(value: Any) -> int:
    """Accept an integer, also in a string."""
    if isinstance(value, bool):
        raise ValueError(f"'{value}' is not an integer.")
    try:
        return int(value)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"'{value}' is not an integer.") from exc


def uuid(value: Any) -> str:
    """Accept a UUID."""
    if not isinstance(value, str) or not _UUID.match(value):
        raise ValueError(f"'{value}' is not a valid UUID.")
    return value


def address(value: Any) -> str:
    """Accept an IP address."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as exc:
        raise ValueError(f"'{value}' is not a valid IP address.") from exc


def cidr(value: Any) -> str:
    """Accept a network in CIDR form without host bits."""
    try:
        network = ipaddress.ip_network(value)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"'{value}' is not a valid IP subnet.") from exc
    return str(network)


def prefix(value: Any) -> str:
    """Accept an address or a network, and return a network."""
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except (TypeError, ValueError) as exc:
        raise ValueError(f"'{value}' is not a valid IP subnet.") from exc


def mac(value: Any) -> str:
    """Accept a MAC address."""
    lowered = value.lower() if isinstance(value, str) else ""
    if not neutron_address.MAC_FORM.match(lowered):
        raise ValueError(f"'{value}' is not a valid MAC address.")
    return lowered


def listing(value: Any) -> list[Any]:
    """Accept a list."""
    if not isinstance(value, list):
        raise ValueError(f"'{value}' is not a list.")
    return value


def uuids(value: Any) -> list[str]:
    """Accept a list of UUIDs; doubles are refused."""
    found = [uuid(one) for one in listing(value)]
    if len(set(found)) != len(found):
        raise ValueError(f"Duplicate items in the list: '{', '.join(found)}'.")
    return found


def fixed_ips(value: Any) -> list[dict[str, str]]:
    """Accept the addresses wanted for a port."""
    kept = []
    for one in listing(value):
        if not isinstance(one, dict) or not set(one) <= {"subnet_id", "ip_address"}:
            raise ValueError(f"Invalid data format for fixed IP: '{one}'.")
        wanted = {key: one[key] for key in one if one[key] is not None}
        if "subnet_id" in wanted:
            uuid(wanted["subnet_id"])
        if "ip_address" in wanted:
            wanted["ip_address"] = address(wanted["ip_address"])
        kept.append(wanted)
    return kept


def mapping(value: Any) -> dict[str, Any]:
    """Accept an object."""
    if not isinstance(value, dict):
        raise ValueError(f"'{value}' is not a dictionary.")
    return value


def or_none(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Accept None as well."""
    return lambda value: None if value is None else check(value)


def one_of(*allowed: Any) -> Callable[[Any], Any]:
    """Accept one of a few values."""
    def check(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"'{value}' is not in {list(allowed)}.")
        return value
    return check


def protocol(value: Any) -> str | None:
    """Accept a protocol by name or number."""
    if value is None:
        return None
    name = str(value).lower()
    if name.isdigit():
        if not 0 <= int(name) <= 255:
            raise ValueError(f"Security group rule protocol {value} not supported.")
        return name
    if name not in ("any", "tcp", "udp", "icmp", "icmpv6", "ipv6-icmp", "sctp", "vrrp"):
        raise ValueError(f"Security group rule protocol {value} not supported.")
    return name


_NAME = Attribute(text, "")
_DESCRIPTION = Attribute(text, "")
_UP = Attribute(truth, True)

ATTRIBUTES: Mapping[str, Mapping[str, Attribute]] = {
    "network": {
        "name": _NAME, "description": _DESCRIPTION, "admin_state_up": _UP,
        "shared": Attribute(truth, False, admin_only=True),
        "router:external": Attribute(truth, False, admin_only=True),
        "port_security_enabled": Attribute(truth, True),
        "mtu": Attribute(number, 1500),
        "is_default": Attribute(truth, False, admin_only=True),
        "availability_zone_hints": Attribute(listing, [], update=False),
        "dns_domain": Attribute(text, ""),
    },
    "subnet": {
        "name": _NAME, "description": _DESCRIPTION,
        "network_id": Attribute(uuid, REQUIRED, update=False),
        "cidr": Attribute(cidr, REQUIRED, update=False),
        "ip_version": Attribute(one_of(4, "4"), REQUIRED, update=False),
        "gateway_ip": Attribute(or_none(address)),
        "allocation_pools": Attribute(listing),
        "enable_dhcp": Attribute(truth, True),
        "dns_nameservers": Attribute(listing, []),
        "host_routes": Attribute(listing, []),
        "service_types": Attribute(listing, []),
    },
    "port": {
        "name": _NAME, "description": _DESCRIPTION, "admin_state_up": _UP,
        "network_id": Attribute(uuid, REQUIRED, update=False),
        "mac_address": Attribute(mac),
        "fixed_ips": Attribute(fixed_ips),
        "device_id": Attribute(text, ""),
        "device_owner": Attribute(text, ""),
        "security_groups": Attribute(or_none(uuids)),
        "port_security_enabled": Attribute(truth),
        "allowed_address_pairs": Attribute(listing, []),
        "extra_dhcp_opts": Attribute(or_none(listing), []),
        "binding:host_id": Attribute(or_none(text), "", admin_only=True),
        "binding:profile": Attribute(or_none(mapping), {}, admin_only=True),
        "binding:vnic_type": Attribute(one_of("normal", "direct"), "normal"),
        "dns_name": Attribute(text, ""),
    },
    "security_group": {
        "name": _NAME, "description": _DESCRIPTION, "stateful": Attribute(truth, True),
    },
    "security_group_rule": {
        "security_group_id": Attribute(uuid, REQUIRED, update=False),
        "direction": Attribute(one_of("ingress", "egress"), REQUIRED, update=False),
        "ethertype": Attribute(one_of("IPv4", "IPv6"), "IPv4", update=False),
        "protocol": Attribute(protocol, None, update=False),
        "port_range_min": Attribute(or_none(number), None, update=False),
        "port_range_max": Attribute(or_none(number), None, update=False),
        "remote_ip_prefix": Attribute(or_none(prefix), None, update=False),
        "remote_group_id": Attribute(or_none(uuid), None, update=False),
        "remote_address_group_id": Attribute(one_of(None), None, update=False),
        "description": Attribute(text, "", update=False),
    },
    "floatingip": {
        "floating_network_id": Attribute(uuid, REQUIRED, update=False),
        "description": _DESCRIPTION,
        "port_id": Attribute(or_none(uuid), None),
        "fixed_ip_address": Attribute(or_none(address), None),
        "floating_ip_address": Attribute(or_none(address), None, update=False),
        "subnet_id": Attribute(or_none(uuid), None, update=False),
    },
}


def check(
    resource: str, body: Any, creating: bool, admin: bool,
) -> tuple[dict[str, Any], str | None]:
    """Return the attributes to set and the project that the body names, if any.

    Defaults are filled in when ``creating``. Raises BadAttribute.
    """
    if not isinstance(body, dict):
        raise BadAttribute(f"Resource body required: '{resource}'.")
    known = ATTRIBUTES[resource]
    project = body.get("project_id", body.get("tenant_id"))
    unknown = [key for key in body if key not in known and key not in ("project_id", "tenant_id")]
    if unknown:
        names = "', '".join(sorted(unknown))
        raise BadAttribute(f"Unrecognized attribute(s) '{names}'")
    if project is not None and not creating:
        raise BadAttribute("Cannot update read-only attribute project_id")
    answer: dict[str, Any] = {}
    for name, attribute in known.items():
        if name in body:
            if not creating and not attribute.update:
                raise BadAttribute(f"Cannot update read-only attribute {name}")
            if attribute.admin_only and not admin and not _is_default(attribute, body[name]):
                raise PermissionError(name)
            try:
                answer[name] = attribute.check(body[name])
            except ValueError as exc:
                raise BadAttribute(f"Invalid input for {name}. Reason: {exc}") from exc
        elif creating:
            if attribute.default is REQUIRED:
                raise BadAttribute(
                    f"Failed to parse request. Required attribute '{name}' not specified")
            if attribute.default is not UNSET:
                answer[name] = copy.deepcopy(attribute.default)
    return answer, project


def _is_default(attribute: Attribute, value: Any) -> bool:
    return bool(value == attribute.default)
