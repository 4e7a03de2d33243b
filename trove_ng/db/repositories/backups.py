"""Backups: what the API reads, and the writes of accepted requests."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Collection, Sequence

from sqlalchemy import exists, or_, select, update
from sqlalchemy.orm import Session

from trove_ng.common.states import BACKUP_RUNNING, BACKUP_USABLE, BackupState
from trove_ng.db.models import Backup, Datastore, DatastoreVersion
from trove_ng.db.rows import AnyRow, AnySelect, by_id
from trove_ng.db.session import flush_or_retry

#: where a backup is: objects, or a snapshot of a volume
SWIFT, CINDER = "swift", "cinder"
_RUNNING = [state.value for state in BACKUP_RUNNING]


def _view_select() -> AnySelect:
    return select(
        Backup.id, Backup.name, Backup.description, Backup.location, Backup.tenant_id,
        Backup.instance_id, Backup.created, Backup.updated, Backup.size_bytes,
        Backup.state, Backup.parent_id, Backup.storage_driver, Backup.datastore_version_id,
        Backup.verified_at, Backup.restore_seconds, Backup.verification, Backup.error,
        Datastore.name.label("datastore_name"),
        DatastoreVersion.name.label("version_name"),
        DatastoreVersion.version.label("version_number"),
    ).outerjoin(DatastoreVersion, DatastoreVersion.id == Backup.datastore_version_id
                ).outerjoin(Datastore, Datastore.id == DatastoreVersion.datastore_id
                            ).where(Backup.deleted.is_(False))


_VIEW = _view_select()


def get_view(session: Session, backup_id: str, tenant_id: str | None) -> AnyRow | None:
    """Return all columns of a backup's view."""
    statement = _VIEW.where(Backup.id == backup_id)
    if tenant_id is not None:
        statement = statement.where(Backup.tenant_id == tenant_id)
    return session.execute(statement).one_or_none()


def list_views(session: Session, *, tenant_id: str | None, limit: int, offset: int = 0,
               instance_id: str | None = None, datastore: str | None = None,
               ) -> Sequence[AnyRow]:
    """Return up to ``limit`` + 1 views, the newest change first.

    :param tenant_id: owner to look among; None looks among all
    :param datastore: id or name of the datastore they belong to
    """
    statement = _VIEW
    if tenant_id is not None:
        statement = statement.where(Backup.tenant_id == tenant_id)
    if instance_id is not None:
        statement = statement.where(Backup.instance_id == instance_id)
    if datastore is not None:
        statement = statement.where(
            or_(Datastore.id == datastore, Datastore.name == datastore))
    return session.execute(statement.order_by(
        Backup.updated.desc(), Backup.id).limit(limit + 1).offset(offset)).all()


def get(session: Session, backup_id: str, tenant_id: str | None = None, *,
        lock: bool = False) -> Backup | None:
    """Return a backup that is not deleted.

    :param tenant_id: owner to look among; None looks among all
    :param lock: hold the row's lock until the transaction ends
    """
    return by_id(session, Backup, backup_id, tenant_id, lock=lock)


def chain(session: Session, backup_id: str) -> list[Backup]:
    """Return a backup with all it continues, the full one first."""
    found: list[Backup] = []
    wanted: str | None = backup_id
    while wanted is not None:
        backup = session.get(Backup, wanted)
        if backup is None or backup in found:
            break
        found.insert(0, backup)
        wanted = backup.parent_id
    return found


def newest(session: Session, instance_id: str, version_id: str, strategy: str,
           schedule_id: str | None = None) -> Backup | None:
    """Return the last backup of an instance that another one can continue.

    :param strategy: what made it, and makes the other one
    :param schedule_id: only of this schedule
    """
    made = () if schedule_id is None else (Backup.schedule_id == schedule_id,)
    return session.scalars(select(Backup).where(
        *made,
        Backup.instance_id == instance_id, Backup.deleted.is_(False),
        Backup.for_replicas.is_(False),
        Backup.state == BackupState.COMPLETED, Backup.datastore_version_id == version_id,
        Backup.storage_driver == SWIFT, Backup.backup_type == strategy,
    ).order_by(Backup.backup_timestamp.desc(), Backup.id).limit(1)).one_or_none()


