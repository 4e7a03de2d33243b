"""Instances: what the API reads, and the writes of accepted requests."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from trove_ng.common.states import EventKind
from trove_ng.db.models import (
    DatastoreVersion,
    Instance,
    InstanceFault,
    RootHistory,
    ServiceStatusRow,
)
from trove_ng.db.repositories import events
from trove_ng.db.repositories.instance_views import backup_running
from trove_ng.db.rows import AnyRow, Reader, by_id
from trove_ng.db.session import flush_or_retry


def replica_ids(session: Reader, instance_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return source id → ids of its existing replicas."""
    found: dict[str, list[str]] = {}
    if not instance_ids:
        return found
    rows = session.execute(select(Instance.slave_of_id, Instance.id).where(
        Instance.slave_of_id.in_(instance_ids), Instance.deleted.is_(False),
    ).order_by(Instance.id))
    for source, replica in rows:
        found.setdefault(str(source), []).append(replica)
    return found


def replicas(session: Session, instance_id: str) -> Sequence[Instance]:
    """Return the existing replicas of an instance, in a fixed order."""
    return session.scalars(select(Instance).where(
        Instance.slave_of_id == instance_id, Instance.deleted.is_(False),
    ).order_by(Instance.id)).all()


def newest_faults(session: Reader, instance_ids: Sequence[str]) -> dict[str, AnyRow]:
    """Return instance id → message, details and created of its newest fault."""
    if not instance_ids:
        return {}
    newest = select(
        InstanceFault.instance_id, func.max(InstanceFault.created).label("created"),
    ).where(InstanceFault.instance_id.in_(instance_ids), InstanceFault.deleted.is_(False),
            ).group_by(InstanceFault.instance_id).subquery()
    rows = session.execute(select(
        InstanceFault.instance_id, InstanceFault.message, InstanceFault.details,
        InstanceFault.created).join(
        newest, (InstanceFault.instance_id == newest.c.instance_id)
        & (InstanceFault.created == newest.c.created)).where(
            InstanceFault.deleted.is_(False)))
    return {row.instance_id: row for row in rows}


def region_of(session: Session, instance_id: str, tenant_id: str | None) -> str | None:
    """Return the region that an instance is in; None: it does not say, or does not exist.

    :param tenant_id: owner to look among; None looks among all
    """
    statement = select(Instance.region_id).where(Instance.id == instance_id)
    if tenant_id is not None:
        statement = statement.where(Instance.tenant_id == tenant_id)
    return session.scalar(statement)


def get(session: Session, instance_id: str, tenant_id: str | None = None, *,
        lock: bool = False, include_deleted: bool = False) -> Instance | None:
    """Return an instance.

    :param tenant_id: owner to look among; None looks among all
    :param lock: hold the row's lock until the transaction ends
    """
    return by_id(session, Instance, instance_id, tenant_id, lock=lock,
                 include_deleted=include_deleted)


def owner(reader: Reader, instance_id: str, *, include_deleted: bool = False) -> str | None:
    """Return the project of an instance, None if there is no such instance."""
    statement = select(Instance.tenant_id).where(Instance.id == instance_id)
    if not include_deleted:
        statement = statement.where(Instance.deleted.is_(False))
    found: str | None = reader.execute(statement).scalar_one_or_none()
    return found


def flavor_ram(reader: Reader, instance_id: str) -> int:
    """Return the memory that an instance's flavor has, MiB."""
    return int(reader.execute(
        select(Instance.flavor_ram).where(Instance.id == instance_id)).scalar_one())


def get_with_status(session: Session, instance_id: str, tenant_id: str | None = None,
                    ) -> tuple[Instance, ServiceStatusRow | None, bool, str] | None:
    """Return the locked instance, its newest heartbeat, whether a backup runs, manager."""
    statement = select(Instance, ServiceStatusRow, DatastoreVersion.manager).join(
        DatastoreVersion, DatastoreVersion.id == Instance.datastore_version_id).outerjoin(
        ServiceStatusRow, ServiceStatusRow.instance_id == Instance.id).where(
        Instance.id == instance_id, Instance.deleted.is_(False))
    if tenant_id is not None:
        statement = statement.where(Instance.tenant_id == tenant_id)
    row = session.execute(statement.with_for_update(of=Instance).execution_options(
        populate_existing=True)).one_or_none()
    if row is None:
        return None
    # A statement of its own: in the one above the store would look for backups as they
    # were before it waited for the lock, and two backups at once would not see each other.
    running = session.scalar(select(backup_running()).where(Instance.id == instance_id))
    return row[0], row[1], bool(running), row[2]


