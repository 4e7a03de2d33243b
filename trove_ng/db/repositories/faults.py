"""Why instances failed."""

from __future__ import annotations

import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from trove_ng.common.states import EventKind
from trove_ng.db.models import InstanceFault
from trove_ng.db.repositories import events

_LENGTH = 255


def add(session: Session, instance_id: str, message: str, details: str,
        now: datetime.datetime) -> None:
    """Add a fault, and tell it on the instance's timeline; a long message is cut.

    :param details: more, for operators; no secret
    """
    events.add_for_instance(session, EventKind.FAULT, instance_id, message, now)
    if len(message) > _LENGTH:
        details = f"{message}\n{details}"
        message = message[:_LENGTH - 3] + "..."
    session.add(InstanceFault(
        instance_id=instance_id, message=message, details=details, created=now, updated=now))


def clear(session: Session, instance_id: str, now: datetime.datetime) -> None:
    """Hide the faults of an instance that works again, or is gone."""
    session.execute(update(InstanceFault).where(
        InstanceFault.instance_id == instance_id, InstanceFault.deleted.is_(False),
    ).values(deleted=True, deleted_at=now))
