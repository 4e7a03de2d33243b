"""The archives of logs: what is stored, and up to where."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from trove_ng.common.states import BACKUP_USABLE
from trove_ng.db.models import Backup, Instance, LogArchive, LogPiece, ServiceStatusRow
from trove_ng.db.rows import AnyRow


def get(session: Session, instance_id: str, *, lock: bool = False) -> LogArchive | None:
    """Return the archive of an instance, whether it goes on or not.

    :param lock: hold the row's lock until the transaction ends
    """
    return session.get(LogArchive, instance_id, with_for_update=lock or None,
                       populate_existing=lock)


def carry(session: Session, before_id: str, after_id: str, now: datetime.datetime) -> bool:
    """Have the log of the one that takes a source's place archived, if that source's is, and
    let it wait for a backup to begin with.

    What is archived of that one stays its own: another database writes another log.

    :return: whether it is
    """
    before = get(session, before_id, lock=True)
    if before is None or not before.enabled:
        return False
    after = get(session, after_id, lock=True)
    if after is None:
        after = LogArchive(
            instance_id=after_id, tenant_id=before.tenant_id, region_id=before.region_id,
            container=before.container, created=now)
        session.add(after)
    after.enabled, after.retention_days = True, before.retention_days
    after.next_at, after.shipped_at, after.updated = now, None, now
    after.base_since, after.base_id, after.base_refused = now, None, ""
    # its agent is told to keep no more for it
    before.enabled, before.next_at, before.updated = False, now, now
    before.base_since = None
    session.flush()
    return True


def claim(session: Session, now: datetime.datetime, seconds: float, most: int,
          busy: Collection[str], heard_since: datetime.datetime) -> list[str]:
    """Take archives whose agents are to be asked now; return the ids of their instances.

    :param seconds: until they are due again, whatever becomes of it
    :param busy: tasks of instances whose agents are not asked
    :param heard_since: agents that were heard of no later are not asked: waiting for them
        would keep others waiting
    """
    rows = session.execute(select(LogArchive.instance_id, LogArchive.next_at).join(
        Instance, Instance.id == LogArchive.instance_id).join(
        ServiceStatusRow, ServiceStatusRow.instance_id == Instance.id).where(
        ServiceStatusRow.updated_at > heard_since,
        Instance.deleted.is_(False),
        or_(Instance.slave_of_id.is_(None), LogArchive.enabled.is_(False)),
        Instance.task.not_in(busy), LogArchive.next_at <= now,
    ).order_by(LogArchive.next_at).limit(most)).all()
    later = now + datetime.timedelta(seconds=seconds)
    return [row.instance_id for row in rows if session.connection().execute(
        update(LogArchive).where(
            LogArchive.instance_id == row.instance_id, LogArchive.next_at == row.next_at,
        ).values(next_at=later)).rowcount]


def hasten(session: Session, instance_id: str, claimed: datetime.datetime,
           at: datetime.datetime) -> None:
    """Have an agent that has answered asked again sooner than one that has not.

    :param claimed: until when it was not to be asked
    """
    session.execute(update(LogArchive).where(
        LogArchive.instance_id == instance_id, LogArchive.next_at == claimed).values(next_at=at))


def all_ids(session: Session) -> Sequence[str]:
    """Return the ids of all instances that have an archive."""
    return session.scalars(
        select(LogArchive.instance_id).order_by(LogArchive.instance_id)).all()


def bases(session: Session, instance_id: str) -> Sequence[AnyRow]:
    """Return ``log_stream``, ``log_number`` and ``log_time`` of the backups of an instance that
    log can be applied to."""
    return session.execute(select(
        Backup.log_stream, Backup.log_number, Backup.log_time).where(
        Backup.instance_id == instance_id, Backup.deleted.is_(False),
        Backup.for_replicas.is_(False), Backup.log_stream.is_not(None),
        Backup.state.in_(BACKUP_USABLE),
    ).order_by(Backup.log_time)).all()


def parts(session: Session, instance_id: str, *, damaged: bool = False) -> Sequence[AnyRow]:
    """Return ``id``, ``stream``, ``first_number``, ``next_number`` and ``until`` of the parts
    of an archive.

    :param damaged: also of those that cannot be restored
    """
    statement = select(
        LogPiece.id, LogPiece.stream, LogPiece.first_number, LogPiece.next_number,
        LogPiece.until).where(LogPiece.instance_id == instance_id)
    if not damaged:
        statement = statement.where(LogPiece.damage.is_(None))
    return session.execute(statement.order_by(LogPiece.first_number)).all()


def pieces(session: Session, ids: Collection[str]) -> list[LogPiece]:
    """Return some parts, in their order."""
    return list(session.scalars(select(LogPiece).where(LogPiece.id.in_(ids)).order_by(
        LogPiece.first_number, LogPiece.next_number)))


def add(session: Session, piece: LogPiece) -> None:
    """Add a part."""
    session.add(piece)


def remove(session: Session, ids: Collection[str]) -> None:
    """Forget parts."""
    session.execute(delete(LogPiece).where(LogPiece.id.in_(ids)))


def object_names(session: Session, instance_id: str) -> set[str]:
    """Return the names of all objects of an archive that are known."""
    return {segment["name"] for manifest in session.scalars(select(LogPiece.manifest).where(
        LogPiece.instance_id == instance_id)) for segment in manifest["segments"]}


def drop(session: Session, instance_id: str) -> None:
    """Forget an archive without parts that does not go on."""
    gone = select(Instance.id).where(
        Instance.id == instance_id, Instance.deleted.is_(True)).exists()
    left = select(LogPiece.id).where(LogPiece.instance_id == instance_id).exists()
    session.execute(delete(LogArchive).where(
        LogArchive.instance_id == instance_id, ~left, or_(LogArchive.next_at.is_(None), gone)))
