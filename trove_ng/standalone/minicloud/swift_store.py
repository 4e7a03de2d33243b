"""What the object store knows: accounts, containers, objects; and their files."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, meta TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS containers (
    account TEXT NOT NULL, name TEXT NOT NULL, meta TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (account, name));
CREATE TABLE IF NOT EXISTS objects (
    account TEXT NOT NULL, container TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL,
    etag TEXT NOT NULL, content_type TEXT NOT NULL, modified REAL NOT NULL,
    meta TEXT NOT NULL, file TEXT NOT NULL, delete_at REAL, segments TEXT,
    PRIMARY KEY (account, container, name));
CREATE INDEX IF NOT EXISTS objects_expiry ON objects (delete_at) WHERE delete_at IS NOT NULL;
"""


@dataclass
class StoredObject:
    """An object.

    :param file: name of the file with its data; empty for a manifest
    :param delete_at: Unix time after which it is gone
    :param segments: of a static large object: path, bytes and etag of each
    """

    account: str
    container: str
    name: str
    size: int
    etag: str
    content_type: str
    modified: float
    meta: dict[str, str] = field(default_factory=dict)
    file: str = ""
    delete_at: float | None = None
    segments: list[dict[str, Any]] | None = None


class SwiftStore:
    """Rows in an SQLite file, data in files beside it.

    Files have names of their own, so that an object's name is never a path.
    """

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir
        self._files = data_dir / "data"
        self._files.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            data_dir / "objects.sqlite", check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)
        self._sweep_files()

    def _sweep_files(self) -> None:
        """Delete what an upload that was cut off left."""
        known = {row["file"] for row in self._all("SELECT file FROM objects")}
        for path in self._files.iterdir():
            if path.name not in known:
                path.unlink()

    def _all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def _do(self, query: str, *values: Any) -> int:
        with self._lock:
            return self._connection.execute(query, values).rowcount

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all others out."""
        with self._lock:
            yield

    # accounts and containers

    def account_meta(self, account: str) -> dict[str, str]:
        """Return the metadata of an account; every account exists."""
        rows = self._all("SELECT meta FROM accounts WHERE name = ?", account)
        return json.loads(rows[0]["meta"]) if rows else {}

    def set_account_meta(self, account: str, meta: dict[str, str]) -> None:
        """Write the metadata of an account."""
        self._do("INSERT INTO accounts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET "
                 "meta = excluded.meta", account, json.dumps(meta))

    def container_meta(self, account: str, container: str) -> dict[str, str] | None:
        """Return the metadata of a container, None if there is no such container."""
        rows = self._all("SELECT meta FROM containers WHERE account = ? AND name = ?",
                         account, container)
        return json.loads(rows[0]["meta"]) if rows else None

    def set_container_meta(self, account: str, container: str, meta: dict[str, str]) -> None:
        """Make a container, or write its metadata."""
        self._do("INSERT INTO containers VALUES (?, ?, ?, ?) ON CONFLICT (account, name) "
                 "DO UPDATE SET meta = excluded.meta",
                 account, container, json.dumps(meta), time.time())

    def delete_container(self, account: str, container: str) -> bool:
        """Delete an empty container; return False if it is not empty."""
        with self._lock:
            if self.usage(account, container)[0]:
                return False
            self._do("DELETE FROM containers WHERE account = ? AND name = ?",
                     account, container)
            return True

    def containers(self, account: str) -> list[str]:
        """Return the names of an account's containers, sorted as bytes."""
        return [row["name"] for row in self._all(
            "SELECT name FROM containers WHERE account = ? ORDER BY name", account)]

    def usage(self, account: str, container: str | None = None) -> tuple[int, int]:
        """Return number and bytes of the objects of a container, or of an account."""
        query = ("SELECT COUNT(*) AS n, COALESCE(SUM(size), 0) AS b FROM objects "
                 "WHERE account = ? AND (delete_at IS NULL OR delete_at > ?)")
        values: list[Any] = [account, time.time()]
        if container is not None:
            query += " AND container = ?"
            values.append(container)
        row = self._all(query, *values)[0]
        return row["n"], row["b"]

    # objects

    def objects(self, account: str, container: str, prefix: str = "") -> list[StoredObject]:
        """Return the objects whose names begin with a prefix, by name."""
        rows = self._all(
            "SELECT * FROM objects WHERE account = ? AND container = ? AND "
            "(delete_at IS NULL OR delete_at > ?) AND substr(name, 1, ?) = ? ORDER BY name",
            account, container, time.time(), len(prefix), prefix)
        return [_object(row) for row in rows]

    def get(self, account: str, container: str, name: str) -> StoredObject | None:
        """Return an object that has not expired."""
        rows = self._all(
            "SELECT * FROM objects WHERE account = ? AND container = ? AND name = ? AND "
            "(delete_at IS NULL OR delete_at > ?)", account, container, name, time.time())
        return _object(rows[0]) if rows else None

    def put(self, new: StoredObject) -> None:
        """Write an object; the file of the one before is deleted."""
        with self._lock:
            before = self._file(new.account, new.container, new.name)
            self._do("INSERT OR REPLACE INTO objects VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                     new.account, new.container, new.name, new.size, new.etag,
                     new.content_type, new.modified, json.dumps(new.meta), new.file,
                     new.delete_at,
                     None if new.segments is None else json.dumps(new.segments))
            if before and before != new.file:
                (self._files / before).unlink(missing_ok=True)

    def delete(self, account: str, container: str, name: str) -> bool:
        """Delete an object; return False if there was none."""
        with self._lock:
            before = self._file(account, container, name)
            if before is None:
                return False
            self._do("DELETE FROM objects WHERE account = ? AND container = ? AND name = ?",
                     account, container, name)
            if before:
                (self._files / before).unlink(missing_ok=True)
            return True

    def _file(self, account: str, container: str, name: str) -> str | None:
        rows = self._all("SELECT file FROM objects WHERE account = ? AND container = ? "
                         "AND name = ?", account, container, name)
        return rows[0]["file"] if rows else None

    def expire(self) -> None:
        """Delete objects whose time is over."""
        for row in self._all("SELECT account, container, name FROM objects "
                             "WHERE delete_at <= ?", time.time()):
            self.delete(row["account"], row["container"], row["name"])

    # files

    def new_file(self) -> Path:
        """Return where the data of a new object goes."""
        return self._files / uuid.uuid4().hex

    def path(self, stored: StoredObject) -> Path:
        """Return where an object's data is."""
        return self._files / stored.file


def _object(row: sqlite3.Row) -> StoredObject:
    values = dict(row)
    values["meta"] = json.loads(values["meta"])
    if values["segments"] is not None:
        values["segments"] = json.loads(values["segments"])
    return StoredObject(**values)
