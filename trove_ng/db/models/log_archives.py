"""The archives of the logs of databases, for restores to a time."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from trove_ng.db.models.base import Base, Timestamps, new_id


class LogArchive(Timestamps, Base):
    """The archive of an instance's log; it outlasts the instance as long as it has parts.

    ``stream`` and ``number`` say up to where the log is archived; times that the database
    tells are by its server's clock.
    """

    __tablename__ = "log_archives"
    __table_args__ = (Index("ix_log_archives_due", "next_at"),
                      Index("ix_log_archives_base", "base_since"))

    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(36))
    #: whether it goes on; None of its parts goes before its time when it does not
    enabled: Mapped[bool] = mapped_column(default=True)
    retention_days: Mapped[int]
    region_id: Mapped[str | None] = mapped_column(String(255))
    container: Mapped[str] = mapped_column(String(255))
    #: what keys of parts are made from, sealed; None: they are not encrypted
    sealed_key: Mapped[str | None] = mapped_column(String(255))
    stream: Mapped[str | None] = mapped_column(String(128))
    number: Mapped[int | None] = mapped_column(BigInteger)
    #: when the agent is asked next; None: it need not be
    next_at: Mapped[datetime.datetime | None]
    #: when it was last asked with success
    shipped_at: Mapped[datetime.datetime | None]
    #: why that failed since then
    error: Mapped[str | None] = mapped_column(String(255))
    #: to where it could be restored when that was last looked at
    earliest: Mapped[datetime.datetime | None]
    latest: Mapped[datetime.datetime | None]
    #: since when a backup is wanted that the log continues; None: the service makes none
    base_since: Mapped[datetime.datetime | None]
    #: the one that the service makes
    base_id: Mapped[str | None] = mapped_column(String(36))
    #: why it was not begun, as was told last
    base_refused: Mapped[str] = mapped_column(String(512), default="")


class LogPiece(Base):
    """A part of an archive: the log from one number on, up to before another one."""

    __tablename__ = "log_pieces"
    __table_args__ = (Index("ix_log_pieces_order", "instance_id", "created"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("log_archives.instance_id"))
    stream: Mapped[str] = mapped_column(String(128))
    first_number: Mapped[int] = mapped_column(BigInteger)
    next_number: Mapped[int] = mapped_column(BigInteger)
    #: up to when all changes are in this part and those before it; None: it does not tell
    until: Mapped[datetime.datetime | None]
    #: bytes of the log
    data_size: Mapped[int] = mapped_column(BigInteger)
    #: rpc.messages.StoredBackup
    manifest: Mapped[dict[str, Any]] = mapped_column(default=dict)
    #: why it cannot be restored, as was found last
    damage: Mapped[str | None] = mapped_column(String(255))
    created: Mapped[datetime.datetime]
