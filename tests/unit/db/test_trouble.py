"""What errors of the store mean."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest
from oslo_config import cfg
from oslo_db.exception import (
    DBConnectionError,
    DBDeadlock,
    DBDuplicateEntry,
    DBError,
    DBNonExistentTable,
)
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, TimeoutError

from trove_ng.conf import database as database_conf
from trove_ng.db import errors, trouble
from trove_ng.db.session import Database, retrying
from trove_ng.db.trouble import StoreAway, StoreConflict, StoreUnsure, Trouble


def mysql(code: int) -> OperationalError:
    return OperationalError("SELECT 1", {}, pymysql.err.OperationalError(code, "text"))


def postgresql(code: str | None) -> DBError:
    class Coded(psycopg2.OperationalError):
        pgcode = code  # type: ignore[assignment]

    return DBError(OperationalError("SELECT 1", {}, Coded("text")))


@pytest.mark.parametrize(("error", "meaning"), [
    (mysql(1213), Trouble.CONFLICT), (mysql(1205), Trouble.CONFLICT),
    (mysql(1290), Trouble.LEAVE), (mysql(1053), Trouble.LEAVE), (mysql(1047), Trouble.LEAVE),
    (mysql(1040), Trouble.AWAY), (mysql(1203), Trouble.AWAY), (mysql(1226), Trouble.AWAY),
    (mysql(1021), Trouble.AWAY), (mysql(1114), Trouble.AWAY), (mysql(2013), Trouble.AWAY),
    (mysql(1064), None), (mysql(1146), None), (mysql(1054), None), (mysql(1045), None),
    (postgresql("40P01"), Trouble.CONFLICT), (postgresql("40001"), Trouble.CONFLICT),
    (postgresql("55P03"), Trouble.CONFLICT), (postgresql("25006"), Trouble.LEAVE),
    (postgresql("57P01"), Trouble.LEAVE), (postgresql("53300"), Trouble.AWAY),
    (postgresql("53100"), Trouble.AWAY), (postgresql("57014"), Trouble.AWAY),
    (postgresql("58030"), Trouble.AWAY), (postgresql(None), Trouble.AWAY),
    (postgresql("42601"), None), (postgresql("28P01"), None),
    (DBDeadlock(), Trouble.CONFLICT), (DBConnectionError(), Trouble.AWAY),
    (TimeoutError("the pool is at its limit"), Trouble.AWAY),
    (DBDuplicateEntry(["id"]), None), (ValueError("text"), None)])
def test_errors_are_told_apart(error: Exception, meaning: Trouble | None) -> None:
    assert trouble.of(error) is meaning


@pytest.mark.parametrize(("error", "kind"), [
    (mysql(1205), "deadlock"), (postgresql("55P03"), "deadlock"), (DBDeadlock(), "deadlock"),
    (DBConnectionError(), "disconnect"), (DBDuplicateEntry(["id"]), "duplicate"),
    (mysql(1064), "other"), (mysql(1021), "other"), (None, "other")])
def test_errors_are_counted_as_what_is_begun_again(error: Exception | None, kind: str) -> None:
    assert errors.kind_of(error) == kind


@pytest.fixture
def database(tmp_path: Path) -> Database:
    conf = cfg.ConfigOpts()
    database_conf.register(conf)
    conf([], project="trove")
    conf.set_override("connection", f"sqlite:///{tmp_path}/store.db", group="database")
    conf.set_override("lock_timeout", 1, group="store")
    made = Database(conf)
    with made.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
        connection.exec_driver_sql("CREATE TABLE things (name TEXT)")
    return made


def add(database: Database, name: str) -> None:
    with database.writer() as session:
        session.execute(text("INSERT INTO things VALUES (:name)"), {"name": name})


def names(database: Database) -> list[str]:
    with database.reader() as session:
        return list(session.scalars(text("SELECT name FROM things")))


def test_a_locked_file_is_a_conflict_that_passes(database: Database, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "store.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreConflict):
        add(database, "one")
    other.rollback()
    add(database, "one")
    assert names(database) == ["one"]


def test_a_full_disk_is_a_store_that_is_away(database: Database) -> None:
    with pytest.raises(StoreAway) as caught, database.writer() as session:
        session.execute(text("PRAGMA max_page_count = 4"))
        session.execute(text("INSERT INTO things VALUES (:name)"), {"name": "x" * 100_000})
    assert type(caught.value) is StoreAway
    assert (caught.value.status, caught.value.retry_after) == (503, 5)
    assert names(database) == []


def test_a_mistake_is_not_taken_for_an_outage(database: Database) -> None:
    with pytest.raises(DBNonExistentTable), database.writer() as session:
        session.execute(text("INSERT INTO nowhere VALUES (1)"))


def test_a_connection_that_is_lost_during_the_commit_leaves_it_unsure(
        database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_args: Any) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    calls = []

    @retrying(5)
    def work() -> None:
        calls.append(1)
        with database.writer() as session:
            session.execute(text("INSERT INTO things VALUES ('one')"))
            monkeypatch.setattr(database.engine.dialect, "do_commit", lose)

    with pytest.raises(StoreUnsure, match="may have been accepted"):
        work()
    assert len(calls) == 1


def test_a_conflict_is_tried_again_for_a_bounded_time() -> None:
    calls = []

    @retrying(30)
    def third_time() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise StoreConflict
        return "done"

    assert third_time() == "done"
    assert len(calls) == 3

    @retrying(0)
    def never() -> None:
        calls.append(1)
        raise StoreAway

    with pytest.raises(StoreAway):
        never()
    assert len(calls) == 4
