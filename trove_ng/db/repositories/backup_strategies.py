"""Which container backups of a project, or of one of its instances, go to."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trove_ng.db.models import BackupStrategy
from trove_ng.db.session import flush_or_retry

#: stands for all instances of a project
ALL = ""


def container(session: Session, tenant_id: str, instance_id: str) -> str | None:
    """Return the container for an instance: its own, or that of the project."""
    found = _for(session, tenant_id, instance_id)
    return next((one.swift_container for one in found if one.swift_container), None)


def backend(session: Session, tenant_id: str, instance_id: str) -> str | None:
    """Return the storage driver for an instance: of its own strategy, or the project's."""
    return next((one.backend for one in _for(session, tenant_id, instance_id)), None)


def _for(session: Session, tenant_id: str, instance_id: str) -> list[BackupStrategy]:
    """Return the strategies that hold for an instance, its own first."""
    return sorted(session.scalars(select(BackupStrategy).where(
        BackupStrategy.tenant_id == tenant_id,
        BackupStrategy.instance_id.in_((instance_id, ALL)))),
        key=lambda one: one.instance_id == ALL)


def find(session: Session, *, tenant_id: str | None, instance_id: str | None = None,
         limit: int) -> Sequence[BackupStrategy]:
    """Return strategies, those of projects before those of their instances.

    :param tenant_id: owner to look among; None looks among all
    :param instance_id: only that of an instance
    """
    statement = select(BackupStrategy)
    if tenant_id is not None:
        statement = statement.where(BackupStrategy.tenant_id == tenant_id)
    if instance_id is not None:
        statement = statement.where(BackupStrategy.instance_id == instance_id)
    return session.scalars(statement.order_by(
        BackupStrategy.tenant_id, BackupStrategy.instance_id).limit(limit)).all()


def put(session: Session, tenant_id: str, instance_id: str, backend: str,
        swift_container: str | None) -> BackupStrategy:
    """Add a strategy, or change the one that there is."""
    found = session.scalars(select(BackupStrategy).where(
        BackupStrategy.tenant_id == tenant_id, BackupStrategy.instance_id == instance_id,
    ).with_for_update()).one_or_none()
    if found is None:
        found = BackupStrategy(tenant_id=tenant_id, instance_id=instance_id)
        session.add(found)
    found.backend, found.swift_container = backend, swift_container
    flush_or_retry(session)
    return found


def drop(session: Session, tenant_id: str, instance_id: str) -> None:
    """Forget a strategy, if there is one."""
    session.execute(delete(BackupStrategy).where(
        BackupStrategy.tenant_id == tenant_id, BackupStrategy.instance_id == instance_id))