def same(session: Session, wanted: Backup) -> Backup | None:
    """Return the locked backup of the same project, objects and parent, if it can be used."""
    return session.scalars(select(Backup).where(
        Backup.tenant_id == wanted.tenant_id, Backup.deleted.is_(False),
        Backup.prefix == wanted.prefix, Backup.container == wanted.container,
        or_(Backup.region_id == wanted.region_id, Backup.region_id.is_(None)),
        Backup.checksum == wanted.checksum, Backup.parent_id == wanted.parent_id,
        Backup.state.in_(BACKUP_USABLE),
    ).order_by(Backup.created, Backup.id).limit(1).with_for_update().execution_options(
        populate_existing=True)).one_or_none()


def add_part(session: Session, backup: Backup) -> None:
    """Add a backup that is known because another one continues it.

    Under :data:`trove_ng.db.session.retry_on_db_error`; to be called when there is none
    that is the :func:`same`.

    :raises trove_ng.db.session.StoreConflict: another import added it meanwhile
    """
    named = (backup.tenant_id, backup.region_id, backup.container, backup.prefix,
             backup.checksum, backup.parent_id)
    key = hashlib.sha256(json.dumps(named).encode()).hexdigest()
    # one that had it cannot be used any more
    session.execute(update(Backup).where(
        Backup.part_key == key,
        or_(Backup.deleted.is_(True), Backup.state.not_in(BACKUP_USABLE))).values(part_key=None))
    backup.part_key = key
    session.add(backup)
    flush_or_retry(session)


def deleted(session: Session, ids: Collection[str]) -> set[str]:
    """Return those of some backups that are deleted."""
    return set(session.scalars(select(Backup.id).where(
        Backup.id.in_(list(ids)), Backup.deleted.is_(True))))


def children(session: Session, backup_id: str) -> Sequence[Backup]:
    """Return the backups that directly continue this one, and lock them."""
    return session.scalars(select(Backup).where(
        Backup.parent_id == backup_id, Backup.deleted.is_(False)).order_by(Backup.id)
        .with_for_update().execution_options(populate_existing=True)).all()


def note_corrupt(session: Session, backup_id: str, why: str) -> None:
    """Say that a backup is not what was stored."""
    session.execute(update(Backup).where(
        Backup.id == backup_id, Backup.deleted.is_(False),
        Backup.state.in_((*BACKUP_USABLE, BackupState.CORRUPT)),
    ).values(state=BackupState.CORRUPT, error=why[:255]))


def unverified(session: Session, before: datetime.datetime) -> Sequence[AnyRow]:
    """Return the backups that can be restored, or are damaged, and were not verified since a
    time, the longest ago first; never is longest."""
    return session.execute(select(
        Backup.id, Backup.name, Backup.tenant_id, Backup.state, Backup.created,
        Backup.verified_at, Backup.verification,
    ).where(
        Backup.deleted.is_(False), Backup.for_replicas.is_(False), Backup.state.in_(
            (*BACKUP_USABLE, BackupState.CORRUPT)),
        or_(Backup.verified_at.is_(None), Backup.verified_at < before),
    ).order_by(Backup.verified_at.is_not(None), Backup.verified_at, Backup.created,
               Backup.id)).all()


def is_running(session: Session, instance_id: str) -> bool:
    """Return True if a backup of the instance is not ended."""
    return bool(session.scalar(select(exists().where(
        Backup.instance_id == instance_id, Backup.deleted.is_(False),
        Backup.state.in_(_RUNNING)))))


def add(session: Session, backup: Backup) -> Backup:
    """Add a backup."""
    session.add(backup)
    session.flush()
    return backup
