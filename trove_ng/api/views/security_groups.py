"""Views of security groups: of what the access of an instance says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from trove_ng.api.call import Call
from trove_ng.common.clock import isoformat
from trove_ng.datastores import base as engines

#: length of the id of an instance, with which those of its rules begin
ID_LENGTH = 36


def rules(row: Any, cidrs: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Return the rules of a group.

    :param row: a row of ``repositories.security_groups``
    :param cidrs: networks that it is to let in; None: those that it lets in
    """
    if cidrs is None:
        cidrs = (row.access or {}).get("allowed_cidrs") or []
    return [_rule(row, protocol, low, high, cidr)
            for cidr in cidrs for protocol, low, high in engines.get(row.manager).ports]


def _rule(row: Any, protocol: str, low: int, high: int, cidr: str) -> dict[str, Any]:
    # it says what it is: nothing more has to be kept
    digest = hashlib.sha256(f"{protocol} {low} {high} {cidr}".encode()).hexdigest()[:16]
    return {"id": f"{row.id}-{digest}", "security_group_id": row.id, "protocol": protocol,
            "from_port": low, "to_port": high, "cidr": cidr,
            "created": isoformat(row.updated)}


def group(call: Call, row: Any) -> dict[str, Any]:
    """Return the view of a group, with its rules."""
    return {
        "id": row.id, "name": f"trove-{row.id}",
        "description": f"Security group of the database instance {row.id}",
        "instance_id": row.id, "rules": rules(row), "created": isoformat(row.created),
        "updated": isoformat(row.updated), "links": call.links("security-groups", row.id)}
