"""Supervisord and systemctl are played by small servers and scripts of the test."""

from __future__ import annotations

import pathlib
import socketserver
import threading
import xmlrpc.client
from collections.abc import Iterator, Sequence
from typing import Any
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

import pytest
from oslo_config import cfg

from trove_ng.guestagent.os import commands, services


class _Handler(SimpleXMLRPCRequestHandler):
    disable_nagle_algorithm = False

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        return "unix"


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer,
              SimpleXMLRPCDispatcher):
    daemon_threads = True
    logRequests = False

    def __init__(self, path: str) -> None:
        SimpleXMLRPCDispatcher.__init__(self, allow_none=True)
        socketserver.UnixStreamServer.__init__(self, path, _Handler)


class FakeSupervisord:
    """Programs with states; starting and stopping take one look each."""

    def __init__(self) -> None:
        self.states = {"mysqld": "STOPPED", "dies": "STOPPED"}
        self.asked: list[str] = []
        self.log = "/nonexistent"
        #: second in which programs ended
        self.ended = 0

    def getAllProcessInfo(self) -> list[dict[str, Any]]:
        return [self._info(name) for name in self.states]

    def getProcessInfo(self, full: str) -> dict[str, Any]:
        name = self._name(full)
        shown = self._info(name)
        turns = {"STARTING": "FATAL" if name == "dies" else "RUNNING", "STOPPING": "STOPPED"}
        self.states[name] = turns.get(self.states[name], self.states[name])
        return shown

    def startProcess(self, full: str, wait: bool) -> bool:
        self.asked.append(f"start {full}")
        self.states[self._name(full)] = "STARTING"
        return True

    def stopProcess(self, full: str, wait: bool) -> bool:
        self.asked.append(f"stop {full}")
        if self.states[self._name(full)] == "STOPPED":
            raise xmlrpc.client.Fault(70, "NOT_RUNNING")
        self.states[self._name(full)] = "STOPPING"
        return True

    def _info(self, name: str) -> dict[str, Any]:
        return {"name": name, "group": "db", "statename": self.states[name],
                "stdout_logfile": self.log, "now": 1000, "stop": self.ended}

    def signalProcess(self, full: str, number: str) -> bool:
        self.asked.append(f"signal {number} {full}")
        if self.states[self._name(full)] == "STOPPED":
            raise xmlrpc.client.Fault(70, "NOT_RUNNING")
        self.states[self._name(full)] = "STOPPED"
        return True

    @staticmethod
    def _name(full: str) -> str:
        return full.partition(":")[2]


