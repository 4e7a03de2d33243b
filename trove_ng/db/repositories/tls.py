"""How the databases of instances speak TLS with their clients."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, or_, select, update
from sqlalchemy.orm import Session

from trove_ng.db.models import Instance, InstanceTls
from trove_ng.db.rows import AnyRow, Reader

#: what is in force, and what was before
CURRENT, PREVIOUS = "current", "previous"


def get(reader: Reader, instance_id: str, place: str = CURRENT) -> Any:
    """Return mode, reference, certificate and authority; None: the server speaks no TLS."""
    return reader.execute(select(
        InstanceTls.mode, InstanceTls.reference, InstanceTls.certificate,
        InstanceTls.authority).where(
            InstanceTls.instance_id == instance_id, InstanceTls.place == place)).one_or_none()


def replace(session: Session, instance_id: str,
            entries: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Write down what a server has.

    :param entries: place → columns; None: nothing
    """
    session.execute(delete(InstanceTls).where(InstanceTls.instance_id == instance_id))
    session.add_all([InstanceTls(instance_id=instance_id, place=place, **columns)
                     for place, columns in entries.items() if columns is not None])


def due(reader: Reader, now: datetime.datetime, until: datetime.datetime, limit: int, *,
        given: bool) -> Sequence[AnyRow]:
    """Return the certificates in force that end soon, or are for other names than their
    instances have, and are not put off, the first to end first.

    :param until: those that end by then
    :param given: those of owners; else those that the service issued
    :return: rows of ``instance_id``, ``tenant_id``, ``expires_at``, ``authority`` and ``misnamed``
    """
    return reader.execute(select(
        InstanceTls.instance_id, Instance.tenant_id, InstanceTls.expires_at,
        InstanceTls.authority, InstanceTls.misnamed,
    ).join(Instance, Instance.id == InstanceTls.instance_id).where(
        *_due(now, until, given), Instance.deleted.is_(False),
    ).order_by(InstanceTls.expires_at, InstanceTls.instance_id).limit(limit)).all()


def put_off(session: Session, instance_ids: Iterable[str], now: datetime.datetime,
            until: datetime.datetime, again: datetime.datetime, *, given: bool,
            ) -> Sequence[AnyRow]:
    """Put off the certificates of these instances that are due still: they are due again at
    ``again``, or at their end if that comes first.

    :return: rows of ``instance_id``, ``mode``, ``expires_at`` and ``misnamed``; locked
    """
    found = session.execute(select(
        InstanceTls.instance_id, InstanceTls.mode, InstanceTls.expires_at, InstanceTls.misnamed,
    ).where(*_due(now, until, given), InstanceTls.instance_id.in_(list(instance_ids))).order_by(
        InstanceTls.instance_id).with_for_update()).all()
    ends = InstanceTls.expires_at
    session.execute(update(InstanceTls).where(
        InstanceTls.place == CURRENT,
        InstanceTls.instance_id.in_([row.instance_id for row in found]),
    ).values(look_at=case((and_(ends > now, ends < again), ends), else_=again)
             ).execution_options(synchronize_session=False))
    return found


def tries(reader: Reader, instance_id: str) -> int:
    """Return how many renewals of the certificate in force were begun; none of them ended well."""
    return reader.execute(select(InstanceTls.tries).where(
        InstanceTls.instance_id == instance_id, InstanceTls.place == CURRENT)).scalar() or 0


def misname(session: Session, instance_id: str) -> None:
    """Write that a certificate is for other names than its instance has: it is due at once."""
    session.execute(update(InstanceTls).where(
        InstanceTls.instance_id == instance_id, InstanceTls.place == CURRENT,
    ).values(misnamed=True, look_at=None))


def begin(session: Session, instance_id: str, now: datetime.datetime,
          before: datetime.datetime) -> bool:
    """Count a renewal that begins; return whether the owner is to be told.

    :param before: the owner was not told since then
    """
    found = session.get_one(InstanceTls, (instance_id, CURRENT))
    found.tries += 1
    if found.told_at is not None and found.told_at > before:
        return False
    found.told_at = now
    return True


def _due(now: datetime.datetime, until: datetime.datetime, given: bool,
         ) -> tuple[ColumnElement[bool], ...]:
    reference = InstanceTls.reference
    ends = InstanceTls.expires_at <= until
    return (InstanceTls.place == CURRENT, ends if given else or_(ends, and_(
                InstanceTls.misnamed, InstanceTls.mode.is_not(None))),
            or_(InstanceTls.look_at.is_(None), InstanceTls.look_at <= now),
            reference.is_not(None) if given else reference.is_(None))
