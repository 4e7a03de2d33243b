"""Operations: accept, claim, renew, end; every write of a worker is fenced."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from oslo_db.exception import DBDuplicateEntry
from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    true,
    union,
    update,
)
from sqlalchemy.orm import Session

from trove_ng.common.errors import Conflict
from trove_ng.common.states import EventKind
from trove_ng.db.models import Backup, Instance, Operation, OperationMember, OperationStep
from trove_ng.db.repositories import events, notifications, operation_records
from trove_ng.db.rows import Reader, by_id

PENDING = "PENDING"
RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
#: states of a step that was undone, and that could not be
UNDONE, LEFT = "UNDONE", "LEFT"

#: how an operation ended → what is told
_ENDS = {SUCCEEDED: EventKind.OPERATION_SUCCEEDED, FAILED: EventKind.OPERATION_FAILED,
         CANCELLED: EventKind.OPERATION_CANCELLED}

#: takeovers of an operation that are told on a timeline
_TOLD_ATTEMPTS = 10


def add(session: Session, operation: Operation) -> Operation:
    """Add an operation.

    :raises Conflict: its resource has a live one; who goes on then has a savepoint
    """
    # what else is pending has conflicts of its own
    session.flush()
    session.add(operation)
    try:
        session.flush()
    except DBDuplicateEntry:
        raise Conflict(f"Another operation is running on {operation.resource_type} "
                       f"{operation.resource_id}.") from None
    session.add_all(OperationMember(resource_id=one, operation_id=operation.id)
                    for one in operation.others)
    return operation


def get(session: Session, operation_id: str, tenant_id: str | None = None, *,
        lock: bool = False) -> Operation | None:
    """Return an operation.

    :param tenant_id: owner to look among; None looks among all
    :param lock: keep others from changing it until the transaction ends
    """
    return by_id(session, Operation, operation_id, tenant_id, lock=lock)


def page(session: Session, *, tenant_id: str | None, limit: int, marker: str | None = None,
         resource_id: str | None = None, status: str | None = None,
         action: str | None = None) -> Sequence[Operation]:
    """Return up to ``limit`` + 1 operations, the newest first, after ``marker``.

    :param tenant_id: owner to look among; None looks among all
    :param marker: id of the operation before the page; an unknown one, or
        another owner's, gives nothing
    :param resource_id: only operations on it, or on a set that it belonged to
    """
    statement = select(Operation)
    for column, wanted in ((Operation.tenant_id, tenant_id), (Operation.status, status),
                           (Operation.action, action)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if resource_id is not None:
        # joined, not "or": each half has an index
        its = union(select(Operation.id).where(Operation.resource_id == resource_id),
                    select(OperationMember.operation_id).where(
                        OperationMember.resource_id == resource_id)).subquery()
        statement = statement.join(its, its.c.id == Operation.id)
    if marker is not None:
        place = select(Operation.created).where(Operation.id == marker)
        if tenant_id is not None:
            place = place.where(Operation.tenant_id == tenant_id)
        before = place.scalar_subquery()
        statement = statement.where(or_(
            Operation.created < before,
            and_(Operation.created == before, Operation.id > marker)))
    return session.scalars(statement.order_by(
        Operation.created.desc(), Operation.id).limit(limit + 1)).all()


def region_of(session: Session, operation: Operation) -> str | None:
    """Return the region that an operation's resource is in; None: it does not say."""
    wanted = operation.resource_id
    if operation.resource_type == "instance":
        return session.scalar(select(Instance.region_id).where(Instance.id == wanted))
    if operation.resource_type == "backup":
        return session.scalar(select(Backup.region_id).where(Backup.id == wanted))
    return None


def live(session: Session, resource_id: str) -> Operation | None:
    """Return the operation that has not ended on a resource."""
    return session.scalars(
        select(Operation).where(Operation.live_key == resource_id)).one_or_none()


def cancel_live(session: Session, resource_id: str, now: datetime.datetime) -> str | None:
    """End the live operation of a resource in favour of another; return its id.

    Its worker finds its fencing token outdated at the next write, and stops.
    """
    found = session.scalars(select(Operation).where(
        Operation.live_key == resource_id).with_for_update().execution_options(
            populate_existing=True)).one_or_none()
    if found is None:
        return None
    found.status, found.live_key, found.secrets = CANCELLED, None, None
    found.fence += 1
    found.owner = found.lease_expires_at = None
    found.ended_at = now
    events.add_for_operation(session, EventKind.OPERATION_CANCELLED, found, now)
    notifications.end_operation(session, found, notifications.SUPERSEDED, now)
    session.flush()
    operation_records.erase(session, found.id)
    return found.id


