"""How Nova shows its resources at a microversion. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trove_ng.standalone.minicloud import nova_states

Version = tuple[int, int]
Document = dict[str, Any]

_HOST_STATUS_UP = "UP"


def links(base: str, kind: str, resource_id: str) -> list[Document]:
    """Return the two links of a resource; ``base`` is the service's address."""
    return [
        {"rel": "self", "href": f"{base}/v2.1/{kind}/{resource_id}"},
        {"rel": "bookmark", "href": f"{base}/{kind}/{resource_id}"},
    ]


def next_link(base: str, kind: str, query: str) -> list[Document]:
    """Return the link to the next page."""
    return [{"rel": "next", "href": f"{base}/v2.1/{kind}?{query}"}]


def flavor(doc: Mapping[str, Any], version: Version, base: str, detail: bool = True) -> Document:
    """Return a flavor as the flavors resource shows it."""
    view: Document = {"id": doc["id"], "name": doc["name"]}
    if version >= (2, 55):
        view["description"] = doc.get("description")
    view["links"] = links(base, "flavors", doc["id"])
    if not detail:
        return view
    view.update({
        "ram": doc["ram"],
        "disk": doc["disk"],
        "vcpus": doc["vcpus"],
        "swap": doc["swap"] if version >= (2, 75) else doc["swap"] or "",
        "OS-FLV-EXT-DATA:ephemeral": doc["ephemeral"],
        "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": doc["is_public"],
        "rxtx_factor": doc["rxtx_factor"],
    })
    if version >= (2, 61):
        view["extra_specs"] = dict(doc["extra_specs"])
    return view


def _server_flavor(server: Mapping[str, Any], version: Version, base: str) -> Document:
    doc = server["flavor"]
    if version < (2, 47):
        bookmark = links(base, "flavors", doc["id"])[1:]
        return {"id": doc["id"], "links": bookmark}
    return {
        "original_name": doc["name"], "ram": doc["ram"], "disk": doc["disk"],
        "vcpus": doc["vcpus"], "swap": doc["swap"], "ephemeral": doc["ephemeral"],
        "extra_specs": dict(doc["extra_specs"]),
    }


def addresses(ports: Sequence[Mapping[str, Any]]) -> Document:
    """Return network name → addresses.

    Each port has ``network_name``, ``mac_address``, ``fixed_ips`` and ``floating``.
    """
    answer: Document = {}
    for port in ports:
        shown = answer.setdefault(port["network_name"], [])
        for kind, found in (
            ("fixed", [ip["ip_address"] for ip in port["fixed_ips"]]),
            ("floating", port.get("floating", [])),
        ):
            shown.extend({
                "version": 6 if ":" in address else 4,
                "addr": address,
                "OS-EXT-IPS:type": kind,
                "OS-EXT-IPS-MAC:mac_addr": port["mac_address"],
            } for address in found)
    return answer


def server(
    doc: Mapping[str, Any],
    ports: Sequence[Mapping[str, Any]],
    version: Version,
    base: str,
    admin: bool,
) -> Document:
    """Return a server in detail."""
    status = nova_states.status(doc["vm_state"], doc["task_state"])
    view: Document = {
        "id": doc["id"],
        "name": doc["name"],
        "status": status,
        "tenant_id": doc["project_id"],
        "user_id": doc["user_id"],
        "metadata": dict(doc["metadata"]),
        "hostId": doc["host_id"],
        "image": _image(doc, base),
        "flavor": _server_flavor(doc, version, base),
        "created": doc["created"],
        "updated": doc["updated"],
        "addresses": addresses(ports),
        "accessIPv4": "",
        "accessIPv6": "",
        "links": links(base, "servers", doc["id"]),
        "OS-DCF:diskConfig": doc.get("disk_config", "AUTO"),
        "OS-EXT-AZ:availability_zone": doc["availability_zone"],
        "config_drive": "True" if doc["config_drive"] else "",
        "key_name": doc["key_name"],
        "OS-SRV-USG:launched_at": doc["launched_at"],
        "OS-SRV-USG:terminated_at": None,
        "OS-EXT-STS:task_state": doc["task_state"],
        "OS-EXT-STS:vm_state": doc["vm_state"],
        "OS-EXT-STS:power_state": doc["power_state"],
        "os-extended-volumes:volumes_attached": _volumes(doc, version),
    }
    if doc["security_groups"]:
        view["security_groups"] = [{"name": name} for name in doc["security_groups"]]
    if status in ("ERROR", "DELETED"):
        if doc.get("fault"):
            view["fault"] = _fault(doc["fault"], admin)
    elif status in ("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"):
        view["progress"] = doc.get("progress", 0)
    view.update(_by_version(doc, version))
    if admin:
        view.update(_admin_part(doc, version))
    elif version >= (2, 90):
        view["OS-EXT-SRV-ATTR:hostname"] = doc["hostname"]
    return view


