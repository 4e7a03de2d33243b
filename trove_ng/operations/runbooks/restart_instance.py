"""Restart the database of an instance."""

from __future__ import annotations

from trove_ng.db.repositories import instances
from trove_ng.operations import guest, payloads, roles, servers
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work
from trove_ng.rpc import messages


def _restart(work: Work) -> None:
    work.tools.guests(work.resource_id, work.context).restart(
        messages.StepRequest(operation_id=work.id, step="restart"))


def _wait(work: Work) -> None:
    guest.wait_for_database(work, work.resource_id)


def _open(work: Work) -> None:
    """Have a source be written to, also when a change of its set left it as it was before."""
    with work.reader() as session:
        is_source = instances.has_replicas(session, work.resource_id)
    instance = servers.load(work)
    version, _ = servers.load_version(work, instance)
    engine = work.tools.datastores[version.manager]
    if (is_source or instance.unopened) and engine.capabilities.promotion:
        roles.open_source(work, work.resource_id, "open")


RUNBOOK = Runbook(payloads.INSTANCE_RESTART, (
    Step("restart", _restart), Step("database", _wait), Step("open", _open),
), ending.succeed_restarted, ending.fail_unchanged)