@dataclasses.dataclass(frozen=True)
class Skills:
    """What a process knows to do.  The rest is for those of another release.

    :param actions: which operations it does
    :param patience: seconds after its deadline when it ends also one that it does not know
    """

    actions: Collection[str]
    patience: float


def claimable(session: Session, now: datetime.datetime, limit: int,
              skills: Skills | None = None) -> Sequence[str]:
    """Return ids of operations that nobody works on, those that wait longest first.

    One that looked whether others have ended is behind those that are free since then:
    they may be the ones.

    :param skills: of who asks; None: it takes all
    """
    since = func.coalesce(Operation.not_before, Operation.created)
    return session.scalars(select(Operation.id).where(
        _free(now, skills)).order_by(since, Operation.id).limit(limit)).all()


def _free(now: datetime.datetime, skills: Skills | None) -> ColumnElement[bool]:
    known = true() if skills is None else or_(
        Operation.action.in_(sorted(skills.actions)),
        Operation.deadline_at < now - datetime.timedelta(seconds=skills.patience))
    return and_(
        known,
        Operation.status.in_((PENDING, RUNNING)),
        or_(Operation.lease_expires_at.is_(None), Operation.lease_expires_at < now),
        or_(Operation.not_before.is_(None), Operation.not_before <= now))


def claim(session: Session, operation_id: str, owner: str, now: datetime.datetime,
          lease: float, skills: Skills | None = None) -> int | None:
    """Take an operation that nobody works on.

    One that was given back until later goes on: that is no new attempt, and keeps its
    ``not_before``.

    :param lease: seconds until others may take it
    :param skills: of who takes it; None: it takes all
    :return: the fencing token that all further writes must name, None if it is taken
    """
    waited = and_(Operation.owner.is_(None), Operation.not_before.is_not(None))
    changed = session.connection().execute(update(Operation).where(
        Operation.id == operation_id, _free(now, skills)).ordered_values(
            # MySQL computes these in their order, from what the ones before them wrote
            (Operation.attempts, Operation.attempts + case((waited, 0), else_=1)),
            (Operation.not_before, case((waited, Operation.not_before), else_=None)),
            (Operation.status, RUNNING), (Operation.owner, owner),
            (Operation.fence, Operation.fence + 1),
            (Operation.lease_expires_at, now + datetime.timedelta(seconds=lease))))
    if not changed.rowcount:
        return None
    row = session.scalars(select(Operation).where(Operation.id == operation_id).execution_options(
        populate_existing=True)).one()
    if row.started_at is None:
        row.started_at = now
        events.add_for_operation(session, EventKind.OPERATION_STARTED, row, now)
    elif row.not_before is None and row.attempts <= _TOLD_ATTEMPTS:
        events.add_for_operation(session, EventKind.OPERATION_RESUMED, row, now,
                                 details={"attempt": row.attempts})
    return row.fence


def hold(session: Session, operation_id: str, fence: int) -> bool:
    """Lock an operation for this transaction; False if somebody else has it now."""
    found = session.scalar(select(Operation.fence).where(
        Operation.id == operation_id, Operation.status == RUNNING).with_for_update())
    return found == fence


def is_held(session: Session, operation_id: str, fence: int) -> bool:
    """Return whether somebody still has an operation, without locking it."""
    found = session.scalar(select(Operation.fence).where(
        Operation.id == operation_id, Operation.status == RUNNING))
    return found == fence


def renew(session: Session, owner: str, held: Iterable[tuple[str, int]],
          now: datetime.datetime, lease: float) -> set[str]:
    """Prolong leases; return the ids of those that are still held."""
    until = now + datetime.timedelta(seconds=lease)
    kept = set()
    for operation_id, fence in sorted(held):
        changed = session.connection().execute(update(Operation).where(
            Operation.id == operation_id, Operation.fence == fence, Operation.owner == owner,
            Operation.status == RUNNING).values(lease_expires_at=until))
        if changed.rowcount:
            kept.add(operation_id)
    return kept


def cancel_requested(session: Session, operation_ids: Iterable[str]) -> set[str]:
    """Return those of the operations that are asked to be cancelled."""
    wanted = list(operation_ids)
    if not wanted:
        return set()
    return set(session.scalars(select(Operation.id).where(
        Operation.id.in_(wanted), Operation.cancel_requested.is_(True))))


