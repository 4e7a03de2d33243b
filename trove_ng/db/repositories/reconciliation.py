"""What a comparison of the store with the cloud reads, and the repairs in the store.

The number of statements does not depend on how many instances there are.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session, aliased

from trove_ng.common.states import BACKUP_RUNNING, BackupState, ExecutionState
from trove_ng.db.models import (
    Backup,
    Instance,
    InstanceKey,
    InstanceVolume,
    Operation,
    OperationMember,
    ServiceStatusRow,
)
from trove_ng.db.repositories import backups, operations, schedules, service_statuses
from trove_ng.db.rows import AnyRow, AnySelect

_CHUNK = 500
#: the action that starts a database on a new disk, and the error of an instance where it failed
_RECOVERS = "instance.recover"
_UNRECOVERED = "RECOVER"
#: the same of those that delete
_DELETES = ("instance.delete", "instance.force_delete", "backup.delete",
            "backup.delete_snapshot")
_UNDELETED = "DELETE"
_WORKED_ON = [*(state.value for state in BACKUP_RUNNING), BackupState.DELETING.value]


def _is_live(resource_id: object) -> ColumnElement[bool]:
    return exists().where(Operation.live_key == resource_id)


def _recoveries() -> ScalarSelect[int]:
    """Count an instance's failed recoveries since the last other operation on it."""
    later = aliased(Operation)
    return select(func.count(Operation.id)).where(
        Operation.resource_id == Instance.id, Operation.action == _RECOVERS,
        Operation.status == operations.FAILED,
        ~exists().where(later.resource_id == Instance.id, later.action != _RECOVERS,
                        later.created > Operation.created)).correlate(
                            Instance).scalar_subquery()


def _instance_is_live() -> ColumnElement[bool]:
    # conditions that an index answers each; an operation on a set names all its members
    return or_(_is_live(Instance.id), _is_live(Instance.verifies_id), exists().where(
        Operation.id == Instance.operation_id, Operation.live_key.is_not(None)))


