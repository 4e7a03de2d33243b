from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.unit.guestagent.conftest import (
    INSTANCE,
    Recorder,
    ToyManager,
    eventually,
    prepare_request,
)
from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import Conflict, GuestError, NotSupported, UnprocessableEntity
from trove_ng.common.states import ReportState, ServiceStatus
from trove_ng.guestagent import agent as agents
from trove_ng.guestagent import dispatch
from trove_ng.guestagent.releases import Releases
from trove_ng.rpc import messages as m


class MemoryBus:
    """A bus that hands the table of calls to the test."""

    def __init__(self, recorder: Recorder) -> None:
        self.reporter = recorder
        self.table: Mapping[str, dispatch.GuestHandler] = {}
        self.stopped = False
        self.refusals = 0
        self.forged = 0

    def refused(self) -> dict[str, int]:
        found, self.forged = self.forged, 0
        return {"forged": found} if found else {}

    def listen(self, table: Mapping[str, dispatch.GuestHandler]) -> MemoryBus:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError
        self.table = table
        return self

    def stop(self) -> None:
        self.stopped = True

    def wait(self) -> None:
        """Nothing runs on."""


@pytest.fixture
def bus(recorder: Recorder) -> MemoryBus:
    return MemoryBus(recorder)


def releases(manager: ToyManager) -> Releases:
    return Releases(manager.ctx.state_dir / "releases", manager.name)


class Running:
    """A running agent and how to call it."""

    def __init__(self, manager: ToyManager, bus: MemoryBus) -> None:
        self.manager, self.bus = manager, bus
        self.agent = agents.Agent(manager, bus, "1.0", releases(manager))
        self.agent.start()
        eventually(lambda: bus.table)

    def call(self, name: str, request: m.Message) -> Any:
        return self.bus.table[name](request)

    def prepare(self, **fields: Any) -> m.StepReport:
        self.call("prepare", prepare_request(**fields))
        return self.ended("prepare")

    def ended(self, step: str) -> m.StepReport:
        report: m.StepReport = eventually(lambda: next(
            (sent for sent in self.bus.reporter.steps
             if sent.step == step and sent.state is not ReportState.RUNNING), None))
        return report


@pytest.fixture
def running(manager: ToyManager, bus: MemoryBus) -> Any:
    started = Running(manager, bus)
    yield started
    started.agent.stop()


def backup(step: str = "backup") -> m.BackupRequest:
    return m.BackupRequest(
        operation_id="op-2", step=step, backup_id="b", strategy="toy",
        grant=m.ObjectStoreGrant(container_url="http://s/c", prefix="p",
                                 get_query=m.Secret("q"), expires_at=1))


def test_the_first_heartbeat_says_that_the_agent_waits_for_prepare(
        running: Running) -> None:
    beat = eventually(lambda: running.bus.reporter.heartbeats)[0]
    assert beat.status is ServiceStatus.NEW
    assert beat.details["manager"] == "toy"


def test_a_heartbeat_tells_what_was_refused_since_the_one_before(running: Running) -> None:
    beats = running.bus.reporter.heartbeats
    eventually(lambda: beats)
    running.bus.forged = 2
    eventually(lambda: any("refused_messages" in beat.details for beat in beats))
    told = len(beats)
    eventually(lambda: len(beats) > told)
    assert [beat.details["refused_messages"] for beat in beats
            if "refused_messages" in beat.details] == [{"forged": 2}]


def test_prepare_is_done_in_the_background_and_reported(running: Running) -> None:
    gate = threading.Event()
    running.manager.hold = lambda: gate.wait(60) and None
    assert running.call("prepare", prepare_request()) == m.Empty()
    eventually(lambda: any(beat.status is ServiceStatus.BUILDING
                           for beat in running.bus.reporter.heartbeats))
    gate.set()
    assert running.ended("prepare").state is ReportState.SUCCEEDED
    eventually(lambda: running.bus.reporter.heartbeats[-1].status is ServiceStatus.HEALTHY)


def test_prepare_asked_for_twice_is_done_once(running: Running) -> None:
    running.prepare()
    running.bus.reporter.steps.clear()
    assert running.prepare().state is ReportState.SUCCEEDED
    assert running.manager.calls.count("do_prepare") == 1


def test_a_backup_is_made_and_its_parts_are_in_the_report(running: Running) -> None:
    running.prepare()
    running.call("create_backup", backup())
    report = running.ended("backup")
    assert report.state is ReportState.SUCCEEDED
    assert report.result["size"] == 7
    stored = m.decode(m.encode(report.result), m.StoredBackup)
    assert stored.strategy == "toy"


def test_what_needs_a_database_is_refused_before_prepare(running: Running) -> None:
    with pytest.raises(UnprocessableEntity, match="not prepared"):
        running.call("create_users", m.UsersRequest(users=[]))
    with pytest.raises(UnprocessableEntity):
        running.call("restart", m.StepRequest(operation_id="o", step="s"))
    running.call("create_backup", backup())
    assert running.ended("backup").error == "The instance is not prepared."


