"""What the replication of all engines has in common."""

from __future__ import annotations

from trove_ng.common.errors import BadRequest
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.rpc import replication_messages as rm


def account_names(request: rm.ReplicaAccounts) -> set[str]:
    """Return the names of all accounts that a source is to have for replicas.

    :raises BadRequest: others would be touched
    """
    names = {*request.keep, *([request.add.name] if request.add is not None else [])}
    if any(not one.startswith(REPLICA_USERS) for one in names):
        raise BadRequest(f"The account of a replica is named {REPLICA_USERS}...")
    return names
