"""Let a replica follow its source no more: it becomes an instance of its own."""

from __future__ import annotations

from trove_ng.operations import payloads, replication, servers
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work
from trove_ng.rpc import messages


def _detach(work: Work) -> None:
    """Detach, and write it down at once: there is no way back."""
    work.tools.guests(work.resource_id, work.context).detach_replica(
        messages.StepRequest(operation_id=work.id, step="detach"))
    servers.note(work, slave_of_id=None)


def _close_account(work: Work) -> None:
    replication.leave(work, work.payload(payloads.DetachReplica).source_id)


RUNBOOK = Runbook(payloads.INSTANCE_DETACH_REPLICA, (
    Step("detach", _detach, final=True),
    Step("account", _close_account),
), ending.succeed, ending.fail_unchanged)
