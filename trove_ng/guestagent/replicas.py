"""What the replication of all engines has in common."""

from __future__ import annotations

from typing import Protocol

from trove_ng.common.errors import BadRequest
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.guestagent.server import PROBE_SECONDS
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm


def account_names(request: rm.ReplicaAccounts) -> set[str]:
    """Return the names of all accounts that a source is to have for replicas.

    :raises BadRequest: others would be touched
    """
    names = {*request.keep, *([request.add.name] if request.add is not None else [])}
    if any(not one.startswith(REPLICA_USERS) for one in names):
        raise BadRequest(f"The account of a replica is named {REPLICA_USERS}...")
    return names


class Replication(Protocol):
    """How an engine follows, and is followed."""

    def set_accounts(self, request: rm.ReplicaAccounts) -> None:
        """Have exactly these accounts for replicas."""

    def detach(self) -> None:
        """Follow nobody any more, with all that was received, and let clients write."""

    def trouble(self, seconds: int) -> str:
        """Return why a replica does not follow; empty if it does, or is none."""


class ReplicaCalls:
    """The calls of a server manager that its engine's replication answers."""

    replication: Replication

    def set_replica_accounts(self, request: rm.ReplicaAccounts) -> m.Empty:
        """Have exactly these accounts for replicas."""
        self.replication.set_accounts(request)
        return m.Empty()

    def detach_replica(self, request: rm.DetachRequest) -> m.Empty:
        """Follow nobody any more, and let clients write."""
        self.replication.detach()
        return m.Empty()

    def replication_trouble(self) -> str:
        """Return why a replica does not follow its source."""
        return self.replication.trouble(PROBE_SECONDS)
