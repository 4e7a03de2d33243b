"""Quotas and their use."""

from __future__ import annotations

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trove_ng.db.models.base import Base, Timestamps, new_id


class Quota(Timestamps, Base):
    """A limit that differs from the configured default; -1 is unlimited."""

    __tablename__ = "quotas"
    __table_args__ = (UniqueConstraint("tenant_id", "resource"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    tenant_id: Mapped[str] = mapped_column(String(36))
    resource: Mapped[str] = mapped_column(String(64))
    hard_limit: Mapped[int]


class QuotaUsage(Timestamps, Base):
    """What a project uses: the row that accepting transactions lock."""

    __tablename__ = "quota_usages"
    __table_args__ = (UniqueConstraint("tenant_id", "resource"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    tenant_id: Mapped[str] = mapped_column(String(36))
    resource: Mapped[str] = mapped_column(String(64))
    in_use: Mapped[int] = mapped_column(default=0)
    #: part of in_use that a running operation still may give back
    reserved: Mapped[int] = mapped_column(default=0)


class Reservation(Timestamps, Base):
    """What one operation reserved and gives back when it fails."""

    __tablename__ = "reservations"
    __table_args__ = (UniqueConstraint("operation_id", "resource"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    operation_id: Mapped[str] = mapped_column(String(36))
    tenant_id: Mapped[str] = mapped_column(String(36))
    resource: Mapped[str] = mapped_column(String(64))
    delta: Mapped[int]
    #: RESERVED, COMMITTED, RELEASED
    status: Mapped[str] = mapped_column(String(16), default="RESERVED")
