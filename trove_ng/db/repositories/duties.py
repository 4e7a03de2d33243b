"""Duties that one process does at a time."""

from __future__ import annotations

import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from trove_ng.db.models import Duty
from trove_ng.db.session import add_if_new

_LOGS = "log:"


def take(session: Session, name: str, owner: str, now: datetime.datetime, seconds: float,
         ended_before: datetime.datetime | None = None) -> bool:
    """Take a duty; False if another process does it.

    :param seconds: until others may take it, unless it is held or ended
    :param ended_before: it is left alone if it was done since then
    """
    until = now + datetime.timedelta(seconds=seconds)
    free = [Duty.name == name, Duty.until <= now]
    if ended_before is not None:
        free.append(Duty.ended_at.is_(None) | (Duty.ended_at < ended_before))
    changed = session.connection().execute(
        update(Duty).where(*free).values(owner=owner, until=until))
    if changed.rowcount:
        return True
    if session.scalar(select(Duty.name).where(Duty.name == name)) is not None:
        return False
    return add_if_new(session, Duty(name=name, owner=owner, until=until))


def hold(session: Session, name: str, owner: str, now: datetime.datetime,
         seconds: float) -> bool:
    """Keep a duty longer; False if another process may do it by now."""
    changed = session.connection().execute(update(Duty).where(
        Duty.name == name, Duty.owner == owner, Duty.until > now).values(
            until=now + datetime.timedelta(seconds=seconds)))
    return bool(changed.rowcount)


def end(session: Session, name: str, owner: str, now: datetime.datetime) -> None:
    """Let others take a duty that is done."""
    session.connection().execute(update(Duty).where(
        Duty.name == name, Duty.owner == owner).values(until=now, ended_at=now))


def drop(session: Session, name: str, owner: str) -> None:
    """Forget a duty that is done, and not done again for its own sake."""
    session.connection().execute(delete(Duty).where(Duty.name == name, Duty.owner == owner))


def log_duty(instance_id: str, log: str) -> str:
    """Return the name of the duty to change what is published of a log."""
    return f"{_LOGS}{instance_id}:{log}"


def drop_of_instance(session: Session, instance_id: str) -> None:
    """Forget the duties about the logs of an instance."""
    session.execute(delete(Duty).where(Duty.name.startswith(
        log_duty(instance_id, ""), autoescape=True)))


def purge_logs(session: Session, before: datetime.datetime) -> int:
    """Forget the duties about logs whose time was over before; return how many.

    Who asked an agent that did not answer in time leaves one.
    """
    return int(session.connection().execute(delete(Duty).where(
        Duty.name.startswith(_LOGS, autoescape=True), Duty.until < before)).rowcount)


def holder(session: Session, name: str, now: datetime.datetime) -> str | None:
    """Return who does a duty now."""
    return session.scalar(select(Duty.owner).where(Duty.name == name, Duty.until > now))
