"""Run the migrations from Python."""

from __future__ import annotations

import pathlib

import alembic.command
import alembic.config
import alembic.script
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, text


def _config(connection: Connection | None = None) -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(pathlib.Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the newest revision this software knows."""
    found = alembic.script.ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None
    return found


def current(engine: Engine) -> str | None:
    """Return the revision of the store, None when it is empty."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the store to a revision; safe to run twice, and by two at once.

    :raises alembic.util.CommandError: the store is at a revision that is unknown here
    """
    with engine.connect() as connection:
        with _one_at_a_time(connection):
            alembic.command.upgrade(_config(connection), revision)
        connection.commit()


class _one_at_a_time:  # noqa: N801  reads as a statement
    """Hold a lock of the database server while its schema changes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name

    def __enter__(self) -> None:
        if self._dialect == "mysql":
            self._connection.execute(text("SELECT GET_LOCK('trove_ng_migration', 600)"))
        elif self._dialect == "postgresql":
            self._connection.execute(text("SELECT pg_advisory_lock(7303014)"))
        self._connection.commit()

    def __exit__(self, *_exc: object) -> None:
        self._connection.rollback()
        if self._dialect == "mysql":
            self._connection.execute(text("SELECT RELEASE_LOCK('trove_ng_migration')"))
        elif self._dialect == "postgresql":
            self._connection.execute(text("SELECT pg_advisory_unlock(7303014)"))
