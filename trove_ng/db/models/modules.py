"""Modules (specs module-management, module-mangement-ordering)."""

from __future__ import annotations

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trove_ng.db.models.base import Base, LongText, SoftDelete, Timestamps, new_id


class Module(Timestamps, SoftDelete, Base):
    """A file that is kept sealed and applied to instances."""

    __tablename__ = "modules"
    __table_args__ = (
        UniqueConstraint("tenant_id", "datastore_id", "datastore_version_id",
                         "name", "type", "live_key", name="uq_modules_live"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    type: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(String(512))
    #: "all" where the specs say so; never NULL, so that the key holds
    tenant_id: Mapped[str] = mapped_column(String(36), default="all")
    datastore_id: Mapped[str] = mapped_column(String(36), default="all")
    datastore_version_id: Mapped[str] = mapped_column(String(36), default="all")
    contents: Mapped[str] = mapped_column(LongText)
    md5: Mapped[str] = mapped_column(String(32))
    auto_apply: Mapped[bool] = mapped_column(default=False)
    visible: Mapped[bool] = mapped_column(default=True)
    live_update: Mapped[bool] = mapped_column(default=False)
    priority_apply: Mapped[bool] = mapped_column(default=False)
    apply_order: Mapped[int] = mapped_column(default=5)
    is_admin: Mapped[bool] = mapped_column(default=False)
    #: "live" while it exists, its id after it is deleted
    live_key: Mapped[str] = mapped_column(String(36), default="live")
