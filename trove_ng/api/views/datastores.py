"""Views of datastores, their versions, flavors and volume types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trove_ng.api.call import Call
from trove_ng.db.models import Datastore, DatastoreVersion
from trove_ng.domain.catalog import Flavor, VolumeType


def version(call: Call, row: Any, *, datastore_id: str | None = None) -> dict[str, Any]:
    """Return the view of a version.

    :param datastore_id: shown when the version is not inside its datastore's view
    """
    view: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "version": row.version,
        "links": call.links("datastores/versions", row.id),
    }
    if datastore_id is not None:
        view["datastore"] = datastore_id
    if call.context.is_admin:
        view.update(
            active=row.active, packages=row.packages, image=row.image_id,
            image_tags=_parts(row.image_tags),
            registry_ext=row.registry_ext, repl_strategy=row.repl_strategy,
            visibility=row.visibility)
    return view


def datastore(call: Call, row: Any, versions: Iterable[Any]) -> dict[str, Any]:
    """Return the view of a datastore with its versions."""
    view: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "links": call.links("datastores", row.id),
        "versions": [version(call, item) for item in versions],
    }
    # released clients look the default up among the versions
    if row.default_version_id in [one["id"] for one in view["versions"]]:
        view["default_version"] = row.default_version_id
    return view


def management(row: DatastoreVersion, datastore: Datastore) -> dict[str, Any]:
    """Return what operators register of a version."""
    return {
        "id": row.id, "name": row.name, "version": row.version,
        "datastore_id": datastore.id, "datastore_name": datastore.name,
        "datastore_manager": row.manager, "manager": row.manager, "image": row.image_id,
        "image_tags": _parts(row.image_tags), "packages": _parts(row.packages),
        "active": row.active, "default": datastore.default_version_id == row.id,
        "visibility": row.visibility, "registry_ext": row.registry_ext,
        "repl_strategy": row.repl_strategy}


def _parts(text: str | None) -> list[str]:
    return [part for part in (text or "").split(",") if part]


def flavor(call: Call, item: Flavor) -> dict[str, Any]:
    """Return the view of a flavor; ``id`` is a number or null, as clients know it."""
    number = item.id.isascii() and item.id.isdigit() and str(int(item.id)) == item.id
    return {
        "id": int(item.id) if number else None,
        "str_id": item.id,
        "name": item.name,
        "ram": item.ram_mb,
        "vcpus": item.vcpus,
        "disk": item.disk_gb,
        "ephemeral": item.ephemeral_gb,
        "links": call.links("flavors", item.id),
    }


def volume_type(item: VolumeType) -> dict[str, Any]:
    """Return the view of a volume type."""
    return {"id": item.id, "name": item.name, "is_public": item.is_public,
            "description": item.description}