def test_a_restart_during_a_backup_is_refused_and_users_are_not(running: Running) -> None:
    running.prepare()
    gate = threading.Event()
    running.manager.hold = lambda: gate.wait(60) and None
    running.call("create_backup", backup())
    with pytest.raises(Conflict):
        running.call("restart", m.StepRequest(operation_id="o", step="restart"))
    assert running.call("create_users", m.UsersRequest(users=[])) == m.Empty()
    gate.set()
    assert running.ended("backup").state is ReportState.SUCCEEDED


def test_what_the_datastore_does_not_offer_is_refused(running: Running) -> None:
    running.prepare()
    with pytest.raises(NotSupported):
        running.call("enable_root", m.RootRequest())


def test_ping_and_space_are_answered_always(running: Running, tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").mkdir()
    assert running.call("rpc_ping", m.Empty()).value
    assert running.call("get_filesystem_stats", m.Empty()).total > 0


def test_a_crash_of_the_database_is_told_at_once(running: Running) -> None:
    running.prepare()
    running.manager.failure = GuestError("The database does not start.")
    running.manager.ctx.services.stop(["toy"])
    eventually(lambda: running.bus.reporter.heartbeats[-1].status is ServiceStatus.CRASHED)


def test_a_database_that_ended_is_started_again(running: Running) -> None:
    running.prepare()
    running.manager.calls.clear()
    running.manager.ctx.services.stop(["toy"])
    eventually(lambda: running.manager.calls == ["start_db"])
    eventually(lambda: running.bus.reporter.heartbeats[-1].status is ServiceStatus.HEALTHY)


def test_a_database_that_ended_stays_so_if_that_is_configured(
        manager: ToyManager, bus: MemoryBus) -> None:
    manager.ctx.conf.set_override("restart_database", False, group="guest_agent")
    running = Running(manager, bus)
    try:
        running.prepare()
        manager.calls.clear()
        manager.ctx.services.stop(["toy"])
        eventually(lambda: [beat.status for beat in bus.reporter.heartbeats][-2:]
                   == [ServiceStatus.CRASHED] * 2)
        assert manager.calls == []
    finally:
        running.agent.stop()


def test_the_agent_listens_as_soon_as_the_bus_is_there(
        manager: ToyManager, bus: MemoryBus) -> None:
    bus.refusals = 1
    bus.reporter.down = True
    started = Running(manager, bus)
    bus.reporter.down = False
    eventually(lambda: bus.reporter.heartbeats)
    started.agent.stop()
    assert bus.stopped


def test_run_returns_when_the_agent_is_asked_to_end(
        manager: ToyManager, bus: MemoryBus) -> None:
    agent = agents.Agent(manager, bus, "1.0", releases(manager))
    thread = threading.Thread(target=agent.run)
    thread.start()
    eventually(lambda: bus.table)
    agent.end()
    thread.join(5)
    assert not thread.is_alive()


def test_there_is_one_agent_on_a_server(tmp_path: pathlib.Path) -> None:
    with agents.only_agent(tmp_path):
        with pytest.raises(agents.AgentError, match="another agent"):
            with agents.only_agent(tmp_path):
                pytest.fail("both hold the lock")
    with agents.only_agent(tmp_path):
        assert (tmp_path / "lock").exists()


def test_a_manager_is_found_by_its_name_only() -> None:
    with pytest.raises(agents.AgentError, match="no datastore manager named nosuch"):
        agents.load_manager("nosuch")
    with pytest.raises(agents.AgentError, match="not configured"):
        agents.load_manager(None)


def test_the_context_needs_an_instance(conf: Any, recorder: Recorder) -> None:
    conf.set_override("service_manager", "systemd", group="guest_agent")
    context = agents.make_context(conf, SystemClock(), recorder)
    assert context.instance_id == INSTANCE
    conf.set_override("guest_id", None)
    with pytest.raises(agents.AgentError, match="guest_id"):
        agents.make_context(conf, SystemClock(), recorder)


def test_every_call_has_a_handler(make_manager: Callable[[], ToyManager],
                                  bus: MemoryBus) -> None:
    running = Running(make_manager(), bus)
    expected = {
        "prepare", "create_backup", "check_data", "hold_data", "release_data", "cancel_step",
        "rpc_ping",
        "list_databases",
        "create_databases", "delete_database", "list_users", "get_user", "create_users",
        "delete_user", "update_user", "change_passwords", "list_access", "grant_access",
        "revoke_access", "is_root_enabled", "enable_root", "disable_root", "restart",
        "stop_db", "start_db_with_conf_changes", "get_filesystem_stats", "mount_volume",
        "unmount_volume", "resize_fs", "list_logs", "switch_log", "publish_log",
        "module_list", "module_apply", "module_remove", "update_overrides",
        "pre_upgrade", "post_upgrade", "enable_as_source", "set_replica_accounts", "follow",
        "detach_replica", "stop_writes", "allow_writes", "get_position", "wait_for_position",
        "set_tls", "roll_back_tls", "get_tls", "stop_receiving", "receive_again", "fence",
        "unfence",
        "install_agent", "restart_agent", "confirm_agent", "discard_agent",
        "get_hwinfo", "get_diagnostics", "archive_log", "end_log_archive"}
    assert set(running.bus.table) == expected
    running.agent.stop()
