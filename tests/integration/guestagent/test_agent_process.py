"""The agent as a process on a real message broker."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.integration.guestagent.conftest import (
    SECRET,
    AgentProcess,
    Broker,
    ControlPlane,
    wait_for,
)
from trove_ng.common.errors import GuestTimeout, NotSupported, UnprocessableEntity
from trove_ng.common.secret import Secret
from trove_ng.rpc import messages as m

pytestmark = pytest.mark.integration


def prepare(seconds: float = 0, operation: str = "op-1") -> m.PrepareRequest:
    return m.PrepareRequest(
        operation_id=operation, step="prepare", datastore="toyfile", datastore_version="1",
        memory_mb=int(seconds * 10), databases=[m.DatabaseSpec(name="one")],
        root_password=Secret("planted-password"))


def test_an_instance_is_prepared_and_serves_calls(
        agent: AgentProcess, control: ControlPlane) -> None:
    begun = time.monotonic()
    agent.start()
    assert wait_for(lambda: control.heartbeats)[0].status == "NEW"
    assert time.monotonic() - begun < 5
    with pytest.raises(UnprocessableEntity, match="not prepared"):
        control.guest.list_databases(m.PageRequest())
    control.guest.prepare(prepare(0.5))
    assert control.ended("prepare").state == "SUCCEEDED"
    wait_for(lambda: control.heartbeats[-1].status == "HEALTHY")
    statuses = [beat.status for beat in control.heartbeats]
    assert set(statuses) == {"NEW", "BUILDING", "HEALTHY"}
    assert control.heartbeats[-1].volume is not None
    assert control.guest.rpc_ping()
    page = control.guest.list_databases(m.PageRequest())
    assert [database.name for database in page.databases] == ["one"]
    with pytest.raises(NotSupported):
        control.guest.is_root_enabled()
    control.guest.stop_db(m.StepRequest(operation_id="op-2", step="stop"))
    wait_for(lambda: control.heartbeats[-1].status == "SHUTDOWN")
    control.guest.restart(m.StepRequest(operation_id="op-3", step="restart"))
    wait_for(lambda: control.heartbeats[-1].status == "HEALTHY")
    numbers = [beat.sequence for beat in control.heartbeats]
    assert len(numbers) == len(set(numbers))
    assert agent.memory_mb() < 60
    assert agent.stop() == 0
    for secret in ("planted-password", SECRET):
        assert secret not in agent.log()


def test_a_killed_agent_reports_what_was_cut_off_and_its_successor_goes_on(
        agent: AgentProcess, control: ControlPlane) -> None:
    agent.start()
    wait_for(lambda: control.heartbeats)
    control.guest.prepare(prepare(60))
    wait_for(lambda: control.heartbeats[-1].status == "BUILDING")
    agent.kill()
    last = control.heartbeats[-1].sequence
    agent.start()
    assert control.ended("prepare").state == "FAILED"
    wait_for(lambda: control.heartbeats[-1].status == "FAILED")
    assert control.heartbeats[-1].sequence > last
    control.guest.prepare(prepare(0, "op-2"))
    wait_for(lambda: any(report.operation_id == "op-2" and report.state == "SUCCEEDED"
                         for report in control.steps))
    assert (agent.folder / "prepared").read_text() == "xx"


def _answers(control: ControlPlane) -> bool:
    """Whether the agent answers; a question may be lost while a broker starts."""
    try:
        return control.guest.rpc_ping()
    except GuestTimeout:
        return False


def test_an_agent_outlives_its_broker_and_reports_when_it_is_back(
        agent: AgentProcess, control: ControlPlane, broker: Broker) -> None:
    agent.start()
    wait_for(lambda: control.heartbeats)
    control.guest.prepare(prepare(3))
    wait_for(lambda: control.heartbeats[-1].status == "BUILDING")
    broker.stop()
    try:
        time.sleep(4)
        assert agent.process is not None
        assert agent.process.poll() is None
    finally:
        broker.start()
    assert control.ended("prepare", 60).state == "SUCCEEDED"
    wait_for(lambda: control.heartbeats[-1].status == "HEALTHY", 60)
    wait_for(lambda: _answers(control), 90)
    assert (agent.folder / "prepared").read_text() == "x"


def test_an_agent_that_starts_without_a_broker_waits_and_ends_when_asked(
        agent: AgentProcess) -> None:
    path = agent.folder / "agent.conf"
    path.write_text("\n".join("transport_url = rabbit://a:b@127.0.0.1:1/"
                              if line.startswith("transport_url") else line
                              for line in path.read_text().splitlines()) + "\n")
    agent.start()
    wait_for(lambda: (agent.folder / "agent.log").exists() and "is up" in agent.log())
    time.sleep(2)
    assert agent.process is not None
    assert agent.process.poll() is None
    begun = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - begun < 15


def test_an_agent_without_a_key_or_an_instance_says_so_and_does_not_run(
        agent: AgentProcess) -> None:
    command = [sys.executable, "-m", "trove_ng.cmd.guestagent", "--config-file",
               str(agent.folder / "agent.conf")]
    done = subprocess.run(command, capture_output=True, timeout=30)
    assert done.returncode == 1
    assert "guest_id is not configured" in agent.log()
