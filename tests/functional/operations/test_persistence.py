"""What the workflow engine remembers, written no more often than needed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session
from taskflow import states
from taskflow.persistence import models

from tests.functional.operations.conftest import Bench
from trove_ng.db.session import Database
from trove_ng.operations.lease import Lease
from trove_ng.operations.persistence import StoreBackend, StoreConnection


class FailingLease:
    """A lease whose transactions may fail when all is said."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self.operation_id = lease.operation_id
        self.fails = False

    @contextlib.contextmanager
    def writer(self, db: Database) -> Iterator[Session]:
        with self._lease.writer(db) as session:
            yield session
            if self.fails:
                raise RuntimeError("not committed")


@pytest.fixture
def lease(bench: Bench) -> FailingLease:
    """Hold an operation."""
    claimed = bench.claim(bench.submit())
    assert claimed is not None
    return FailingLease(claimed)


def connect(bench: Bench, lease: Any) -> StoreConnection:
    return StoreBackend(bench.db, lease).get_connection()


@pytest.fixture
def task() -> models.TaskDetail:
    """A task that runs."""
    made = models.TaskDetail("one", str(uuid.uuid4()))
    made.state = states.RUNNING
    return made


@pytest.fixture
def writes(bench: Bench) -> list[str]:
    """Statements that write records."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "operation_records" in statement and not statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(bench.db.engine, "before_cursor_execute", note)
    return seen


def test_what_the_store_has_is_not_written_again(
        bench: Bench, lease: FailingLease, task: models.TaskDetail, writes: list[str]) -> None:
    connection = connect(bench, lease)
    connection.update_atom_details(task, ignore_missing=True)
    assert len(writes) == 1
    task.meta = {"progress": 0.5}
    connection.update_atom_details(task)
    assert len(writes) == 1
    task.state = states.SUCCESS
    connection.update_atom_details(task)
    assert len(writes) == 2


def test_a_flow_is_written_without_its_tasks_that_stay_the_same(
        bench: Bench, lease: FailingLease, task: models.TaskDetail, writes: list[str]) -> None:
    connection = connect(bench, lease)
    flow = models.FlowDetail("flow", str(uuid.uuid4()))
    flow.add(task)
    connection.update_flow_details(flow, ignore_missing=True)
    before = len(writes)
    flow.state = states.RUNNING
    connection.update_flow_details(flow)
    connection.update_flow_details(flow)
    assert len(writes) == before + 1
    found = connect(bench, lease).get_atoms_for_flow(flow.uuid)
    assert [one.uuid for one in found] == [task.uuid]


def test_what_was_not_committed_is_written_again(
        bench: Bench, lease: FailingLease, task: models.TaskDetail) -> None:
    connection = connect(bench, lease)
    lease.fails = True
    with pytest.raises(RuntimeError, match="not committed"):
        connection.update_atom_details(task, ignore_missing=True)
    lease.fails = False
    connection.update_atom_details(task, ignore_missing=True)
    assert connect(bench, lease).get_atom_details(task.uuid).state == states.RUNNING
    task.state = states.FAILURE
    lease.fails = True
    with pytest.raises(RuntimeError, match="not committed"):
        connection.update_atom_details(task)
    lease.fails = False
    connection.update_atom_details(task)
    assert connect(bench, lease).get_atom_details(task.uuid).state == states.FAILURE
