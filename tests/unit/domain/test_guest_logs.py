"""What a log is shown as."""

from __future__ import annotations

import pytest

from trove_ng.datastores.guest_logs import Log, LogKind, Place
from trove_ng.domain import guest_logs
from trove_ng.domain.guest_logs import LogStatus
from trove_ng.domain.instance_status import Facts, Task, refuse_logs
from trove_ng.rpc import log_messages as m

SYS, USER = LogKind.SYS, LogKind.USER


@pytest.mark.parametrize(("kind", "on", "size", "position", "continues", "status", "pending"), [
    (SYS, True, 0, 0, True, LogStatus.UNAVAILABLE, 0),
    (USER, True, 0, 0, True, LogStatus.ENABLED, 0),
    (USER, False, 0, 0, True, LogStatus.DISABLED, 0),
    (SYS, True, 9, 0, True, LogStatus.READY, 9),
    (USER, True, 9, 0, True, LogStatus.READY, 9),
    (USER, False, 9, 4, True, LogStatus.DISABLED, 5),
    (USER, False, 9, 9, True, LogStatus.DISABLED, 0),
    (USER, True, 9, 4, True, LogStatus.PARTIAL, 5),
    (SYS, True, 9, 9, True, LogStatus.PUBLISHED, 0),
    (USER, True, 3, 9, False, LogStatus.ROTATED, 3),
    (USER, True, 30, 9, False, LogStatus.ROTATED, 30),
    (SYS, True, 0, 9, False, LogStatus.ROTATED, 0),
])
def test_the_status_follows_from_what_is_written_and_published(
        kind: LogKind, on: bool, size: int, position: int, continues: bool,
        status: LogStatus, pending: int) -> None:
    state = m.LogState(name="l", enabled=on, size=size, continues=continues)
    for mark in [m.LogMark(name="l", position=position)] + [None] * (position == 0):
        view = guest_logs.view(Log("l", kind), state, mark, Place("i", "mariadb", "l"), "c")
        assert view == {
            "name": "l", "type": kind, "status": status, "published": position,
            "pending": pending, "container": "c" if position else "None",
            "prefix": "i/mariadb-l/" if position else "None", "metafile": "i/mariadb-l_metafile"}


def test_a_log_that_waits_for_a_restart_says_so() -> None:
    state = m.LogState(name="l", enabled=False, size=9, restart_required=True)
    assert guest_logs.status(USER, state, None) is LogStatus.RESTART_REQUIRED


WELL = {"server_status": "ACTIVE", "service_status": "HEALTHY"}


@pytest.mark.parametrize(("facts", "why"), [
    ({}, None), ({"service_status": "CRASHED"}, None), ({"service_status": "SHUTDOWN"}, None),
    ({"service_status": "FAILED", "error": "CREATE"}, None), ({"task": Task.RESTARTING}, None),
    ({"task": Task.BUILDING}, "its status is BUILD"),
    ({"task": Task.DELETING}, "its status is SHUTDOWN"),
    ({"server_status": "SHUTOFF"}, "its status is SHUTDOWN"),
    ({"server_status": None}, "its status is UNKNOWN"),
    ({"service_status": "NEW"}, "its database is NEW"),
    ({"service_status": "BUILDING"}, "its database is BUILDING"),
])
def test_logs_are_there_also_when_the_database_is_not(facts: dict[str, str],
                                                      why: str | None) -> None:
    assert refuse_logs(Facts(**{**WELL, **facts})) == why
