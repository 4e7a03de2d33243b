"""Who reaches instances, as groups of rules: each instance has one."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import false, select

from trove_ng.db.models import DatastoreVersion, Instance
from trove_ng.db.rows import AnyRow, AnySelect, Reader


def _view(tenant_id: str | None) -> AnySelect:
    statement = select(
        Instance.id, Instance.tenant_id, Instance.access, Instance.created, Instance.updated,
        DatastoreVersion.manager,
    ).join(DatastoreVersion, DatastoreVersion.id == Instance.datastore_version_id).where(
        Instance.deleted == false(), Instance.security_group_id.is_not(None))
    return statement if tenant_id is None else statement.where(Instance.tenant_id == tenant_id)


def get(reader: Reader, instance_id: str, tenant_id: str | None) -> AnyRow | None:
    """Return what a group is made of: id, access, created, updated and manager.

    :param tenant_id: owner to look among; None looks among all
    """
    found: AnyRow | None = reader.execute(
        _view(tenant_id).where(Instance.id == instance_id)).one_or_none()
    return found


def page(reader: Reader, tenant_id: str, *, limit: int | None, marker: str | None,
         ) -> Sequence[AnyRow]:
    """Return up to ``limit`` + 1 groups of a project ordered by id, after ``marker``.

    :param limit: None returns all
    """
    statement = _view(tenant_id).order_by(Instance.id)
    if marker is not None:
        statement = statement.where(Instance.id > marker)
    if limit is not None:
        statement = statement.limit(limit + 1)
    found: Sequence[AnyRow] = reader.execute(statement).all()
    return found
