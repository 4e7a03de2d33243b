"""Views of backups."""

from __future__ import annotations

from typing import Any

from trove_ng.common.clock import isoformat

_GB = 1024 ** 3


def view(row: Any) -> dict[str, Any]:
    """Return the view of a backup.

    :param row: a row of ``repositories.backups``' views
    """
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "locationRef": row.location,
        "instance_id": row.instance_id,
        "created": isoformat(row.created),
        "updated": isoformat(row.updated),
        "size": None if row.size_bytes is None else round(row.size_bytes / _GB, 6),
        "status": row.state,
        "error": row.error,
        "parent_id": row.parent_id,
        "project_id": row.tenant_id,
        "storage_driver": row.storage_driver,
        "verified_at": isoformat(row.verified_at),
        "restore_seconds": row.restore_seconds,
        "verification": row.verification,
    }
    if row.datastore_name is not None:
        shown["datastore"] = {
            "type": row.datastore_name, "version": row.version_name,
            "version_id": row.datastore_version_id,
            "version_number": row.version_number}
    return shown
