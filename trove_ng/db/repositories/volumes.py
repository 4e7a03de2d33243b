"""Volume configurations, and what volumes instances have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from trove_ng.common.states import DATA_VOLUME as DATA
from trove_ng.common.states import ROOT_VOLUME
from trove_ng.db.models import Instance, InstanceVolume, VolumeConfig
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


def of(session: Session, instance: Instance) -> list[InstanceVolume]:
    """Return the volumes of an instance, the data volume first."""
    rows = session.scalars(select(InstanceVolume).where(
        InstanceVolume.instance_id == instance.id).order_by(
            InstanceVolume.volume_kind != DATA, InstanceVolume.volume_kind))
    return list(rows)


def total(session: Session, instance: Instance) -> int:
    """Return the GB of all volumes of an instance together, without its root disk."""
    return sum(one.size or 0 for one in of(session, instance)
               if one.volume_kind != ROOT_VOLUME)


def get(session: Session, instance_id: str, kind: str) -> InstanceVolume | None:
    """Return an instance's volume of a kind."""
    return session.get(InstanceVolume, (instance_id, kind))


def add(session: Session, rows: Iterable[InstanceVolume]) -> None:
    """Add the volumes of a new instance; they are made later."""
    session.add_all(rows)


def note_made(session: Session, instance: Instance, kind: str, volume_id: str,
              device_type: str) -> None:
    """Write which volume it is.

    :param device_type: what it is made as, unless that was said before
    """
    found = session.get_one(InstanceVolume, (instance.id, kind))
    found.volume_id, found.device_type = volume_id, found.device_type or device_type
    if kind == DATA:
        instance.volume_id = volume_id


def note_size(session: Session, instance: Instance, kind: str, size: int) -> None:
    """Write how large a volume is, in GB."""
    session.get_one(InstanceVolume, (instance.id, kind)).size = size
    if kind == DATA:
        instance.volume_size = size


def note_gone(session: Session, instance: Instance) -> None:
    """Write that no volume is there any more; what was asked for is kept."""
    instance.volume_id = None
    session.execute(update(InstanceVolume).where(
        InstanceVolume.instance_id == instance.id).values(volume_id=None))


def forget(session: Session, instance_id: str) -> None:
    """Forget the volumes of an instance."""
    session.execute(delete(InstanceVolume).where(InstanceVolume.instance_id == instance_id))
