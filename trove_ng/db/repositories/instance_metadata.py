"""What projects keep with their instances."""

from __future__ import annotations

import datetime
import json
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trove_ng.db.models import InstanceMetadata


def all_of(session: Session, instance_id: str) -> dict[str, Any]:
    """Return key → value, ordered by key."""
    rows = session.execute(select(InstanceMetadata.key, InstanceMetadata.value).where(
        InstanceMetadata.instance_id == instance_id)).tuples()
    return {key: json.loads(value) for key, value in sorted(rows)}


def put(session: Session, instance_id: str, key: str, value: Any,
        now: datetime.datetime) -> None:
    """Set the value of a key, new or not; the instance must be locked."""
    text = json.dumps(value)
    found = session.get(InstanceMetadata, (instance_id, key))
    if found is None:
        session.add(InstanceMetadata(instance_id=instance_id, key=key, value=text,
                                     created=now, updated=now))
    else:
        found.value, found.updated = text, now
    session.flush()


def drop(session: Session, instance_id: str, key: str) -> None:
    """Forget a key; one that is not there is no error."""
    session.execute(delete(InstanceMetadata).where(
        InstanceMetadata.instance_id == instance_id, InstanceMetadata.key == key))
