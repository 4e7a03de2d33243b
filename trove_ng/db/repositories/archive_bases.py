"""Backups that the service makes itself, so that archived log has something to continue."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from trove_ng.common.states import BACKUP_USABLE, BackupState
from trove_ng.db.models import Backup, Instance, LogArchive
from trove_ng.db.rows import AnyRow


def wanted(session: Session) -> Sequence[str]:
    """Return the ids of the instances whose archives wait for a backup to begin with."""
    return session.scalars(select(LogArchive.instance_id).join(
        Instance, Instance.id == LogArchive.instance_id).where(
        LogArchive.base_since.is_not(None), LogArchive.enabled.is_(True),
        Instance.deleted.is_(False)).order_by(LogArchive.base_since)).all()


def superseded(session: Session, now: datetime.datetime) -> list[str]:
    """Return the ids of those that no restore within an archive's retention needs: a later
    backup ended before that begins, and none continues them."""
    later, child = aliased(Backup), aliased(Backup)
    rows: Sequence[AnyRow] = session.execute(select(
        Backup.id, LogArchive.retention_days, later.log_time,
    ).join(LogArchive, LogArchive.instance_id == Backup.instance_id).join(
        later, later.instance_id == Backup.instance_id).where(
        Backup.for_archive.is_(True), Backup.deleted.is_(False), Backup.state.in_(
            (*BACKUP_USABLE, BackupState.FAILED, BackupState.CORRUPT)),
        later.created > Backup.created, later.deleted.is_(False), later.log_time.is_not(None),
        later.for_replicas.is_(False), later.state.in_(BACKUP_USABLE),
        ~select(child.id).where(
            child.parent_id == Backup.id, child.deleted.is_(False)).exists(),
    ).order_by(Backup.id)).all()
    return list(dict.fromkeys(row.id for row in rows if row.log_time <= now - datetime.timedelta(
        days=row.retention_days)))
