"""Security groups: the access of instances, in the words of older clients."""

from __future__ import annotations

import ipaddress
from typing import Any

from trove_ng.api import accept_access
from trove_ng.api.call import Call
from trove_ng.api.schemas.instances import MOST_CIDRS
from trove_ng.api.views import security_groups as views
from trove_ng.common.errors import BadRequest, Conflict, NotFound
from trove_ng.db.repositories import security_groups
from trove_ng.db.rows import Reader


def index(call: Call) -> dict[str, Any]:
    """List the security groups of the project.

    All of them, unless a limit is named: released clients ask for the first page for ever.
    """
    limit = call.limit() if "limit" in call.query else None
    with call.services.db.connection() as reader:
        rows = security_groups.page(reader, call.context.project_id, limit=limit,
                                    marker=call.marker())
    shown = rows if limit is None else rows[:limit]
    return call.page("security_groups", [views.group(call, row) for row in shown],
                     shown[-1].id if len(shown) < len(rows) and shown else None)


def show(call: Call) -> dict[str, Any]:
    """Show a security group with its rules."""
    with call.services.db.connection() as reader:
        return {"security_group": views.group(call, _group(reader, call, call.params["id"]))}


def _group(reader: Reader, call: Call, ident: str) -> Any:
    return call.own("Security group", ident, security_groups.get(reader, ident, call.owner))


def create_rule(call: Call) -> dict[str, Any]:
    """Begin to let a network in; the answer has its rule for each port."""
    wanted = call.body["security_group_rule"]
    ident, cidr = wanted["group_id"], str(ipaddress.ip_network(wanted["cidr"], strict=False))
    with call.services.db.connection() as reader:
        row = _group(reader, call, ident)
    answer = {"security_group_rule": views.rules(row, [cidr])}

    def add(allowed: list[str]) -> list[str]:
        if cidr in allowed:
            raise Conflict(f"Security group {ident} lets {cidr} in already.")
        if len(allowed) >= MOST_CIDRS:
            raise BadRequest(f"Validation error: security_group_rule.cidr: the group has "
                             f"{MOST_CIDRS} networks, which is the most.")
        return [*allowed, cidr]

    accept_access.edit_networks(call, ident, add, answer)
    return answer


def delete_rule(call: Call) -> None:
    """Begin to keep out the network of a rule, at all ports."""
    rule_id = call.params["id"]
    ident = rule_id[:views.ID_LENGTH]
    with call.services.db.connection() as reader:
        row = security_groups.get(reader, ident, call.owner)
        if row is not None:
            call.authorize_owner(row.tenant_id)
    rule = next((one for one in views.rules(row) if one["id"] == rule_id), None) if row else None
    if rule is None:
        raise NotFound.of("Security group rule", rule_id)
    accept_access.edit_networks(
        call, ident, lambda allowed: [one for one in allowed if one != rule["cidr"]])
