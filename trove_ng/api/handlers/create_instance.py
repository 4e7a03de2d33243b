"""Creating an instance."""

from __future__ import annotations

from typing import Any

from trove_ng.api import accept_create, accept_replicas
from trove_ng.api.call import Call


def create(call: Call) -> dict[str, Any]:
    """Create an instance, or replicas of one."""
    wanted = call.body["instance"]
    if wanted.get("replica_of"):
        return {"instance": accept_replicas.create_replicas(call)}
    if wanted.get("databases"):
        call.authorize("instance:extension:database:create")
    if wanted.get("users"):
        call.authorize("instance:extension:user:create")
    return {"instance": accept_create.create_instance(call)}
