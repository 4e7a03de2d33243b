"""A bus that loses, doubles, delays and reorders; and agents that are real on top of it."""

from __future__ import annotations

import base64
import configparser
import contextlib
import copy
import hashlib
import json
import pathlib
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import oslo_messaging
import yaml
from oslo_config import cfg
from sqlalchemy import select

from tests.functional.control_plane.conftest import ControlPlane, Hypervisor, running
from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import Conflict, NotFound
from trove_ng.common.states import ServiceStatus
from trove_ng.conf import guestagent as guest_conf
from trove_ng.conf import rpc as rpc_conf
from trove_ng.db.models import (
    Backup,
    Instance,
    InstanceKey,
    Operation,
    OperationReport,
    ServiceStatusRow,
)
from trove_ng.db.session import Database
from trove_ng.guestagent.agent import Agent
from trove_ng.guestagent.bus import AgentBus
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.manager import BaseManager
from trove_ng.guestagent.releases import Releases
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import swift, upload
from trove_ng.rpc import messages as m
from trove_ng.rpc.transport import get_transport
from trove_ng.standalone.minicloud.hypervisor import ServerSpec
from trove_ng.taskmanager.periodic import Periodic

#: the longest a message is late, seconds
LATEST = 0.3


class Chaos:
    """Takes the place of the in-memory driver's ``send``.

    :param chance: of each fault, for each message; the first one never arrives as it was sent
    """

    def __init__(self, seed: int, chance: float, send: Any) -> None:
        self._random = random.Random(seed)
        self._chance = chance
        self._send = send
        self._lock = threading.Lock()
        self._held: list[threading.Event] = []
        self._threads: list[threading.Thread] = []
        self.faults = dict.fromkeys(("drop", "lost answer", "double", "late", "reorder"), 0)

    def send(self, driver: Any, target: Any, ctxt: Any, message: Any,
             wait_for_reply: bool | None = None, timeout: float | None = None,
             **_more: Any) -> Any:
        """Send one message, or not, or twice, or later."""
        def deliver() -> Any:
            return self._send(driver, target, copy.deepcopy(ctxt), copy.deepcopy(message),
                              wait_for_reply, timeout)

        with self._lock:
            fate = {fault: self._random.random() < self._chance for fault in self.faults}
            if not sum(self.faults.values()):
                fate[self._random.choice(list(fate))] = True
            wait = self._random.random() * LATEST
            for waiting in self._held:
                waiting.set()
            self._held.clear()
            for fault in self.faults:
                self.faults[fault] += fate[fault]
        if fate["double"]:
            self._later(wait, deliver)
        if fate["drop"]:
            return self._unanswered(target) if wait_for_reply else None
        if fate["reorder"]:
            self._after_another(LATEST, deliver)
            return self._unanswered(target) if wait_for_reply else None
        if fate["late"] and not wait_for_reply:
            self._later(wait, deliver)
            return None
        if fate["late"]:
            time.sleep(wait)
        answer = deliver()
        return self._unanswered(target) if wait_for_reply and fate["lost answer"] else answer

    @staticmethod
    def _unanswered(target: Any) -> Any:
        # the time until the sender gives up is not waited for
        raise oslo_messaging.MessagingTimeout(f"no answer from {target.topic}")

    def _later(self, wait: float, deliver: Any) -> None:
        self._run(lambda: time.sleep(wait), deliver)

    def _after_another(self, longest: float, deliver: Any) -> None:
        overtaken = threading.Event()
        with self._lock:
            self._held.append(overtaken)
        self._run(lambda: overtaken.wait(longest) and time.sleep(0.01), deliver)

    def _run(self, wait: Any, deliver: Any) -> None:
        def work() -> None:
            wait()
            try:
                deliver()
            except oslo_messaging.MessagingTimeout:
                return  # nobody waits for this answer

        thread = threading.Thread(target=work, daemon=True)
        with self._lock:
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Wait until everything that is late has arrived."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(10)


