"""The types of what a query of several columns gives, and reading one row by its id."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, select
from sqlalchemy.orm import DeclarativeBase, Session

AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]
#: what plain reads need: rows, no objects
Reader = Session | Connection

T = TypeVar("T", bound=DeclarativeBase)


def by_id(session: Session, table: type[T], ident: str, tenant_id: str | None = None, *,
          lock: bool = False, include_deleted: bool = False) -> T | None:
    """Return the row of an id.

    :param table: with the columns ``id``, ``tenant_id`` and, for those that stay when they
        are deleted, ``deleted``
    :param tenant_id: owner to look among; None looks among all
    :param lock: hold the row's lock until the transaction ends
    """
    columns: Any = table
    statement = select(table).where(columns.id == ident)
    if tenant_id is not None:
        statement = statement.where(columns.tenant_id == tenant_id)
    if not include_deleted and hasattr(table, "deleted"):
        statement = statement.where(columns.deleted.is_(False))
    if lock:
        # what was read before may have changed since
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return session.scalars(statement).one_or_none()