def let_go(session: Session, operation_id: str) -> None:
    """Show no work of an operation any more, on none of its instances."""
    session.connection().execute(update(Instance).where(
        Instance.operation_id == operation_id).values(task="NONE", operation_id=None))


def of_operation(session: Session, operation_id: str) -> Sequence[Instance]:
    """Return the instances that an operation works on, locked in the order of all."""
    return session.scalars(select(Instance).where(
        Instance.operation_id == operation_id, Instance.deleted.is_(False)).order_by(
            Instance.id).with_for_update()).all()


def has_replicas(session: Session, instance_id: str) -> bool:
    """Return True if another existing instance replicates from this one."""
    return bool(session.scalar(select(exists().where(
        Instance.slave_of_id == instance_id, Instance.deleted.is_(False)))))


def shares_server_group(session: Session, group_id: str, but: str) -> bool:
    """Return True if an instance besides one has a server group, and is not being deleted.

    Of instances that are deleted at the same time each leaves the group to the others
    only until it is their turn: the last one finds itself alone.
    """
    return bool(session.scalar(select(exists().where(
        Instance.server_group_id == group_id, Instance.id != but,
        Instance.deleted.is_(False), Instance.task != "DELETING"))))


def add(session: Session, instance: Instance) -> Instance:
    """Add an instance and the status row that its heartbeats update."""
    session.add(instance)
    session.flush()
    session.add(ServiceStatusRow(instance_id=instance.id, status="NEW"))
    return instance


def follow(session: Session, instance: Instance, source_id: str | None,
           now: datetime.datetime, role: str = "It stands alone now") -> None:
    """Write whom an instance follows, and tell it if that is news.

    :param source_id: None: it follows nobody from now on
    :param role: what it is then, if it follows nobody
    """
    before = instance.slave_of_id
    if before == source_id:
        return
    instance.slave_of_id = source_id
    if source_id is not None:
        role = f"It follows instance {source_id} now"
    was = f"it followed instance {before}" if before is not None else "it was the source"
    events.add(session, EventKind.ROLE_CHANGED, f"{role}; {was}.", now,
               tenant_id=instance.tenant_id, resource_id=instance.id,
               details={"before": before, "after": source_id})


def are_replicas_idle(session: Session, instance_id: str) -> bool:
    """Return whether nothing works on any of an instance's replicas."""
    return session.scalar(select(Instance.id).where(
        Instance.slave_of_id == instance_id, Instance.deleted.is_(False),
        Instance.task != "NONE").limit(1)) is None


def root_was_enabled(session: Session, instance_id: str) -> RootHistory | None:
    """Return when and by whom root was first enabled, None if never."""
    return session.get(RootHistory, instance_id)


def note_root_enabled(session: Session, instance_id: str, user: str,
                      now: datetime.datetime) -> None:
    """Remember that root was enabled; the first time stays."""
    if session.get(RootHistory, instance_id) is None:
        session.add(RootHistory(instance_id=instance_id, user=user, created=now))
        flush_or_retry(session)


def note_server_state(session: Session, instance_id: str, before: str | None, after: str,
                      now: datetime.datetime) -> bool:
    """Write and tell a server's status; False if something works on the instance meanwhile."""
    changed = session.connection().execute(update(Instance).where(
        Instance.id == instance_id, Instance.task == "NONE",
        Instance.server_status == before if before is not None
        else Instance.server_status.is_(None),
    ).values(server_status=after, server_status_at=now))
    if changed.rowcount:
        events.add_for_instance(
            session, EventKind.SERVER_STATUS, instance_id,
            f"The server is {after}" + (f"; it was {before}." if before else "."), now,
            {"before": before, "after": after})
    return bool(changed.rowcount)


def note_server_host(session: Session, instance_id: str, before: str | None, after: str,
                     ) -> bool:
    """Write the machine of a server; False if something works on the instance meanwhile."""
    changed = session.connection().execute(update(Instance).where(
        Instance.id == instance_id, Instance.task == "NONE",
        Instance.server_host == before if before is not None
        else Instance.server_host.is_(None),
    ).values(server_host=after))
    return bool(changed.rowcount)
