"""A datastore manager, a clock, services and a bus that live in memory."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from oslo_config import cfg

from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import GuestError
from trove_ng.common.states import ServiceStatus
from trove_ng.conf import guestagent as options
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.manager import BaseManager
from trove_ng.guestagent.os.volumes import VolumeManager
from trove_ng.guestagent.steps import Progress
from trove_ng.rpc import messages as m

INSTANCE = "5b5a1b3e-0f9e-4f4e-9d5e-0c1f6a5ad001"


class Recorder:
    """Takes reports, or refuses them while it is down."""

    def __init__(self) -> None:
        self.heartbeats: list[m.Heartbeat] = []
        self.steps: list[m.StepReport] = []
        self.down = False

    def heartbeat(self, heartbeat: m.Heartbeat) -> None:
        self._check()
        self.heartbeats.append(heartbeat)

    def report_step(self, report: m.StepReport) -> None:
        self._check()
        self.steps.append(report)

    def _check(self) -> None:
        if self.down:
            raise ConnectionError("the bus is away")


class MemoryServices:
    """Services that are a set of names."""

    def __init__(self) -> None:
        self.running: set[str] = set()

    def start(self, names: Sequence[str], timeout: float = 120) -> None:
        self.running.add(names[0])

    def stop(self, names: Sequence[str], timeout: float = 120) -> None:
        self.running.discard(names[0])

    def kill(self, names: Sequence[str]) -> None:
        self.running.discard(names[0])

    def restart(self, names: Sequence[str], timeout: float = 120) -> None:
        self.running.add(names[0])

    def is_running(self, names: Sequence[str]) -> bool:
        return names[0] in self.running

    def enable(self, names: Sequence[str]) -> None:
        """A set of names has no boot."""

    def disable(self, names: Sequence[str]) -> None:
        """A set of names has no boot."""

    def log_path(self, names: Sequence[str]) -> str | None:
        return None

    def recent_log(self, names: Sequence[str]) -> str:
        return ""


class ToyManager(BaseManager):
    """A datastore that is a flag and a list of what was asked."""

    name = "toy"

    def __init__(self, ctx: AgentContext, mount_point: pathlib.Path) -> None:
        super().__init__(ctx)
        self._mount_point = mount_point
        self.seen: ServiceStatus | None = None
        self.failure: Exception | None = None
        self.calls: list[str] = []
        self.hold: Callable[[], None] = lambda: None
        self.statuses: list[ServiceStatus] = []
        self.status.on_change(lambda: self.statuses.append(self.status.current))

    @property
    def volume_mount_point(self) -> str:
        return str(self._mount_point)

    def do_prepare(self, request: m.PrepareRequest, progress: Progress) -> None:
        self.calls.append("do_prepare")
        self.hold()
        if self.failure is not None:
            raise self.failure
        self.start_db()

    def post_prepare(self, request: m.PrepareRequest) -> None:
        self.calls.append("post_prepare")

    def probe(self) -> ServiceStatus:
        if self.seen is not None:
            return self.seen
        running = self.ctx.services.is_running(["toy"])
        return ServiceStatus.HEALTHY if running else ServiceStatus.SHUTDOWN

    def start_db(self) -> None:
        self.calls.append("start_db")
        if self.failure is not None:
            raise self.failure
        self.ctx.services.start(["toy"])

    def stop_db(self) -> None:
        self.calls.append("stop_db")
        self.ctx.services.stop(["toy"])

    def apply_config(self, request: m.ResizeRequest) -> None:
        self.calls.append(f"apply_config {request.memory_mb}")

    def create_databases(self, request: m.DatabasesRequest) -> m.Empty:
        if any(wanted.name == "bad" for wanted in request.databases):
            raise GuestError("The database bad cannot be.")
        self.calls.append("create_databases")
        return m.Empty()

    def create_users(self, request: m.UsersRequest) -> m.Empty:
        self.calls.append("create_users")
        return m.Empty()

    def create_backup(self, request: m.BackupRequest, progress: Progress) -> m.StoredBackup:
        self.calls.append("create_backup")
        self.hold()
        progress.report(50)
        return m.StoredBackup(strategy="toy", segments=[], checksum="c", size=7)


def eventually(truth: Callable[[], Any], seconds: float = 5) -> Any:
    """Return the first true value, or fail after the time given."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = truth()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("it did not become true in time")


@pytest.fixture
def conf(tmp_path: pathlib.Path) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf(args=[], default_config_files=[])
    conf.set_override("guest_id", INSTANCE)
    conf.set_override("report_interval", 1)
    conf.set_override("state_path", str(tmp_path / "state"))
    conf.set_override("fstab_path", str(tmp_path / "fstab"), group="guest_volume")
    conf.set_override("stop_timeout", 1, group="guest_agent")
    conf.set_override("status_interval", 1, group="guest_agent")
    return conf


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def make_manager(conf: cfg.ConfigOpts, recorder: Recorder,
                 tmp_path: pathlib.Path) -> Iterator[Callable[[], ToyManager]]:
    state_dir = tmp_path / "state"
    services = MemoryServices()

    def make() -> ToyManager:
        clock = SystemClock()
        manager = ToyManager(AgentContext(
            conf=conf, instance_id=INSTANCE, clock=clock, services=services,
            volumes=VolumeManager(conf, state_dir, clock), reporter=recorder,
            state_dir=state_dir), tmp_path / "data")
        manager.status.load()
        return manager

    yield make


@pytest.fixture
def manager(make_manager: Callable[[], ToyManager]) -> ToyManager:
    return make_manager()


def prepare_request(**fields: Any) -> m.PrepareRequest:
    """Return a prepare request with the given fields."""
    return m.PrepareRequest(**({
        "operation_id": "op-1", "step": "prepare", "datastore": "toy",
        "datastore_version": "1", "memory_mb": 512} | fields))
