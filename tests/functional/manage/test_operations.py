"""Operations at the command line."""

from __future__ import annotations

import datetime

import pytest
from sqlalchemy import func, select

from tests.functional.manage.conftest import Operator
from trove_ng.common.clock import SystemClock, utcnow
from trove_ng.db.models import Operation, OperationStep
from trove_ng.db.session import Database
from trove_ng.taskmanager.housekeeping import Housekeeping


@pytest.fixture
def asked(database: Database) -> None:
    """2100 operations of last year, one of last week, and an old one that runs still."""
    now = utcnow()
    with database.writer() as session:
        for days, count in ((400, 2100), (7, 1)):
            for number in range(count):
                session.add(Operation(
                    id=f"{days}-{number}", action="instance.restart", tenant_id="t",
                    resource_type="instance", resource_id="i", status="SUCCEEDED",
                    ended_at=now - datetime.timedelta(days=days)))
        session.add(Operation(
            id="live", action="instance.restart", tenant_id="t", resource_type="instance",
            resource_id="i", live_key="i", created=now - datetime.timedelta(days=400)))
        session.flush()
        session.add(OperationStep(operation_id="400-0", step="restart", state="SUCCEEDED",
                                  started_at=now))


def left(database: Database) -> tuple[int, int]:
    """Return how many operations and steps there are."""
    with database.reader() as session:
        return (session.scalar(select(func.count()).select_from(Operation)) or 0,
                session.scalar(select(func.count()).select_from(OperationStep)) or 0)


@pytest.mark.usefixtures("asked")
def test_operations_that_ended_long_ago_are_removed_with_their_steps(
        operator: Operator, database: Database) -> None:
    operator.conf.set_override("keep_days", 0, group="operations")
    assert operator.does("operation_purge") == ["0 operations are removed"]
    assert left(database) == (2102, 1)
    operator.conf.set_override("keep_days", 30, group="operations")
    assert operator.does("operation_purge") == ["2100 operations are removed"]
    assert left(database) == (2, 0)
    assert operator.does("operation_purge", "--days", "1") == ["1 operations are removed"]
    assert operator.does("operation_list", "--all")[-1] == "1 operations"


@pytest.mark.usefixtures("asked")
def test_taskmanagers_remove_them_too(operator: Operator, database: Database) -> None:
    Housekeeping(operator.conf, database, SystemClock()).run()
    assert left(database) == (2, 0)
