"""The minicloud's memory: JSON documents in one SQLite file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, id TEXT NOT NULL, project_id TEXT NOT NULL, doc TEXT NOT NULL,
    UNIQUE (kind, id));
CREATE INDEX IF NOT EXISTS documents_project ON documents (kind, project_id);
"""


class Store:
    """Documents by kind and id.

    One connection, one lock: what happens in a ``transaction`` happens as a whole, and
    nobody sees a part of it.  A kill leaves the last committed state.

    :param path: the file, or ``:memory:``
    """

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        #: file that holds the documents
        self.path = Path(path)
        self._after: list[Callable[[], None]] = []
        self._connection = sqlite3.connect(
            str(path), check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes of the block one; an error takes them back.  May be nested."""
        with self._lock:
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                self._after.clear()
                raise
            else:
                self._connection.execute("COMMIT")
            finally:
                self._depth = 0
            after, self._after = self._after, []
        for call in after:
            call()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call something once what is being written is committed."""
        with self._lock:
            if self._depth:
                self._after.append(call)
                return
        call()

    def get(self, kind: str, ident: str) -> Document | None:
        """Return a copy of a document."""
        with self._lock:
            row = self._connection.execute(
                "SELECT doc FROM documents WHERE kind = ? AND id = ?", (kind, ident)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, kind: str, ident: str, doc: Document, project_id: str | None) -> None:
        """Write a document; its place in lists stays."""
        with self._lock:
            self._connection.execute(
                "INSERT INTO documents (kind, id, project_id, doc) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (kind, id) DO UPDATE SET project_id = excluded.project_id, "
                "doc = excluded.doc",
                (kind, ident, project_id or "", json.dumps(doc)))

    def list(self, kind: str, project_id: str | None = None) -> list[Document]:
        """Return copies of all documents of a kind, the oldest first."""
        query, values = "SELECT doc FROM documents WHERE kind = ?", [kind]
        if project_id is not None:
            query += " AND project_id = ?"
            values.append(project_id)
        with self._lock:
            rows = self._connection.execute(f"{query} ORDER BY number", values).fetchall()
        return [json.loads(row[0]) for row in rows]

    def delete(self, kind: str, ident: str) -> None:
        """Delete a document; one that is not there is no error."""
        with self._lock:
            self._connection.execute(
                "DELETE FROM documents WHERE kind = ? AND id = ?", (kind, ident))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
