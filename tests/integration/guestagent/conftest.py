"""A private message broker and an agent process with a toy datastore."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from oslo_config import cfg

from tests.integration.guestagent.store import serve, short_directory
from tests.integration.guestagent.tls import Certificates
from trove_ng.common.threads import use_native_threads
from trove_ng.conf import rpc as rpc_options
from trove_ng.rpc import keys
from trove_ng.rpc import messages as m
from trove_ng.standalone.minicloud.swift import Swift

INSTANCE = "7d0f6a0e-52f5-4d2c-8a9d-3f0b6f0a0d01"
SECRET = "the-instance-key-" + "k" * 20
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"

#: a datastore whose database is a file, as an installed plug-in
PLUGIN = '''
import pathlib
import time

from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.manager import BaseManager
from trove_ng.rpc import messages as m


class FileManager(BaseManager):
    name = "toyfile"

    @property
    def volume_mount_point(self):
        return str(self.ctx.state_dir.parent / "data")

    @property
    def up(self):
        return self.ctx.state_dir.parent / "up"

    def do_prepare(self, request, progress):
        pathlib.Path(self.volume_mount_point).mkdir(exist_ok=True)
        with open(self.ctx.state_dir.parent / "prepared", "a") as times:
            times.write("x")
        for _ in range(request.memory_mb):
            progress.check()
            time.sleep(0.1)
        self.start_db()

    def probe(self):
        return ServiceStatus.HEALTHY if self.up.exists() else ServiceStatus.SHUTDOWN

    def start_db(self):
        self.up.touch()

    def stop_db(self):
        self.up.unlink(missing_ok=True)

    def create_databases(self, request):
        return m.Empty()

    def list_databases(self, request):
        return m.DatabasePage(databases=[m.DatabaseSpec(name="one")])
'''


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """A RabbitMQ node of this test session."""

    def __init__(self, home: pathlib.Path) -> None:
        self.port, self._dist, self._epmd = free_port(), free_port(), free_port()
        self._home = home
        home.mkdir(mode=0o755)
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.console = true\n")
        (home / "enabled_plugins").write_text("[].\n")
        self.url = f"rabbit://guest:guest@127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self._home), "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist), "ERL_EPMD_PORT": str(self._epmd),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self._home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._home / "data"),
            "RABBITMQ_LOG_BASE": str(self._home / "log"),
        }
        with open(self._home / "console", "ab") as console:
            self._process = subprocess.Popen([RABBITMQ], env=environment, stdout=console,
                                             stderr=console, start_new_session=True)
        wait_for(self._answers, 60)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)

    def close(self) -> None:
        self.stop()
        subprocess.run(["epmd", "-port", str(self._epmd), "-kill"], capture_output=True)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
            probe.sendall(b"AMQP\0\0\x09\x01")
            return bool(probe.recv(1))


class InstanceKeys:
    """The control plane's view of one instance's key."""

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        return (SECRET,) if instance_id == INSTANCE else ()


class ControlPlane:
    """Records what the agent reports, and calls it."""

    def __init__(self, url: str, folder: pathlib.Path, call_timeout: int = 20) -> None:
        from trove_ng.rpc import conductor, endpoint, guest, transport

        path = folder / "control.conf"
        path.write_text(f"[DEFAULT]\ntransport_url = {url}\n"
                        f"guest_call_timeout = {call_timeout}\n")
        conf = cfg.ConfigOpts()
        rpc_options.register(conf)
        conf(args=[], default_config_files=[str(path)])
        self.heartbeats: list[m.Heartbeat] = []
        self.steps: list[m.StepReport] = []
        line = transport.get_transport(conf)
        table = {
            "heartbeat": endpoint.Method(m.Heartbeat, m.Empty, self._keep(self.heartbeats)),
            "report_step": endpoint.Method(m.StepReport, m.Empty, self._keep(self.steps))}
        self._endpoint = endpoint.Endpoint(table, keys.CONDUCTOR, InstanceKeys(), 300)
        self._server = transport.start_server(
            conf, line, conductor.TOPIC, "test", self._endpoint)
        self.guest = guest.GuestClient(conf, line, InstanceKeys(), keys.TASKMANAGER, INSTANCE)

    @staticmethod
    def _keep(kept: list[Any]) -> Callable[[Any, Any], m.Message]:
        def handle(caller: Any, message: Any) -> m.Message:
            assert caller.instance_id == INSTANCE
            kept.append(message)
            return m.Empty()

        return handle

    def dropped(self) -> int:
        """Return how many messages were dropped as stale."""
        return self._endpoint.refused.counts["stale"]

    def ended(self, step: str, seconds: float = 20) -> m.StepReport:
        """Wait for the end of a step."""
        return wait_for(lambda: next((report for report in self.steps if report.step == step
                                      and report.state != "RUNNING"), None), seconds)

    def close(self) -> None:
        self._server.stop()
        self._server.wait()


class AgentProcess:
    """``trove-guestagent`` with the toy datastore."""

    def __init__(self, url: str, folder: pathlib.Path) -> None:
        self.folder = folder
        plugin = folder / "plugin"
        info = plugin / "toyfile-1.0.dist-info"
        info.mkdir(parents=True)
        (plugin / "toyfile.py").write_text(PLUGIN)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyfile\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[trove_ng.guestagent.managers]\ntoyfile = toyfile:FileManager\n")
        (folder / "agent.conf").write_text(textwrap.dedent(f"""\
            [DEFAULT]
            transport_url = {url}
            state_path = {folder}/state
            report_interval = 1
            debug = true
            log_file = {folder}/agent.log
            [guest_agent]
            service_manager = systemd
            status_interval = 1
            stop_timeout = 2
            """))
        (folder / "guest_info.conf").write_text(textwrap.dedent(f"""\
            [DEFAULT]
            guest_id = {INSTANCE}
            datastore_manager = toyfile
            instance_rpc_encr_key = {SECRET}
            """))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = pathlib.Path(sys.executable).with_name("trove-guestagent")
        self.process = subprocess.Popen(
            [str(command), "--config-file", str(self.folder / "agent.conf"),
             "--config-file", str(self.folder / "guest_info.conf")],
            env={**os.environ, "PYTHONPATH": str(self.folder / "plugin"),
                 "XDG_CACHE_HOME": str(self.folder)})

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(5)

    def memory_mb(self) -> float:
        """Return the resident memory in MiB."""
        assert self.process is not None
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 1024 ** 2

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()


def wait_for(truth: Callable[[], Any], seconds: float = 15) -> Any:
    """Return the first true value, or fail after the time given."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = truth()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not become true in time")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if not os.path.exists(RABBITMQ) or shutil.which("epmd") is None:
        pytest.skip("RabbitMQ is not installed")
    use_native_threads()
    node = Broker(tmp_path_factory.mktemp("rabbit") / "node")
    node.start()
    yield node
    node.close()


