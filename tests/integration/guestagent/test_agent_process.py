"""The agent as a process on a real message broker."""

from __future__ import annotations

import pathlib
import signal
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
from tests.wheels import make_wheel, served
from trove_ng.common.errors import GuestTimeout, NotSupported, UnprocessableEntity
from trove_ng.common.secret import Secret
from trove_ng.guestagent import heartbeat
from trove_ng.rpc import machine_messages as machine
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


#: a part of the agent of which one cannot see that it never ends when it runs
_HANGS = (pathlib.Path(heartbeat.__file__).read_text() + """

def _run(self):
    while True:
        time.sleep(1)

Heart.start = _run
""")


def _upgrade(control: ControlPlane, folder: pathlib.Path, version: str,
             changes: dict[str, str]) -> None:
    """Have the agent fetch a release and start as it."""
    digest = make_wheel(folder / "package.whl", version, changes)
    with served(folder) as url:
        control.guest.install_agent(machine.AgentRelease(
            operation_id=version, step="install", version=version, sha256=digest,
            location=f"{url}/package.whl"))
    control.guest.restart_agent(m.StepRequest(operation_id=version, step="restart_agent"))


def test_an_agent_becomes_another_release_and_goes_back_when_it_does_not_work(
        agent: AgentProcess, control: ControlPlane, tmp_path: pathlib.Path) -> None:
    def version() -> str:
        return control.heartbeats[-1].agent_version

    path = agent.folder / "agent.conf"
    path.write_text(path.read_text() + "release_trial_time = 5\n")
    agent.start()
    old = str(wait_for(lambda: control.heartbeats)[0].agent_version)
    control.guest.prepare(prepare())
    assert control.ended("prepare").state == "SUCCEEDED"
    _upgrade(control, tmp_path, "9.9.1", {})
    wait_for(lambda: version() == "9.9.1")
    assert control.heartbeats[-1].details[machine.TRIAL] == "9.9.1"
    # the same process: its supervisor noticed nothing
    assert agent.process is not None
    assert agent.process.poll() is None
    wait_for(lambda: _answers(control))
    control.guest.confirm_agent(machine.AgentVersion(
        operation_id="9.9.1", step="confirm", version="9.9.1"))
    wait_for(lambda: machine.TRIAL not in control.heartbeats[-1].details)
    assert control.heartbeats[-1].status == "HEALTHY"
    agent.kill()
    agent.start()
    seen = len(control.heartbeats)
    wait_for(lambda: len(control.heartbeats) > seen)
    assert version() == "9.9.1"
    # one that hangs is ended by its alarm, and the supervisor starts it again
    wait_for(lambda: _answers(control))
    _upgrade(control, tmp_path, "9.9.2", {"guestagent/heartbeat.py": _HANGS})
    assert agent.process.wait(20) == -signal.SIGALRM
    agent.start()
    seen = len(control.heartbeats)
    wait_for(lambda: len(control.heartbeats) > seen)
    assert (version(), control.heartbeats[-1].status) == ("9.9.1", "HEALTHY")
    assert machine.TRIAL not in control.heartbeats[-1].details
    assert old != version()
    wait_for(lambda: _answers(control))
    assert agent.stop() == 0