def cancel_backups(session: Session, instance_ids: Collection[str],
                   actions: Collection[str], why: str) -> None:
    """Ask to cancel what backs instances up; what is as good as done ends as it would.

    :param why: what the backups say then
    """
    session.execute(update(Operation).where(
        Operation.action.in_(actions), Operation.live_key.in_(select(Backup.id).where(
            Backup.instance_id.in_(instance_ids), Backup.deleted.is_(False)))).values(
                cancel_requested=True, cancel_reason=why,
                ).execution_options(synchronize_session=False))


def give_back(session: Session, operation_id: str, fence: int,
              not_before: datetime.datetime | None = None) -> None:
    """Let others take an operation at once, or from a time on."""
    session.connection().execute(update(Operation).where(
        Operation.id == operation_id, Operation.fence == fence,
        Operation.status == RUNNING).values(
            owner=None, lease_expires_at=None, not_before=not_before))


def end(session: Session, operation_id: str, status: str, error: str | None,
        now: datetime.datetime) -> None:
    """End a held operation, erase its secrets, tell it."""
    values: dict[str, object] = {
        "status": status, "error": error, "live_key": None, "secrets": None, "owner": None,
        "lease_expires_at": None, "ended_at": now}
    if status == SUCCEEDED:
        values["percent"] = 100
    session.connection().execute(
        update(Operation).where(Operation.id == operation_id).values(values))
    row = session.get(Operation, operation_id)
    if row is not None:
        events.add_for_operation(session, _ENDS[status], row, now, error or "")
        notifications.end_operation(
            session, row, None if status == SUCCEEDED else error or "", now)


def note(session: Session, operation_id: str, *, step: str | None = None,
         percent: int | None = None, deadline_at: datetime.datetime | None = None) -> None:
    """Write how far a held operation is."""
    values = {name: value for name, value in (
        ("step", step), ("percent", percent), ("deadline_at", deadline_at))
        if value is not None}
    if values:
        session.connection().execute(
            update(Operation).where(Operation.id == operation_id).values(values))


def begin_step(session: Session, operation_id: str, step: str, percent: int,
               now: datetime.datetime, *, again: bool = True) -> None:
    """Write that a step of a held operation runs (again).

    :param again: one that is written as running was left by its worker; else it goes on
    """
    row = session.get(OperationStep, (operation_id, step))
    if row is not None and row.state == RUNNING and not again:
        return
    note(session, operation_id, step=step, percent=percent)
    if row is None:
        session.add(OperationStep(
            operation_id=operation_id, step=step, state=RUNNING, started_at=now))
    else:
        row.state, row.attempts, row.ended_at = RUNNING, row.attempts + 1, None


def end_step(session: Session, operation_id: str, step: str, error: str | None,
             now: datetime.datetime) -> None:
    """Write how a step of a held operation ended.

    :param error: why it failed, None when it did not
    """
    row = session.get(OperationStep, (operation_id, step))
    if row is not None:
        row.state = SUCCEEDED if error is None else FAILED
        row.ended_at, row.error = now, error


def has_ended_step(session: Session, operation_id: str, step: str) -> bool:
    """Return whether a step of an operation was done."""
    return bool(session.scalar(select(exists().where(
        OperationStep.operation_id == operation_id, OperationStep.step == step,
        OperationStep.state == SUCCEEDED))))


def step_began(session: Session, operation_id: str, step: str) -> datetime.datetime | None:
    """Return when a step of an operation began for the first time; None if it did not."""
    row = session.get(OperationStep, (operation_id, step))
    return row.started_at if row is not None else None


def found(session: Session, operation_id: str, step: str) -> dict[str, Any]:
    """Return what a step of an operation found before it changed anything."""
    row = session.get(OperationStep, (operation_id, step))
    return dict(row.found) if row is not None else {}


def all_found(session: Session, tenant_id: str, action: str, step: str,
              ) -> list[dict[str, Any]]:
    """Return what a step found in all operations of a kind of a tenant that are known still."""
    return [dict(one) for one in session.scalars(select(OperationStep.found).join(
        Operation, Operation.id == OperationStep.operation_id).where(
            Operation.tenant_id == tenant_id, Operation.action == action,
            OperationStep.step == step))]


def note_found(session: Session, operation_id: str, step: str, name: str, value: Any) -> Any:
    """Write what a step of a held operation finds, once; return what was written first."""
    row = session.get(OperationStep, (operation_id, step))
    if row is None:
        return value
    if name not in row.found:
        row.found = {**row.found, name: value}
    return row.found[name]


