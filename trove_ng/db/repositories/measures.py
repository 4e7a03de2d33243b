"""What is counted in the store for a scrape: a few statements, whatever it holds."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from sqlalchemy import case, func, select

from trove_ng.common.states import BACKUP_RUNNING, BackupState
from trove_ng.db.models import (
    Backup,
    Datastore,
    DatastoreVersion,
    Instance,
    InstanceTls,
    LogArchive,
    LogPiece,
    Operation,
    Schedule,
    ServiceStatusRow,
)
from trove_ng.db.repositories import operations, tls
from trove_ng.db.rows import AnyRow, Reader


def live_operations(reader: Reader) -> Sequence[AnyRow]:
    """Return ``action``, ``status``, ``number`` and ``oldest`` of what has not ended."""
    return reader.execute(select(
        Operation.action, Operation.status, func.count().label("number"),
        func.min(Operation.created).label("oldest"),
    ).where(Operation.status.in_((operations.PENDING, operations.RUNNING))).group_by(
        Operation.action, Operation.status)).all()


def instances(reader: Reader, heard_since: datetime.datetime) -> Sequence[AnyRow]:
    """Return how many instances share each set of facts that a status follows from.

    :param heard_since: heartbeats that are older are expired
    :return: rows of ``task``, ``failed``, ``restart_required``, ``server_status``,
        ``backup_running``, ``number``, ``expired`` (how many of these have no heartbeat
        since then) and ``oldest`` (heartbeat)
    """
    running = select(Backup.instance_id).where(
        Backup.state.in_([state.value for state in BACKUP_RUNNING]),
        Backup.deleted.is_(False)).distinct().subquery("running")
    beat = ServiceStatusRow.updated_at
    failed = case((Instance.error != "", 1), else_=0).label("failed")
    backup_running = case((running.c.instance_id.is_not(None), 1), else_=0).label(
        "backup_running")
    inner = select(
        Instance.task, failed, Instance.restart_required, Instance.server_status,
        backup_running, beat.label("beat"),
        case((beat >= heard_since, 0), else_=1).label("expired"),
    ).select_from(Instance).outerjoin(
        ServiceStatusRow, ServiceStatusRow.instance_id == Instance.id).outerjoin(
        running, running.c.instance_id == Instance.id).where(
        Instance.deleted.is_(False)).subquery("facts")
    facts = (inner.c.task, inner.c.failed, inner.c.restart_required, inner.c.server_status,
             inner.c.backup_running)
    return reader.execute(select(
        *facts, func.count().label("number"), func.sum(inner.c.expired).label("expired"),
        func.min(inner.c.beat).label("oldest")).group_by(*facts)).all()


def backups(reader: Reader) -> Sequence[AnyRow]:
    """Return ``state`` and ``number`` of the backups that are not deleted."""
    return reader.execute(select(
        Backup.state, func.count().label("number")).where(
        Backup.deleted.is_(False)).group_by(Backup.state)).all()


def newest_backups(reader: Reader) -> Sequence[AnyRow]:
    """Return ``datastore`` (its name), when its ``newest`` completed backup was made, and when
    one was last ``verified``, None if none was."""
    return reader.execute(select(
        Datastore.name.label("datastore"), func.max(Backup.backup_timestamp).label("newest"),
        func.max(Backup.verified_at).label("verified"),
    ).select_from(Backup).join(
        DatastoreVersion, DatastoreVersion.id == Backup.datastore_version_id).join(
        Datastore, Datastore.id == DatastoreVersion.datastore_id).where(
        Backup.state == BackupState.COMPLETED.value, Backup.deleted.is_(False),
        Backup.backup_timestamp.is_not(None)).group_by(Datastore.name)).all()


def stalest_schedule(reader: Reader) -> datetime.datetime | None:
    """Return, of the instances with schedules that are not paused, when the one that was not
    backed up for longest was, or got the first of its schedules; None: there is none."""
    newest = select(
        func.max(Backup.backup_timestamp)).where(
        Backup.instance_id == Schedule.instance_id, Backup.deleted.is_(False),
        Backup.state == BackupState.COMPLETED.value).correlate(Schedule).scalar_subquery()
    found: datetime.datetime | None = reader.execute(select(func.min(
        func.coalesce(newest, Schedule.created))).where(
        Schedule.deleted.is_(False), Schedule.paused.is_(False))).scalar()
    return found


def soonest_expiries(reader: Reader) -> Sequence[AnyRow]:
    """Return ``given`` (1: by its owner, 0: the service issued it) and ``soonest``, when the
    first certificate in force of this kind ends."""
    given = case((InstanceTls.reference.is_not(None), 1), else_=0).label("given")
    return reader.execute(select(
        given, func.min(InstanceTls.expires_at).label("soonest"),
    ).select_from(InstanceTls).join(Instance, Instance.id == InstanceTls.instance_id).where(
        InstanceTls.place == tls.CURRENT, InstanceTls.expires_at.is_not(None),
        Instance.deleted.is_(False)).group_by(given)).all()


def log_archives(reader: Reader) -> AnyRow:
    """Return of the archives that go on the ``oldest`` of the latest moments that an instance
    can be restored to, or since when it is archived, and how many are ``failing``; of all
    archives how many are ``damaged``."""
    damaged = select(func.count(LogPiece.instance_id.distinct())).where(
        LogPiece.damage.is_not(None))
    found: AnyRow = reader.execute(select(
        func.min(func.coalesce(LogArchive.latest, LogArchive.created)).label("oldest"),
        func.count(LogArchive.error).label("failing"),
        damaged.scalar_subquery().label("damaged"),
    ).select_from(LogArchive).join(Instance, Instance.id == LogArchive.instance_id).where(
        LogArchive.enabled.is_(True), Instance.deleted.is_(False),
        Instance.slave_of_id.is_(None))).one()
    return found
