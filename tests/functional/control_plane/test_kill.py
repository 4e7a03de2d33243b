"""A taskmanager's process is killed, by SIGKILL; another one takes over.

The process has the store and the cloud of the test, and a bus of its own: it is killed
before it needs a guest, which the scenario of its run-book tells.
``TROVE_CRASH_POINTS=all`` tries all such points.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dying_taskmanager import LEASE
from tests.functional.control_plane.scenarios import SCENARIOS, points
from tests.functional.control_plane.test_crash_points import some
from tests.functional.control_plane.world import World, expire
from trove_ng.operations.duty import Duty
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.taskmanager.notifications import SENDING


def points_of(action: str) -> list[str]:
    """Return the points of an action up to where it needs a guest."""
    found = points(runbooks()[action], fails=False)
    agent = SCENARIOS[action].agent
    if agent is None:
        return found
    return found[:found.index(f"before {agent or runbooks()[action].steps[0].name}") + 1]


def cases() -> list[tuple[str, str]]:
    """Return actions, and points to kill their process at."""
    return some([(action, point) for action in runbooks() for point in points_of(action)], 0.05)


def _config_file(world: World, home: Path, lease: float) -> Path:
    conf = world.plane.conf
    file = configparser.ConfigParser(interpolation=None)
    file["DEFAULT"] = {
        "transport_url": "fake://", "guest_config": conf.guest_config,
        "taskmanager_rpc_encr_key": conf.taskmanager_rpc_encr_key[0],
        "inst_rpc_key_encr_key": conf.inst_rpc_key_encr_key[0],
        "sweep_interval": "0.1", "reconcile_interval": "3600",
        "exists_notification_interval": "0", "quota_notification_interval": "0"}
    file["oslo_messaging_notifications"] = {"driver": "messagingv2"}
    file["database"] = {"connection": conf.database.connection}
    file["operations"] = {"lease": str(lease)}
    file["service_credentials"] = {
        "auth_url": conf.service_credentials.auth_url,
        "password": conf.service_credentials.password}
    file["tls"] = {name: conf.tls[name] for name in ("ca_certificate", "ca_private_key")}
    file["dns"] = {name: str(conf.dns[name])
                   for name in ("enabled", "domain_name", "endpoint_url")}
    path = home / "trove.conf"
    with path.open("w") as target:
        file.write(target)
    return path


@contextlib.contextmanager
def telling_nobody(world: World) -> Iterator[None]:
    """Keep taskmanagers from sending notifications: what is told stays, to be counted."""
    sending = Duty(world.plane.db, world.plane.clock, SENDING, "the test")
    assert sending.take()
    try:
        yield
    finally:
        sending.end()


def kill(world: World, home: Path, action: str, point: str, lease: float = LEASE) -> None:
    """Have a taskmanager's process work until it is killed at a point.

    :param home: for its files
    :param lease: seconds
    """
    log = home / "taskmanager.log"
    with telling_nobody(world), log.open("wb") as target:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.dying_taskmanager", action, point,
             "--config-file", str(_config_file(world, home, lease))],
            stdout=target, stderr=target, env={**os.environ, "PYTHONPATH": os.getcwd()})
        try:
            assert process.wait(120) == -signal.SIGKILL, log.read_text()
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize(("action", "point"), cases())
def test_another_worker_ends_what_a_killed_process_left(
        world: World, tmp_path: Path, action: str, point: str) -> None:
    scenario = SCENARIOS[action]
    resource_id, operation_id = scenario.begin(world)
    kill(world, tmp_path, action, point)
    row = world.operation(operation_id)
    # it ended only if the process was killed after the last write
    assert (row.live_key is None) == (point == "ended"), row.step
    # it may have worked on what goes with it, too
    expire(world.plane)
    row = world.finish(operation_id)
    assert scenario.check(world, resource_id, operation_id), row.error
    world.tidy()