class MemoryVolumes:
    """Volumes that are a list of what was done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def set_up(self, volume: m.VolumeSpec, migrate: bool = False) -> None:
        self.done.append("set_up")

    def remount(self) -> None:
        """Nothing is mounted."""

    def remembered(self) -> list[m.VolumeSpec]:
        return []

    def grow(self, _volume: m.VolumeSpec) -> m.FilesystemStats:
        return m.FilesystemStats(total=2, used=1, free=1)


class MemoryDatabase(BaseManager):
    """A database whose data are two tables in memory; it outlives its agent."""

    name = "memory"

    def __init__(self, ctx: AgentContext, disk: Disk) -> None:
        super().__init__(ctx)
        self.disk = disk

    @property
    def volume_mount_point(self) -> str:
        return "/nonexistent"

    def _did(self, what: str) -> None:
        self.disk.done.append(what)

    def do_prepare(self, request: m.PrepareRequest, progress: Progress) -> None:
        self._did("prepare")
        if request.restore is not None:
            data = b"".join(swift.read(request.restore.chain[0], request.restore.grants[0]))
            self.disk.data = json.loads(data)
        self.disk.running = True

    def probe(self) -> ServiceStatus:
        return ServiceStatus.HEALTHY if self.disk.running else ServiceStatus.SHUTDOWN

    def start_db(self) -> None:
        self._did("start")
        self.disk.running = True

    def stop_db(self) -> None:
        if self.disk.running:
            self._did("stop")
        self.disk.running = False

    def is_root_enabled(self, request: m.Empty) -> m.Flag:
        return m.Flag(value=False)

    def apply_config(self, request: m.ResizeRequest) -> None:
        self._did(f"config {request.memory_mb}")

    def create_backup(self, request: m.BackupRequest, progress: Progress) -> m.StoredBackup:
        self._did("backup")
        self.disk.grants.append(request.grant)
        writer = upload.SegmentWriter(request.grant, request.segment_size, self.disk.folder)
        writer.write(json.dumps(self.disk.data, sort_keys=True).encode())
        progress.report(50)
        writer.close()
        return m.StoredBackup(
            strategy=request.strategy, segments=writer.segments, size=writer.stored,
            checksum=swift.checksum(writer.segments), data_size=writer.stored)

    def create_databases(self, request: m.DatabasesRequest) -> m.Empty:
        self._add("databases", {one.name: "" for one in request.databases})
        return m.Empty()

    def create_users(self, request: m.UsersRequest) -> m.Empty:
        for one in request.users:
            if one.name == "boom" and one.password is not None:
                # as a driver quotes the statement that a server refused
                raise RuntimeError(f"1064: near IDENTIFIED BY '{one.password.reveal()}'")
        self._add("users", {one.name: _hash(one) for one in request.users})
        return m.Empty()

    def change_passwords(self, request: m.UsersRequest) -> m.Empty:
        self.disk.data["users"] |= {one.name: _hash(one) for one in request.users}
        return m.Empty()

    def update_user(self, request: m.UserUpdateRequest) -> m.Empty:
        if request.change.password is not None:
            self.disk.data["users"][request.name] = _hash(m.UserSpec(
                name=request.name, password=request.change.password))
        return m.Empty()

    def enable_root(self, request: m.RootRequest) -> m.UserSpec:
        assert request.password is not None
        return m.UserSpec(name="root", password=request.password)

    def delete_user(self, request: m.UserRequest) -> m.Empty:
        if self.disk.data["users"].pop(request.name, None) is None:
            raise NotFound("There is no such user.")
        return m.Empty()

    def _add(self, kind: str, wanted: dict[str, str]) -> None:
        if wanted.keys() & self.disk.data[kind].keys():
            raise Conflict("It exists.")
        self.disk.data[kind] |= wanted


def _hash(user: m.UserSpec) -> str:
    assert user.password is not None
    return hashlib.sha256(user.password.reveal().encode()).hexdigest()


class Disk:
    """What is left of a server when its agent ends."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.running = False
        self.data: dict[str, dict[str, str]] = {"databases": {}, "users": {}}
        self.done: list[str] = []
        self.grants: list[m.ObjectStoreGrant] = []


class RealAgents(Hypervisor):
    """Runs the guest agent itself for each server, over a database in memory."""

    def __init__(self, conf: cfg.ConfigOpts, folder: pathlib.Path) -> None:
        super().__init__(conf)
        self._folder = folder
        self.silent = True
        self.disks: dict[str, Disk] = {}
        self._info: dict[str, configparser.SectionProxy] = {}
        self._real: dict[str, Agent] = {}

    def create_server(self, spec: ServerSpec) -> None:
        super().create_server(spec)
        info = configparser.ConfigParser(interpolation=None)
        for entry in yaml.safe_load(self.user_data[spec.id])["write_files"]:
            if entry["path"].endswith("guest_info.conf"):
                info.read_string(base64.b64decode(entry["content"]).decode())
        self._info[spec.id] = info["DEFAULT"]
        folder = self._folder / spec.id
        folder.mkdir()
        self.disks[spec.id] = Disk(folder)
        self._boot(spec.id)

    def resize_server(self, spec: ServerSpec) -> None:
        """Reboot: the agent ends, and another life of it begins on the same disk."""
        self._real.pop(spec.id).stop()
        self.disks[spec.id].running = False
        self._boot(spec.id)

    def destroy_server(self, server_id: str) -> None:
        agent = self._real.pop(server_id, None)
        if agent is not None:
            agent.stop()
        super().destroy_server(server_id)

    def stop_all(self) -> None:
        for agent in self._real.values():
            agent.stop()

    def _boot(self, server_id: str) -> None:
        info, disk = self._info[server_id], self.disks[server_id]
        conf = cfg.ConfigOpts()
        rpc_conf.register(conf)
        guest_conf.register(conf)
        conf([], project="trove")
        get_transport(conf, "fake://")
        for name, value in (
                ("transport_url", "fake://"),
                ("control_exchange", self._conf.control_exchange),
                ("guest_id", info["guest_id"]),
                ("instance_rpc_encr_key", [info["instance_rpc_encr_key"]]),
                ("report_interval", 1), ("state_path", str(disk.folder))):
            conf.set_override(name, value)
        conf.set_override("status_interval", 1, group="guest_agent")
        bus = AgentBus(conf)
        agent = Agent(MemoryDatabase(AgentContext(
            conf=conf, instance_id=info["guest_id"], clock=SystemClock(),
            services=None, volumes=MemoryVolumes(),  # type: ignore[arg-type]
            reporter=bus.reporter, state_dir=disk.folder), disk), bus, "1.0",
            Releases(disk.folder / "releases", ""))
        self._real[server_id] = agent
        agent.start()


