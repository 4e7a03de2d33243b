"""The newest heartbeat of each instance."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.orm import Session

from trove_ng.common.states import ServiceStatus
from trove_ng.db.models import ServiceStatusRow

#: statuses of a database that takes requests
SERVING = frozenset({ServiceStatus.RUNNING, ServiceStatus.HEALTHY})


def get(session: Session, instance_id: str) -> ServiceStatusRow | None:
    """Return what the instance's agent last said; None for an unknown instance."""
    return session.get(ServiceStatusRow, instance_id)


def is_fresh(row: ServiceStatusRow | None, now: datetime.datetime, max_age: float) -> bool:
    """Return whether the last heartbeat came within ``max_age`` seconds."""
    return (row is not None and row.updated_at is not None
            and (now - row.updated_at).total_seconds() <= max_age)


def record(session: Session, beats: Sequence[dict[str, Any]]) -> None:
    """Write heartbeats in one round trip; an older one changes nothing.

    :param beats: ``instance_id``, ``sequence``, and the columns of
        :class:`ServiceStatusRow`; instances without a row (unknown, deleted) are
        passed over
    """
    statement = update(ServiceStatusRow).where(
        ServiceStatusRow.instance_id == bindparam("b_instance_id"),
        ServiceStatusRow.sequence < bindparam("b_sequence"),
    ).values({name: bindparam(f"b_{name}") for name in (
        "status", "description", "sequence", "sent_at", "updated_at", "agent_version",
        "volume_total", "volume_used", "details")})
    # In the order of the key, so that two conductors never wait for each other.
    ordered = sorted(beats, key=lambda beat: str(beat["instance_id"]))
    session.connection().execute(
        statement, [{f"b_{name}": value for name, value in beat.items()} for beat in ordered])
