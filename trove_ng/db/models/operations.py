"""Durable operations: what was asked, who works on it, how far it is."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from trove_ng.db.models.base import Base, LongText, Timestamps, new_id


class Operation(Timestamps, Base):
    """One action on one resource.

    ``status``: PENDING → RUNNING → SUCCEEDED | FAILED | CANCELLED.
    ``live_key`` is the resource id while the operation is not ended, else
    NULL, so that a resource has at most one live operation.
    """

    __tablename__ = "operations"
    __table_args__ = (
        Index("ix_operations_claim", "status", "lease_expires_at"),
        Index("ix_operations_tenant", "tenant_id", "created"),
        Index("ix_operations_resource", "resource_id", "created"),
        Index("ix_operations_ended", "ended_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    action: Mapped[str] = mapped_column(String(64))
    resource_type: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[str] = mapped_column(String(36))
    live_key: Mapped[str | None] = mapped_column(String(36), unique=True)
    tenant_id: Mapped[str] = mapped_column(String(36))
    user_id: Mapped[str] = mapped_column(String(64), default="")
    request_id: Mapped[str] = mapped_column(String(64), default="")
    region_id: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(16), default="PENDING")
    #: arguments without secrets, operations.payloads
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    #: arguments that are secret, sealed; erased at the end
    secrets: Mapped[str | None] = mapped_column(LongText)
    #: process that holds the lease
    owner: Mapped[str | None] = mapped_column(String(255))
    lease_expires_at: Mapped[datetime.datetime | None]
    #: fencing token: rises with each claim; writes name the one they hold
    fence: Mapped[int] = mapped_column(BigInteger, default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    deadline_at: Mapped[datetime.datetime | None]
    #: not claimed before this time: it waits for other operations
    not_before: Mapped[datetime.datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    #: of one that nobody asked for, in words for the owner
    cancel_reason: Mapped[str | None] = mapped_column(String(255))
    step: Mapped[str | None] = mapped_column(String(128))
    percent: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    #: where in the code it failed, for operators; only of unexpected errors
    trace: Mapped[str | None] = mapped_column(LongText)
    #: what its end is told as: "event", "client_ip"; empty: it is not told
    notification: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_at: Mapped[datetime.datetime | None]
    ended_at: Mapped[datetime.datetime | None]

    @property
    def others(self) -> list[str]:
        """The ids of other instances that belong to it: of a set of replicas, for example."""
        members = self.payload.get("replica_ids")
        if members is None:
            return []
        return [one for one in (self.payload.get("source_id"), *members)
                if one and one != self.resource_id]


class OperationMember(Base):
    """An instance that belongs to an operation whose resource is another one."""

    __tablename__ = "operation_members"

    resource_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    operation_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("operations.id", ondelete="CASCADE"),
        primary_key=True, index=True)


class OperationReport(Base):
    """What a guest last said of a step."""

    __tablename__ = "operation_reports"

    operation_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("operations.id", ondelete="CASCADE"),
        primary_key=True)
    step: Mapped[str] = mapped_column(String(128), primary_key=True)
    instance_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    sequence: Mapped[int] = mapped_column(BigInteger, default=0)
    percent: Mapped[int] = mapped_column(default=0)
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str] = mapped_column(Text, default="")
    updated_at: Mapped[datetime.datetime]


class OperationStep(Base):
    """When a step of an operation ran."""

    __tablename__ = "operation_steps"

    operation_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("operations.id", ondelete="CASCADE"),
        primary_key=True)
    step: Mapped[str] = mapped_column(String(128), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=1)
    started_at: Mapped[datetime.datetime]
    ended_at: Mapped[datetime.datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    #: whose fault it is that the step could not be undone, if not the operation's resource
    blamed_id: Mapped[str | None] = mapped_column(String(36))
    #: what it found before it changed anything, for those that repeat or undo it
    found: Mapped[dict[str, Any]] = mapped_column(default=dict)


class OperationRecord(Base):
    """What the workflow engine remembers of an operation until it ends."""

    __tablename__ = "operation_records"
    __table_args__ = (Index("ix_operation_records_parent", "operation_id", "parent"),)

    operation_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("operations.id", ondelete="CASCADE"),
        primary_key=True)
    path: Mapped[str] = mapped_column(String(255), primary_key=True)
    parent: Mapped[str] = mapped_column(String(255))
    #: JSON; NULL for an entry that only says that the path belongs to its parent
    data: Mapped[str | None] = mapped_column(LongText)


class IdempotencyKey(Base):
    """A request that its client named by a key, and the answer that it was given."""

    __tablename__ = "idempotency_keys"

    tenant_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: SHA-256 of the client's key, in hexadecimal digits
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: sealed: SHA-256 of method, path, query and body, which may hold a password
    fingerprint: Mapped[str] = mapped_column(String(255))
    #: who does the request
    claim: Mapped[str] = mapped_column(String(36))
    #: status code of the answer; NULL while there is none
    status: Mapped[int | None]
    #: sealed: the body of the answer, and the operation that it tells of
    body: Mapped[str | None] = mapped_column(LongText)
    created: Mapped[datetime.datetime] = mapped_column(index=True)


class Event(Base):
    """A line of the timeline of a resource.

    Ids sort by time (:func:`trove_ng.db.models.base.ordered_id`), so that pages and the
    removal of old events need no other order.
    """

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_resource", "resource_id", "id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(36))
    resource_type: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[str] = mapped_column(String(36))
    operation_id: Mapped[str | None] = mapped_column(String(36))
    #: who asked for what the event tells; empty when nobody did
    request_id: Mapped[str] = mapped_column(String(64), default="")
    user_id: Mapped[str] = mapped_column(String(64), default="")
    kind: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(String(512), default="")
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime.datetime]


class Duty(Base):
    """A periodic duty that one process does at a time."""

    __tablename__ = "duties"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(255))
    #: others may take it from then on
    until: Mapped[datetime.datetime]
    #: when it was last done
    ended_at: Mapped[datetime.datetime | None]
