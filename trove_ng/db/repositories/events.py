"""Timelines: what happened to a resource, written with the change that is told."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trove_ng.common.states import EventKind
from trove_ng.db.models import Backup, Event, Instance, Operation
from trove_ng.db.models.base import ordered_id
from trove_ng.db.rows import AnyRow, Reader

INSTANCE = "instance"

_LENGTH = 512
_TIME = len("00000000-0000-7000")
_COUNT = "events"
#: events that are looked through for the one that told the same
_COMPARED = 200

#: action → what is done, to begin a sentence with
_TITLES = {
    "instance.create": "Creating the instance",
    "instance.create_replica": "Creating the replica",
    "instance.detach_replica": "Detaching the replica",
    "instance.promote": "Making the replica the source",
    "instance.eject": "Giving the replicas another source",
    "instance.delete": "Deleting the instance",
    "instance.force_delete": "Deleting the instance by force",
    "instance.restart": "Restarting the database",
    "instance.resize_flavor": "Changing the flavor",
    "instance.resize_volume": "Growing the volume",
    "instance.grow_set": "Growing the volume of the replicas and of their source",
    "instance.configure": "Changing the settings",
    "configuration.apply": "Changing the settings of the group's instances",
    "instance.set_tls": "Changing the encryption of connections",
    "instance.roll_back_tls": "Taking back the last change of the encryption of connections",
    "instance.update_access": "Changing who reaches the database",
    "instance.stop": "Stopping the database",
    "instance.reboot": "Rebooting the server",
    "instance.migrate": "Migrating the server",
    "instance.rebuild": "Rebuilding the server",
    "instance.upgrade": "Upgrading the instance",
    "instance.recover": "Starting the database on a new disk",
    "instance.upgrade_agent": "Upgrading the agent",
    "backup.create": "Making a backup",
    "backup.import": "Taking over a backup",
    "backup.delete": "Deleting a backup",
    "backup.seed_replicas": "Making the snapshot for replicas",
    "backup.snapshot": "Making a snapshot",
    "backup.delete_snapshot": "Deleting a snapshot",
    "backup.verify": "Verifying a backup",
    "module.reapply": "Applying the module again",
}

_SENTENCES = {
    EventKind.OPERATION_ACCEPTED: "{} was asked for.",
    EventKind.OPERATION_STARTED: "{} has begun.",
    EventKind.OPERATION_RESUMED: "{} goes on after an interruption.",
    EventKind.OPERATION_SUCCEEDED: "{} has succeeded.",
    EventKind.OPERATION_FAILED: "{} has failed: {}",
    EventKind.OPERATION_CANCELLED: "{} was cancelled.",
}


def add(session: Session, kind: EventKind, message: str, now: datetime.datetime, *,
        tenant_id: str, resource_id: str, resource_type: str = INSTANCE,
        operation_id: str | None = None, request_id: str = "", user_id: str = "",
        details: Mapping[str, Any] | None = None) -> None:
    """Add an event to the transaction; a long message is cut.

    Events of one transaction keep their order: they are told a microsecond apart.

    :param message: plain words for the owner of the resource; no secret
    :param details: JSON values; no secret
    """
    count = session.info[_COUNT] = session.info.get(_COUNT, -1) + 1
    moment = now + datetime.timedelta(microseconds=count)
    if len(message) > _LENGTH:
        message = message[:_LENGTH - 3] + "..."
    session.add(Event(
        id=ordered_id(moment), created=moment, kind=kind, message=message,
        tenant_id=tenant_id, resource_type=resource_type, resource_id=resource_id,
        operation_id=operation_id, request_id=request_id, user_id=user_id,
        details=dict(details or {})))


def add_for_instance(session: Session, kind: EventKind, instance_id: str, message: str,
                     now: datetime.datetime, details: Mapping[str, Any] | None = None) -> None:
    """Add an event of an instance whose owner is not at hand; nothing for an unknown one."""
    tenant_id = session.scalar(select(Instance.tenant_id).where(Instance.id == instance_id))
    if tenant_id is not None:
        add(session, kind, message, now, tenant_id=tenant_id, resource_id=instance_id,
            details=details)


def add_for_operation(session: Session, kind: EventKind, operation: Operation,
                      now: datetime.datetime, error: str = "",
                      details: Mapping[str, Any] | None = None) -> None:
    """Tell a change of an operation on the timelines of all instances that belong to it.

    That of a backup is told on the timeline of the instance that is backed up.

    :param error: why it failed
    """
    told = {"action": operation.action, **(details or {})}
    resource_type, resource_id = operation.resource_type, operation.resource_id
    if resource_type == "backup":
        instance_id = session.scalar(select(Backup.instance_id).where(Backup.id == resource_id))
        if instance_id is not None:
            told["backup_id"] = resource_id
            resource_type, resource_id = INSTANCE, instance_id
    title = _TITLES.get(operation.action, f"The operation {operation.action}")
    for ident in (resource_id, *operation.others):
        of = ""
        if ident != resource_id:
            of, told = f" (instance {resource_id})", {**told, "instance_id": resource_id}
        add(session, kind, _SENTENCES[kind].format(title + of, error), now,
            tenant_id=operation.tenant_id, resource_type=resource_type, resource_id=ident,
            operation_id=operation.id, request_id=operation.request_id,
            user_id=operation.user_id, details=told)


def page(reader: Reader, resource_id: str, *, limit: int, marker: str | None = None,
         kind: str | None = None) -> list[AnyRow]:
    """Return up to ``limit`` + 1 events of a resource, the newest first.

    :param marker: id of an event; only older ones are returned
    """
    statement = select(
        Event.id, Event.kind, Event.message, Event.details, Event.operation_id,
        Event.request_id, Event.user_id, Event.created).where(
            Event.resource_id == resource_id)
    if marker is not None:
        statement = statement.where(Event.id < marker)
    if kind is not None:
        statement = statement.where(Event.kind == kind)
    return list(reader.execute(statement.order_by(Event.id.desc()).limit(limit + 1)))


def newest_about(session: Session, resource_id: str, kinds: Collection[EventKind],
                 details: Mapping[str, Any],
                 since: datetime.datetime | None = None) -> str | None:
    """Return of which of some kinds a resource's newest event is that has these details.

    :param since: only events since then count; None: all do
    """
    statement = select(Event.kind, Event.details).where(
        Event.resource_id == resource_id, Event.kind.in_(kinds))
    if since is not None:
        statement = statement.where(Event.created >= since)
    for kind, told in session.execute(statement.order_by(Event.id.desc()).limit(_COMPARED)):
        if told == details:
            return str(kind)
    return None


def purge(session: Session, before: datetime.datetime, batch: int) -> int:
    """Remove the oldest of the events that are older than a time; return how many.

    :param batch: how many at most, so that no lock is held for long
    """
    # the part that is time: it sorts before all ids of that microsecond
    limit = ordered_id(before)[:_TIME]
    last = session.scalar(select(Event.id).where(Event.id < limit).order_by(
        Event.id).offset(batch - 1).limit(1))
    statement = delete(Event).where(Event.id <= last if last is not None else Event.id < limit)
    return int(session.connection().execute(statement).rowcount)
