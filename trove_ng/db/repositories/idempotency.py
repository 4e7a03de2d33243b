"""Requests that clients named by a key: who does them, and what was answered."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from trove_ng.db.models import IdempotencyKey
from trove_ng.db.session import add_if_new


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
    """Take a key; return what is known of it when it is taken.

    :param lifetime: seconds that an answer is kept
    :param patience: seconds after which a request without an answer counts as dead
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
    age = lifetime if found is None else (now - found.created).total_seconds()
    if found is None or age < (lifetime if found.status is not None else patience):
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


def purge(session: Session, before: datetime.datetime) -> int:
    """Forget the keys that are older; return how many."""
    result = cast("CursorResult[Any]", session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created < before)))
    return result.rowcount
