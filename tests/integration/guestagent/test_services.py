"""Services under a real supervisord."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from trove_ng.guestagent.os import services

pytestmark = pytest.mark.integration

CONFIG = """\
[unix_http_server]
file = {folder}/s.sock
[supervisord]
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
nodaemon = true
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:sleeper]
command = sleep 1000
autostart = false
startsecs = 1
[program:comes_back]
command = sleep 1000
autostart = false
autorestart = true
startsecs = 0
stopwaitsecs = 2
[program:dies]
command = false
autostart = false
startsecs = 1
startretries = 0
[program:lingers]
command = sh -c "trap 'sleep 1; exit 0' TERM; touch {folder}/up; while :; do sleep 0.1; done"
autostart = false
startsecs = 0
"""


@pytest.fixture
def control(tmp_path: pathlib.Path) -> Iterator[services.SupervisorControl]:
    config = tmp_path / "supervisord.conf"
    config.write_text(CONFIG.format(folder=tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not (tmp_path / "s.sock").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    yield services.SupervisorControl(str(tmp_path / "s.sock"))
    process.terminate()
    process.wait(20)


@pytest.fixture
def lingering(control: services.SupervisorControl,
              tmp_path: pathlib.Path) -> services.SupervisorControl:
    """The control, with the program running that takes a second to end."""
    control.start(["lingers"], 20)
    deadline = time.monotonic() + 20
    while not (tmp_path / "up").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return control


def test_a_program_is_started_stopped_and_restarted(
        control: services.SupervisorControl) -> None:
    names = ["other", "sleeper"]
    assert not control.is_running(names)
    control.stop(names)
    control.start(names, 20)
    control.start(names, 20)
    assert control.is_running(names)
    control.restart(names, 20)
    assert control.is_running(names)
    control.stop(names, 20)
    assert not control.is_running(names)


def test_a_program_that_died_just_now_is_not_started_again_when_it_is_stopped(
        control: services.SupervisorControl) -> None:
    for _ in range(10):
        control.start(["comes_back"], 20)
        control.kill(["comes_back"])
        # whether its supervisor has seen that by now is left to chance
        # a signal that comes before it is a program of its own is lost, and it is killed then
        control.stop(["comes_back"], 20)
    time.sleep(1.5)
    assert not control.is_running(["comes_back"])


def test_a_program_that_dies_is_told(control: services.SupervisorControl) -> None:
    with pytest.raises(services.ServiceError, match="ended at once"):
        control.start(["dies"], 20)


def test_stopping_waits_until_the_program_is_gone(
        lingering: services.SupervisorControl) -> None:
    begun = time.monotonic()
    lingering.stop(["lingers"], 20)
    assert time.monotonic() - begun > 0.8
    assert not lingering.is_running(["lingers"])


def test_stopping_gives_up_when_time_is_up(lingering: services.SupervisorControl) -> None:
    with pytest.raises(services.ServiceError, match="STOPPING after the time given"):
        lingering.stop(["lingers"], 0.2)


def test_an_unknown_program_is_told(control: services.SupervisorControl) -> None:
    with pytest.raises(services.ServiceError, match="no service named nosuch"):
        control.start(["nosuch"])
