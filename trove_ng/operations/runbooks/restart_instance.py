"""Restart the database of an instance."""

from __future__ import annotations

from trove_ng.operations import guest, payloads
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work
from trove_ng.rpc import messages


def _restart(work: Work) -> None:
    work.tools.guests(work.resource_id, work.context).restart(
        messages.StepRequest(operation_id=work.id, step="restart"))


def _wait(work: Work) -> None:
    guest.wait_for_database(work, work.resource_id)


RUNBOOK = Runbook(payloads.INSTANCE_RESTART, (
    Step("restart", _restart), Step("database", _wait),
), ending.succeed_restarted, ending.fail_unchanged)
