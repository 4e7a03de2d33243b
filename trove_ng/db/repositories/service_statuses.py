"""The newest heartbeat of each instance."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import bindparam, exists, select, update
from sqlalchemy.orm import Session

from trove_ng.common.states import DOWN, EventKind, ServiceStatus
from trove_ng.db.models import Instance, InstanceKey, ServiceStatusRow
from trove_ng.db.repositories import events
from trove_ng.db.rows import AnyRow

#: statuses of a database that takes requests
SERVING = frozenset({ServiceStatus.RUNNING, ServiceStatus.HEALTHY})


def get(session: Session, instance_id: str) -> ServiceStatusRow | None:
    """Return what the instance's agent last said; None for an unknown instance."""
    return session.get(ServiceStatusRow, instance_id)


def lock(session: Session, instance_ids: Collection[str]) -> dict[str, ServiceStatusRow]:
    """Return what the agents of instances last said, by the ids of those; no word comes until
    the transaction ends.
    """
    return {row.instance_id: row for row in session.scalars(select(ServiceStatusRow).where(
        ServiceStatusRow.instance_id.in_(instance_ids)).order_by(
            ServiceStatusRow.instance_id).with_for_update())}


def is_fresh(row: ServiceStatusRow | None, now: datetime.datetime, max_age: float) -> bool:
    """Return whether the last heartbeat came within ``max_age`` seconds."""
    return (row is not None and row.updated_at is not None
            and (now - row.updated_at).total_seconds() <= max_age)


def record(session: Session, beats: Sequence[dict[str, Any]]) -> int:
    """Write heartbeats, with a fixed number of statements; an older one changes nothing.

    What an instance's beat changes in its status, and that it is heard of again, are
    told on its timeline.

    :param beats: one an instance: ``instance_id``, ``sequence``, ``steady`` (seconds after the
        last one in which it has no gap), and the columns of :class:`ServiceStatusRow`;
        instances without a row (unknown, deleted) are passed over
    :return: how many were written
    """
    known = {row.instance_id: row for row in session.execute(select(
        ServiceStatusRow.instance_id, ServiceStatusRow.status, ServiceStatusRow.sequence,
        ServiceStatusRow.lost_at, ServiceStatusRow.updated_at,
        ServiceStatusRow.heard_since, ServiceStatusRow.down_since,
        ).where(ServiceStatusRow.instance_id.in_(
            [beat["instance_id"] for beat in beats])).order_by(
                # In the order of the key, so that two conductors never wait for each other.
                ServiceStatusRow.instance_id).with_for_update())}
    newer = [beat for beat in sorted(beats, key=lambda beat: str(beat["instance_id"]))
             if beat["instance_id"] in known
             and known[beat["instance_id"]].sequence < beat["sequence"]]
    if not newer:
        return 0
    _tell(session, [(known[beat["instance_id"]], beat) for beat in newer])
    session.connection().execute(_RECORD, [
        {"b_heard_since": _heard_since(known[beat["instance_id"]], beat),
         "b_down_since": _down_since(known[beat["instance_id"]], beat),
         **{f"b_{name}": beat[name] for name in ("instance_id", *_COLUMNS)}} for beat in newer])
    return len(newer)


def _heard_since(known: AnyRow, beat: dict[str, Any]) -> datetime.datetime:
    """Return since when an agent was heard of all the time, with its newest beat."""
    now: datetime.datetime = beat["updated_at"]
    if known.heard_since is None or (now - known.updated_at).total_seconds() > beat["steady"]:
        return now
    since: datetime.datetime = known.heard_since
    return since


def _down_since(known: AnyRow, beat: dict[str, Any]) -> datetime.datetime | None:
    """Return since when the database serves nobody; None: it does, or was stopped."""
    if beat["status"] not in DOWN:
        return None
    since: datetime.datetime = known.down_since or beat["updated_at"]
    return since


_COLUMNS = ("status", "description", "sequence", "sent_at", "updated_at", "agent_version",
            "volume_total", "volume_used", "details")
_RECORD = update(ServiceStatusRow).where(
    ServiceStatusRow.instance_id == bindparam("b_instance_id"),
    ServiceStatusRow.sequence < bindparam("b_sequence"),
).values(lost_at=None, **{name: bindparam(f"b_{name}") for name in (
    "heard_since", "down_since", *_COLUMNS)})


def _tell(session: Session, pairs: Sequence[tuple[AnyRow, dict[str, Any]]]) -> None:
    """Add the events of what beats change."""
    changed = [(row, beat) for row, beat in pairs
               if row.lost_at is not None or row.status != beat["status"]]
    if not changed:
        return
    tenants = dict(session.execute(select(Instance.id, Instance.tenant_id).where(
        Instance.id.in_([row.instance_id for row, _ in changed]))).tuples().all())
    for row, beat in changed:
        ident, now = row.instance_id, beat["updated_at"]
        if row.lost_at is not None:
            events.add(session, EventKind.HEARTBEAT_BACK, "The agent is heard of again.", now,
                       tenant_id=tenants[ident], resource_id=ident,
                       details={"lost_at": row.lost_at.isoformat()})
        if row.status != beat["status"]:
            events.add(session, EventKind.DATABASE_STATUS,
                       f"The database is {beat['status']}; it was {row.status}.", now,
                       tenant_id=tenants[ident], resource_id=ident,
                       details={"before": row.status, "after": beat["status"]})


def newly_silent(session: Session, before: datetime.datetime, limit: int) -> Sequence[AnyRow]:
    """Return the instances whose agents have stopped to speak, and this was not told yet.

    An instance that is worked on is left out, and one whose agent has no key: it was
    never made, or is being deleted.

    :param before: the newest heartbeat is older than this
    :return: rows of ``instance_id``, ``tenant_id``, ``updated_at``, ``status``
    """
    return session.execute(select(
        ServiceStatusRow.instance_id, Instance.tenant_id, ServiceStatusRow.updated_at,
        ServiceStatusRow.status).join(
            Instance, Instance.id == ServiceStatusRow.instance_id).where(
                ServiceStatusRow.updated_at < before, ServiceStatusRow.lost_at.is_(None),
                Instance.deleted.is_(False), Instance.task == "NONE",
                exists().where(InstanceKey.instance_id == Instance.id)).order_by(
                    ServiceStatusRow.instance_id).limit(limit)).all()


def note_silent(session: Session, silent: Sequence[AnyRow], now: datetime.datetime,
                ) -> list[str]:
    """Write and tell that agents are silent; return those that were not heard meanwhile."""
    told = []
    for row in silent:
        changed = session.connection().execute(update(ServiceStatusRow).where(
            ServiceStatusRow.instance_id == row.instance_id,
            ServiceStatusRow.lost_at.is_(None), ServiceStatusRow.updated_at == row.updated_at,
        ).values(lost_at=now))
        if changed.rowcount:
            told.append(row.instance_id)
            seconds = round((now - row.updated_at).total_seconds())
            events.add(session, EventKind.HEARTBEAT_LOST,
                       f"The agent was not heard of for {seconds} s; what the database does is "
                       "not known.", now, tenant_id=row.tenant_id, resource_id=row.instance_id,
                       details={"last_heartbeat": row.updated_at.isoformat(),
                                "status": row.status})
    return told