@pytest.fixture
def control(broker: Broker, tmp_path: pathlib.Path) -> Iterator[ControlPlane]:
    plane = ControlPlane(broker.url, tmp_path)
    yield plane
    plane.close()


@pytest.fixture
def agent(broker: Broker, tmp_path: pathlib.Path) -> Iterator[AgentProcess]:
    process = AgentProcess(broker.url, tmp_path)
    yield process
    if process.process is not None and process.process.poll() is None:
        process.kill()


def steps_on_disk(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Return the step records that an agent has written."""
    return [json.loads(path.read_text()) for path in (folder / "state/steps").glob("*.json")]


@pytest.fixture
def home() -> Iterator[pathlib.Path]:
    yield from short_directory()


@pytest.fixture
def make(home: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Any]]:
    """Make servers, of the class ``Server`` of the module; they end with the test."""
    servers: list[Any] = []

    def made(name: str) -> Any:
        servers.append(request.module.Server(home / name))
        return servers[-1]

    yield made
    for one in servers:
        one.close()


@pytest.fixture
def store(home: pathlib.Path) -> Iterator[tuple[str, Swift]]:
    """An object store with a container, reached by signed URLs only."""
    yield from serve(home)


@pytest.fixture
def certificates(home: pathlib.Path) -> Certificates:
    """An authority, and what it issues."""
    return Certificates(home / "certificates")
