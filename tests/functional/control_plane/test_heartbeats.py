"""Agents that fall silent, and speak again."""

from __future__ import annotations

import datetime
import threading
import time
from typing import Any

import pytest
from sqlalchemy import delete, event, update

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.test_events import timeline, wait_for
from trove_ng.common.clock import utcnow
from trove_ng.common.states import ServiceStatus
from trove_ng.db.models import Instance, InstanceKey, ServiceStatusRow
from trove_ng.taskmanager.heartbeats import HeartbeatWatch


@pytest.fixture
def watch(plane: ControlPlane) -> HeartbeatWatch:
    return HeartbeatWatch(plane.db, plane.clock, plane.conf.agent_heartbeat_expiry)


def silence(plane: ControlPlane, ident: str, seconds: float = 90) -> None:
    """Let the last heartbeat be so long ago."""
    with plane.db.writer() as session:
        session.execute(update(ServiceStatusRow).where(
            ServiceStatusRow.instance_id == ident).values(
                updated_at=utcnow() - datetime.timedelta(seconds=seconds)))


def lost(plane: ControlPlane, ident: str) -> list[dict[str, Any]]:
    return timeline(plane, ident, "?kind=heartbeat.lost")


def test_silence_is_shown_and_told_once_and_its_end_too(
        plane: ControlPlane, instance: str, watch: HeartbeatWatch) -> None:
    watch.run()
    assert lost(plane, instance) == []
    assert plane.show(instance)["operating_status"] == "HEALTHY"
    silence(plane, instance)
    assert plane.show(instance)["operating_status"] == "ERROR"
    watch.run()
    watch.run()
    told, = lost(plane, instance)
    assert told["message"].startswith("The agent was not heard of for 90 s")
    assert told["details"]["status"] == "HEALTHY"

    agent, = plane.hypervisor.agents.values()
    agent.beat(ServiceStatus.HEALTHY)
    wait_for(plane, instance, "heartbeat.back")
    assert plane.show(instance)["operating_status"] == "HEALTHY"
    agent.beat(ServiceStatus.CRASHED)
    end = time.monotonic() + 10
    while plane.show(instance)["operating_status"] != "CRASHED":
        assert time.monotonic() < end
        time.sleep(0.02)
    assert len(timeline(plane, instance, "?kind=heartbeat.back")) == 1
    silence(plane, instance)
    watch.run()
    assert len(lost(plane, instance)) == 2


def test_who_is_worked_on_or_gone_is_not_missed(
        plane: ControlPlane, instance: str, watch: HeartbeatWatch) -> None:
    silence(plane, instance)
    for hide, show in (({"task": "RESIZING"}, {"task": "NONE"}),
                       ({"deleted": True}, {"deleted": False})):
        with plane.db.writer() as session:
            session.execute(update(Instance).values(hide))
        watch.run()
        assert lost(plane, instance) == []
        with plane.db.writer() as session:
            session.execute(update(Instance).values(show))
    # one without a key was never made, or is being deleted
    with plane.db.writer() as session:
        session.execute(delete(InstanceKey))
    watch.run()
    assert lost(plane, instance) == []


def test_watchers_at_the_same_time_tell_it_once_with_one_statement_when_all_is_well(
        plane: ControlPlane, instance: str, watch: HeartbeatWatch) -> None:
    assert len(statements_of(plane, watch)) == 1
    silence(plane, instance)
    threads = [threading.Thread(target=watch.run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost(plane, instance)) == 1


def statements_of(plane: ControlPlane, watch: HeartbeatWatch) -> list[str]:
    seen: list[str] = []
    here = threading.get_ident()

    def note(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if threading.get_ident() == here and statement != "BEGIN":
            seen.append(statement)

    event.listen(plane.db.engine, "before_cursor_execute", note)
    watch.run()
    event.remove(plane.db.engine, "before_cursor_execute", note)
    return seen
