"""How Cinder shows its resources at a microversion. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Version = tuple[int, int]
Document = dict[str, Any]


def links(base: str, project_id: str, kind: str, resource_id: str) -> list[Document]:
    """Return the two links of a resource; ``base`` is the service's address."""
    return [
        {"rel": "self", "href": f"{base}/v3/{project_id}/{kind}/{resource_id}"},
        {"rel": "bookmark", "href": f"{base}/{project_id}/{kind}/{resource_id}"},
    ]


def volume_summary(doc: Mapping[str, Any], base: str) -> Document:
    """Return a volume as a plain list shows it."""
    return {
        "id": doc["id"], "name": doc["name"],
        "links": links(base, doc["project_id"], "volumes", doc["id"]),
    }


def volume(
    doc: Mapping[str, Any],
    attachments: Sequence[Mapping[str, Any]],
    version: Version,
    base: str,
    admin: bool,
) -> Document:
    """Return a volume in detail; ``attachments`` are its attachment documents."""
    view: Document = {
        "id": doc["id"],
        "name": doc["name"],
        "description": doc["description"],
        "size": doc["size"],
        "status": doc["status"],
        "availability_zone": doc["availability_zone"],
        "created_at": doc["created_at"],
        "updated_at": doc["updated_at"],
        "attachments": [_attached(one) for one in attachments if one["status"] == "attached"],
        "metadata": dict(doc["metadata"]),
        "snapshot_id": doc["snapshot_id"],
        "source_volid": doc["source_volid"],
        "volume_type": doc["volume_type"],
        "user_id": doc["user_id"],
        "bootable": "true" if doc["bootable"] else "false",
        "encrypted": False,
        "replication_status": None,
        "consistencygroup_id": None,
        "multiattach": False,
        "os-vol-tenant-attr:tenant_id": doc["project_id"],
        "links": links(base, doc["project_id"], "volumes", doc["id"]),
    }
    if doc.get("image_metadata"):
        view["volume_image_metadata"] = dict(doc["image_metadata"])
    if admin:
        view.update({
            "os-vol-host-attr:host": doc["host"],
            "os-vol-mig-status-attr:migstat": None,
            "os-vol-mig-status-attr:name_id": None,
            "migration_status": None,
        })
    if version >= (3, 13):
        view["group_id"] = None
    if version >= (3, 21) and admin:
        view["provider_id"] = None
    if version >= (3, 48):
        view["shared_targets"] = False
        view["service_uuid"] = None
    if version >= (3, 61) and admin:
        view["cluster_name"] = None
    if version >= (3, 63):
        view["volume_type_id"] = doc["volume_type_id"]
    if version >= (3, 65):
        view["consumes_quota"] = True
    return view


def _attached(doc: Mapping[str, Any]) -> Document:
    return {
        "id": doc["volume_id"],
        "attachment_id": doc["id"],
        "volume_id": doc["volume_id"],
        "server_id": doc["instance_uuid"],
        "host_name": doc["attached_host"],
        "device": doc["mountpoint"],
        "attached_at": doc["attached_at"],
    }


def attachment(doc: Mapping[str, Any], detail: bool = True) -> Document:
    """Return an attachment of the attachments resource (3.27)."""
    view: Document = {
        "id": doc["id"], "status": doc["status"], "instance": doc["instance_uuid"],
        "volume_id": doc["volume_id"],
    }
    if detail:
        view.update({
            "attached_at": doc["attached_at"] or "",
            "detached_at": doc["detached_at"] or "",
            "attach_mode": doc["mode"],
            "connection_info": dict(doc["connection_info"]),
        })
    return view


def snapshot(doc: Mapping[str, Any], version: Version, detail: bool = True) -> Document:
    """Return a snapshot."""
    view: Document = {
        "id": doc["id"],
        "name": doc["name"],
        "description": doc["description"],
        "volume_id": doc["volume_id"],
        "size": doc["size"],
        "status": doc["status"],
        "created_at": doc["created_at"],
        "updated_at": doc["updated_at"],
        "metadata": dict(doc["metadata"]),
    }
    if detail:
        view["os-extended-snapshot-attributes:project_id"] = doc["project_id"]
        view["os-extended-snapshot-attributes:progress"] = (
            "100%" if doc["status"] == "available" else "0%")
    if version >= (3, 14):
        view["group_snapshot_id"] = None
    if version >= (3, 41):
        view["user_id"] = doc["user_id"]
    if version >= (3, 65):
        view["consumes_quota"] = True
    return view


def volume_type(doc: Mapping[str, Any], admin: bool) -> Document:
    """Return a volume type."""
    view: Document = {
        "id": doc["id"],
        "name": doc["name"],
        "description": doc["description"],
        "is_public": doc["is_public"],
        "os-volume-type-access:is_public": doc["is_public"],
        "extra_specs": dict(doc["extra_specs"]),
    }
    if admin:
        view["qos_specs_id"] = None
    return view
