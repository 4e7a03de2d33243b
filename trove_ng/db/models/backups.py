"""Backups, where they go, and schedules that make them."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trove_ng.db.models.base import Base, SoftDelete, Timestamps, new_id


class Backup(Timestamps, SoftDelete, Base):
    """A backup of an instance in object storage (or a volume snapshot)."""

    __tablename__ = "backups"
    __table_args__ = (
        Index("ix_backups_tenant_page", "tenant_id", "deleted", "created", "id"),
        Index("ix_backups_instance", "instance_id", "deleted", "state"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(String(512))
    tenant_id: Mapped[str] = mapped_column(String(36))
    instance_id: Mapped[str | None] = mapped_column(String(36))
    datastore_version_id: Mapped[str | None] = mapped_column(
        String(36), ForeignKey("datastore_versions.id"), index=True)
    parent_id: Mapped[str | None] = mapped_column(
        String(36), ForeignKey("backups.id"), index=True)
    state: Mapped[str] = mapped_column(String(32), default="NEW", index=True)
    percent: Mapped[int] = mapped_column(default=0)
    #: why it failed, without secrets
    error: Mapped[str | None] = mapped_column(String(255))
    location: Mapped[str | None] = mapped_column(String(1024))
    container: Mapped[str | None] = mapped_column(String(255))
    #: object name prefix of the segments
    prefix: Mapped[str | None] = mapped_column(String(512))
    region_id: Mapped[str | None] = mapped_column(String(255))
    #: name of the strategy that made it and must restore it
    backup_type: Mapped[str | None] = mapped_column(String(64))
    storage_driver: Mapped[str] = mapped_column(String(32), default="swift")
    #: stored bytes
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    #: bytes of the data before compression
    data_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    #: GB that a volume needs to hold the data
    volume_size: Mapped[int | None]
    checksum: Mapped[str | None] = mapped_column(String(64))
    #: the segments and position data, rpc.messages.StoredBackup
    manifest: Mapped[dict[str, Any]] = mapped_column(default=dict)
    #: the key that it is encrypted with, sealed; None leaves it as it is
    sealed_key: Mapped[str | None] = mapped_column(String(255))
    backup_timestamp: Mapped[datetime.datetime | None]
    #: when it was last restored and found to be good
    verified_at: Mapped[datetime.datetime | None]
    #: what that restore took, from the request for a server to a database that serves
    restore_seconds: Mapped[float | None]
    #: what the last verification found, operations.verification.Verdict
    verification: Mapped[dict[str, Any] | None]
    schedule_id: Mapped[str | None] = mapped_column(String(36), index=True)
    #: of one that is known because another one continues it: its project, objects and
    #: parent, so that they are made known once
    part_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    #: where the log goes on after it, and when it ended by the server's clock; None: no log
    #: can be applied to it
    log_stream: Mapped[str | None] = mapped_column(String(128))
    log_number: Mapped[int | None] = mapped_column(BigInteger)
    log_time: Mapped[datetime.datetime | None]
    #: it is there for new replicas only, and goes when they have it
    for_replicas: Mapped[bool] = mapped_column(default=False)
    #: the service made it for an archive to begin with, and removes it after a later one
    for_archive: Mapped[bool] = mapped_column(default=False)


class BackupStrategy(Timestamps, Base):
    """The container that a project (or one instance) backs up to."""

    __tablename__ = "backup_strategy"
    __table_args__ = (UniqueConstraint("tenant_id", "instance_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    tenant_id: Mapped[str] = mapped_column(String(36))
    #: empty text for the whole project, so that the unique key holds
    instance_id: Mapped[str] = mapped_column(String(36), default="")
    backend: Mapped[str] = mapped_column(String(32), default="swift")
    swift_container: Mapped[str | None] = mapped_column(String(255))


class Schedule(Timestamps, SoftDelete, Base):
    """A cron pattern that makes backups."""

    __tablename__ = "schedules"
    __table_args__ = (
        Index("ix_schedules_due", "deleted", "paused", "next_run_at"),
        Index("ix_schedules_tenant", "tenant_id", "deleted"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(String(512))
    tenant_id: Mapped[str] = mapped_column(String(36))
    user_id: Mapped[str | None] = mapped_column(String(64))
    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id"), index=True)
    pattern: Mapped[str] = mapped_column(String(255))
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    full_every: Mapped[int] = mapped_column(default=1)
    keep_count: Mapped[int | None]
    keep_days: Mapped[int | None]
    paused: Mapped[bool] = mapped_column(default=False)
    next_run_at: Mapped[datetime.datetime | None]
    last_run_at: Mapped[datetime.datetime | None]
    parent_id: Mapped[str | None] = mapped_column(String(36))
    #: {"every": n}: every nth backup is verified; {"pattern": cron}: the newest is, then
    verify: Mapped[dict[str, Any] | None]
    #: of the pattern
    next_verify_at: Mapped[datetime.datetime | None]
    #: backups begun since the last one that is verified
    unverified: Mapped[int] = mapped_column(default=0)


class ScheduleExecution(Timestamps, Base):
    """One tick of a schedule; the pair makes a tick run once."""

    __tablename__ = "schedule_executions"
    __table_args__ = (
        UniqueConstraint("schedule_id", "tick_at"),
        Index("ix_schedule_executions_tick_at", "tick_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    schedule_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("schedules.id", ondelete="CASCADE"))
    tick_at: Mapped[datetime.datetime]
    state: Mapped[str] = mapped_column(String(32))
    output: Mapped[str | None] = mapped_column(String(512))
    backup_id: Mapped[str | None] = mapped_column(String(36))
    #: VerificationState; None: its backup is not verified for the schedule
    verification: Mapped[str | None] = mapped_column(String(16))
