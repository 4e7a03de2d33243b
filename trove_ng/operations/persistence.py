"""What taskflow remembers of a flow, in the service's own store and fenced.

taskflow's SQL backend has tables, migrations and an engine of its own and cannot know of
our leases; a worker that lost its lease could still write.  Here every write is made in a
transaction that holds the operation's row and checks the fencing token.
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

from trove_ng.db.repositories import operations
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.operations.lease import Lease


class StoreBackend(path_based.PathBasedBackend):
    """taskflow's memory of one operation."""

    DEFAULT_PATH = "/"

    def __init__(self, db: Database, lease: Lease) -> None:
        super().__init__({})
        self.db = db
        self.lease = lease

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
            try:
                yield session
            finally:
                self._session = None

    @retry_on_db_error
    def save_logbook(self, book: Any) -> Any:
        """Write a log book with its flows."""
        return super().save_logbook(book)

    @retry_on_db_error
    def update_flow_details(self, flow_detail: Any, ignore_missing: bool = False) -> Any:
        """Write a flow with its tasks."""
        return super().update_flow_details(flow_detail, ignore_missing)

    @retry_on_db_error
    def update_atom_details(self, atom_detail: Any, ignore_missing: bool = False) -> Any:
        """Write a task."""
        return super().update_atom_details(atom_detail, ignore_missing)

    def _join_path(self, *parts: str) -> str:
        return posixpath.join(*parts)

    def _get_item(self, path: str) -> Any:
        with self._reading() as session:
            data = operations.read_record(session, self._operation_id, path)
        if data is None:
            raise exceptions.NotFound(f"There is no record {path}")
        return jsonutils.loads(data)

    def _set_item(self, path: str, value: Any, transaction: Session) -> None:
        operations.write_record(
            transaction, self._operation_id, path, posixpath.dirname(path),
            jsonutils.dumps(value))

    def _del_tree(self, path: str, transaction: Session) -> None:
        operations.erase_records(transaction, self._operation_id, path)

    def _get_children(self, path: str) -> list[str]:
        with self._reading() as session:
            found = operations.record_children(session, self._operation_id, path)
        return [posixpath.basename(one) for one in found]

    def _ensure_path(self, path: str) -> None:
        """Do nothing: a path needs no parent."""

    def _create_link(self, src_path: str, dest_path: str, transaction: Session) -> None:
        operations.write_record(
            transaction, self._operation_id, dest_path, posixpath.dirname(dest_path), None)

    def validate(self) -> None:
        """Check that the records can be read."""
        self._get_children(self.book_path)