def _image(doc: Mapping[str, Any], base: str) -> Document | str:
    if not doc["image_ref"]:
        return ""
    href = f"{base}/images/{doc['image_ref']}"
    return {"id": doc["image_ref"], "links": [{"rel": "bookmark", "href": href}]}


def _volumes(doc: Mapping[str, Any], version: Version) -> list[Document]:
    shown = []
    for volume_id, link in doc["volumes"].items():
        one: Document = {"id": volume_id}
        if version >= (2, 3):
            one["delete_on_termination"] = link["delete_on_termination"]
        shown.append(one)
    return shown


def _fault(fault: Mapping[str, Any], admin: bool) -> Document:
    view = {key: fault[key] for key in ("code", "created", "message")}
    if fault.get("details") and (admin or fault["code"] != 500):
        view["details"] = fault["details"]
    return view


def _by_version(doc: Mapping[str, Any], version: Version) -> Document:
    view: Document = {}
    if version >= (2, 9):
        view["locked"] = False
    if version >= (2, 19):
        view["description"] = doc["description"]
    if version >= (2, 26):
        view["tags"] = list(doc.get("tags", []))
    if version >= (2, 63):
        view["trusted_image_certificates"] = None
    if version >= (2, 71):
        view["server_groups"] = [doc["group_id"]] if doc.get("group_id") else []
    if version >= (2, 73):
        view["locked_reason"] = None
    return view


def _admin_part(doc: Mapping[str, Any], version: Version) -> Document:
    view: Document = {
        "OS-EXT-SRV-ATTR:host": doc["host"],
        "OS-EXT-SRV-ATTR:hypervisor_hostname": doc["host"],
        "OS-EXT-SRV-ATTR:instance_name": f"instance-{doc['id'][:8]}",
    }
    if version >= (2, 3):
        view.update({
            "OS-EXT-SRV-ATTR:reservation_id": f"r-{doc['id'][:8]}",
            "OS-EXT-SRV-ATTR:launch_index": 0,
            "OS-EXT-SRV-ATTR:hostname": doc["hostname"],
            "OS-EXT-SRV-ATTR:kernel_id": "",
            "OS-EXT-SRV-ATTR:ramdisk_id": "",
            "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
            "OS-EXT-SRV-ATTR:user_data": doc.get("user_data"),
        })
    if version >= (2, 16):
        view["host_status"] = _HOST_STATUS_UP if doc["host"] else ""
    return view


def attachment(server_id: str, volume_id: str, link: Mapping[str, Any], version: Version) \
        -> Document:
    """Return a volume attachment of a server."""
    view: Document = {
        "serverId": server_id, "volumeId": volume_id, "device": link["device"],
    }
    if version < (2, 89):
        view["id"] = volume_id
    else:
        view["attachment_id"] = link["attachment_id"]
        view["bdm_uuid"] = link["bdm_id"]
    if version >= (2, 70):
        view["tag"] = link.get("tag")
    if version >= (2, 79):
        view["delete_on_termination"] = link["delete_on_termination"]
    return view


def interface(port: Mapping[str, Any], version: Version) -> Document:
    """Return a port of a server as os-interface shows it."""
    view: Document = {
        "port_state": port["status"], "port_id": port["id"],
        "net_id": port["network_id"], "mac_addr": port["mac_address"],
        "fixed_ips": [dict(ip) for ip in port["fixed_ips"]],
    }
    if version >= (2, 70):
        view["tag"] = None
    return view


def server_group(doc: Mapping[str, Any], members: Sequence[str], version: Version) -> Document:
    """Return a server group; the policy has another form from 2.64 on."""
    view: Document = {"id": doc["id"], "name": doc["name"], "members": list(members)}
    if version >= (2, 64):
        view["policy"] = doc["policy"]
        view["rules"] = dict(doc["rules"])
    else:
        view["policies"] = [doc["policy"]]
        view["metadata"] = {}
    if version >= (2, 13):
        view["project_id"] = doc["project_id"]
        view["user_id"] = doc["user_id"]
    return view


def keypair(doc: Mapping[str, Any], version: Version, detail: bool = False) -> Document:
    """Return a key pair; its private key is never kept."""
    view: Document = {key: doc[key] for key in ("name", "public_key", "fingerprint")}
    if version >= (2, 2):
        view["type"] = doc["type"]
    if detail:
        view.update({
            "id": doc["number"], "user_id": doc["user_id"], "created_at": doc["created"],
            "updated_at": None, "deleted_at": None, "deleted": False,
        })
    return view
