"""The control plane in one process: API, taskmanager, conductor, a cloud, agents.

Everything is real but the servers: the cloud's hypervisor only remembers them, and a
scripted agent speaks on the (encrypted) bus for each, with the key of its user data.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import webtest
import yaml
from oslo_config import cfg
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select

from tests.functional.conftest import make_store_conf
from tests.functional.control_plane.designate import ZONE, Designate
from tests.servers.mariadb import free_port
from tests.stores import KIND, Stores
from trove_ng.api.app import build_app
from trove_ng.api.wiring import make_services
from trove_ng.cloud.session import Clouds
from trove_ng.cmd.minicloud import make_servers
from trove_ng.common.clock import SystemClock, utcnow
from trove_ng.common.crypto import SecretBox
from trove_ng.common.errors import GuestError, NotFound
from trove_ng.common.metrics import API, CONDUCTOR, SERVICES, TASKMANAGER
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.common.secret import Secret
from trove_ng.common.states import ReportState, ServiceStatus
from trove_ng.conductor.manager import Conductor
from trove_ng.conf import api, base, cloud, conductor, operations, quota, ratelimit, taskmanager
from trove_ng.datastores import options
from trove_ng.datastores.base import load_datastores
from trove_ng.db.models import (
    Datastore,
    DatastoreConfigurationParameter,
    DatastoreVersion,
    InstanceKey,
)
from trove_ng.db.repositories import instance_keys
from trove_ng.db.repositories.operations import Skills
from trove_ng.db.session import Database
from trove_ng.domain.certificates import create_authority
from trove_ng.operations import requests
from trove_ng.operations.engine import Engine
from trove_ng.operations.lease import LeaseKeeper
from trove_ng.operations.reconcile.findings import Outcome
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.work import Tools
from trove_ng.rpc import conductor as conductor_rpc
from trove_ng.rpc import guest as guest_rpc
from trove_ng.rpc import keys
from trove_ng.rpc import machine_messages as machine
from trove_ng.rpc import messages as m
from trove_ng.rpc import module_messages as mm
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm
from trove_ng.rpc import taskmanager as taskmanager_rpc
from trove_ng.rpc import tls_messages as tm
from trove_ng.rpc.conductor import ConductorClient
from trove_ng.rpc.endpoint import Caller, Endpoint, Method
from trove_ng.rpc.notifier import is_on
from trove_ng.rpc.transport import get_transport, start_server
from trove_ng.standalone.minicloud.app import MiniCloud
from trove_ng.standalone.minicloud.config import MiniCloudConfig, User
from trove_ng.standalone.minicloud.hypervisor import NullHypervisor, ServerSpec
from trove_ng.standalone.minicloud.keystone_tokens import Tokens
from trove_ng.taskmanager.manager import Manager
from trove_ng.taskmanager.periodic import Periodic
from trove_ng.taskmanager.reconcile import Reconciler

if TYPE_CHECKING:
    from tests.functional.control_plane.world import World, Worlds


class GuestOptions:
    """What an agent knows: its own key."""

    def __init__(self, instance_id: str, key: str) -> None:
        self._instance_id, self._key = instance_id, key

    def secrets(self, instance_id: str | None) -> tuple[str, ...]:
        return (self._key,) if instance_id == self._instance_id else ()


#: what an agent says that cannot continue a backup
NOT_KEPT = "The log is not kept any more."


class Agent:
    """A scripted agent.

    :param failures: a call, or a call and its step, to the error that it answers with
    """

    #: root's password; empty while root cannot log in
    root = ""

    def __init__(self, conf: cfg.ConfigOpts, info: configparser.SectionProxy,
                 failures: dict[str, str]) -> None:
        self.instance_id = info["guest_id"]
        self.asked: list[tuple[str, m.Message]] = []
        self._failures = failures
        self.modules: dict[str, mm.ModuleSpec] = {}
        self.sequence = 0
        #: it takes long work and never says how far it is
        self.quiet = False
        self.status = ServiceStatus.NEW
        self._boots = 0
        #: version of the agent, the one that is installed, and the one before
        self.version, self.trial, self.before = "1.0", "", "1.0"
        #: what it finds when it looks through its data
        self.problems: list[str] = []
        #: why the backup that it is to restore is to blame, and what it knows of that
        self.damaged, self.damage = "", m.Damage(proved=True)
        #: token of who keeps the data as they are
        self.held: str | None = None
        #: its backups can continue others
        self.continues = True
        #: accounts of its replicas with their passwords, and whom it follows itself
        self.accounts: dict[str, str] = {}
        self.follows: rm.FollowRequest | None = None
        self.read_only = False
        #: seconds between two heartbeats, if it tells
        self.interval: float | None = None
        #: what it tells of its source in heartbeats
        self.replication: dict[str, Any] = {}
        #: its database is stopped, and nobody but its owner starts it
        self.fenced = False
        #: the last change that it has, and whether it ever has what it is asked for
        self.position, self.progress, self.reaches = "0-1-7", 7, True
        self.history, self.silent = "", None
        #: operations that changed TLS with what they made, the newest last
        self.tls = [("", tm.TlsEntry())]
        #: the one whose place the newest took
        self.renewed: tuple[str, tm.TlsEntry] | None = None
        #: its server begins to speak it at a start only
        self.tls_restarts = False
        #: settings of the user's configuration group
        self.overrides: dict[str, Any] = {}
        provider = GuestOptions(self.instance_id, info["instance_rpc_encr_key"])
        transport = get_transport(conf, "fake://")
        self._reports = ConductorClient(transport, provider, self.instance_id)
        table = {name: Method(one.request, one.answer, self._handler(name))
                 for name, one in guest_rpc.GUEST_METHODS.items()}
        self._server = start_server(
            conf, transport, guest_rpc.topic(self.instance_id), "guest",
            Endpoint(table, keys.guest(self.instance_id), provider, 300))

    def _handler(self, name: str) -> Callable[[Caller, Any], m.Message]:
        def handle(_caller: Caller, request: Any) -> m.Message:
            self.asked.append((name, request))
            step = f"{name} {getattr(request, 'step', '')}"
            if step in self._failures or name in self._failures and name not in (
                    "prepare", "create_backup", "check_data", "update_overrides"):
                raise GuestError(self._failures.get(step) or self._failures[name])
            return getattr(self, f"_{name}", lambda _request: m.Empty())(request)
        return handle

    def beat(self, status: ServiceStatus | None = None) -> None:
        """Send a heartbeat, without a status of the same as before."""
        if status is not None:
            self.status = status
        self.sequence += 1
        self._reports.heartbeat(m.Heartbeat(
            status=self.status, sequence=self.sequence, sent_at=time.time(),
            agent_version=self.version,
            details={**({machine.TRIAL: self.trial} if self.trial else {}),
                     **({rm.INTERVAL: self.interval} if self.interval else {}),
                     **({rm.REPLICATION: self.replication} if self.replication else {})}))

    def start_again(self, boot: int, beats: int = 20) -> None:
        """Beat some times as after a boot: what a taskmanager waits for may begin late."""
        if boot != self._boots:
            return  # another boot ended this life
        self.beat(ServiceStatus.SHUTDOWN if beats == 20 else None)
        if beats > 1:
            timer = threading.Timer(0.3, self.start_again, [boot, beats - 1])
            timer.daemon = True
            timer.start()

    def _refuse(self, request: m.BackupRequest) -> bool:
        """Refuse a backup that continues another one, if it does."""
        if self.continues or request.parent is None:
            return False
        self.sequence += 1
        self._reports.report_step(m.StepReport(
            operation_id=request.operation_id, step=request.step, sequence=self.sequence,
            state=ReportState.FAILED, error=NOT_KEPT, result={m.FULL_NEEDED: True}))
        return True

    def _report(self, request: m.StepRequest, result: m.Message | None) -> None:
        self.sequence += 1
        damaged = self.damaged if request.step == "prepare" else ""
        error = damaged or self._failures.get(request.step, "")
        self._reports.report_step(m.StepReport(
            operation_id=request.operation_id, step=request.step, sequence=self.sequence,
            state=ReportState.FAILED if error else ReportState.SUCCEEDED, error=error,
            result={m.DAMAGED: _plain(self.damage)} if damaged else
            {} if result is None or error else _plain(result)))

    def _prepare(self, request: m.PrepareRequest) -> m.Empty:
        self.overrides = dict(request.overrides)
        self.read_only = request.replica
        failed = "prepare" in self._failures
        self.beat(ServiceStatus.FAILED if failed else ServiceStatus.HEALTHY)
        self._report(request, None)
        return m.Empty()

    def _create_backup(self, request: m.BackupRequest) -> m.Empty:
        if self.quiet:
            return m.Empty()
        self._report(request, m.StoredBackup(
            strategy=request.strategy, segments=[], checksum="00", size=1, data_size=2))
        return m.Empty()

    def _check_data(self, request: m.CheckRequest) -> m.Empty:
        self._report(request, m.DataReport(counts={"tables": 3}, size=5, problems=self.problems))
        return m.Empty()

    def _hold_data(self, request: m.HoldRequest) -> m.Held:
        self.held = request.token
        return m.Held(version="10.11.6-MariaDB", fstype="ext4", used=1000)

    def _release_data(self, request: m.HoldRequest) -> m.Flag:
        held, self.held = self.held == request.token, None
        return m.Flag(value=held)

    def _is_root_enabled(self, _request: m.Empty) -> m.Flag:
        return m.Flag(value=bool(self.root))

    def _enable_root(self, request: m.RootRequest) -> m.UserSpec:
        self.root = request.password.reveal() if request.password is not None else "made-Pw0"
        return m.UserSpec(name="root", password=Secret(self.root))

    def _disable_root(self, _request: m.Empty) -> m.Empty:
        self.root = ""
        return m.Empty()

    def _set_replica_accounts(self, request: rm.ReplicaAccounts) -> m.Empty:
        self.accounts = {name: text for name, text in self.accounts.items()
                         if name in request.keep}
        if request.add is not None:
            assert request.add.password is not None
            self.accounts[request.add.name] = request.add.password.reveal()
        return m.Empty()

    def _follow(self, request: rm.FollowRequest) -> m.Empty:
        self.follows, self.read_only = request, True
        return m.Empty()

    def _detach_replica(self, request: rm.DetachRequest) -> m.Empty:
        self.follows, self.read_only = None, request.hold
        return m.Empty()

    def _stop_writes(self, _request: m.StepRequest) -> rm.Position:
        self.read_only = True
        return rm.Position(position=self.position)

    def _allow_writes(self, _request: m.StepRequest) -> m.Empty:
        self.read_only = False
        return m.Empty()

    def _get_position(self, _request: m.Empty) -> rm.Position:
        return rm.Position(position=self.position, progress=self.progress)

    def _stop_receiving(self, _request: m.StepRequest) -> rm.Position:
        return rm.Position(position=self.position, progress=self.progress,
                           history=self.history, silent=self.silent)

    def _wait_for_position(self, _request: rm.PositionRequest) -> m.Flag:
        return m.Flag(value=self.reaches)

    def _fence(self, _request: m.StepRequest) -> m.Empty:
        self.fenced = True
        return m.Empty()

    def _unfence(self, _request: m.StepRequest) -> m.Empty:
        self.fenced = False
        return m.Empty()

    def _cancel_step(self, _request: m.StepRequest) -> m.Flag:
        return m.Flag(value=True)

    def _rpc_ping(self, _request: m.Empty) -> m.Flag:
        return m.Flag(value=True)

    def _stop_db(self, _request: m.StepRequest) -> m.Empty:
        self.beat(ServiceStatus.SHUTDOWN)
        return m.Empty()

    def _start_db_with_conf_changes(self, _request: m.ResizeRequest) -> m.Empty:
        self.beat(ServiceStatus.HEALTHY)
        return m.Empty()

    def _post_upgrade(self, request: sm.PostUpgrade) -> m.Empty:
        self.overrides = dict(request.overrides)
        self.beat(ServiceStatus.HEALTHY)
        return m.Empty()

    def _install_agent(self, request: machine.AgentRelease) -> m.Empty:
        self.trial = request.version
        self.beat()
        return m.Empty()

    def _restart_agent(self, _request: m.StepRequest) -> m.Empty:
        if "release" in self._failures:
            self.trial = ""  # it did not come up
        elif self.trial and self.version != self.trial:
            self.before, self.version = self.version, self.trial
        self.beat()
        return m.Empty()

    def _confirm_agent(self, request: machine.AgentVersion) -> m.Empty:
        if self.version != request.version:
            raise GuestError("That version does not run.")
        self.trial, self.before = "", self.version
        return m.Empty()

    def _discard_agent(self, _request: m.StepRequest) -> m.Empty:
        self.version, self.trial = self.before, ""
        self.beat()
        return m.Empty()

    def _module_list(self, query: mm.ModuleQuery) -> mm.ModuleStates:
        return mm.ModuleStates(modules=[_state(one) for one in self.modules.values()
                                        if query.id in (None, one.id)])

    def _module_apply(self, request: mm.ModulesRequest) -> mm.ModuleStates:
        states = []
        for one in sorted(request.modules, key=lambda one: (
                not one.priority_apply, one.apply_order)):
            why = self._failures.get(f"module {one.name}", "")
            if not why:
                self.modules[one.id] = one
            states.append(_state(one, why))
        return mm.ModuleStates(modules=states)

    def _module_remove(self, request: mm.ModuleRemoval) -> m.Empty:
        if self.modules.pop(request.id, None) is None:
            raise NotFound.of("Module", request.id)
        return m.Empty()

    def _update_overrides(self, request: m.OverridesRequest) -> m.OverridesResult:
        # what is in force already is never refused
        if "update_overrides" in self._failures and request.values != self.overrides:
            raise GuestError(self._failures["update_overrides"])
        self.overrides = dict(request.values)
        return m.OverridesResult(restart_required=bool(
            {*request.values} & {*request.restart}))

    def _set_tls(self, request: tm.TlsRequest) -> tm.TlsResult:
        if self.tls[-1][0] != request.operation_id:
            self.renewed = self.tls.pop() if request.renewal else None
            self.tls.append((request.operation_id, tm.TlsEntry(
                mode=request.mode, certificate=request.certificate,
                authority=request.authority, reference=request.reference)))
        return tm.TlsResult(restart_required=self.tls_restarts)

    def _roll_back_tls(self, request: tm.TlsRollback) -> tm.TlsResult:
        made = self.tls[-1][0] == request.operation_id
        if request.undo and made:
            # a change, or a way back
            self.tls.pop()
            if self.renewed is not None:
                self.tls.append(self.renewed)
        elif not request.undo and not made:
            self.renewed = None
            self.tls.append((request.operation_id, self.tls[-2][1]))
        return tm.TlsResult(restart_required=self.tls_restarts)

    def _get_tls(self, _request: m.Empty) -> tm.TlsState:
        return tm.TlsState(current=self.tls[-1][1],
                           previous=self.tls[-2][1] if len(self.tls) > 1 else None)

    def _resize_fs(self, _request: m.VolumeSpec) -> m.FilesystemStats:
        return m.FilesystemStats(total=2, used=1, free=1)

    def begin_anew(self) -> None:
        """Know nothing, as on a new disk; what it was told at its start is the same."""
        self._boots += 1
        self.overrides = {}
        self.beat(ServiceStatus.NEW)

    def boot(self) -> None:
        self._boots += 1
        threading.Timer(0.3, self.start_again, [self._boots]).start()

    def stop(self) -> None:
        self._server.stop()
        self._server.wait()


def _state(spec: mm.ModuleSpec, why: str = "") -> mm.ModuleState:
    return mm.ModuleState(
        id=spec.id, type=spec.type, name=spec.name, datastore=spec.datastore,
        datastore_version=spec.datastore_version, ok=not why, message=why or "Hello",
        filename="f.lic", md5=spec.md5, installed_at=1.7e9, updated_at=1.7e9,
        contents=spec.contents)


def _plain(message: m.Message) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(message)
    return found


class Hypervisor(NullHypervisor):
    """Starts an agent for each server, as the server's image would."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__()
        self._conf = conf
        self.agents: dict[str, Agent] = {}
        self.silent = False
        self.failures: dict[str, str] = {}
        self.user_data: dict[str, str] = {}
        self.make_agent: Callable[..., Agent] = Agent

    def create_server(self, spec: ServerSpec) -> None:
        super().create_server(spec)
        data = spec.config_drive["openstack/latest/user_data"].decode()
        self.user_data[spec.id] = data
        if not self.silent:
            info = configparser.ConfigParser(interpolation=None)
            for entry in yaml.safe_load(data)["write_files"]:
                if entry["path"].endswith("guest_info.conf"):
                    info.read_string(base64.b64decode(entry["content"]).decode())
            agent = self.make_agent(self._conf, info["DEFAULT"], self.failures)
            self.agents[spec.id] = agent
            agent.beat(ServiceStatus.NEW)

    def resize_server(self, spec: ServerSpec) -> None:
        super().resize_server(spec)
        # the server was booted, and its agent with it
        if spec.id in self.agents:
            self.agents[spec.id].boot()

    def reboot_server(self, spec: ServerSpec, hard: bool) -> None:
        super().reboot_server(spec, hard)
        if spec.id in self.agents:
            self.agents[spec.id].boot()

    def rebuild_server(self, spec: ServerSpec) -> None:
        super().rebuild_server(spec)
        self.user_data[spec.id] = spec.config_drive["openstack/latest/user_data"].decode()
        if spec.id in self.agents:
            self.agents[spec.id].begin_anew()

    def destroy_server(self, server_id: str) -> None:
        super().destroy_server(server_id)
        agent = self.agents.pop(server_id, None)
        if agent is not None:
            agent.stop()


