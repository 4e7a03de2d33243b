"""Names that were registered for instances."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trove_ng.db.models import DnsRecord


def of(session: Session, instance_id: str) -> Sequence[DnsRecord]:
    """Return the names of an instance."""
    return session.scalars(select(DnsRecord).where(
        DnsRecord.instance_id == instance_id).order_by(DnsRecord.name)).all()


def note(session: Session, instance_id: str, name: str, record_id: str) -> None:
    """Remember a name, and under which id the DNS service has it."""
    known = session.get(DnsRecord, name)
    if known is None:
        session.add(DnsRecord(name=name, record_id=record_id, instance_id=instance_id))
    else:
        known.record_id = record_id


def forget(session: Session, instance_id: str) -> None:
    """Forget the names of an instance."""
    session.execute(delete(DnsRecord).where(DnsRecord.instance_id == instance_id))
