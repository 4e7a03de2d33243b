"""Schedules of backups, and their executions."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from trove_ng.common.states import BackupState, ExecutionState, VerificationState
from trove_ng.db.models import Backup, Schedule, ScheduleExecution
from trove_ng.db.rows import AnyRow, by_id

_OUTPUT = 512


def get(session: Session, schedule_id: str, tenant_id: str | None = None, *,
        lock: bool = False) -> Schedule | None:
    """Return a schedule that is not deleted.

    :param tenant_id: owner to look among; None looks among all
    :param lock: hold the row's lock until the transaction ends
    """
    return by_id(session, Schedule, schedule_id, tenant_id, lock=lock)


def page(session: Session, *, tenant_id: str | None, limit: int, marker: str | None = None,
         instance_id: str | None = None) -> Sequence[Schedule]:
    """Return up to ``limit`` + 1 schedules by id, after ``marker``."""
    statement = select(Schedule).where(Schedule.deleted.is_(False))
    if tenant_id is not None:
        statement = statement.where(Schedule.tenant_id == tenant_id)
    if instance_id is not None:
        statement = statement.where(Schedule.instance_id == instance_id)
    if marker is not None:
        statement = statement.where(Schedule.id > marker)
    return session.scalars(statement.order_by(Schedule.id).limit(limit + 1)).all()


def count(session: Session, instance_id: str) -> int:
    """Return how many schedules an instance has."""
    return int(session.scalar(select(func.count()).where(
        Schedule.instance_id == instance_id, Schedule.deleted.is_(False))) or 0)


def add(session: Session, schedule: Schedule) -> Schedule:
    """Add a schedule."""
    session.add(schedule)
    session.flush()
    return schedule


def drop(session: Session, schedule: Schedule, now: datetime.datetime) -> None:
    """Delete a schedule and what is known of its executions; its backups stay."""
    schedule.deleted, schedule.deleted_at, schedule.next_run_at = True, now, None
    session.execute(delete(ScheduleExecution).where(
        ScheduleExecution.schedule_id == schedule.id))


def move(session: Session, before_id: str, after_id: str, now: datetime.datetime) -> int:
    """Have the schedules of a source back up the one that takes its place.

    A backup of the one before is continued by none of the other.

    :return: how many
    """
    return int(session.connection().execute(update(Schedule).where(
        Schedule.instance_id == before_id, Schedule.deleted.is_(False)).values(
            instance_id=after_id, parent_id=None, updated=now)).rowcount)


def drop_of_instance(session: Session, instance_id: str, now: datetime.datetime) -> None:
    """Delete the schedules of an instance that is no more."""
    for one in session.scalars(select(Schedule).where(
            Schedule.instance_id == instance_id, Schedule.deleted.is_(False))):
        drop(session, one, now)


def due(session: Session, now: datetime.datetime, limit: int,
        after: tuple[datetime.datetime, str] | None = None) -> Sequence[AnyRow]:
    """Return next_run_at and id of schedules that are due, in this order.

    :param after: the last of the ones before
    """
    statement = select(Schedule.next_run_at, Schedule.id).where(
        Schedule.deleted.is_(False), Schedule.paused.is_(False), Schedule.next_run_at <= now)
    if after is not None:
        statement = statement.where(or_(
            Schedule.next_run_at > after[0],
            and_(Schedule.next_run_at == after[0], Schedule.id > after[1])))
    return session.execute(
        statement.order_by(Schedule.next_run_at, Schedule.id).limit(limit)).all()


def execution(session: Session, schedule_id: str, tick_at: datetime.datetime,
              ) -> ScheduleExecution | None:
    """Return the execution of a tick."""
    return session.scalars(select(ScheduleExecution).where(
        ScheduleExecution.schedule_id == schedule_id,
        ScheduleExecution.tick_at == tick_at)).one_or_none()


def add_execution(session: Session, schedule_id: str, tick_at: datetime.datetime,
                  state: ExecutionState, output: str | None = None,
                  backup_id: str | None = None) -> ScheduleExecution:
    """Add an execution; of a tick there is one."""
    made = ScheduleExecution(
        schedule_id=schedule_id, tick_at=tick_at, state=state, backup_id=backup_id,
        output=output[:_OUTPUT] if output else output)
    session.add(made)
    session.flush()
    return made


def give_up_waiting(session: Session, schedule_id: str, before: datetime.datetime) -> None:
    """Let executions that waited for their instance until the next tick have failed."""
    session.execute(update(ScheduleExecution).where(
        ScheduleExecution.schedule_id == schedule_id, ScheduleExecution.tick_at < before,
        ScheduleExecution.state == ExecutionState.WAITING,
    ).values(state=ExecutionState.ERROR).execution_options(synchronize_session="fetch"))


def note_end(session: Session, backup_id: str, state: ExecutionState, output: str) -> None:
    """Write how the backup of an execution ended, if it is one of a schedule."""
    session.execute(update(ScheduleExecution).where(
        ScheduleExecution.backup_id == backup_id,
        ScheduleExecution.state == ExecutionState.RUNNING,
    ).values(state=state, output=output[:_OUTPUT]).execution_options(
        synchronize_session=False))


def note_verification(session: Session, backup_id: str, state: VerificationState) -> None:
    """Write how the verification of a backup ended, if a schedule wanted it."""
    session.execute(update(ScheduleExecution).where(
        ScheduleExecution.backup_id == backup_id,
        ScheduleExecution.verification == VerificationState.RUNNING,
    ).values(verification=state).execution_options(synchronize_session=False))


def due_verifications(session: Session, now: datetime.datetime) -> Sequence[str]:
    """Return the ids of schedules whose pattern of verifications is due."""
    return session.scalars(select(Schedule.id).where(
        Schedule.deleted.is_(False), Schedule.paused.is_(False),
        Schedule.next_verify_at <= now).order_by(Schedule.next_verify_at, Schedule.id)).all()


def waiting_verifications(session: Session) -> Sequence[AnyRow]:
    """Return id and schedule_id of the executions whose backups have ended and are to be
    verified, the oldest first."""
    return session.execute(select(ScheduleExecution.id, ScheduleExecution.schedule_id).where(
        ScheduleExecution.verification == VerificationState.WAITING,
        ScheduleExecution.state.in_((ExecutionState.SUCCESS, ExecutionState.ERROR)),
    ).order_by(ScheduleExecution.tick_at, ScheduleExecution.id)).all()


def newest_success(session: Session, schedule_id: str) -> ScheduleExecution | None:
    """Return the last execution whose backup is good and still there."""
    return session.scalars(select(ScheduleExecution).join(
        Backup, Backup.id == ScheduleExecution.backup_id).where(
            ScheduleExecution.schedule_id == schedule_id,
            ScheduleExecution.state == ExecutionState.SUCCESS,
            Backup.deleted.is_(False), Backup.state == BackupState.COMPLETED,
    ).order_by(ScheduleExecution.tick_at.desc()).limit(1)).one_or_none()


def page_of_executions(session: Session, schedule_id: str, *, limit: int,
                       marker: str | None = None) -> Sequence[ScheduleExecution]:
    """Return up to ``limit`` + 1 executions, the newest tick first, after ``marker``."""
    statement = select(ScheduleExecution).where(ScheduleExecution.schedule_id == schedule_id)
    if marker is not None:
        before = select(ScheduleExecution.tick_at).where(
            ScheduleExecution.id == marker).scalar_subquery()
        statement = statement.where(ScheduleExecution.tick_at < before)
    return session.scalars(statement.order_by(
        ScheduleExecution.tick_at.desc()).limit(limit + 1)).all()


def drop_execution(session: Session, schedule_id: str, execution_id: str) -> bool:
    """Forget an execution; False if there is none."""
    return bool(session.connection().execute(delete(ScheduleExecution).where(
        ScheduleExecution.schedule_id == schedule_id,
        ScheduleExecution.id == execution_id)).rowcount)


def purge_executions(session: Session, before: datetime.datetime, batch: int) -> int:
    """Remove the oldest of the executions that were due before a time; return how many.

    :param batch: how many at most, so that no lock is held for long
    """
    found = session.scalars(select(ScheduleExecution.id).where(
        ScheduleExecution.tick_at < before,
        ScheduleExecution.state.not_in((ExecutionState.RUNNING, ExecutionState.WAITING)),
    ).order_by(ScheduleExecution.tick_at).limit(batch)).all()
    if found:
        session.execute(delete(ScheduleExecution).where(ScheduleExecution.id.in_(found)))
    return len(found)


def since_full(session: Session, schedule_id: str) -> int | None:
    """Return how many good backups a schedule made since its last full one, that one among
    them; None if there is no full one."""
    good = (Backup.schedule_id == schedule_id, Backup.deleted.is_(False),
            Backup.state == BackupState.COMPLETED)
    full = session.scalar(select(func.max(Backup.backup_timestamp)).where(
        *good, Backup.parent_id.is_(None)))
    if full is None:
        return None
    return int(session.scalar(select(func.count()).where(
        *good, Backup.backup_timestamp >= full)) or 0)


#: states of backups that are kept or deleted by a schedule
_ENDED = (BackupState.COMPLETED, BackupState.FAILED, BackupState.CORRUPT)


def crowded(session: Session) -> Sequence[AnyRow]:
    """Return id, keep_count, keep_days, how many backups there are, and the oldest's time, of
    all schedules that keep backups for a while only and have any."""
    return session.execute(select(
        Schedule.id, Schedule.keep_count, Schedule.keep_days,
        func.count(Backup.id).label("count"), func.min(Backup.created).label("oldest"),
    ).join(Backup, Backup.schedule_id == Schedule.id).where(
        Schedule.deleted.is_(False),
        or_(Schedule.keep_count.is_not(None), Schedule.keep_days.is_not(None)),
        Backup.deleted.is_(False), Backup.state.in_(_ENDED),
    ).group_by(Schedule.id, Schedule.keep_count, Schedule.keep_days)).all()


def kept_backups(session: Session, schedule_id: str) -> Sequence[Backup]:
    """Return the backups of a schedule that have ended and are not deleted, the newest first."""
    return session.scalars(select(Backup).where(
        Backup.schedule_id == schedule_id, Backup.deleted.is_(False),
        Backup.state.in_(_ENDED)).order_by(Backup.created.desc(), Backup.id)).all()
