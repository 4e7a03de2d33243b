"""Requests that clients named by a key: who does them, and what was answered."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from trove_ng.db.models import IdempotencyKey
from trove_ng.db.session import add_if_new
from trove_ng.db.trouble import StoreConflict


@dataclasses.dataclass(frozen=True)
class Claim:
    """The right to do a keyed request.

    :param key: SHA-256 of the client's key
    :param fingerprint: what is asked for, sealed
    :param claim: unique; another one takes a key over whose worker is gone
    """

    tenant_id: str
    key: str
    fingerprint: str
    claim: str


def claim(session: Session, wanted: Claim, now: datetime.datetime, lifetime: float,
          patience: float) -> IdempotencyKey | None:
    """Take a key; return what is known of it when it is taken, None when it is ours.

    :param lifetime: seconds that an answer is kept
    :param patience: seconds after which a request without an answer counts as dead
    :raises StoreConflict: it was given back meanwhile; begin again
    """
    values: dict[str, Any] = {
        "fingerprint": wanted.fingerprint, "claim": wanted.claim, "status": None,
        "body": None, "created": now}
    # looking first would lock a gap of the index on MySQL
    if add_if_new(session, IdempotencyKey(
            tenant_id=wanted.tenant_id, key=wanted.key, **values)):
        return None
    found = session.scalars(select(IdempotencyKey).where(
        IdempotencyKey.tenant_id == wanted.tenant_id,
        IdempotencyKey.key == wanted.key).with_for_update()).one_or_none()
    if found is None:
        # its request failed just now and gave it back: nobody has it, we neither
        raise StoreConflict
    age = (now - found.created).total_seconds()
    if age < (lifetime if found.status is not None else patience):
        return found
    for name, value in values.items():
        setattr(found, name, value)
    return None


def keep(session: Session, held: Claim, status: int, body: str) -> bool:
    """Write the answer; return False if the key was given to another request."""
    result = cast("CursorResult[Any]", session.connection().execute(
        update(IdempotencyKey).where(*_held(held)).values(status=status, body=body)))
    return bool(result.rowcount)


def release(session: Session, held: Claim) -> None:
    """Give a key back whose request failed, so that it may be tried again."""
    session.execute(delete(IdempotencyKey).where(
        *_held(held), IdempotencyKey.status.is_(None)))


def _held(held: Claim) -> tuple[Any, ...]:
    return (IdempotencyKey.tenant_id == held.tenant_id, IdempotencyKey.key == held.key,
            IdempotencyKey.claim == held.claim)


def purge(session: Session, before: datetime.datetime, batch: int) -> int:
    """Forget the oldest of the keys that are older than a time; return how many.

    :param batch: how many at most, so that no lock is held for long
    """
    last = session.scalar(select(IdempotencyKey.created).where(
        IdempotencyKey.created < before).order_by(
            IdempotencyKey.created).offset(batch - 1).limit(1))
    old = (IdempotencyKey.created <= last if last is not None
           else IdempotencyKey.created < before)
    result = cast("CursorResult[Any]", session.execute(delete(IdempotencyKey).where(old)))
    return result.rowcount
