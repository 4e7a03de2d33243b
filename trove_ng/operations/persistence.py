"""What taskflow remembers of a flow, in the service's own store and fenced.

taskflow's SQL backend has tables, migrations and an engine of its own and cannot know of
our leases; a worker that lost its lease could still write.  Here every write is made in a
transaction that holds the operation's row and checks the fencing token.

taskflow writes a task three times where one state changes, and all tasks of a flow with each
state of the flow.  What the store has already is not written again: who has the lease is the
only one that writes, so it knows.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator
from typing import Any

from oslo_serialization import jsonutils
from sqlalchemy.orm import Session
from taskflow import exceptions
from taskflow.persistence import path_based

from trove_ng.db.repositories import operation_records
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.operations.lease import Lease


class StoreBackend(path_based.PathBasedBackend):
    """taskflow's memory of one operation."""

    DEFAULT_PATH = "/"

    def __init__(self, db: Database, lease: Lease) -> None:
        super().__init__({})
        self.db = db
        self.lease = lease
        #: path → what the store has there; None: a link
        self.known: dict[str, str | None] = {}

    def get_connection(self) -> StoreConnection:
        """Return a connection, for one thread."""
        return StoreConnection(self)

    def close(self) -> None:
        """Do nothing: the store belongs to the service."""


class StoreConnection(path_based.PathBasedConnection):
    """Reads and writes the records of one operation."""

    def __init__(self, backend: StoreBackend) -> None:
        super().__init__(backend)
        self._db = backend.db
        self._lease = backend.lease
        self._operation_id = backend.lease.operation_id
        self._session: Session | None = None
        self._known = backend.known
        #: the same, of what is not committed yet
        self._written: dict[str, str | None] = {}

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Session]:
        if self._session is not None:
            # what this transaction wrote before
            yield self._session
            return
        with self._db.reader() as session:
            yield session

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Session]:
        with self._lease.writer(self._db) as session:
            self._session = session
            self._written.clear()
            try:
                yield session
            finally:
                self._session = None
        self._known.update(self._written)

    @retry_on_db_error
    def save_logbook(self, book: Any) -> Any:
        """Write a log book with its flows."""
        return super().save_logbook(book)

    @retry_on_db_error
    def update_flow_details(self, flow_detail: Any, ignore_missing: bool = False) -> Any:
        """Write a flow with its tasks."""
        if self._is_known(flow_detail) and all(self._is_known(one) for one in flow_detail):
            return flow_detail
        return super().update_flow_details(flow_detail, ignore_missing)

    @retry_on_db_error
    def update_atom_details(self, atom_detail: Any, ignore_missing: bool = False) -> Any:
        """Write a task."""
        if self._is_known(atom_detail):
            return atom_detail
        return super().update_atom_details(atom_detail, ignore_missing)

    def _is_known(self, record: Any) -> bool:
        path = self._get_obj_path(record)
        return path in self._known and self._known[path] == _dumped(self._serialize(record))

    def _join_path(self, *parts: str) -> str:
        return posixpath.join(*parts)

    def _get_item(self, path: str) -> Any:
        data = self._written.get(path) or self._known.get(path)
        if data is None:
            with self._reading() as session:
                data = operation_records.read(session, self._operation_id, path)
        if data is None:
            raise exceptions.NotFound(f"There is no record {path}")
        return jsonutils.loads(data)

    def _set_item(self, path: str, value: Any, transaction: Session) -> None:
        self._write(path, _dumped(value), transaction)

    def _write(self, path: str, data: str | None, transaction: Session) -> None:
        there = self._written if path in self._written else self._known
        if path in there and there[path] == data:
            return
        operation_records.write(
            transaction, self._operation_id, path, posixpath.dirname(path), data)
        self._written[path] = data

    def _del_tree(self, path: str, transaction: Session) -> None:
        operation_records.erase(transaction, self._operation_id, path)
        self._known.clear()
        self._written.clear()

    def _get_children(self, path: str) -> list[str]:
        with self._reading() as session:
            found = operation_records.children(session, self._operation_id, path)
        return [posixpath.basename(one) for one in found]

    def _ensure_path(self, path: str) -> None:
        """Do nothing: a path needs no parent."""

    def _create_link(self, src_path: str, dest_path: str, transaction: Session) -> None:
        self._write(dest_path, None, transaction)

    def validate(self) -> None:
        """Check that the records can be read."""
        self._get_children(self.book_path)


def _dumped(value: dict[str, Any]) -> str:
    """Return a record as it is stored: without taskflow's progress, which nobody reads."""
    atom = value.get("atom")
    if atom is not None:
        value = {**value, "atom": {**atom, "meta": {
            name: one for name, one in (atom.get("meta") or {}).items()
            if name not in ("progress", "progress_details")}}}
    return str(jsonutils.dumps(value))
