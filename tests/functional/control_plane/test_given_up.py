"""An operation whose end cannot be written comes to an end all the same, when it is overdue."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, update

from tests.functional.control_plane.scenarios import SCENARIOS
from tests.functional.control_plane.world import World, wait_for
from trove_ng.db.models import Notification, Operation
from trove_ng.db.repositories import notifications, operations
from trove_ng.operations import payloads, usage
from trove_ng.operations.engine import Engine
from trove_ng.operations.lease import LeaseKeeper
from trove_ng.operations.runbook import Runbook
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.work import StepFailed, Work
from trove_ng.taskmanager.manager import Manager


class Broken(Exception):
    """What no code expects."""


def _break(*_args: Any) -> None:
    raise Broken


def _run(world: World, action: str, book: Runbook, fails: bool = False) -> tuple[str, Operation]:
    """Have an action not end, then be overdue; return its resource and its operation."""
    plane, last = world.plane, f"before {book.steps[-1].name}"

    def observe(work: Work, point: str) -> None:
        if fails and work.action == action and point == last:
            raise StepFailed("This fails.")

    keeper = LeaseKeeper(plane.db, plane.clock, "broken", plane.conf.operations.lease)
    manager = Manager(plane.db, plane.clock, keeper, Engine(
        plane.tools, {**runbooks(), action: book}, observe).run, 2)
    resource_id, ident = SCENARIOS[action].begin(world)

    def swept(found: Callable[[Operation], bool]) -> Callable[[], bool]:
        def look() -> bool:
            manager.sweep()
            return found(world.operation(ident))
        return look

    try:
        wait_for(swept(lambda row: row.attempts >= 3), "three attempts")
        assert world.operation(ident).status == operations.RUNNING
        with plane.db.writer() as session:
            session.execute(update(Operation).where(Operation.id == ident).values(
                deadline_at=plane.clock.now() - datetime.timedelta(days=2)))
        wait_for(swept(lambda row: row.live_key is None), "the end")
    finally:
        manager.stop()
    return resource_id, world.operation(ident)


def _check(world: World, action: str, resource_id: str, row: Operation) -> None:
    assert row.status == operations.FAILED
    scenario = SCENARIOS[action]
    if scenario.kind == "instances":
        shown = world.plane.show(resource_id)
        assert shown["status"] == "ERROR"
        assert shown["fault"]["message"] == row.error
    else:
        assert world.shown(scenario.kind, resource_id) == scenario.bad
        if action == payloads.BACKUP_VERIFY:
            world.settle()  # its instance is left to the reconciliation
        elif scenario.kind == "backups":
            world.delete_backup(resource_id)  # what is stored goes with it
    world.check()
    world.abandon()
    world.tidy()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("action", [
    payloads.INSTANCE_CREATE, payloads.INSTANCE_RESTART, payloads.INSTANCE_RESIZE_VOLUME,
    payloads.INSTANCE_DELETE, payloads.INSTANCE_PROMOTE, payloads.CONFIGURATION_APPLY,
    payloads.BACKUP_CREATE, payloads.BACKUP_DELETE, payloads.BACKUP_VERIFY])
def test_a_book_that_cannot_end(world: World, action: str, fails: bool) -> None:
    book = dataclasses.replace(runbooks()[action], succeed=_break, fail=_break)
    resource_id, row = _run(world, action, book, fails)
    assert row.error == ("This fails." if fails else
                         "An unexpected error (Broken) occurred at step end.")
    assert "test_given_up" in str(row.trace) or fails
    _check(world, action, resource_id, row)


def test_a_use_that_cannot_be_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    action = payloads.INSTANCE_DELETE
    world.instance()  # its beginning is told
    with monkeypatch.context() as patch:
        patch.setattr(usage, "note", _break)
        resource_id, row = _run(world, action, runbooks()[action])
    _check(world, action, resource_id, row)


def test_an_end_that_cannot_be_told(world: World, monkeypatch: pytest.MonkeyPatch,
                                    caplog: pytest.LogCaptureFixture) -> None:
    action, tell = payloads.INSTANCE_RESTART, notifications.end_operation
    with monkeypatch.context() as patch:
        patch.setattr(notifications, "end_operation", lambda session, row, *more: (
            _break() if row.notification and row.action == action
            else tell(session, row, *more)))
        resource_id, row = _run(world, action, runbooks()[action])
    assert f"the end of operation {row.id} is not told" in caplog.text
    with world.plane.db.writer() as session:
        session.execute(delete(Notification))
    _check(world, action, resource_id, row)
