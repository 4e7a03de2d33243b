"""Asking the agent of an instance, and waiting for what it reports."""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
from sqlalchemy.orm import Session

from trove_ng.common.errors import ServiceUnavailable, TroveError
from trove_ng.common.states import ReportState, ServiceStatus
from trove_ng.db.models import Instance, OperationReport, ServiceStatusRow
from trove_ng.db.repositories import (
    backups,
    instances,
    operation_reports,
    operations,
    service_statuses,
)
from trove_ng.db.trouble import StoreAway
from trove_ng.operations import per_instance
from trove_ng.operations.lost import require_server
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.lines import BusAway

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_FAILED = frozenset({ServiceStatus.FAILED})
_STOPPED = frozenset({ServiceStatus.SHUTDOWN})


class AgentFailed(StepFailed):
    """An agent did not succeed.

    :param damage: of a backup, if that is to blame
    :param full_needed: it cannot make a backup that continues another one
    """

    def __init__(self, message: str, *, damage: messages.Damage | None,
                 full_needed: bool) -> None:
        super().__init__(message)
        self.damage = damage
        self.full_needed = full_needed


def wait_for_agent(work: Work, instance_id: str,
                   since: datetime.datetime | None = None) -> ServiceStatusRow:
    """Return the first heartbeat of an agent.

    :param since: only a later one counts
    :raises StepFailed: it is not heard in time
    """
    def heard() -> ServiceStatusRow | None:
        with work.reader() as session:
            row = service_statuses.get(session, instance_id)
        if row is None or row.updated_at is None or not row.sequence:
            return None
        return row if since is None or row.updated_at > since else None

    return _wait(work, instance_id, "the agent of the instance", heard)


def wait_for_new_agent(work: Work, instance_id: str) -> None:
    """Wait for the first heartbeat from a new root disk: its agent knows nothing yet.

    :raises StepFailed: it is not heard in time
    """
    _wait_for(work, instance_id, "the agent of the instance", frozenset({ServiceStatus.NEW}))


def wait_for_end(work: Work, instance_id: str) -> None:
    """Wait until an agent says that its database is stopped.

    :raises StepFailed: it says that it failed, or it takes too long
    """
    _wait_for(work, instance_id, "the database to stop", _STOPPED)


def wait_for_database(work: Work, instance_id: str, *, or_stopped: bool = False,
                      when_new: Callable[[Work], None] | None = None) -> None:
    """Wait until an agent says that its database serves.

    :param or_stopped: one that was stopped on purpose before may stay so
    :param when_new: what to do while the agent says that it knows nothing
    :raises StepFailed: it says that it failed, or it takes too long
    """
    _wait_for(work, instance_id, "the database",
              service_statuses.SERVING | (_STOPPED if or_stopped else frozenset()), when_new)


def _wait_for(work: Work, instance_id: str, what: str, wanted: frozenset[ServiceStatus],
              when_new: Callable[[Work], None] | None = None) -> None:
    def reached() -> bool | None:
        with work.reader() as session:
            row = service_statuses.get(session, instance_id)
        status = row.status if row is not None else ""
        if status in _FAILED:
            raise StepFailed("The database failed to start.")
        if status == ServiceStatus.NEW and when_new is not None:
            when_new(work)
        return True if status in wanted else None

    _wait(work, instance_id, what, reached)


def _wait(work: Work, instance_id: str, what: str, probe: Callable[[], T | None]) -> T:
    """Return what a probe finds of what an agent reports, while it has a server.

    :raises ServerLost: it has none any more
    :raises StepFailed: it takes too long
    """
    clock, silence = work.tools.clock, work.tools.conf.prepare_retry
    looked = clock.monotonic()

    def probe_server() -> T | None:
        nonlocal looked
        found = probe()
        if found is None and clock.monotonic() - looked > silence:
            require_server(work.tools, instance_id)
            looked = clock.monotonic()
        return found

    return work.wait(what, probe_server, work.tools.conf.agent_start_timeout, in_store=True)


