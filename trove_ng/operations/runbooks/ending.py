"""How operations on an instance end."""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.db.models import Instance
from trove_ng.db.repositories import faults, instances, operations, quotas
from trove_ng.operations import payloads
from trove_ng.operations.work import Work


def idle(work: Work, session: Session) -> Instance | None:
    """Return the instance, on which nothing works any more; None if it is gone."""
    found = instances.get(session, work.resource_id)
    if found is not None:
        found.task = "NONE"
        found.operation_id = None
    return found


def succeed(work: Work, session: Session) -> None:
    """End well: the instance works, faults of before are history."""
    found = idle(work, session)
    if found is not None:
        found.error = ""
    faults.clear(session, work.resource_id, work.tools.clock.now())
    quotas.commit(session, work.id)


def succeed_restarted(work: Work, session: Session) -> None:
    """End well, and the database was started again: all its settings are in force."""
    found = idle(work, session)
    if found is not None:
        found.restart_required = False
    succeed(work, session)


def note_fault(work: Work, session: Session, why: str, instance_id: str | None = None) -> None:
    """Add why the operation failed to an instance's faults.

    :param instance_id: by default the operation is on it
    """
    details = f"operation {work.id} ({work.action}), request {work.context.request_id}"
    trace = operations.trace(session, work.id)
    faults.add(session, instance_id or work.resource_id, why,
               details if trace is None else f"{details}\n{trace}", work.tools.clock.now())


def fail_unchanged(work: Work, session: Session, why: str) -> None:
    """End badly, with the instance as it was: what was reserved is given back.

    The status is what server and database say; the fault tells why nothing changed.  When
    something could not be undone the instance is in error.
    """
    found = idle(work, session)
    if found is not None and operations.was_left(session, work.id):
        found.error = "UNDO"
    quotas.rollback(session, work.id)
    note_fault(work, session, why)


def succeed_set(work: Work, session: Session) -> None:
    """End well what was done with a set of replicas."""
    release_set(work, session)
    succeed(work, session)


def end_set(work: Work, session: Session) -> None:
    """End well what was done with a set whose own source stays as it was, lost."""
    release_set(work, session)
    quotas.commit(session, work.id)


def fail_set(work: Work, session: Session, why: str) -> None:
    """End badly what was done with a set.

    The fault is that of the operation's instance; what could not be undone is in error, and
    says itself why.
    """
    for one in release_set(work, session):
        if one.unopened:
            why = f"{why} Nobody can write to instance {one.id}: restart it."
            if one.id != work.resource_id:
                note_fault(work, session, why, one.id)
    found = idle(work, session)
    for step in operations.left(session, work.id):
        blamed = found
        if step.blamed_id is not None and step.blamed_id != work.resource_id:
            blamed = instances.get(session, step.blamed_id)
            note_fault(work, session, step.error or why, step.blamed_id)
        if blamed is not None:
            blamed.error = "UNDO"
    quotas.rollback(session, work.id)
    note_fault(work, session, why)


def release_set(work: Work, session: Session) -> list[Instance]:
    """Return the members that are there, on which nothing works any more."""
    # locked in the order in which all lock them
    found = [idle(work.on(one), session)
             for one in sorted(work.payload(payloads.OfSet).members)]
    return [one for one in found if one is not None]


def fail_for_good(code: str, work: Work, session: Session, why: str) -> None:
    """End badly, with an instance that can only be deleted or repaired.

    :param code: short name of what failed, kept in ``instances.error``
    """
    found = idle(work, session)
    if found is not None:
        found.error = code
    quotas.commit(session, work.id)
    note_fault(work, session, why)
