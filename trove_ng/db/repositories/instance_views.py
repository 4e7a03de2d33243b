"""What the API shows of instances: the hottest reads.

Each shape of statement is made once.  A list takes its page from an index first and
joins the rest to it, so that its cost does not depend on how many instances there are.
MariaDB and MySQL are told so: their optimizers, misled by statistics that are older than
the rows, may read whole tables instead.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Subquery, bindparam, exists, false, func, select, true
from sqlalchemy.orm import aliased

from trove_ng.common.states import BACKUP_RUNNING
from trove_ng.db.models import (
    Backup,
    Configuration,
    Datastore,
    DatastoreVersion,
    Failover,
    Instance,
    InstanceFault,
    LogArchive,
    ServiceStatusRow,
)
from trove_ng.db.rows import AnyRow, AnySelect, Reader


class Shape(enum.IntEnum):
    """How much a view shows: a list's line, all that its owner sees, everything."""

    BRIEF = 1
    DETAIL = 2
    ALL = 3


_MYSQL = ("mysql", "mariadb")
_RUNNING = [state.value for state in BACKUP_RUNNING]


def backup_running() -> ColumnElement[bool]:
    """Return the expression for whether a backup of the instance is not ended."""
    return exists(select(Backup.id).where(
        Backup.instance_id == Instance.id, Backup.deleted.is_(False),
        Backup.state.in_(_RUNNING)).correlate(Instance)).label("backup_running")


def _has_replicas() -> ColumnElement[bool]:
    replica = aliased(Instance)
    found = select(replica.id).where(
        replica.slave_of_id == Instance.id, replica.deleted.is_(False)).correlate(Instance)
    for dialect in _MYSQL:
        found = found.with_hint(replica, "FORCE INDEX (ix_instances_slave_of_id)", dialect)
    return exists(found).label("has_replicas")


def _has_faults() -> ColumnElement[bool]:
    return exists(select(InstanceFault.id).where(
        InstanceFault.instance_id == Instance.id, InstanceFault.deleted.is_(False),
        ).correlate(Instance)).label("has_faults")


def _view(shape: Shape, ids: Subquery | None = None) -> AnySelect:
    """Select what a view needs, one row an instance.

    :param ids: the instances to view, read first; None views all
    """
    columns = [
        Instance.id, Instance.name, Instance.tenant_id, Instance.hostname, Instance.task,
        Instance.error, Instance.restart_required, Instance.server_status,
        Instance.flavor_id, Instance.volume_size, Instance.addresses, Instance.region_id,
        Instance.access, Instance.slave_of_id,
        Datastore.name.label("datastore_name"),
        DatastoreVersion.name.label("version_name"),
        DatastoreVersion.version.label("version_number"),
        ServiceStatusRow.status.label("service_status"),
        ServiceStatusRow.updated_at.label("service_updated"),
        backup_running(), _has_replicas()]
    if shape >= Shape.DETAIL:
        columns += [
            Instance.locality, Instance.configuration_id, Instance.cluster_id,
            Instance.shard_id, Instance.created, Instance.updated,
            Configuration.name.label("configuration_name"),
            ServiceStatusRow.description.label("service_reason"),
            ServiceStatusRow.details.label("service_details"),
            ServiceStatusRow.volume_total, ServiceStatusRow.volume_used, _has_faults(),
            Failover.mode.label("failover_mode"), Failover.timeout_seconds,
            Failover.min_interval_seconds, Failover.max_lag,
            Failover.last_at.label("failover_at"),
            LogArchive.enabled.label("log_enabled"), LogArchive.retention_days,
            LogArchive.error.label("log_error"), LogArchive.shipped_at, LogArchive.earliest,
            LogArchive.latest]
    if shape >= Shape.ALL:
        columns += [
            Instance.compute_instance_id, Instance.server_host, Instance.volume_id,
            Instance.deleted, Instance.deleted_at, DatastoreVersion.manager,
            ServiceStatusRow.agent_version,
            DatastoreVersion.id.label("version_id")]
    statement: AnySelect = select(*columns)
    if ids is None:
        statement = statement.select_from(Instance)
    else:
        statement = statement.select_from(ids).join(Instance, Instance.id == ids.c.id)
        for dialect in _MYSQL:
            statement = statement.prefix_with("STRAIGHT_JOIN", dialect=dialect)
    statement = statement.join(
        DatastoreVersion, DatastoreVersion.id == Instance.datastore_version_id).join(
        Datastore, Datastore.id == DatastoreVersion.datastore_id).outerjoin(
        ServiceStatusRow, ServiceStatusRow.instance_id == Instance.id)
    if shape >= Shape.DETAIL:
        statement = statement.outerjoin(
            Configuration, Configuration.id == Instance.configuration_id).outerjoin(
            # a set's is its source's
            Failover, Failover.instance_id == func.coalesce(
                Instance.slave_of_id, Instance.id)).outerjoin(
            LogArchive, LogArchive.instance_id == Instance.id)
    return statement


@functools.cache
def _one(shape: Shape, of_tenant: bool, with_deleted: bool) -> AnySelect:
    statement = _view(shape).where(Instance.id == bindparam("wanted"))
    if of_tenant:
        statement = statement.where(Instance.tenant_id == bindparam("tenant"))
    if not with_deleted:
        statement = statement.where(Instance.deleted.is_(False))
    return statement


@functools.cache
def _page(shape: Shape, of_tenant: bool, after: bool, clustered: bool, deleted: bool,
          ) -> AnySelect:
    # MariaDB does not use an index for IS TRUE
    page = select(Instance.id).where(Instance.deleted == (true() if deleted else false()))
    if of_tenant:
        page = page.where(Instance.tenant_id == bindparam("tenant"))
    if not clustered:
        page = page.where(Instance.cluster_id.is_(None))
    if after:
        page = page.where(Instance.id > bindparam("marker"))
    ids = page.order_by(Instance.id).limit(bindparam("most")).subquery("page")
    return _view(shape, ids).order_by(ids.c.id)


def get(reader: Reader, instance_id: str, tenant_id: str | None,
        include_deleted: bool = False, shape: Shape = Shape.ALL) -> AnyRow | None:
    """Return an instance's view.

    :param tenant_id: owner to look among; None looks among all
    """
    found: AnyRow | None = reader.execute(
        _one(shape, tenant_id is not None, include_deleted),
        {"wanted": instance_id, "tenant": tenant_id}).one_or_none()
    return found


def some(reader: Reader, ids: Sequence[str]) -> Sequence[AnyRow]:
    """Return the brief views of existing instances, ordered by id."""
    statement = _view(Shape.BRIEF).where(
        Instance.id.in_(ids), Instance.deleted.is_(False)).order_by(Instance.id)
    found: Sequence[AnyRow] = reader.execute(statement).all()
    return found


def page(reader: Reader, *, tenant_id: str | None, limit: int, marker: str | None = None,
         include_clustered: bool = False, deleted: bool = False, shape: Shape = Shape.ALL,
         ) -> Sequence[AnyRow]:
    """Return up to ``limit`` + 1 views ordered by id, after ``marker``.

    :param tenant_id: owner to look among; None looks among all
    :param deleted: True gives the deleted ones instead of the existing ones
    """
    found: Sequence[AnyRow] = reader.execute(
        _page(shape, tenant_id is not None, marker is not None, include_clustered, deleted),
        {"tenant": tenant_id, "marker": marker, "most": limit + 1}).all()
    return found
