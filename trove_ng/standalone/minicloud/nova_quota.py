"""Nova's quotas: what a project may have, and what it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trove_ng.standalone.minicloud import nova_errors as errors
from trove_ng.standalone.minicloud.store import Store

DEFAULTS: Mapping[str, int] = {
    "instances": 100, "cores": 200, "ram": 512000, "metadata_items": 128, "key_pairs": 100,
    "server_groups": 50, "server_group_members": 50, "injected_files": 5,
    "injected_file_content_bytes": 10240, "injected_file_path_bytes": 255,
    "floating_ips": -1, "fixed_ips": -1, "security_groups": -1, "security_group_rules": -1,
}
_NETWORK = ("floating_ips", "fixed_ips", "security_groups", "security_group_rules")
_INJECTED = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")


def names(version: tuple[int, int]) -> list[str]:
    """Return the quotas that exist at a microversion."""
    gone = [*(_NETWORK if version >= (2, 36) else ()), *(_INJECTED if version >= (2, 57) else ())]
    return [name for name in DEFAULTS if name not in gone]


class Quotas:
    """Limits of projects; usage is counted, never booked, so it cannot drift.

    The ``need…`` methods must be called inside the transaction that adds what is
    needed; they raise Nova's over-quota fault.
    """

    def __init__(self, store: Store, defaults: Mapping[str, int]) -> None:
        self._store = store
        self._defaults = {**DEFAULTS, **{k: v for k, v in defaults.items() if k in DEFAULTS}}

    def defaults(self) -> dict[str, int]:
        """Return the limits of a project for which none were set."""
        return dict(self._defaults)

    def limits(self, project_id: str) -> dict[str, int]:
        """Return the limits of a project."""
        own = self._store.get("nova_quota", project_id) or {}
        return {**self._defaults, **own.get("limits", {})}

    def set(self, project_id: str, limits: Mapping[str, int]) -> None:
        """Change limits of a project."""
        own = self._store.get("nova_quota", project_id) or {"limits": {}}
        own["limits"].update(limits)
        self._store.put("nova_quota", project_id, own, project_id)

    def reset(self, project_id: str) -> None:
        """Give a project the default limits again."""
        self._store.delete("nova_quota", project_id)

    def usage(self, project_id: str) -> dict[str, int]:
        """Return what a project has."""
        servers: list[dict[str, Any]] = self._store.list("server", project_id)
        used = dict.fromkeys(DEFAULTS, 0)
        used["instances"] = len(servers)
        for server in servers:
            for kept in (server["flavor"], server.get("old_flavor") or {}):
                # until a resize is confirmed the bigger of both counts
                server["_cores"] = max(server.get("_cores", 0), kept.get("vcpus", 0))
                server["_ram"] = max(server.get("_ram", 0), kept.get("ram", 0))
        used["cores"] = sum(server["_cores"] for server in servers)
        used["ram"] = sum(server["_ram"] for server in servers)
        used["server_groups"] = len(self._store.list("server_group", project_id))
        return used

    def need(self, project_id: str, **amounts: int) -> None:
        """Refuse when the amounts do not fit, in Nova's words."""
        limits, used = self.limits(project_id), self.usage(project_id)
        over = [name for name, amount in amounts.items()
                if amount > 0 and 0 <= limits[name] < used[name] + amount]
        if not over:
            return
        parts = (
            ", ".join(over),
            ", ".join(str(amounts[name]) for name in over),
            ", ".join(str(used[name]) for name in over),
            ", ".join(str(limits[name]) for name in over),
        )
        raise errors.forbidden(
            f"Quota exceeded for {parts[0]}: Requested {parts[1]}, but already used {parts[2]} "
            f"of {parts[3]} {parts[0]}")

    def need_metadata(self, project_id: str, metadata: Mapping[str, str]) -> None:
        """Refuse more metadata items than a server may have."""
        limit = self.limits(project_id)["metadata_items"]
        if 0 <= limit < len(metadata):
            raise errors.forbidden(f"Maximum number of metadata items exceeds {limit}")
