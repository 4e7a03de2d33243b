from __future__ import annotations

import pytest
from sqlalchemy import inspect
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import create_engine
from sqlalchemy.schema import CreateTable

from trove_ng.db.models import Base

#: MySQL's and PostgreSQL's limit
LONGEST_NAME = 63


@pytest.mark.parametrize("dialect", [mysql, postgresql, sqlite])
def test_every_table_can_be_made_on_each_database(dialect: object) -> None:
    for table in Base.metadata.sorted_tables:
        statement = str(CreateTable(table).compile(dialect=dialect.dialect()))  # type: ignore[attr-defined]
        assert table.name in statement


def test_names_fit_every_database() -> None:
    for table in Base.metadata.sorted_tables:
        names = [table.name, *(column.name for column in table.columns),
                 *(str(index.name) for index in table.indexes),
                 *(str(item.name) for item in table.constraints if item.name)]
        assert max(map(len, names)) <= LONGEST_NAME


def test_foreign_keys_are_indexed() -> None:
    """A delete of the parent must not scan the child."""
    for table in Base.metadata.sorted_tables:
        leading = {tuple(index.columns)[0].name for index in table.indexes}
        leading |= {tuple(item.columns)[0].name for item in table.constraints
                    if getattr(item, "columns", None) and type(item).__name__ in
                    ("UniqueConstraint", "PrimaryKeyConstraint")}
        for key in table.foreign_keys:
            assert key.parent.name in leading, f"{table.name}.{key.parent.name}"


def test_sqlite_makes_them_all() -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    assert set(inspect(engine).get_table_names()) == set(Base.metadata.tables)
