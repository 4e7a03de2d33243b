"""Stop the database of an instance, until it is restarted."""

from __future__ import annotations

from trove_ng.operations import database, guest, payloads
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work


def _wait(work: Work) -> None:
    guest.wait_for_end(work, work.resource_id)


RUNBOOK = Runbook(payloads.INSTANCE_STOP, (
    Step("stop", database.stop), Step("database", _wait),
), ending.succeed, ending.fail_unchanged)
