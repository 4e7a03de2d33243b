"""Configuration groups."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from trove_ng.db.models.base import Base, SoftDelete, Timestamps, new_id


class Configuration(Timestamps, SoftDelete, Base):
    """A named set of parameters for one datastore version."""

    __tablename__ = "configurations"
    __table_args__ = (
        Index("ix_configurations_tenant_page", "tenant_id", "deleted", "id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(64))
    description: Mapped[str | None] = mapped_column(String(256))
    tenant_id: Mapped[str] = mapped_column(String(36))
    datastore_version_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("datastore_versions.id"), index=True)
    #: rises with each change of the items
    revision: Mapped[int] = mapped_column(default=1)


class ConfigurationItem(Base):
    """One parameter of a group."""

    __tablename__ = "configuration_parameters"

    configuration_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("configurations.id", ondelete="CASCADE"),
        primary_key=True)
    configuration_key: Mapped[str] = mapped_column(String(128), primary_key=True)
    #: the value with its JSON type
    configuration_value: Mapped[Any] = mapped_column(JSON)
