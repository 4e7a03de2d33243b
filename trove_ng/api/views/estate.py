"""Views of what operators see of the cloud."""

from __future__ import annotations

from typing import Any

from trove_ng.cloud.types import Host, Pool


def host(found: Host, region: str, instances: int) -> dict[str, Any]:
    """Return the view of a compute host in a list."""
    return {"name": found.name, "region": region, "status": found.status, "state": found.state,
            "instanceCount": instances}


def host_detail(found: Host, region: str, servers: int, instances: list[dict[str, Any]],
                ) -> dict[str, Any]:
    """Return the view of a compute host; memory is in MiB, of all that runs on it.

    :param servers: how many were made for instances; more than there are instances when
        some of these are not known any more
    """
    return {**host(found, region, servers), "totalRAM": found.ram_mb,
            "usedRAM": found.ram_used_mb,
            "percentUsed": _percent(found.ram_used_mb, found.ram_mb), "instances": instances}


def pool(found: Pool, region: str) -> dict[str, Any]:
    """Return the view of a pool; sizes are in GB, null when the driver does not tell."""
    total = None if found.total_gb is None else found.total_gb * found.ratio
    provisioned = found.provisioned_gb
    return {
        "name": found.name, "region": region, "type": found.kind,
        "capacity": {"total": found.total_gb, "available": found.free_gb},
        "used": (None if found.total_gb is None or found.free_gb is None
                 else round(found.total_gb - found.free_gb, 2)),
        "provision": {
            "total": total, "percent": _percent(provisioned, total),
            "available": (None if total is None or provisioned is None
                          else round(total - provisioned, 2))}}


def _percent(part: float | None, whole: float | None) -> int | None:
    return None if part is None or not whole else round(100 * part / whole)
