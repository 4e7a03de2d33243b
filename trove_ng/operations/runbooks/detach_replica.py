"""Let a replica follow its source no more: it becomes an instance of its own."""

from __future__ import annotations

from trove_ng.db.repositories import instances
from trove_ng.operations import payloads, replication, root, servers
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work
from trove_ng.rpc import replication_messages as rm


def _source(work: Work) -> str:
    return work.payload(payloads.DetachReplica).source_id


def _shut_out(work: Work) -> None:
    """Close the way to the source first: after the detach there is no way back."""
    replication.shut_out(work, _source(work))


def _let_back(work: Work) -> None:
    replication.let_back(work, _source(work))


def _detach(work: Work) -> None:
    """Detach, and write it down at once: there is no way back."""
    work.tools.guests(work.resource_id, work.context).detach_replica(
        rm.DetachRequest(operation_id=work.id, step="detach"))
    with work.writer() as session:
        instances.follow(session, servers.row(work, session), None, work.tools.clock.now())


def _drop_account(work: Work) -> None:
    replication.drop_account(work, _source(work))


RUNBOOK = Runbook(payloads.INSTANCE_DETACH_REPLICA, (
    Step("rules", _shut_out, _let_back),
    Step("detach", _detach, final=True),
    Step("root", root.try_to_look),
    Step("account", _drop_account),
), ending.succeed, ending.fail_unchanged)
