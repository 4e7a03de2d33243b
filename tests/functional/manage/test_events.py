"""Timelines at the command line."""

from __future__ import annotations

import datetime

import pytest

from tests.functional.manage.conftest import Operator
from trove_ng.common.clock import utcnow
from trove_ng.common.states import EventKind
from trove_ng.db.repositories import events
from trove_ng.db.session import Database


@pytest.fixture
def told(database: Database) -> None:
    """An event of today, one of last week, 2100 of last year."""
    now = utcnow()
    with database.writer() as session:
        for days, count in ((400, 2100), (7, 1), (0, 1)):
            for _ in range(count):
                events.add(session, EventKind.FAULT, f"{days} days ago",
                           now - datetime.timedelta(days=days), tenant_id="t", resource_id="i")


@pytest.mark.usefixtures("told")
def test_a_timeline_is_shown_the_newest_last(operator: Operator) -> None:
    lines = operator.does("event_list", "i", "--limit", "3")
    assert [line.split("fault")[-1].strip() for line in lines[:-1]] == [
        "400 days ago", "7 days ago", "0 days ago"]
    assert lines[-1] == "3 events"
    assert operator.does("event_list", "nowhere") == ["0 events"]


@pytest.mark.usefixtures("told")
def test_old_events_are_removed_by_age(operator: Operator) -> None:
    operator.conf.set_override("event_keep_days", 0)
    assert operator.does("event_purge") == ["0 events are removed"]
    operator.conf.set_override("event_keep_days", 30)
    assert operator.does("event_purge") == ["2100 events are removed"]
    assert operator.does("event_purge", "--days", "1") == ["1 events are removed"]
    assert operator.does("event_list", "i")[-1] == "1 events"
