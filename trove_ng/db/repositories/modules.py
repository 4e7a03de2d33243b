"""Modules, and which instances have them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from oslo_db.exception import DBDuplicateEntry
from sqlalchemy import ColumnElement, and_, exists, func, select, update
from sqlalchemy.orm import Session

from trove_ng.common.errors import Conflict
from trove_ng.db.models import Datastore, DatastoreVersion, Instance, InstanceModule, Module
from trove_ng.db.rows import AnyRow, AnySelect, Reader
from trove_ng.db.session import add_if_new

#: what the secrets of ``conf.modules.secrets`` are used for
PURPOSE = "module"
ALL = "all"


def _seen_by(tenant_id: str | None) -> ColumnElement[bool]:
    """Say which modules a project may see; None sees all."""
    alive = Module.deleted.is_(False)
    if tenant_id is None:
        return alive
    return and_(alive, Module.visible.is_(True), Module.tenant_id.in_((tenant_id, ALL)))


def _applied(tenant_id: str | None) -> ColumnElement[bool]:
    """Say which rows of instance_modules count, beside those of other modules."""
    found = and_(InstanceModule.deleted.is_(False), Instance.deleted.is_(False))
    return found if tenant_id is None else and_(found, Instance.tenant_id == tenant_id)


def _view(tenant_id: str | None) -> AnySelect:
    count = select(func.count()).select_from(InstanceModule).join(
        Instance, Instance.id == InstanceModule.instance_id).where(
        InstanceModule.module_id == Module.id, _applied(tenant_id)).correlate(
        Module).scalar_subquery()
    columns = [column for column in Module.__table__.columns if column.name != "contents"]
    return select(
        *columns, Datastore.name.label("datastore_name"),
        DatastoreVersion.name.label("version_name"), count.label("instance_count"),
    ).select_from(Module).outerjoin(Datastore, Datastore.id == Module.datastore_id).outerjoin(
        DatastoreVersion, DatastoreVersion.id == Module.datastore_version_id).where(
        _seen_by(tenant_id))


def list_views(reader: Reader, *, tenant_id: str | None, limit: int,
               marker: str | None = None, datastore_id: str | None = None,
               ) -> Sequence[AnyRow]:
    """Return up to ``limit`` + 1 modules ordered by id, after ``marker``.

    :param tenant_id: whose eyes; None sees all
    :param datastore_id: only those that may be applied to it; ``all`` gives only those that
        may be applied to any
    """
    statement = _view(tenant_id)
    if datastore_id is not None:
        statement = statement.where(Module.datastore_id.in_({datastore_id, ALL}))
    if marker is not None:
        statement = statement.where(Module.id > marker)
    return reader.execute(statement.order_by(Module.id).limit(limit + 1)).all()


def views(reader: Reader, ids: Iterable[str], tenant_id: str | None) -> dict[str, AnyRow]:
    """Return those of the modules that a project may see, by id; None sees all."""
    rows = reader.execute(_view(tenant_id).where(Module.id.in_(list(ids))))
    return {row.id: row for row in rows}


def get(session: Session, module_id: str, tenant_id: str | None, *, lock: bool = False,
        ) -> Module | None:
    """Return a module that a project may see; None sees all."""
    statement = select(Module).where(Module.id == module_id, _seen_by(tenant_id))
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return session.scalars(statement).one_or_none()


def add(session: Session, module: Module) -> None:
    """Add a module.

    :raises Conflict: there is one like it
    """
    if not add_if_new(session, module):
        raise _taken(module.name)


def flush(session: Session, module: Module) -> None:
    """Write the changes of a module.

    :raises Conflict: there is one like it by now
    """
    name = module.name
    try:
        session.flush()
    except DBDuplicateEntry:
        raise _taken(name) from None


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a module {name} of this type for the same datastore already.")


def delete(session: Session, module: Module, now: datetime.datetime) -> None:
    """Mark a module as deleted; what it held is gone at once."""
    module.deleted, module.deleted_at, module.live_key = True, now, module.id
    module.contents = ""


def automatic(session: Session, tenant_id: str, datastore_id: str, version_id: str,
              ) -> Sequence[Module]:
    """Return the modules that a new instance gets without being asked for, locked."""
    return session.scalars(select(Module).where(
        Module.deleted.is_(False), Module.auto_apply.is_(True),
        Module.tenant_id.in_((tenant_id, ALL)),
        Module.datastore_id.in_((datastore_id, ALL)),
        Module.datastore_version_id.in_((version_id, ALL))).order_by(
            Module.id).with_for_update()).all()


def names(session: Session, module: Module) -> tuple[str, str]:
    """Return the names of the datastore and the version that a module is for, or all."""
    version = session.get(DatastoreVersion, module.datastore_version_id)
    datastore = session.get(Datastore, module.datastore_id)
    return datastore.name if datastore else ALL, version.name if version else ALL


# ---- instances that have modules --------------------------------------------


def is_applied(session: Session, module_id: str) -> bool:
    """Return whether an instance has a module, or may have it."""
    return session.scalars(select(InstanceModule.id).join(
        Instance, Instance.id == InstanceModule.instance_id).where(
        InstanceModule.module_id == module_id, _applied(None)).limit(1)).first() is not None


def of_instance(reader: Reader, instance_id: str) -> Sequence[AnyRow]:
    """Return module_id, md5, created and updated of the modules of an instance."""
    return reader.execute(select(
        InstanceModule.module_id, InstanceModule.md5, InstanceModule.created,
        InstanceModule.updated).where(
        InstanceModule.instance_id == instance_id, InstanceModule.deleted.is_(False),
        ).order_by(InstanceModule.created, InstanceModule.module_id)).all()


def has(session: Session, instance_id: str, module_id: str) -> bool:
    """Return whether an instance has a module, or may have it."""
    return bool(session.scalar(select(exists().where(
        InstanceModule.instance_id == instance_id, InstanceModule.module_id == module_id,
        InstanceModule.deleted.is_(False)))))


def begin(session: Session, instance_id: str, module_id: str, now: datetime.datetime) -> None:
    """Write that an instance may have a module from now on; nothing if it may already.

    It is written before the agent is asked, so that a module that an instance has is always
    known here.
    """
    if _row(session, instance_id, module_id) is None:
        session.add(InstanceModule(instance_id=instance_id, module_id=module_id, md5="",
                                   created=now, updated=now))
        session.flush()


def note_applied(session: Session, instance_id: str, module_id: str, md5: str,
                 now: datetime.datetime) -> None:
    """Write which contents of a module an instance has."""
    row = _row(session, instance_id, module_id)
    if row is not None:
        row.md5, row.updated = md5, now


def note_failed(session: Session, instance_id: str, module_id: str,
                now: datetime.datetime) -> None:
    """Write that a module could not be applied; one that was there before stays."""
    row = _row(session, instance_id, module_id)
    if row is not None and not row.md5:
        row.deleted, row.deleted_at = True, now


def forget(session: Session, instance_id: str, now: datetime.datetime,
           module_id: str | None = None) -> None:
    """Write that an instance does not have a module any more; None: any module."""
    statement = update(InstanceModule).where(
        InstanceModule.instance_id == instance_id, InstanceModule.deleted.is_(False))
    if module_id is not None:
        statement = statement.where(InstanceModule.module_id == module_id)
    session.execute(statement.values(deleted=True, deleted_at=now))


def _row(session: Session, instance_id: str, module_id: str) -> InstanceModule | None:
    return session.scalars(select(InstanceModule).where(
        InstanceModule.instance_id == instance_id, InstanceModule.module_id == module_id,
        InstanceModule.deleted.is_(False)).with_for_update()).first()


def _instances(module_id: str, tenant_id: str | None, include_clustered: bool,
               ) -> ColumnElement[bool]:
    found = and_(InstanceModule.module_id == module_id, _applied(tenant_id))
    return found if include_clustered else and_(found, Instance.cluster_id.is_(None))


def instance_ids(reader: Reader, module_id: str, *, tenant_id: str | None,
                 include_clustered: bool, limit: int | None = None,
                 marker: str | None = None, md5: str | None = None,
                 but_md5: str | None = None) -> list[str]:
    """Return the ids of the instances that have a module, in their order.

    :param tenant_id: owner to look among; None looks among all
    :param limit: how many more one than this to return; None returns all
    :param md5: only those that have these contents
    :param but_md5: only those that have other contents
    """
    statement = select(Instance.id).join(
        InstanceModule, InstanceModule.instance_id == Instance.id).where(
        _instances(module_id, tenant_id, include_clustered))
    if marker is not None:
        statement = statement.where(Instance.id > marker)
    if md5 is not None:
        statement = statement.where(InstanceModule.md5 == md5)
    if but_md5 is not None:
        statement = statement.where(InstanceModule.md5 != but_md5)
    statement = statement.order_by(Instance.id)
    if limit is not None:
        statement = statement.limit(limit + 1)
    return [row[0] for row in reader.execute(statement)]


def counts(reader: Reader, module_id: str, *, tenant_id: str | None,
           include_clustered: bool) -> Sequence[AnyRow]:
    """Return md5, how many instances have it, and when the first and last got it."""
    return reader.execute(select(
        InstanceModule.md5, func.count().label("instances"),
        func.min(InstanceModule.updated).label("first"),
        func.max(InstanceModule.updated).label("last"),
    ).select_from(InstanceModule).join(
        Instance, Instance.id == InstanceModule.instance_id).where(
        _instances(module_id, tenant_id, include_clustered)).group_by(
        InstanceModule.md5).order_by(InstanceModule.md5)).all()


def fits(module: Module, datastore_id: str, version_id: str) -> bool:
    """Return whether a module may be applied to an instance of a version."""
    return (module.datastore_id in (ALL, datastore_id)
            and module.datastore_version_id in (ALL, version_id))
