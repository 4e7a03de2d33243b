"""Projects that have instances."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import false, func, select

from trove_ng.db.models import Instance
from trove_ng.db.rows import AnyRow, Reader


def page(reader: Reader, *, limit: int, marker: str | None = None) -> Sequence[AnyRow]:
    """Return up to ``limit`` + 1 rows of tenant_id and instances, after ``marker``."""
    statement = select(Instance.tenant_id, func.count().label("instances")).where(
        Instance.deleted == false())
    if marker is not None:
        statement = statement.where(Instance.tenant_id > marker)
    return reader.execute(statement.group_by(Instance.tenant_id).order_by(
        Instance.tenant_id).limit(limit + 1)).all()


def instance_ids(reader: Reader, tenant_id: str) -> list[str]:
    """Return the ids of a project's instances, in their order."""
    return [row[0] for row in reader.execute(select(Instance.id).where(
        Instance.deleted == false(), Instance.tenant_id == tenant_id).order_by(Instance.id))]
