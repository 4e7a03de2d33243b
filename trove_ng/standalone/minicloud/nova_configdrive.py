"""What a server finds on its config drive. No I/O."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from trove_ng.standalone.minicloud.hypervisor import PortSpec


def decode_user_data(text: str) -> bytes:
    """Return the plain user data; raises ValueError when it is not base64."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as exc:
        raise ValueError("User data needs to be valid base 64.") from exc


def build(
    server: Mapping[str, Any],
    ports: Sequence[PortSpec],
    keypair: Mapping[str, Any] | None,
    dns: Sequence[str] = (),
) -> dict[str, bytes]:
    """Return path below the config drive → content for a server document."""
    meta: dict[str, Any] = {
        "uuid": server["id"],
        "name": server["name"],
        "hostname": server["hostname"],
        "availability_zone": server["availability_zone"],
        "launch_index": 0,
        "project_id": server["project_id"],
        "meta": dict(server["metadata"]),
        "devices": [],
        "dedicated_cpus": [],
    }
    if keypair is not None:
        meta["public_keys"] = {keypair["name"]: keypair["public_key"]}
        meta["keys"] = [
            {"name": keypair["name"], "type": keypair["type"], "data": keypair["public_key"]},
        ]
    files = {
        "openstack/latest/meta_data.json": _json(meta),
        "openstack/latest/network_data.json": _json(network_data(ports, dns)),
        "openstack/latest/vendor_data.json": _json({}),
    }
    if server.get("user_data"):
        files["openstack/latest/user_data"] = decode_user_data(server["user_data"])
    return files


def network_data(ports: Sequence[PortSpec], dns: Sequence[str] = ()) -> dict[str, Any]:
    """Return the network description in OpenStack's config drive form."""
    links, networks = [], []
    for number, port in enumerate(ports):
        link = f"tap{port.id[:11]}"
        links.append({
            "id": link, "vif_id": port.id, "type": "bridge", "mtu": 1500,
            "ethernet_mac_address": port.mac,
        })
        if not port.ip:
            continue
        default = {"network": "0.0.0.0", "netmask": "0.0.0.0",  # noqa: S104 - a route
                   "gateway": port.gateway}
        networks.append({
            "id": f"network{number}", "type": "ipv4", "link": link,
            "ip_address": port.ip, "netmask": netmask(port.prefixlen),
            "network_id": port.network_id,
            # only the first interface carries the default route
            "routes": [default] if port.gateway and not number else [],
        })
    services = [{"type": "dns", "address": address} for address in dns]
    return {"links": links, "networks": networks, "services": services}


def netmask(prefixlen: int) -> str:
    """Return the dotted form of an IPv4 prefix length."""
    bits = (0xFFFFFFFF << (32 - prefixlen)) & 0xFFFFFFFF
    return ".".join(str(bits >> shift & 0xFF) for shift in (24, 16, 8, 0))


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
