"""What sets of replicas do when their source is lost, and what is known of such sets."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from trove_ng.db.models import Failover, Instance, ServiceStatusRow
from trove_ng.db.rows import AnyRow


def get(session: Session, instance_id: str, *, lock: bool = False) -> Failover | None:
    """Return what a source has; None: nothing was ever asked for."""
    return session.get(Failover, instance_id, with_for_update=lock or None,
                       populate_existing=lock)


def put(session: Session, instance_id: str, values: dict[str, Any],
        now: datetime.datetime) -> None:
    """Write what a source, which is locked, has from now on; when one last began stays."""
    found = get(session, instance_id)
    if found is None:
        session.add(Failover(instance_id=instance_id, created=now, updated=now, **values))
        return
    for name, value in values.items():
        setattr(found, name, value)
    found.updated, found.refused = now, ""


def move(session: Session, before_id: str, after_id: str) -> None:
    """Give what a source had to the one that takes its place."""
    if session.scalar(select(Failover.instance_id).where(Failover.instance_id == before_id)):
        session.execute(delete(Failover).where(Failover.instance_id == after_id))
        session.execute(update(Failover).where(Failover.instance_id == before_id).values(
            instance_id=after_id))


def watched(session: Session, mode: str) -> Sequence[AnyRow]:
    """Return what the sources of a mode have whose agents were heard of, with the time when,
    and since when these say that the database serves nobody."""
    return session.execute(select(
        Failover, ServiceStatusRow.updated_at, ServiceStatusRow.down_since).join(
            Instance, Instance.id == Failover.instance_id).join(
            ServiceStatusRow, ServiceStatusRow.instance_id == Failover.instance_id).where(
                Failover.mode == mode, Instance.deleted.is_(False),
                Instance.slave_of_id.is_(None), ServiceStatusRow.updated_at.is_not(None),
                ).order_by(Failover.instance_id)).all()


def forget_refused(session: Session, instance_ids: Collection[str]) -> None:
    """Forget why none began at sources that are heard of again."""
    session.execute(update(Failover).where(Failover.instance_id.in_(instance_ids)).values(
        refused="").execution_options(synchronize_session=False))


def members(session: Session, source_ids: Collection[str],
            ) -> dict[str, list[tuple[Instance, ServiceStatusRow]]]:
    """Return source id → the source, which comes first, and its replicas, with heartbeats."""
    found: dict[str, list[tuple[Instance, ServiceStatusRow]]] = {one: [] for one in source_ids}
    rows = session.execute(select(Instance, ServiceStatusRow).join(
        ServiceStatusRow, ServiceStatusRow.instance_id == Instance.id).where(
            Instance.id.in_(source_ids) | Instance.slave_of_id.in_(source_ids),
            Instance.deleted.is_(False)).order_by(Instance.slave_of_id.is_not(None), Instance.id))
    for instance, status in rows.tuples():
        source_id = instance.slave_of_id or instance.id
        if source_id in found:
            found[source_id].append((instance, status))
    return found
