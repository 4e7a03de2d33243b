"""Attach a configuration group to an instance, detach it, or apply its changes."""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.operations import overrides, payloads, servers
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work


def _apply(work: Work) -> None:
    overrides.apply(
        work, "overrides", work.payload(payloads.ConfigureInstance).configuration_id)


def _undo(work: Work) -> None:
    """Put back what is attached: an answer may have been lost.

    A group that is attached already is given again because it changed.  What it was before
    is not known here; the agent keeps it when the database refuses the new settings.
    """
    attached = servers.load(work).configuration_id
    if attached != work.payload(payloads.ConfigureInstance).configuration_id:
        overrides.apply(work, "undo_overrides", attached)


def _succeed(work: Work, session: Session) -> None:
    found = ending.idle(work, session)
    if found is not None:
        found.configuration_id = work.payload(payloads.ConfigureInstance).configuration_id
    ending.succeed(work, session)


RUNBOOK = Runbook(payloads.INSTANCE_CONFIGURE, (
    Step("overrides", _apply, _undo),
), _succeed, ending.fail_unchanged)