class Lab:
    """A control plane on a bad bus, and the user's side of it."""

    def __init__(self, plane: ControlPlane, agents: RealAgents) -> None:
        self.plane, self.agents = plane, agents

    def until(self, probe: Callable[[], Any], seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while not (found := probe()):
            assert time.monotonic() < end, self.state()
            time.sleep(0.03)
        return found

    def idle(self, instance: str) -> None:
        """Wait until nothing works on an instance, and it serves."""
        def done() -> bool:
            with self.plane.db.reader() as session:
                live = session.scalar(select(Operation.id).where(
                    Operation.live_key.is_not(None)))
                assert not session.scalar(select(Operation.error).where(
                    Operation.status == "FAILED")), self.state()
            return live is None and self.plane.show(instance)["status"] == "ACTIVE"

        self.until(done)

    def act(self, instance: str, body: object) -> None:
        """Act on an instance; asked again while a late heartbeat tells of a restart."""
        def asked() -> bool:
            answer = self.plane.request("POST", f"/instances/{instance}/action", body)
            assert answer.status_int in (202, 422), answer.text
            return answer.status_int == 202

        self.until(asked)
        self.idle(instance)

    def insist(self, method: str, path: str, body: Any, *final: int) -> None:
        """Ask until the answer is one of those that say that it is done.

        The agent may have done it although the answer says that it did not answer.
        """
        def asked() -> bool:
            answer = self.plane.request(method, path, body)
            assert answer.status_int in (*final, 503), answer.text
            return answer.status_int != 503

        self.until(asked)

    def backup(self, instance: str) -> str:
        """Make a backup; asked again while a late heartbeat tells of a restart."""
        def asked() -> str | None:
            answer = self.plane.request("POST", "/backups", {"backup": {
                "name": "b", "instance": instance}})
            assert answer.status_int in (202, 422), answer.text
            return str(answer.json["backup"]["id"]) if answer.status_int == 202 else None

        made = str(self.until(asked))
        self.idle(instance)
        return made

    def state(self) -> dict[str, Any]:
        """Return everything that is left, without ids and times."""
        with self.plane.db.reader() as session:
            instances = session.scalars(select(Instance).order_by(Instance.name)).all()
            backups = session.scalars(select(Backup)).all()
            operations = session.execute(select(
                Operation.action, Operation.status, Operation.error).order_by(
                Operation.created, Operation.id)).all()
            reports = session.execute(select(
                OperationReport.step, OperationReport.state).order_by(
                OperationReport.updated_at)).all()
            keys = len(session.scalars(select(InstanceKey.id)).all())
            found: dict[str, Any] = {
                "instances": [(one.name, one.deleted, one.error, one.task, one.flavor_id,
                               one.volume_size, one.server_status) for one in instances],
                "backups": [(one.name, str(one.state), one.deleted, one.size_bytes)
                            for one in backups],
                "operations": sorted(tuple(one) for one in operations),
                "reports": sorted(tuple(one) for one in reports), "keys": keys}
            statuses = session.scalars(select(ServiceStatusRow.status).join(
                Instance, Instance.id == ServiceStatusRow.instance_id).where(
                Instance.deleted.is_(False))).all()
        return found | {
            "cloud": self.plane.resources(), "quota": self.plane.quota(),
            "databases": list(statuses), "objects": self._objects(),
            "done": sorted(one.done for one in self.agents.disks.values()),
            "data": sorted(sorted(one.data["users"]) for one in self.agents.disks.values())}


    def _objects(self) -> int:
        found, = pathlib.Path(self.plane.minicloud.config.state_dir).glob("**/objects.sqlite")
        with contextlib.closing(sqlite3.connect(found)) as connection:
            return int(connection.execute("SELECT count(*) FROM objects").fetchone()[0])


@contextlib.contextmanager
def laboratory(conf: cfg.ConfigOpts, database: Database,
               tmp_path: pathlib.Path) -> Iterator[Lab]:
    """Run a control plane with real agents until the block ends."""
    for name, value in (("prepare_retry", 1), ("agent_start_timeout", 60),
                        ("server_timeout", 60), ("volume_timeout", 60),
                        ("guest_long_call_timeout", 60), ("guest_call_timeout", 5)):
        conf.set_override(name, value)
    agents = RealAgents(conf, tmp_path)
    with running(conf, database, tmp_path, agents) as plane:
        plane.start_taskmanager("tm-1")
        sweep = Periodic("the sweep", plane.manager.sweep, 0.3)
        sweep.start()
        yield Lab(plane, agents)
        sweep.stop()
        agents.stop_all()
