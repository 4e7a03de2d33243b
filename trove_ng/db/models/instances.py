"""Instances and what belongs to one."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from trove_ng.db.models.base import Base, LongText, SoftDelete, Timestamps, new_id


class Instance(Timestamps, SoftDelete, Base):
    """A database server that a project owns.

    ``task`` says what the control plane does with it (``NONE`` when idle),
    ``error`` what failed for good; the database's own state is in
    ``service_statuses``.  See ``domain.instance_status``.
    """

    __tablename__ = "instances"
    __table_args__ = (
        # covers the pages of lists, so that they touch the table for their rows only
        Index("ix_instances_tenant_page", "tenant_id", "deleted", "id", "cluster_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    tenant_id: Mapped[str] = mapped_column(String(36))
    user_id: Mapped[str | None] = mapped_column(String(64))
    hostname: Mapped[str | None] = mapped_column(String(255))
    task: Mapped[str] = mapped_column(String(32), default="NONE")
    error: Mapped[str] = mapped_column(String(64), default="")
    restart_required: Mapped[bool] = mapped_column(default=False)
    #: live operation, for the view; the truth is operations.live_key
    operation_id: Mapped[str | None] = mapped_column(String(36))
    compute_instance_id: Mapped[str | None] = mapped_column(String(36))
    server_status: Mapped[str | None] = mapped_column(String(64))
    #: compute host, as of server_status_at
    server_host: Mapped[str | None] = mapped_column(String(255))
    server_status_at: Mapped[datetime.datetime | None]
    flavor_id: Mapped[str] = mapped_column(String(255))
    flavor_ram: Mapped[int] = mapped_column(default=0)
    volume_id: Mapped[str | None] = mapped_column(String(36))
    volume_size: Mapped[int | None]
    volume_type: Mapped[str | None] = mapped_column(String(255))
    #: [{"address", "type": "private"|"public", "network"}]
    addresses: Mapped[list[Any]] = mapped_column(default=list)
    #: networks asked for at create, as in the request
    nics: Mapped[list[Any]] = mapped_column(default=list)
    port_ids: Mapped[list[Any]] = mapped_column(default=list)
    security_group_id: Mapped[str | None] = mapped_column(String(36))
    floating_ip_id: Mapped[str | None] = mapped_column(String(36))
    availability_zone: Mapped[str | None] = mapped_column(String(255))
    region_id: Mapped[str | None] = mapped_column(String(255))
    locality: Mapped[str | None] = mapped_column(String(32))
    server_group_id: Mapped[str | None] = mapped_column(String(36))
    #: {"is_public": bool, "allowed_cidrs": [..]}
    access: Mapped[dict[str, Any]] = mapped_column(default=dict)
    datastore_version_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("datastore_versions.id"), index=True)
    configuration_id: Mapped[str | None] = mapped_column(
        String(36), ForeignKey("configurations.id"), index=True)
    slave_of_id: Mapped[str | None] = mapped_column(
        String(36), ForeignKey("instances.id"), index=True)
    cluster_id: Mapped[str | None] = mapped_column(
        String(36), ForeignKey("clusters.id"), index=True)
    shard_id: Mapped[str | None] = mapped_column(String(36))
    type: Mapped[str | None] = mapped_column(String(64))
    volume_config: Mapped[str | None] = mapped_column(String(255))
    deletion_protection: Mapped[bool] = mapped_column(default=False)
    #: it may have accounts of replicas that are gone: it did not answer when they were dropped
    accounts_left: Mapped[bool] = mapped_column(default=False)
    #: it became the source of its set, and its agent did not let clients write yet
    unopened: Mapped[bool] = mapped_column(default=False)
    #: the backup that it is restored from, to be checked and removed again; no project's
    verifies_id: Mapped[str | None] = mapped_column(String(36), index=True)


class Failover(Timestamps, Base):
    """What the owner of a source of replicas wants to happen when it is lost.

    It goes with the role: whoever becomes the source has it then.
    """

    __tablename__ = "failovers"

    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id"), primary_key=True)
    #: see domain.failover
    mode: Mapped[str] = mapped_column(String(16), index=True)
    timeout_seconds: Mapped[int]
    min_interval_seconds: Mapped[int]
    max_lag: Mapped[int | None]
    #: when one last began
    last_at: Mapped[datetime.datetime | None]
    #: why none began since the source is silent, as was told; empty if nothing was
    refused: Mapped[str] = mapped_column(String(512), default="")


class InstanceKey(Timestamps, Base):
    """The RPC key of one guest, sealed (spec secure-oslo-messaging-messages).

    While it is rotated there are two: ``next_key`` until the guest has it, then
    ``previous_key`` until ``previous_until`` (None: the guest was not told yet to let go).
    """

    __tablename__ = "instance_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True, default=new_id)
    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id"), unique=True)
    encrypted_key: Mapped[str] = mapped_column(String(512))
    next_key: Mapped[str | None] = mapped_column(String(512))
    previous_key: Mapped[str | None] = mapped_column(String(512))
    previous_until: Mapped[datetime.datetime | None]


class ServiceStatusRow(Base):
    """The newest heartbeat of an instance."""

    __tablename__ = "service_statuses"

    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id"), primary_key=True)
    status: Mapped[str] = mapped_column(String(32), default="UNKNOWN")
    description: Mapped[str] = mapped_column(String(255), default="")
    sequence: Mapped[int] = mapped_column(BigInteger, default=0)
    #: guest's clock, Unix seconds
    sent_at: Mapped[float] = mapped_column(default=0.0)
    #: our clock
    updated_at: Mapped[datetime.datetime | None] = mapped_column(index=True)
    #: since when they come without a gap, our clock
    heard_since: Mapped[datetime.datetime | None]
    #: since when they say that the database serves nobody, and was not stopped, our clock
    down_since: Mapped[datetime.datetime | None]
    #: when it was told that no heartbeat comes any more; NULL while they come
    lost_at: Mapped[datetime.datetime | None]
    agent_version: Mapped[str] = mapped_column(String(64), default="")
    volume_total: Mapped[int | None] = mapped_column(BigInteger)
    volume_used: Mapped[int | None] = mapped_column(BigInteger)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)


class InstanceVolume(Timestamps, Base):
    """One volume of an instance (spec extended-filesystems).

    Id and size of the data volume are in the instance's row too.
    """

    __tablename__ = "instance_volumes"

    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id"), primary_key=True)
    volume_kind: Mapped[str] = mapped_column(String(64), primary_key=True)
    volume_id: Mapped[str | None] = mapped_column(String(36))
    size: Mapped[int | None]
    provider: Mapped[str] = mapped_column(String(32), default="cinder")
    provider_type: Mapped[str | None] = mapped_column(String(255))
    #: NULL until it is made, if the request says nothing
    device_type: Mapped[str | None] = mapped_column(String(64))


class InstanceTls(Timestamps, Base):
    """How the database of an instance speaks TLS with its clients, and how it did before.

    ``place`` is ``current`` or ``previous``, ``mode`` NULL where it spoke none.  Certificates
    are PEM; no key is stored.
    """

    __tablename__ = "instance_tls"
    __table_args__ = (Index("ix_instance_tls_end", "place", "expires_at"),)

    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id"), primary_key=True)
    place: Mapped[str] = mapped_column(String(8), primary_key=True)
    mode: Mapped[str | None] = mapped_column(String(16))
    reference: Mapped[str | None] = mapped_column(String(255))
    certificate: Mapped[str | None] = mapped_column(Text)
    authority: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[datetime.datetime | None]
    #: it is for other names than the instance has, and is renewed whenever it ends
    misnamed: Mapped[bool] = mapped_column(default=False)
    #: its end was told, or cared for, and is not looked at again until then
    look_at: Mapped[datetime.datetime | None]
    #: renewals that were begun, and when the owner was told of one
    tries: Mapped[int] = mapped_column(default=0)
    told_at: Mapped[datetime.datetime | None]


class VolumeConfig(Timestamps, Base):
    """A line of a named volume configuration (spec extended-filesystems)."""

    __tablename__ = "volume_config"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255), index=True)
    volume_kind: Mapped[str] = mapped_column(String(64))
    size: Mapped[int | None]
    provider: Mapped[str] = mapped_column(String(32))
    provider_type: Mapped[str | None] = mapped_column(String(255))
    device_type: Mapped[str] = mapped_column(String(64))
    required: Mapped[bool] = mapped_column(default=False)


class InstanceFault(Timestamps, SoftDelete, Base):
    """What went wrong (spec persist-error-message); the newest is shown."""

    __tablename__ = "instance_faults"
    __table_args__ = (
        Index("ix_instance_faults_newest", "instance_id", "deleted", "created"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True, default=new_id)
    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id"))
    message: Mapped[str] = mapped_column(String(255))
    details: Mapped[str] = mapped_column(LongText)


class RootHistory(Base):
    """That root was enabled once; never forgotten."""

    __tablename__ = "root_enabled_history"

    instance_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user: Mapped[str] = mapped_column(String(255))
    created: Mapped[datetime.datetime]
    deleted_at: Mapped[datetime.datetime | None]


class InstanceMetadata(Timestamps, Base):
    """Key and value that a project keeps with an instance."""

    __tablename__ = "instance_metadata"

    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class InstanceModule(Timestamps, SoftDelete, Base):
    """A module that is applied to an instance, with its contents' md5 then."""

    __tablename__ = "instance_modules"
    __table_args__ = (
        Index("ix_instance_modules_pair", "instance_id", "module_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id"))
    module_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("modules.id"), index=True)
    md5: Mapped[str] = mapped_column(String(32))


class DnsRecord(Base):
    """The name that was registered for an instance."""

    __tablename__ = "dns_records"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    record_id: Mapped[str] = mapped_column(String(64))
    instance_id: Mapped[str] = mapped_column(String(36), index=True)
