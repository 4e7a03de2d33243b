"""Clusters."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from trove_ng.db.models.base import Base, SoftDelete, Timestamps, new_id


class Cluster(Timestamps, SoftDelete, Base):
    """Instances that serve one database together."""

    __tablename__ = "clusters"
    __table_args__ = (
        Index("ix_clusters_tenant_page", "tenant_id", "deleted", "id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    tenant_id: Mapped[str] = mapped_column(String(36))
    task: Mapped[str] = mapped_column(String(32), default="NONE")
    operation_id: Mapped[str | None] = mapped_column(String(36))
    datastore_version_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("datastore_versions.id"), index=True)
    configuration_id: Mapped[str | None] = mapped_column(
        String(36), ForeignKey("configurations.id"), index=True)
    locality: Mapped[str | None] = mapped_column(String(32))
    server_group_id: Mapped[str | None] = mapped_column(String(36))
    extended_properties: Mapped[dict[str, Any]] = mapped_column(default=dict)