class ControlPlane:
    """All parts, and what tests ask of them."""

    designate: Designate

    def __init__(self, conf: cfg.ConfigOpts, db: Database, hypervisor: Hypervisor,
                 minicloud: MiniCloud) -> None:
        self.conf, self.db, self.hypervisor, self.minicloud = conf, db, hypervisor, minicloud
        self.clock = SystemClock()
        self.registries = {service: CollectorRegistry() for service in SERVICES}
        self._recorders = {service: PrometheusRecorder(registry, service)
                           for service, registry in self.registries.items()}
        self.project_id = minicloud.people.named("project", "demo")["id"]
        self._key_box = SecretBox(conf.inst_rpc_key_encr_key, instance_keys.PURPOSE)
        self._provider = instance_keys.StoreKeys(
            db, self._key_box, conf.taskmanager_rpc_encr_key)
        self.transport = get_transport(conf)
        self.tools = Tools(
            conf=conf, db=db, clock=self.clock, guests=self._guest,
            clouds=Clouds(conf, recorder=self._recorders[TASKMANAGER]),
            recorder=self._recorders[TASKMANAGER],
            operation_box=SecretBox(conf.inst_rpc_key_encr_key, requests.PURPOSE),
            key_box=self._key_box, datastores=load_datastores(), told=is_on(conf))
        self.reconciler = Reconciler(self.tools)
        self._servers: list[Any] = []
        self._closing: list[Callable[[], None]] = []

    def _guest(self, instance_id: str, context: Any = None) -> guest_rpc.GuestClient:
        return guest_rpc.GuestClient(self.conf, self.transport, self._provider,
                                     keys.TASKMANAGER, instance_id, context)

    def start(self) -> None:
        conductor_ = Conductor(self.db, self.clock, 100, 0.0, self._recorders[CONDUCTOR])
        conductor_.start()
        self._closing.append(conductor_.stop)
        self._serve(conductor_rpc.TOPIC, keys.CONDUCTOR, conductor_.table(), CONDUCTOR)
        services = make_services(self.conf, self._recorders[API])
        self._closing.append(services.db.close)
        self.app = webtest.TestApp(build_app(
            services, lambda below: _identify(below, self.project_id, self.minicloud.tokens)))

    def _serve(self, topic: str, me: str, table: Any, service: str) -> None:
        server = start_server(self.conf, self.transport, topic, f"{me}-{uuid.uuid4()}",
                              Endpoint(table, me, self._provider, 300,
                                       recorder=self._recorders[service]))
        self._closing.append(lambda: (server.stop(), server.wait()))

    def start_taskmanager(self, name: str, *, awake: bool = True, workers: int = 8) -> Manager:
        """Start a taskmanager.

        :param awake: it hears of new operations, and sweeps; else it must be told to
        """
        books = runbooks()
        keeper = LeaseKeeper(self.db, self.clock, name, self.conf.operations.lease,
                             Skills(books.keys(), self.conf.operations.undo_timeout))
        keeper.start()
        manager = Manager(self.db, self.clock, keeper, Engine(self.tools, books).run,
                          workers, self._recorders[TASKMANAGER])
        self._closing += [keeper.stop, manager.stop]
        if awake:
            sweep = Periodic("the sweep", manager.sweep, 0.1)
            sweep.start()
            self._closing.append(sweep.stop)
            self._serve(taskmanager_rpc.TOPIC, keys.TASKMANAGER, manager.table(), TASKMANAGER)
        self.manager = manager
        return manager

    def reconcile(self) -> list[Outcome]:
        return self.reconciler.run()

    def stop(self) -> None:
        for close in reversed(self._closing):
            close()
        for agent in self.hypervisor.agents.values():
            agent.stop()
        self.db.close()

    # what tests ask

    @property
    def url(self) -> str:
        return f"/v1.0/{self.project_id}"

    def request(self, method: str, path: str, body: Any = None, *, token: str = "demo",
                status: int | None = None) -> Any:
        answer = self.app.request(
            f"{self.url}{path}", method=method, headers={"X-Auth-Token": token},
            **({"body": json.dumps(body).encode(),
                "content_type": "application/json"} if body is not None else {}),
            expect_errors=True)
        if status is not None:
            assert answer.status_int == status, answer.text
        return answer

    def add_redis(self) -> None:
        """Register Redis 7.0, whose replicas copy their source."""
        with self.db.writer() as session:
            session.add(Datastore(id="r", name="redis"))
            session.flush()
            session.add(DatastoreVersion(
                id="rv", datastore_id="r", name="7.0", version="7.0", manager="redis",
                image_tags="mariadb", created=utcnow(), updated=utcnow()))

    def create(self, **more: Any) -> str:
        body = {"name": "db", "flavorRef": "1", "volume": {"size": 1},
                "datastore": {"type": "mariadb", "version": "10.11"}, **more}
        body = {name: value for name, value in body.items() if value is not None}
        answer = self.request("POST", "/instances", {"instance": body}, status=200)
        return str(answer.json["instance"]["id"])

    def show(self, instance_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.request(
            "GET", f"/instances/{instance_id}", status=200).json["instance"]
        return found

    def agent(self, instance_id: str) -> Agent:
        """Return the agent of an instance."""
        return next(one for one in self.hypervisor.agents.values()
                    if one.instance_id == instance_id)

    def wait(self, instance_id: str, *statuses: str, seconds: float = 60) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while (found := self.show(instance_id))["status"] not in statuses:
            assert time.monotonic() < end, found
            time.sleep(0.1)
        return found

    def wait_gone(self, path: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while self.request("GET", path).status_int != 404:
            assert time.monotonic() < end, path
            time.sleep(0.1)

    def resources(self, region: str | None = None) -> dict[str, int]:
        """Return how much there is in a region of the cloud, and in the store."""
        store = self.minicloud.regions[region or self.minicloud.config.region].store
        own = self.minicloud.people.named("project", "service")["id"]
        with self.db.reader() as session:
            known = session.scalar(select(func.count()).select_from(InstanceKey))
        return {"servers": len(store.list("server")), "volumes": len(store.list("volume")),
                "ports": len(store.list("port")), "floating": len(store.list("floatingip")),
                "server_groups": len(store.list("server_group")),
                "groups": len([one for one in store.list("security_group", own)
                               if one["name"] != "default"]), "keys": int(known or 0)}

    def quota(self) -> dict[str, tuple[int, int]]:
        """Return resource → in use and reserved."""
        found = self.request("GET", f"/mgmt/quotas/{self.project_id}", status=200).json
        return {one["resource"]: (one["in_use"], one["reserved"]) for one in found["quotas"]}


NOTHING = {"servers": 0, "volumes": 0, "ports": 0, "floating": 0, "server_groups": 0,
           "groups": 0, "keys": 0}
ONE = {"servers": 1, "volumes": 1, "ports": 1, "floating": 0, "server_groups": 0,
       "groups": 1, "keys": 1}


def _identify(below: Any, project_id: str, tokens: Tokens) -> Any:
    """Return a check of tokens that knows two, and those that the cloud issued."""
    def check(environ: dict[str, Any], start_response: Any) -> Any:
        # what follows a colon makes a token one that can be searched for
        token = (environ.get("HTTP_X_AUTH_TOKEN") or "").partition(":")[0]
        if token in ("demo", "admin"):
            environ |= {
                "HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_PROJECT_ID": project_id,
                "HTTP_X_USER_ID": token, "HTTP_X_USER_NAME": token,
                "HTTP_X_PROJECT_NAME": "demo",
                "HTTP_X_ROLES": "admin,member" if token == "admin" else "member"}
        elif (found := tokens.identify(token)) is not None:
            environ |= {
                "HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_PROJECT_ID": found.project_id,
                "HTTP_X_USER_ID": found.user_id, "HTTP_X_USER_NAME": found.user_name,
                "HTTP_X_PROJECT_NAME": found.project_name,
                "HTTP_X_ROLES": ",".join(found.roles)}
        return below(environ, start_response)
    return check


@pytest.fixture
def living(plane: ControlPlane) -> str:
    """An instance that works, and stores its backups."""
    from tests.functional.control_plane.world import LivingAgent

    plane.hypervisor.make_agent = LivingAgent
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    return ident


@pytest.fixture
def store_conf(stores: Stores, tmp_path: Path) -> Iterator[cfg.ConfigOpts]:
    """Configuration of the bus, and of an empty store of the kind that is asked for."""
    with stores.empty(KIND, tmp_path) as url:
        yield make_store_conf(url)


@pytest.fixture
def database(store_conf: cfg.ConfigOpts) -> Iterator[Database]:
    """A migrated, empty store."""
    made = Database(store_conf)
    yield made
    made.close()


@pytest.fixture
def conf(store_conf: cfg.ConfigOpts, tmp_path: Path) -> cfg.ConfigOpts:
    return configure(store_conf, tmp_path)


def configure(store_conf: cfg.ConfigOpts, home: Path) -> cfg.ConfigOpts:
    """Return the configuration of a control plane whose store's is given."""
    port = free_port()
    for one in (base, api, cloud, conductor, operations, quota, ratelimit, taskmanager,
                options):
        one.register(store_conf)
    guest_config = home / "trove-guestagent.conf"
    guest_config.write_text("[DEFAULT]\n")
    certificate, key = create_authority("Tests", 1, SystemClock().now())
    (home / "authority.pem").write_text(certificate)
    (home / "authority.key").write_text(key.reveal())
    settings: dict[tuple[str | None, str], Any] = {
        (None, "guest_config"): str(guest_config), (None, "default_datastore"): "mariadb",
        ("tls", "ca_certificate"): str(home / "authority.pem"),
        ("tls", "ca_private_key"): str(home / "authority.key"),
        ("service_credentials", "auth_url"): f"http://127.0.0.1:{port}/identity/v3",
        ("service_credentials", "password"): "trove-pw",
        ("service_credentials", "tries"): 1,
        ("operations", "poll_interval"): 0.02, ("operations", "poll_interval_max"): 0.1,
        ("operations", "store_poll_interval_max"): 0.1,
        ("operations", "others_interval_max"): 0.1,
        ("operations", "step_retry_interval"): 0.05, (None, "agent_start_timeout"): 3,
        (None, "server_timeout"): 5, (None, "volume_timeout"): 5, (None, "orphan_age"): 0,
        (None, "guest_long_call_timeout"): 5, (None, "guest_call_timeout"): 5}
    for (group, name), value in settings.items():
        store_conf.set_override(name, value, group=group)
    for name in ("get", "post", "put", "delete", "mgmt_post"):
        # tests ask again and again
        store_conf.set_override(f"http_{name}_rate", 0)
    get_transport(store_conf, "fake://")  # registers the option
    store_conf.set_override("transport_url", "fake://")
    # all buses of a process are one, but for their exchanges
    store_conf.set_override("control_exchange", f"plane-{port}")
    return store_conf


@pytest.fixture
def plane(conf: cfg.ConfigOpts, database: Database, tmp_path: Path) -> Iterator[ControlPlane]:
    """A running control plane."""
    with running(conf, database, tmp_path, Hypervisor(conf)) as plane:
        plane.start_taskmanager("tm-1")
        yield plane


class ReleasedClient:
    """The HTTP part of python-troveclient, on the control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def _ask(self, method: str, url: str, body: Any = None) -> tuple[Any, Any]:
        answer = self._plane.request(method, url, body)
        answer.status_code = answer.status_int
        return answer, json.loads(answer.body) if answer.body else None

    def get(self, url: str) -> tuple[Any, Any]:
        return self._ask("GET", url)

    def put(self, url: str, body: Any) -> tuple[Any, Any]:
        return self._ask("PUT", url, body)

    def post(self, url: str, body: Any) -> tuple[Any, Any]:
        return self._ask("POST", url, body)


@pytest.fixture
def released(plane: ControlPlane) -> Any:
    """The released client's manager of instances."""
    from troveclient.v1 import instances

    return instances.Instances(type("Trove", (), {"client": ReleasedClient(plane)})())


@pytest.fixture
def instance(plane: ControlPlane) -> str:
    """An instance that works."""
    ident = plane.create()
    plane.wait(ident, "ACTIVE", seconds=60)
    return ident


@contextlib.contextmanager
def running(conf: cfg.ConfigOpts, database: Database, home: Path, hypervisor: Hypervisor,
            other_regions: dict[str, dict[str, str]] | None = None) -> Iterator[ControlPlane]:
    """Run a control plane that has no taskmanager yet.

    :param other_regions: see :class:`MiniCloudConfig`
    """
    port = int(conf.service_credentials.auth_url.split(":")[2].split("/")[0])
    config = MiniCloudConfig(
        state_dir=home / "cloud", port=port, hypervisor="null",
        public_cidr="198.51.100.0/24", other_regions=other_regions or {}, users=(
            User("demo", Secret("demo-pw"), "demo", ("member",)),
            User("alt", Secret("alt-pw"), "alt", ("member",)),
            User("trove", Secret(conf.service_credentials.password), "service",
                 ("admin", "service", "ResellerAdmin"))))
    minicloud = MiniCloud(config, hypervisor)
    server, = make_servers(config, minicloud)
    designate = Designate(minicloud.tokens.identify)
    minicloud._apps["dns"] = designate
    conf.set_override("endpoint_url", f"{config.url}/dns/v2", group="dns")
    conf.set_override("domain_name", ZONE.rstrip("."), group="dns")
    minicloud.start()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    _seed(minicloud, database)
    plane = ControlPlane(conf, database, hypervisor, minicloud)
    plane.designate = designate
    plane.start()
    try:
        yield plane
    finally:
        plane.stop()
        server.stop()
        minicloud.stop()


def _seed(minicloud: MiniCloud, database: Database) -> None:
    for region in minicloud.regions.values():
        ident = str(uuid.uuid4())
        region.store.put("image", ident, {
            "id": ident, "name": "guest", "status": "active", "visibility": "public",
            "owner": "admin", "tags": ["mariadb"], "min_disk": 0, "min_ram": 0, "size": 1,
            "os_hidden": False, "protected": False, "container_format": "bare",
            "disk_format": "raw", "checksum": "c4ca4238a0b923820dcc509a6f75849b",
            "os_hash_algo": None, "os_hash_value": None, "virtual_size": None,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"},
            "admin")
    with database.writer() as session:
        session.add(Datastore(id="d", name="mariadb", default_version_id="v"))
        session.flush()
        session.add(DatastoreVersion(
            id="v", datastore_id="d", name="10.11", version="10.11", manager="mariadb",
            image_tags="mariadb", created=utcnow(), updated=utcnow()))
        session.flush()
        for name, restart in (("wait_timeout", False), ("max_connections", False),
                              ("innodb_log_file_size", True)):
            session.add(DatastoreConfigurationParameter(
                name=name, datastore_version_id="v", data_type="integer", min_size="1",
                max_size="4294967296", restart_required=restart, created=utcnow(),
                updated=utcnow()))


@pytest.fixture(scope="session")
def worlds(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """The worlds of this process."""
    from tests.functional.control_plane.world import Worlds

    made = Worlds(stores, lambda: tmp_path_factory.mktemp("world"))
    yield made
    made.close()


@pytest.fixture
def world(worlds: Worlds) -> Iterator[World]:
    """A control plane that earlier cases used, with nothing under way."""
    yield from worlds.case(KIND)