class Volume(NamedTuple):
    """A volume of an instance; its size in GB."""

    id: str
    size: int | None


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of an instance.

    :param heartbeat: when the newest one came
    :param agent_status: what it said
    :param live: an operation works on it
    :param worked_at: when the last operation on it, or on a set that it belonged to, ended
    :param recoveries: how many that were to put a new disk to use failed since the last other
        operation
    """

    id: str
    tenant_id: str
    deleted: bool
    deleted_at: datetime.datetime | None
    task: str
    error: str
    compute_instance_id: str | None
    server_status: str | None
    server_host: str | None
    flavor_id: str
    port_ids: list[Any]
    security_group_id: str | None
    floating_ip_id: str | None
    server_group_id: str | None
    hostname: str | None
    addresses: list[Any]
    access: dict[str, Any]
    slave_of_id: str | None
    heartbeat: datetime.datetime | None
    agent_status: str | None
    live: bool
    has_key: bool
    worked_at: datetime.datetime | None
    recoveries: int
    volumes: tuple[Volume, ...]


def _facts(session: Session, *which: ColumnElement[bool]) -> dict[str, Facts]:
    """Return what is known of some instances, by id; in two statements."""
    volumes: dict[str, list[Volume]] = {}
    for ident, volume_id, size in session.execute(select(
            InstanceVolume.instance_id, InstanceVolume.volume_id, InstanceVolume.size).join(
                Instance, Instance.id == InstanceVolume.instance_id).where(
                    InstanceVolume.volume_id.is_not(None), *which).order_by(
                        InstanceVolume.volume_kind)):
        volumes.setdefault(ident, []).append(Volume(str(volume_id), size))
    rows = session.execute(select(
        Instance.id, Instance.tenant_id, Instance.deleted, Instance.deleted_at, Instance.task,
        Instance.error, Instance.compute_instance_id, Instance.server_status,
        Instance.server_host, Instance.flavor_id, Instance.port_ids,
        Instance.security_group_id, Instance.floating_ip_id, Instance.server_group_id,
        Instance.hostname, Instance.addresses, Instance.access, Instance.slave_of_id,
        ServiceStatusRow.updated_at.label("heartbeat"),
        ServiceStatusRow.status.label("agent_status"),
        _instance_is_live().label("live"),
        exists().where(InstanceKey.instance_id == Instance.id).label("has_key"),
        select(func.max(Operation.ended_at)).where(
            Operation.resource_id == func.coalesce(Instance.verifies_id, Instance.id))
        .scalar_subquery().label("worked_at"),
        select(func.max(Operation.ended_at)).join(
            OperationMember, OperationMember.operation_id == Operation.id).where(
                OperationMember.resource_id == Instance.id)
        .scalar_subquery().label("worked_in_set_at"),
        case((Instance.error == _UNRECOVERED, _recoveries()), else_=0).label("recoveries"),
    ).outerjoin(ServiceStatusRow, ServiceStatusRow.instance_id == Instance.id).where(*which))
    found = {}
    for row in rows:
        values = dict(row._mapping)
        ends = [one for one in (row.worked_at, values.pop("worked_in_set_at")) if one is not None]
        found[row.id] = Facts(**{**values, "worked_at": max(ends, default=None)},
                              volumes=tuple(volumes.get(row.id, ())))
    return found


def regions(session: Session, since: datetime.datetime) -> set[str]:
    """Return the regions that instances are in, or were until a time."""
    return {one for one in session.scalars(select(Instance.region_id).where(or_(
        Instance.deleted.is_(False), Instance.deleted_at >= since)).distinct()) if one}


def existing(session: Session, region: str, *, unnamed: bool) -> dict[str, Facts]:
    """Return what is known of a region's instances that are not deleted, by id.

    :param unnamed: also those that name no region
    """
    here: ColumnElement[bool] = Instance.region_id == region
    if unnamed:
        here = or_(Instance.region_id.is_(None), here)
    return _facts(session, Instance.deleted.is_(False), here)


def named(session: Session) -> dict[str, Facts]:
    """Return the same of all instances that are not deleted and have a name."""
    return _facts(session, Instance.deleted.is_(False), Instance.hostname.is_not(None))


def of(session: Session, ids: Collection[str]) -> dict[str, Facts]:
    """Return the same of some instances, also of deleted ones."""
    found: dict[str, Facts] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), _CHUNK):
        found |= _facts(session, Instance.id.in_(wanted[start:start + _CHUNK]))
    return found


def addresses_of_deleted(session: Session, since: datetime.datetime,
                         until: datetime.datetime) -> set[str]:
    """Return the addresses that replicas had that were deleted between two times."""
    return {str(one["address"]) for addresses in session.scalars(select(
        Instance.addresses).where(
            Instance.deleted_at >= since, Instance.deleted_at < until,
            Instance.slave_of_id.is_not(None), ~_is_live(Instance.id)))
        for one in addresses or ()}


def _backup_facts() -> AnySelect:
    return select(
        Backup.id, Backup.tenant_id, Backup.instance_id, Backup.state, Backup.deleted,
        Backup.location, _is_live(Backup.id).label("live"),
        select(func.max(Operation.ended_at)).where(Operation.resource_id == Backup.id)
        .scalar_subquery().label("worked_at"))


def snapshots(session: Session, region: str, *, unnamed: bool) -> dict[str, AnyRow]:
    """Return what is known of a region's backups that are snapshots, by id.

    :param unnamed: also those that name no region
    :return: rows with, beside columns of the backup: ``live``, whether an operation works on
        it; ``worked_at``, when the last one ended
    """
    here: ColumnElement[bool] = Backup.region_id == region
    if unnamed:
        here = or_(Backup.region_id.is_(None), here)
    return {row.id: row for row in session.execute(_backup_facts().where(
        Backup.deleted.is_(False), Backup.storage_driver == backups.CINDER, here))}


def backups_of(session: Session, ids: Collection[str]) -> dict[str, AnyRow]:
    """Return the same of some backups, also of deleted ones."""
    found: dict[str, AnyRow] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), _CHUNK):
        found |= {row.id: row for row in session.execute(
            _backup_facts().where(Backup.id.in_(wanted[start:start + _CHUNK])))}
    return found


def _lost() -> ColumnElement[bool]:
    return and_(Backup.storage_driver == backups.SWIFT, Backup.container.is_not(None),
                or_(Backup.deleted.is_(True), Backup.state == BackupState.FAILED))


def late_places(session: Session, since: datetime.datetime) -> Sequence[AnyRow]:
    """Return tenant_id, region_id and container of backups that are deleted or failed.

    :param since: when they were made at the earliest
    """
    return session.execute(select(
        Backup.tenant_id, Backup.region_id, Backup.container).where(
            _lost(), Backup.created >= since).distinct().order_by(
                Backup.tenant_id, Backup.region_id, Backup.container)).all()


def objects_of(session: Session, ids: Collection[str]) -> dict[str, AnyRow]:
    """Return what is known of backups that are deleted or failed, by id.

    :return: rows with, beside columns of the backup, those of :func:`snapshots`, and ``used``:
        whether another backup consists of the same objects
    """
    found: dict[str, AnyRow] = {}
    wanted, other = sorted(ids), aliased(Backup)
    facts = _backup_facts().add_columns(
        Backup.container, Backup.prefix, Backup.region_id, Backup.created,
        exists().where(other.id != Backup.id, other.deleted.is_(False),
                       other.prefix == Backup.prefix).label("used"))
    for start in range(0, len(wanted), _CHUNK):
        found |= {row.id: row for row in session.execute(
            facts.where(_lost(), Backup.id.in_(wanted[start:start + _CHUNK])))}
    return found


def stuck_instances(session: Session) -> Sequence[AnyRow]:
    """Return id, tenant_id and task of instances that show work which nobody does."""
    return session.execute(select(Instance.id, Instance.tenant_id, Instance.task).where(
        Instance.deleted.is_(False), Instance.task != "NONE",
        ~_instance_is_live()).order_by(Instance.id)).all()


def left_of_verifications(session: Session) -> Sequence[AnyRow]:
    """Return id and tenant_id of instances that a backup was checked in, and nobody needs."""
    return session.execute(select(Instance.id, Instance.tenant_id).where(
        Instance.verifies_id.is_not(None), Instance.deleted.is_(False),
        ~_instance_is_live()).order_by(Instance.id)).all()


def with_accounts_left(session: Session, heard: datetime.datetime) -> Sequence[AnyRow]:
    """Return id and tenant_id of instances that may have accounts of replicas that are gone.

    :param heard: since when an agent was heard of that can be asked
    """
    return session.execute(_serving(heard).where(Instance.accounts_left.is_(True))).all()


def unopened(session: Session, heard: datetime.datetime) -> Sequence[AnyRow]:
    """Return id and tenant_id of sources that clients cannot write to since they are sources.

    :param heard: since when an agent was heard of that can be asked
    """
    return session.execute(_serving(heard).where(
        Instance.unopened.is_(True), Instance.slave_of_id.is_(None))).all()


def _serving(heard: datetime.datetime) -> AnySelect:
    return select(Instance.id, Instance.tenant_id).join(
        ServiceStatusRow, ServiceStatusRow.instance_id == Instance.id).where(
            Instance.deleted.is_(False),
            Instance.task == "NONE", ServiceStatusRow.updated_at >= heard,
            ServiceStatusRow.status.in_(service_statuses.SERVING),
            ~_instance_is_live()).order_by(Instance.id)


def undeleted(session: Session) -> Sequence[AnyRow]:
    """Return instances and backups whose deletion failed, and which nothing works on.

    :return: rows with id, tenant_id, instance_id, ``kind``; ``failures``, how many deletions
        are known that failed; ``failed_at``, when the last one did
    """
    def facts(table: type[Instance] | type[Backup], kind: str,
              instance_id: ColumnElement[Any], *which: ColumnElement[bool]) -> AnySelect:
        failed = and_(Operation.resource_id == table.id, Operation.action.in_(_DELETES),
                      Operation.status == operations.FAILED)
        return select(
            table.id, table.tenant_id, instance_id.label("instance_id"),
            literal(kind).label("kind"),
            select(func.count()).where(failed).scalar_subquery().label("failures"),
            select(func.max(Operation.ended_at)).where(failed).scalar_subquery().label(
                "failed_at")).where(table.deleted.is_(False), *which)

    return [*session.execute(facts(
        Instance, "instance", Instance.id.expression, Instance.error == _UNDELETED,
        Instance.verifies_id.is_(None), ~_instance_is_live())),
        *session.execute(facts(
            Backup, "backup", Backup.instance_id.expression,
            Backup.state == BackupState.DELETE_FAILED, ~_is_live(Backup.id)))]


def stuck_backups(session: Session) -> Sequence[AnyRow]:
    """Return id, tenant_id, instance_id and state of backups of the same kind."""
    return session.execute(select(
        Backup.id, Backup.tenant_id, Backup.instance_id, Backup.state).where(
            Backup.deleted.is_(False), Backup.state.in_(_WORKED_ON),
            ~_is_live(Backup.id)).order_by(Backup.id)).all()


def clear_task(session: Session, instance_id: str, task: str, error: str) -> bool:
    """Set the task of an instance to none, unless something works on it after all."""
    changed = session.connection().execute(update(Instance).where(
        Instance.id == instance_id, Instance.task == task, ~_instance_is_live(),
    ).values(task="NONE", operation_id=None, error=error))
    return bool(changed.rowcount)


def fail_backup(session: Session, backup_id: str, before: str, after: str, why: str) -> bool:
    """Let a backup have failed, unless something works on it after all."""
    changed = session.connection().execute(update(Backup).where(
        Backup.id == backup_id, Backup.state == before, ~_is_live(Backup.id),
    ).values(state=after, error=why))
    if changed.rowcount:
        schedules.note_end(session, backup_id, ExecutionState.ERROR, why)
    return bool(changed.rowcount)


def waiting(session: Session, before: datetime.datetime) -> tuple[int, str | None]:
    """Return how many operations nobody works on since a time, and the oldest's id."""
    ids = session.scalars(select(Operation.id).where(
        Operation.status.in_((operations.PENDING, operations.RUNNING)),
        Operation.created < before,
        or_(Operation.not_before.is_(None), Operation.not_before < before),
        or_(and_(Operation.lease_expires_at.is_(None), Operation.updated < before),
            Operation.lease_expires_at < before)).order_by(Operation.created)).all()
    return len(ids), ids[0] if ids else None


def keys_of_deleted(session: Session) -> Sequence[AnyRow]:
    """Return id and tenant_id of the deleted instances that still have an RPC key."""
    return session.execute(select(Instance.id, Instance.tenant_id).join(
        InstanceKey, InstanceKey.instance_id == Instance.id).where(
            Instance.deleted.is_(True)).order_by(Instance.id)).all()


def delete_key_of_deleted(session: Session, instance_id: str) -> bool:
    """Forget the key of an instance, if it is deleted."""
    changed = session.connection().execute(delete(InstanceKey).where(
        InstanceKey.instance_id == instance_id,
        exists().where(Instance.id == instance_id, Instance.deleted.is_(True))))
    return bool(changed.rowcount)