def run_long(work: Work, instance_id: str, step: str, send: Callable[[], None],
             on_progress: Callable[[int], None] | None = None,
             check: Callable[[], None] | None = None) -> dict[str, Any]:
    """Ask an agent for long work and return the result that it reports.

    It is asked again when it says nothing for a while: the word may be lost.  The agent
    knows the step and does not do it twice.

    :param send: sends the request
    :param on_progress: is told percents as they are reported
    :param check: raises when the work is not wanted any more
    :raises AgentFailed: with what the agent says
    :raises ServerLost: it says nothing, and has no server any more
    """
    clock, silence = work.tools.clock, work.tools.conf.prepare_retry
    last_word, last_seen = clock.monotonic(), (-1, -1)
    report = _report(work, instance_id, step)
    asked = report is not None and report.state != ReportState.RUNNING or _send(work, send)

    def ended() -> OperationReport | None:
        nonlocal last_word, last_seen, asked
        if check is not None:
            check()
        report = _report(work, instance_id, step)
        seen = (report.sequence, report.percent) if report is not None else (-1, -1)
        if seen != last_seen:
            last_seen, last_word = seen, clock.monotonic()
            if on_progress and report is not None:
                on_progress(report.percent)
        elif not asked or clock.monotonic() - last_word > silence:
            require_server(work.tools, instance_id)
            asked = _send(work, send)
            last_word = clock.monotonic()
        if report is None or report.state == ReportState.RUNNING:
            return None
        return report

    report = work.wait(f"the agent to {step.replace('_', ' ')}", ended, in_store=True)
    if report.state != ReportState.SUCCEEDED:
        raise AgentFailed(report.error or f"The agent failed to {step.replace('_', ' ')}.",
                          damage=_damage(report.result),
                          full_needed=bool(report.result.get(messages.FULL_NEEDED)))
    return dict(report.result)


def _damage(result: dict[str, Any]) -> messages.Damage | None:
    if messages.DAMAGED not in result:
        return None
    with contextlib.suppress(msgspec.ValidationError):
        return msgspec.convert(result[messages.DAMAGED], messages.Damage)
    return messages.Damage()


def stop_step(work: Work, instance_id: str, step: str) -> None:
    """Make an agent leave long work; one that does not answer is left alone."""
    with work.reader() as session:
        if instances.get(session, instance_id) is None:
            return
    client = work.tools.guests(instance_id, work.context)
    try:
        left = client.cancel_step(messages.StepRequest(operation_id=work.id, step=step))
        why = "it works on it still"
    except StoreAway:
        raise
    except TroveError as err:
        left, why = False, err.message
    if not left:
        LOG.warning("operation %s: the agent of instance %s did not leave step %s: %s",
                    work.id, instance_id, step, why)


def take_over(work: Work) -> None:
    """Have agents do nothing more that an earlier worker sends for the same operation.

    It may have been stopped just before it sent something that is then not asked for again,
    because the operation is cancelled or fails.  Agents that cannot be told now hear it with
    the next request.

    :raises StoreAway: the store is away
    """
    supersede(lambda one: work.tools.guests(one, work.context), work.id, _concerned(work))


def supersede(guests: Callable[[str], GuestClient], operation_id: str,
              instance_ids: Iterable[str], fence: int = 0) -> None:
    """Have agents do nothing more that a worker sends that has an operation no more.

    :param guests: returns the client of an instance's agent
    :param fence: see :meth:`trove_ng.rpc.guest.GuestClient.supersede`
    :raises StoreAway: the store is away
    """
    for instance_id in instance_ids:
        try:
            guests(instance_id).supersede(operation_id, fence)
        except StoreAway:
            raise
        except BusAway as err:
            LOG.warning("operation %s: no agent hears that its worker has it no more: %s",
                        operation_id, err.message)
            return
        except Exception as err:  # noqa: BLE001  whatever it is, the operation has to end
            LOG.warning("operation %s: instance %s does not hear that its worker has it no "
                        "more: %s", operation_id, instance_id, type(err).__name__)


def _concerned(work: Work) -> list[str]:
    """Return the instances whose agents the operation may ask for something."""
    with work.reader() as session:
        backup = backups.get(session, work.resource_id)
        first = instances.get(
            session, work.resource_id if backup is None else str(backup.instance_id))
        if first is None:
            return [ident for ident, one in per_instance.steps(session, work.id).items()
                    if one.state == operations.RUNNING]
        return reached(session, first, work.members)


def reached(session: Session, instance: Instance, members: Iterable[str]) -> list[str]:
    """Return the instances whose agents work on one of them may ask for something.

    :param members: the others that the work names
    """
    source = str(instance.slave_of_id or instance.id)
    return sorted({instance.id, source, *members, *(
        one.id for one in instances.replicas(session, source))})


def _send(work: Work, send: Callable[[], None]) -> bool:
    """Send; False while the bus is away: then it is sent again soon."""
    try:
        send()
    except StoreAway:
        raise
    except ServiceUnavailable as err:
        LOG.info("operation %s: the agent is asked later: %s", work.id, err.message)
        return False
    return True


def _report(work: Work, instance_id: str, step: str) -> OperationReport | None:
    with work.reader() as session:
        return operation_reports.latest(session, work.id, step, instance_id)