@pytest.fixture
def supervisord(tmp_path: pathlib.Path) -> Iterator[FakeSupervisord]:
    fake = FakeSupervisord()
    server = _Server(str(tmp_path / "s.sock"))
    for name in ("getAllProcessInfo", "getProcessInfo", "startProcess", "stopProcess",
                 "signalProcess"):
        server.register_function(getattr(fake, name), f"supervisor.{name}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def control(supervisord: FakeSupervisord, tmp_path: pathlib.Path) -> services.ServiceControl:
    return services.SupervisorControl(str(tmp_path / "s.sock"))


def test_a_program_is_started_under_the_first_name_that_exists(
        control: services.ServiceControl, supervisord: FakeSupervisord) -> None:
    control.start(["mariadb", "mysqld"])
    assert supervisord.asked == ["start db:mysqld"]
    assert control.is_running(["mariadb", "mysqld"])
    control.start(["mysqld"])
    assert supervisord.asked == ["start db:mysqld"]


def test_a_program_is_stopped_and_stopping_again_is_no_error(
        control: services.ServiceControl, supervisord: FakeSupervisord) -> None:
    control.start(["mysqld"])
    control.stop(["mysqld"])
    control.stop(["mysqld"])
    assert supervisord.asked == ["start db:mysqld", "stop db:mysqld"]
    assert not control.is_running(["mysqld"])
    control.restart(["mysqld"])
    assert control.is_running(["mysqld"])


@pytest.mark.parametrize("ended", [990, 2000])
def test_a_program_that_ended_long_ago_or_before_the_clock_was_set_is_stopped(
        control: services.ServiceControl, supervisord: FakeSupervisord, ended: int) -> None:
    supervisord.states["mysqld"], supervisord.ended = "EXITED", ended
    control.stop(["mysqld"], 0.5)
    assert supervisord.asked == []


def test_a_program_that_ended_just_now_may_be_started_again(
        control: services.ServiceControl, supervisord: FakeSupervisord) -> None:
    supervisord.states["mysqld"], supervisord.ended = "EXITED", 998
    with pytest.raises(services.ServiceError, match="is EXITED after the time given"):
        control.stop(["mysqld"], 0.5)


def test_a_program_that_ends_at_once_is_an_error(control: services.ServiceControl) -> None:
    with pytest.raises(services.ServiceError, match="ended at once"):
        control.start(["dies"])


def test_an_unknown_service_is_an_error_and_does_not_run(
        control: services.ServiceControl) -> None:
    with pytest.raises(services.ServiceError, match="no service named x or y"):
        control.start(["x", "y"])
    assert not control.is_running(["x"])


def test_a_program_is_killed_if_it_runs(
        control: services.ServiceControl, supervisord: FakeSupervisord) -> None:
    control.start(["mysqld"])
    control.kill(["mysqld"])
    assert not control.is_running(["mysqld"])
    control.kill(["mysqld"])
    assert supervisord.asked[1:] == ["signal KILL db:mysqld"] * 2


def test_the_end_of_a_programs_log_is_read_whatever_is_in_it(
        control: services.ServiceControl, supervisord: FakeSupervisord,
        tmp_path: pathlib.Path) -> None:
    supervisord.log = str(tmp_path / "log")
    (tmp_path / "log").write_bytes(b"x" * 1_000_000 + b"\0\xff\x1b end")
    read = control.recent_log(["mysqld"])
    assert len(read) <= services.LOG_LIMIT
    assert read.endswith("\0\ufffd\x1b end")
    supervisord.log = str(tmp_path)
    with pytest.raises(services.ServiceError, match="cannot be read"):
        control.recent_log(["mysqld"])


def test_a_supervisor_that_is_away_is_a_typed_error(tmp_path: pathlib.Path) -> None:
    control = services.SupervisorControl(str(tmp_path / "none.sock"))
    with pytest.raises(services.ServiceError, match="does not answer"):
        control.start(["mysqld"])


class FakeSystemctl:
    """Units with a state."""

    def __init__(self) -> None:
        self.units = {"mysql.service": "inactive"}
        self.argv: list[list[str]] = []

    def __call__(self, argv: Sequence[str], **options: Any) -> commands.Result:
        self.argv.append(list(argv))
        verb, unit = argv[1], argv[-1]
        if verb == "show":
            field = argv[3]
            known = unit in self.units
            value = ("loaded" if known else "not-found") if field == "LoadState" else (
                self.units.get(unit, "inactive"))
            return commands.Result(0, f"{value}\n", "")
        if verb == "start":
            self.units[unit] = "active"
        elif verb == "stop":
            raise commands.CommandError("The program systemctl ended with status 1.")
        return commands.Result(0, "", "")


def test_units_are_found_among_candidates_and_started() -> None:
    fake = FakeSystemctl()
    control = services.SystemdControl(fake)
    assert not control.is_running(["mariadb", "mysql"])
    control.start(["mariadb", "mysql"])
    assert ["systemctl", "start", "mysql.service"] in fake.argv
    assert control.is_running(["mariadb", "mysql"])
    assert not control.is_running(["redis"])
    control.enable(["mysql"])
    assert fake.argv[-1] == ["systemctl", "enable", "mysql.service"]


def test_a_unit_is_killed_and_its_journal_read() -> None:
    fake = FakeSystemctl()
    control = services.SystemdControl(fake)
    control.kill(["mariadb", "mysql"])
    assert fake.argv[-1] == ["systemctl", "kill", "--signal=SIGKILL", "mysql.service"]
    assert control.recent_log(["mariadb", "mysql"]) == ""
    assert fake.argv[-1][:3] == ["journalctl", "--unit", "mysql.service"]


def test_a_unit_that_does_not_obey_is_a_typed_error() -> None:
    with pytest.raises(services.ServiceError, match="mysql.service did not stop"):
        services.SystemdControl(FakeSystemctl()).stop(["mysql"])


def test_the_supervisor_is_chosen_by_its_socket(
        conf: cfg.ConfigOpts, supervisord: FakeSupervisord, tmp_path: pathlib.Path) -> None:
    conf.set_override("supervisor_socket", str(tmp_path / "s.sock"), group="guest_agent")
    conf.set_override("service_manager", "supervisor", group="guest_agent")
    assert isinstance(services.get_service_control(conf), services.SupervisorControl)
    conf.set_override("service_manager", "systemd", group="guest_agent")
    assert isinstance(services.get_service_control(conf), services.SystemdControl)
