"""Datastores, their versions, and what limits a version."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trove_ng.db.models.base import Base, SoftDelete, Timestamps, new_id


class _Live:
    """Lets the name of what was deleted be given again."""

    #: "live"; the row's id once it is deleted
    live_key: Mapped[str] = mapped_column(String(36), default="live")


class Datastore(_Live, Timestamps, SoftDelete, Base):
    """A database engine that is offered."""

    __tablename__ = "datastores"
    __table_args__ = (UniqueConstraint("name", "live_key"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    #: no foreign key: it would close a circle with datastore_versions
    default_version_id: Mapped[str | None] = mapped_column(String(36))


class DatastoreVersion(_Live, Timestamps, SoftDelete, Base):
    """One version of a datastore, bound to an image and a manager.

    One that is deleted stays for the record of deleted instances.
    """

    __tablename__ = "datastore_versions"
    __table_args__ = (UniqueConstraint("datastore_id", "name", "version", "live_key"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    datastore_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("datastores.id"))
    name: Mapped[str] = mapped_column(String(255))
    #: version number, for example 10.11.6; equals name when not told
    version: Mapped[str] = mapped_column(String(255))
    manager: Mapped[str] = mapped_column(String(255))
    image_id: Mapped[str | None] = mapped_column(String(36))
    #: comma-separated tags; the newest active image with all of them is used
    image_tags: Mapped[str | None] = mapped_column(String(255))
    packages: Mapped[str] = mapped_column(String(511), default="")
    active: Mapped[bool] = mapped_column(default=True)
    #: :class:`trove_ng.domain.versions.Visibility`
    visibility: Mapped[str] = mapped_column(String(255), default="public")
    registry_ext: Mapped[str] = mapped_column(String(4095), default="")
    repl_strategy: Mapped[str] = mapped_column(String(4095), default="")


class DatastoreVersionMember(Base):
    """A project that may use a private version."""

    __tablename__ = "datastore_version_members"
    __table_args__ = (UniqueConstraint("datastore_version_id", "tenant_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    datastore_version_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("datastore_versions.id", ondelete="CASCADE"))
    tenant_id: Mapped[str] = mapped_column(String(36), index=True)


class DatastoreVersionMetadata(Timestamps, SoftDelete, Base):
    """A flavor (key ``flavor``) or volume type (``volume-type``) of a version."""

    __tablename__ = "datastore_version_metadata"
    __table_args__ = (UniqueConstraint("datastore_version_id", "key", "value"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    datastore_version_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("datastore_versions.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(128))
    value: Mapped[str] = mapped_column(String(128))


class DatastoreConfigurationParameter(Timestamps, SoftDelete, Base):
    """A parameter that a configuration group of a version may set."""

    __tablename__ = "datastore_configuration_parameters"
    __table_args__ = (UniqueConstraint("datastore_version_id", "name"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(128))
    datastore_version_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("datastore_versions.id", ondelete="CASCADE"))
    restart_required: Mapped[bool] = mapped_column(default=False)
    #: text, because some engines' limits pass 64 bits
    max_size: Mapped[str | None] = mapped_column(String(40))
    min_size: Mapped[str | None] = mapped_column(String(40))
    #: boolean, string, integer, float, list
    data_type: Mapped[str] = mapped_column(String(128))
    #: permitted values of a string, when they are few
    choices: Mapped[list[Any]] = mapped_column(default=list)
    description: Mapped[str | None] = mapped_column(Text)


class Capability(Timestamps, Base):
    """Something a datastore version can do, switched by the operator."""

    __tablename__ = "capabilities"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    description: Mapped[str | None] = mapped_column(String(255))
    enabled: Mapped[bool] = mapped_column(default=True)


class CapabilityOverride(Timestamps, Base):
    """The switch of a capability for one version."""

    __tablename__ = "capability_overrides"
    __table_args__ = (UniqueConstraint("capability_id", "datastore_version_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    datastore_version_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("datastore_versions.id", ondelete="CASCADE"),
        index=True)
    capability_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("capabilities.id", ondelete="CASCADE"))
    enabled: Mapped[bool]
