"""Notifications that wait: written with what they tell, removed when they are sent."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from trove_ng.common import notifications as told
from trove_ng.common.notifications import EVENTS, Event, Phase
from trove_ng.db.models import Notification, Operation
from trove_ng.db.models.base import ordered_id

#: message of the error of an operation that was ended from outside
SUPERSEDED = "The operation was ended by another request."

_LAST = "notifications"


def add(session: Session, event_type: str, payload: Mapping[str, Any],
        context: Mapping[str, str], now: datetime.datetime, *, priority: str = told.INFO,
        publisher: str = "", message_id: str | None = None,
        due_at: datetime.datetime | None = None) -> str:
    """Add a notification to the transaction; return its id.

    Those of one transaction keep their order: their ids are a microsecond apart.

    :param context: request_id, project_id, user_id
    :param publisher: service and host; empty: whoever sends it
    :param message_id: of a message that may be made twice; by default a new one
    :param due_at: sent from then on, by default at once
    """
    last: datetime.datetime | None = session.info.get(_LAST)
    moment = now if last is None or now > last else last + datetime.timedelta(microseconds=1)
    session.info[_LAST] = moment
    ident = message_id or ordered_id(moment)
    session.add(Notification(
        id=ident, event_type=event_type, priority=priority, publisher=publisher,
        context=dict(context), payload=dict(payload), created=moment,
        due_at=due_at or now))
    return ident


def end_operation(session: Session, row: Operation, error: str | None,
                  now: datetime.datetime) -> None:
    """Tell that an operation has ended, if its beginning was told.

    Who sends it adds its own address.

    :param error: why it failed; None: it succeeded
    """
    event = EVENTS.get(row.notification.get("event", ""))
    if event is None:
        return
    phase = Phase.END if error is None else Phase.ERROR
    values: dict[str, Any] = {
        "tenant_id": row.tenant_id, "client_ip": row.notification.get("client_ip", ""),
        "request_id": row.request_id, "server_type": told.ServerType.TASK, "server_ip": ""}
    own = f"{row.resource_type}_id"
    if own in event.keys(phase):
        values[own] = row.resource_id
    if error is not None:
        values |= {"message": error, "exception": row.trace or (
            f"operation {row.id} ({row.action}) at step {row.step or 'none'}")}
    add(session, event.type(phase), event.payload(phase, values), {
        "request_id": row.request_id, "project_id": row.tenant_id, "user_id": row.user_id,
    }, now, priority=told.INFO if error is None else told.ERROR)


def settle(session: Session, ident: str, event: Event, phase: Phase,
           values: Mapping[str, Any], now: datetime.datetime) -> bool:
    """Make what was prepared for the worst tell what happened, and let it be sent.

    :return: False if it was sent already
    """
    changed = session.connection().execute(update(Notification).where(
        Notification.id == ident).values(
            event_type=event.type(phase), payload=event.payload(phase, values),
            priority=told.ERROR if phase is Phase.ERROR else told.INFO,
            created=now, due_at=now))
    return bool(changed.rowcount)


def due(session: Session, now: datetime.datetime, limit: int) -> Sequence[Notification]:
    """Return what is to be sent, the oldest first."""
    return session.scalars(select(Notification).where(Notification.due_at <= now).order_by(
        Notification.id).limit(limit)).all()


def remove(session: Session, idents: Collection[str]) -> None:
    """Forget what was sent."""
    session.execute(delete(Notification).where(Notification.id.in_(idents)))


def waiting(session: Session) -> int:
    """Return how many there are, those that are not due yet included."""
    return int(session.scalar(select(func.count()).select_from(Notification)) or 0)


def oldest(session: Session, limit: int) -> Sequence[str]:
    """Return ids of the oldest, whether due or not."""
    return session.scalars(
        select(Notification.id).order_by(Notification.id).limit(limit)).all()


def which_wait(session: Session, idents: Iterable[str]) -> set[str]:
    """Return those of the ids that wait."""
    return set(session.scalars(select(Notification.id).where(
        Notification.id.in_(list(idents)))))
