"""Volume configurations, and what volumes instances have."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trove_ng.db.models import InstanceVolume, VolumeConfig
from trove_ng.db.rows import Reader


def names(reader: Reader) -> list[str]:
    """Return the names of all volume configurations."""
    found = reader.execute(select(VolumeConfig.name).distinct().order_by(VolumeConfig.name))
    return [str(name) for name, in found]


def lines(session: Session, name: str) -> Sequence[VolumeConfig]:
    """Return the lines of a volume configuration; none: there is no such one."""
    return session.scalars(select(VolumeConfig).where(
        VolumeConfig.name == name).order_by(VolumeConfig.volume_kind)).all()


def put(session: Session, line: VolumeConfig) -> None:
    """Add a line, in place of one of the same kind."""
    remove(session, line.name, line.volume_kind)
    session.add(line)


def remove(session: Session, name: str, kind: str) -> bool:
    """Remove a line; False if there was none."""
    return bool(session.connection().execute(delete(VolumeConfig).where(
        VolumeConfig.name == name, VolumeConfig.volume_kind == kind)).rowcount)


def get(session: Session, instance_id: str, kind: str) -> InstanceVolume | None:
    """Return what is known of an instance's volume."""
    return session.get(InstanceVolume, (instance_id, kind))


def note(session: Session, instance_id: str, kind: str, device_type: str,
         now: datetime.datetime) -> InstanceVolume:
    """Remember what a volume is made as; what is known of it stays."""
    known = get(session, instance_id, kind)
    if known is None:
        known = InstanceVolume(instance_id=instance_id, volume_kind=kind,
                               device_type=device_type, created=now, updated=now)
        session.add(known)
    return known


def forget(session: Session, instance_id: str) -> None:
    """Forget the volumes of an instance."""
    session.execute(delete(InstanceVolume).where(InstanceVolume.instance_id == instance_id))