def note_undone(session: Session, operation_id: str, step: str,
                now: datetime.datetime) -> None:
    """Write that a step of a held operation was undone; one that failed stays so."""
    row = session.get(OperationStep, (operation_id, step))
    if row is not None and row.state == SUCCEEDED:
        row.state, row.ended_at = UNDONE, now


def note_left(session: Session, operation_id: str, step: str, error: str,
              now: datetime.datetime, blamed_id: str | None = None) -> None:
    """Write that a step of a held operation could not be undone, and why.

    :param blamed_id: whose fault it is, if it is not that of the operation's resource
    """
    row = session.get(OperationStep, (operation_id, step))
    if row is None:
        row = OperationStep(operation_id=operation_id, step=step, started_at=now)
        session.add(row)
    row.state, row.ended_at, row.error, row.blamed_id = LEFT, now, error, blamed_id


def was_left(session: Session, operation_id: str) -> bool:
    """Return whether a step of an operation could not be undone."""
    return bool(session.scalar(select(exists().where(
        OperationStep.operation_id == operation_id, OperationStep.state == LEFT))))


def left(session: Session, operation_id: str) -> list[OperationStep]:
    """Return the steps of an operation that could not be undone, as they began."""
    return list(session.scalars(select(OperationStep).where(
        OperationStep.operation_id == operation_id, OperationStep.state == LEFT).order_by(
            OperationStep.started_at, OperationStep.step)))


def note_error(session: Session, operation_id: str, error: str,
               trace: str | None = None) -> None:
    """Write why a held operation will fail; the first reason stays.

    :param trace: where in the code, for operators; no secret
    """
    session.connection().execute(update(Operation).where(
        Operation.id == operation_id, Operation.error.is_(None)).values(error=error, trace=trace))


def trace(session: Session, operation_id: str) -> str | None:
    """Return where in the code an operation failed, None if the error was expected."""
    return session.scalar(select(Operation.trace).where(Operation.id == operation_id))


def live_payloads(session: Session, tenant_id: str, action: str) -> list[dict[str, object]]:
    """Return the payloads of a project's operations of one kind that have not ended."""
    return list(session.scalars(select(Operation.payload).where(
        Operation.tenant_id == tenant_id, Operation.action == action,
        Operation.live_key.is_not(None))))


def count_live(reader: Reader, action: str) -> int:
    """Return how many operations of one kind have not ended."""
    return int(reader.scalar(select(func.count()).where(
        Operation.action == action, Operation.live_key.is_not(None))) or 0)


def live_resources(session: Session, tenant_id: str, action: str) -> dict[str, dict[str, object]]:
    """Return resource id → payload of a project's operations of one kind that go on.

    Those that failed, and are taken back, do not.
    """
    return {row.resource_id: row.payload for row in session.execute(select(
        Operation.resource_id, Operation.payload).where(
            Operation.tenant_id == tenant_id, Operation.action == action,
            Operation.live_key.is_not(None), Operation.error.is_(None),
            ).order_by(Operation.resource_id))}


def latest(session: Session, limit: int, *, live: bool) -> Sequence[Operation]:
    """Return the newest operations.

    :param live: only those that have not ended
    """
    statement = select(Operation)
    if live:
        statement = statement.where(Operation.live_key.is_not(None))
    return session.scalars(statement.order_by(
        Operation.created.desc(), Operation.id).limit(limit)).all()


def newest(session: Session, resource_id: str, action: str,
           since: datetime.datetime) -> Operation | None:
    """Return the newest operation of a kind on a resource that was asked for since then."""
    return session.scalars(select(Operation).where(
        Operation.resource_id == resource_id, Operation.action == action,
        Operation.created >= since).order_by(
            Operation.created.desc()).limit(1)).one_or_none()


def steps(session: Session, operation_id: str) -> Sequence[OperationStep]:
    """Return the steps of an operation that began, in their order."""
    return session.scalars(select(OperationStep).where(
        OperationStep.operation_id == operation_id).order_by(OperationStep.started_at)).all()


def purge(session: Session, before: datetime.datetime, batch: int) -> int:
    """Remove the oldest of the operations that ended before a time; return how many.

    :param batch: how many at most, so that no lock is held for long
    """
    found = session.scalars(select(Operation.id).where(
        Operation.ended_at < before, Operation.live_key.is_(None)).order_by(
            Operation.ended_at).limit(batch)).all()
    if found:
        session.execute(delete(Operation).where(Operation.id.in_(found)))
    return len(found)
