"""Absolute limits and rate limits of the caller's project."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.common.clock import isoformat
from trove_ng.conf import quota
from trove_ng.db.repositories import quotas


def index(call: Call) -> dict[str, Any]:
    """Show the limits."""
    services = call.services
    tenant = call.context.project_id
    with services.db.reader() as session:
        found = quotas.limits(session, tenant, quota.defaults(services.conf))
    absolute: dict[str, Any] = {"verb": "ABSOLUTE"}
    absolute.update({f"max_{name}": value for name, value in found.items()})
    now = isoformat(services.clock.now())
    rates = [{
        "verb": limit.verb, "uri": limit.uri, "regex": ".*" if limit.uri == "*" else "^/mgmt",
        "value": limit.per_minute, "unit": "MINUTE",
        "remaining": services.buckets.remaining(tenant, key), "nextAvailable": f"{now}Z",
    } for key, limit in services.buckets.limits.items() if limit.per_minute > 0]
    return {"limits": [absolute, *rates]}
