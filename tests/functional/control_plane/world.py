"""A control plane that lives through many cases, and workers that die on the way.

Nothing happens by itself: the taskmanager that works must be told to sweep, so that a
case decides who works on an operation, and from when on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import requests
from oslo_config import cfg
from sqlalchemy import update

from tests.functional.conftest import make_store_conf
from tests.functional.control_plane import invariants
from tests.functional.control_plane.cloud_calls import PATIENCE, CloudCall
from tests.functional.control_plane.conftest import (
    Agent,
    ControlPlane,
    Hypervisor,
    configure,
    running,
)
from tests.functional.control_plane.history import forget
from tests.stores import Stores
from trove_ng.cloud.calls import Calls, Guard
from trove_ng.cloud.session import Clouds
from trove_ng.common.cipher import Encryptor
from trove_ng.common.clock import SystemClock
from trove_ng.common.context import RequestContext
from trove_ng.common.errors import Conflict
from trove_ng.common.states import ServiceStatus
from trove_ng.db.models import Operation, ServiceStatusRow
from trove_ng.db.repositories import operations, reconciliation, service_statuses
from trove_ng.db.session import Database
from trove_ng.guestagent.order import Order
from trove_ng.operations.engine import Engine
from trove_ng.operations.lease import LeaseKeeper
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.work import Work
from trove_ng.rpc import messages as m
from trove_ng.rpc.endpoint import Caller
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.notifier import is_on
from trove_ng.rpc.transport import SecureClient
from trove_ng.taskmanager.manager import Manager

T = TypeVar("T")
Observe = Callable[[Work, str], None]

_TIMEOUTS = ("server_timeout", "volume_timeout", "agent_start_timeout",
             "guest_long_call_timeout", "guest_call_timeout")
#: what must never be shown
PASSWORDS = ("trove-pw", "demo-pw", "control-plane-key-for-tests", "instance-key-for-tests")


class Died(BaseException):
    """The process of a worker is gone."""


class LivingAgent(Agent):
    """An agent that beats, does each step once, and stores its backups.

    :ivar heard: the methods of the ordered requests that were not late, and do something
    """

    def __init__(self, *args: Any) -> None:
        self._done: set[tuple[str, str]] = set()
        self.order = Order()
        self.heard: list[str] = []
        self.status = ServiceStatus.NEW
        self._ending = threading.Event()
        self._beating = threading.Lock()
        #: nobody hears of it any more
        self.lost = False
        super().__init__(*args)
        threading.Thread(target=self._live, daemon=True).start()

    def _live(self) -> None:
        while not self._ending.wait(0.15):
            if not self.lost:
                self.beat(self.status)

    def _handler(self, name: str) -> Callable[[Caller, Any], m.Message]:
        handle = super()._handler(name)

        def handle_in_time(caller: Caller, request: Any) -> m.Message:
            if isinstance(request, m.OrderedRequest):
                if not self.order.admit(request):
                    raise Conflict("The request came after newer ones of its operation.")
                if name != "cancel_step":
                    self.heard.append(name)
            return handle(caller, request)

        return handle_in_time

    def beat(self, status: ServiceStatus | None = None) -> None:
        with self._beating:
            super().beat(status)

    def boot(self) -> None:
        self.beat(ServiceStatus.SHUTDOWN)

    def begin_anew(self) -> None:
        self._done.clear()
        super().begin_anew()

    def _once(self, request: m.StepRequest) -> bool:
        key = (request.operation_id, request.step)
        return key not in self._done and not self._done.add(key)

    def _stop_db(self, request: m.StepRequest) -> m.Empty:
        return super()._stop_db(request) if self._once(request) else m.Empty()

    def _start_db_with_conf_changes(self, request: m.ResizeRequest) -> m.Empty:
        return (super()._start_db_with_conf_changes(request) if self._once(request)
                else m.Empty())

    def _create_backup(self, request: m.BackupRequest) -> m.Empty:
        if self._refuse(request) or self.quiet:
            return m.Empty()
        name, data = f"{request.grant.prefix}000", b"the data of " + request.backup_id.encode()
        if request.key is not None:
            sealing = Encryptor(request.key)
            data = sealing.update(data) + sealing.finish()
        answer = requests.put(
            f"{request.grant.container_url}/{name}?{request.grant.put_query.reveal()}",
            data=data, timeout=5)
        assert answer.status_code == 201, answer.text
        self._report(request, m.StoredBackup(
            strategy=request.strategy, checksum=hashlib.sha256(data).hexdigest(),
            size=len(data), data_size=9, segments=[
                m.Segment(name=name, size=len(data), md5=hashlib.md5(data).hexdigest(),
                          sha256=hashlib.sha256(data).hexdigest())],
            metadata={"parent": request.parent.checksum} if request.parent else {}))
        return m.Empty()

    def stop(self) -> None:
        self._ending.set()
        # the bus' own end takes a second
        threading.Thread(target=super().stop, daemon=True).start()


class WatchedLine:
    """A way to an agent of which somebody is told before and after something is sent.

    What is sent is signed by then: it has its place among the operation's requests.
    """

    def __init__(self, line: SecureClient, told: Callable[[str], None]) -> None:
        self._line, self._told = line, told

    def cast(self, method: str, *args: Any) -> None:
        self._watched(method, self._line.cast, *args)

    def call(self, method: str, *args: Any) -> Any:
        return self._watched(method, self._line.call, *args)

    def _watched(self, method: str, send: Callable[..., T], *args: Any) -> T:
        self._told(f"tell {method}")
        answer = send(method, *args)
        self._told(f"told {method}")
        return answer


class WatchedCalls(Calls):
    """Calls of which somebody is told before and after they are made."""

    told: Callable[[str], None]

    def _make(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        name = f"{self._service} {getattr(call, '__name__', 'call')}"
        self.told(f"ask {name}")
        answer = super()._make(call, *args, **kwargs)
        self.told(f"call {name}")
        return answer


class WatchedClouds(Clouds):
    """The cloud, with :class:`WatchedCalls`."""

    told: Callable[[str], None]

    def guarded(self, guard: Guard) -> Clouds:
        made = super().guarded(guard)
        made.told = self.told
        return made

    def in_region(self, name: str | None) -> Clouds:
        found = super().in_region(name)
        found.told = self.told
        return found

    def _calls(self, service: str) -> Calls:
        made = WatchedCalls(service, self._clients.options.tries, self._guard)
        made.told = self.told
        return made


class StoppedClock(SystemClock):
    """A clock whose hands can be moved forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Worker:
    """A taskmanager's process that stops at a point, and does no more until it is let.

    Like a process that was killed or stopped, it prolongs no lease, and gives none back.

    :param at: says of each point whether it stops there; points are those of
        :data:`trove_ng.operations.engine.Observer`, and ``ask <service> <what>`` and
        ``call <service> <what>`` before and after each call of the cloud; ``tell <method>``
        and ``told <method>`` before and after something is sent to an agent
    """

    def __init__(self, plane: ControlPlane, at: Callable[[Work | None, str], bool]) -> None:
        self._plane = plane
        self._at = at
        self._clock = StoppedClock()
        self._parked = threading.Event()
        self._release = threading.Event()
        self._dies = True
        self.points: list[str] = []
        self.later: list[str] = []
        self.where: str | None = None
        clouds = WatchedClouds(plane.conf, plane.tools.clouds._clients)
        clouds.told = lambda what: self._pass(None, what)
        tools = dataclasses.replace(plane.tools, clouds=clouds, guests=self._guest)
        self._keeper = LeaseKeeper(
            plane.db, self._clock, f"worker-{id(self)}", plane.conf.operations.lease)
        self._manager = Manager(
            plane.db, self._clock, self._keeper,
            Engine(tools, runbooks(), self._pass).run,
            1)

    def _guest(self, instance_id: str, context: RequestContext | None = None) -> GuestClient:
        made = self._plane.tools.guests(instance_id, context)
        made._client = WatchedLine(  # type: ignore[assignment]
            made._client, lambda what: self._pass(None, what))
        return made

    def _pass(self, work: Work | None, point: str) -> None:
        if self.where is not None:
            self.later.append(point)
            return
        self.points.append(point)
        if self._at(work, point):
            self.where = point
            self._parked.set()
            assert self._release.wait(60), "nobody ended this worker"
            if self._dies:
                raise Died(point)

    def run(self, operation_id: str, others: Callable[[], object] = lambda: None) -> bool:
        """Work on an operation; return True if it stopped at its point.

        :param others: lets other taskmanagers work, on operations that this one waits for
        """
        def left() -> bool:
            """Return whether it has ended, or stopped; one that waits for others is its own."""
            if self._parked.is_set() or self._manager._taken:
                return self._parked.is_set()
            with self._plane.db.reader() as session:
                row = operations.get(session, operation_id)
            if row is None or row.live_key is None or row.not_before is None:
                return True
            self._manager.take(operation_id)
            return False

        def still() -> bool:
            if self.points:
                others()
            return left()

        healthy = self._plane.manager._taken
        healthy.add(operation_id)  # which is not to take it
        try:
            self._manager.take(operation_id)
            wait_for(still, f"the worker at {self.points}")
        finally:
            healthy.discard(operation_id)
        return self._parked.is_set()

    def expire(self, operation_id: str) -> None:
        """Let so much time pass that its lease is over."""
        self._clock.ahead = 2 * self._plane.conf.operations.lease
        expire(self._plane, operation_id)

    def end(self, *, dies: bool = True) -> None:
        """Let it go on (and see what happened meanwhile), or vanish."""
        self._dies = dies
        self._release.set()
        self._manager._pool.shutdown(wait=True)


def expire(plane: ControlPlane, operation_id: str | None = None) -> None:
    """Let the lease of an operation be over, or all leases: those of a process that is gone."""
    over = update(Operation).where(Operation.owner.is_not(None)).values(
        lease_expires_at=plane.clock.now())
    with plane.db.writer() as session:
        session.execute(over if operation_id is None else over.where(
            Operation.id == operation_id))


def lose(plane: ControlPlane, instance_id: str) -> None:
    """Let an agent be silent for long."""
    agent = plane.agent(instance_id)
    assert isinstance(agent, LivingAgent)
    agent.lost = True

    def silent() -> bool:
        # a heartbeat may be on its way
        with plane.db.writer() as session:
            session.execute(update(ServiceStatusRow).where(
                ServiceStatusRow.instance_id == instance_id).values(
                    updated_at=plane.clock.now() - datetime.timedelta(days=1)))
        time.sleep(0.3)
        return plane.show(instance_id)["operating_status"] == "ERROR"

    wait_for(silent, "the silence")


def wait_for(found: Callable[[], T], what: str, seconds: float = 90) -> T:
    """Return what is found, as soon as it is true."""
    end, pause = time.monotonic() + seconds, 0.02
    while not (answer := found()):
        assert time.monotonic() < end, f"timed out waiting for {what}"
        # looking costs what is waited for the time to be done
        time.sleep(pause)
        pause = min(1.5 * pause, 0.1)
    return answer


class World:
    """A control plane with a taskmanager that works when it is told."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.manager = plane.start_taskmanager("healthy", awake=False)
        self._instance: str | None = None
        self._backup: str | None = None
        self._snapshot: str | None = None
        #: what each way of each run-book calls, once it is known
        self.calls: dict[tuple[str, bool], list[CloudCall]] = {}
        #: what each way has the cloud do later, once it is known
        self.jobs: dict[tuple[str, bool], list[tuple[str, int]]] = {}
        #: how many calls each way makes (or asks for), once it is known
        self.counts: dict[tuple[str, bool, str], int] = {}

    # operations

    def operation(self, operation_id: str) -> Operation:
        """Return an operation as stored."""
        with self.plane.db.reader() as session:
            found = operations.get(session, operation_id)
        assert found is not None
        return found

    def change_payload(self, operation_id: str, **values: Any) -> None:
        """Have an operation that nobody works on yet be asked for in another way."""
        with self.plane.db.writer() as session:
            row = operations.get(session, operation_id)
            assert row is not None
            row.payload = {**row.payload, **values}

    def live(self, resource_id: str) -> str:
        """Return the id of the operation under way on a resource."""
        with self.plane.db.reader() as session:
            found = operations.live(session, resource_id)
        assert found is not None, f"nothing is under way on {resource_id}"
        return found.id

    def under_way(self) -> list[Operation]:
        """Return the operations that have not ended."""
        with self.plane.db.reader() as session:
            return list(operations.latest(session, 20, live=True))

    def finish(self, operation_id: str, seconds: float = 90) -> Operation:
        """Have the healthy taskmanager work until an operation has ended; return it."""
        def ended() -> bool:
            self.manager.sweep()
            # what waits for others has no thread
            waits = any(one.owner is None and one.not_before is not None
                        for one in self.under_way())
            return (self.operation(operation_id).live_key is None
                    and not waits and not self.manager._taken)

        wait_for(ended, f"operation {operation_id} to end", seconds)
        return self.operation(operation_id)

    # what cases begin with

    def act(self, instance_id: str, body: Any) -> None:
        """Ask for an action."""
        self.plane.request("POST", f"/instances/{instance_id}/action", body, status=202,
                           token="admin")

    def new_instance(self) -> str:
        """Ask for an instance; return its id."""
        return self.plane.create(
            access={"is_public": True}, locality="soft-anti-affinity", volume=None,
            volume_list=[{"volume_kind": "data", "size": 1},
                         {"volume_kind": "binlog", "size": 1}],
            databases=[{"name": "shop"}],
            users=[{"name": "app", "password": "s3cret-Word", "databases": [{"name": "shop"}]}])

    def instance(self) -> str:
        """Return an instance that works, of an earlier case if there is one."""
        if self._instance is not None:
            # the heartbeat that tells of a restart may be on its way
            with contextlib.suppress(AssertionError):
                wait_for(self._works, "its heartbeat", 10)
                return self._instance
            shown = self.plane.request("GET", f"/instances/{self._instance}")
            if shown.status_int == 200:
                self.delete_instance(self._instance)
        self._instance = self.new_instance()
        self.finish(self.live(self._instance))
        wait_for(self._works, "an instance")
        return self._instance

    def _works(self) -> bool:
        shown = self.plane.request("GET", f"/instances/{self._instance}")
        if shown.status_int != 200 or shown.json["instance"]["status"] == "ERROR":
            raise AssertionError("it is lost")
        if shown.json["instance"]["status"] != "ACTIVE":
            return False
        agent = next((one for one in self.plane.hypervisor.agents.values()
                      if one.instance_id == self._instance), None)
        if agent is not None and agent.status is ServiceStatus.SHUTDOWN:
            raise AssertionError("nobody starts the database")
        return bool(shown.json["instance"]["operating_status"] == "HEALTHY")

    def new_backup(self) -> str:
        """Ask for a backup; return its id."""
        return str(self.plane.request("POST", "/backups", {"backup": {
            "name": "b", "instance": self.instance(), "incremental": 1}},
            status=202).json["backup"]["id"])

    def next_backup(self) -> str:
        """Ask for a backup that continues another one; return its id."""
        listed = self.plane.request("GET", f"/instances/{self.instance()}/backups",
                                    status=200).json["backups"]
        if not any(one["status"] == "COMPLETED" for one in listed):
            self._backup = None
            self.backup()
        return self.new_backup()

    def new_snapshot(self) -> str:
        """Ask for a backup that is a snapshot; return its id."""
        return str(self.plane.request("POST", "/backups", {"backup": {
            "name": "s", "instance": self.instance(), "storage_driver": "cinder"}},
            status=202).json["backup"]["id"])

    def snapshot(self) -> str:
        """Return a backup that is a snapshot, of this case if it made one."""
        if self._snapshot is None or self.shown("backups", self._snapshot) != "COMPLETED":
            self._snapshot = self.new_snapshot()
            self.finish(self.live(self._snapshot))
            assert self.shown("backups", self._snapshot) == "COMPLETED"
        return self._snapshot

    def backup(self) -> str:
        """Return a backup that is complete, of an earlier case if there is one."""
        if self._backup is not None and self.shown("backups", self._backup) == "COMPLETED":
            return self._backup
        self._backup = self.new_backup()
        self.finish(self.live(self._backup))
        assert self.shown("backups", self._backup) == "COMPLETED"
        return self._backup

    def module(self) -> str:
        """Return a module that an instance has, of an earlier case if there is one."""
        listed = self.plane.request("GET", "/modules", status=200).json["modules"]
        ident = listed[0]["id"] if listed else str(self.plane.request("POST", "/modules", {
            "module": {"name": "hello", "module_type": "ping", "live_update": 1,
                       "contents": "bWVzc2FnZT1IZWxsbwo="}}, status=200).json["module"]["id"])
        self.plane.request("POST", f"/instances/{self.instance()}/modules", {
            "modules": [{"id": ident}]}, status=200)
        return ident

    def heard(self) -> dict[str, list[str]]:
        """Return what each agent was asked for by operations, and did."""
        return {one.instance_id: list(one.heard)
                for one in self.plane.hypervisor.agents.values()
                if isinstance(one, LivingAgent)}

    def shown(self, kind: str, ident: str) -> str | None:
        """Return the status that the API shows; None if it does not exist."""
        answer = self.plane.request("GET", f"/{kind}/{ident}")
        if answer.status_int == 404:
            return None
        return str(answer.json[kind[:-1]].get("status", ""))

    def delete_instance(self, instance_id: str) -> None:
        """Delete an instance, whatever it is."""
        if self.shown("instances", instance_id) is None:
            return
        self.act(instance_id, {"reset_status": {"force_delete": True}})
        self.finish(self.live(instance_id))
        assert self.shown("instances", instance_id) is None, self.plane.show(instance_id)

    def delete_backup(self, backup_id: str) -> None:
        """Delete a backup."""
        if self.shown("backups", backup_id) is None:
            return
        self.plane.request("DELETE", f"/backups/{backup_id}", status=202)
        self.finish(self.live(backup_id))
        assert self.shown("backups", backup_id) is None

    # after a case

    def check(self) -> None:
        """Check that all is well."""
        found = invariants.violations(self.plane)
        assert not found, "\n".join(found)

    def abandon(self) -> None:
        """Use what cases share no more: something may be wrong with it."""
        self._instance = self._backup = None

    @contextlib.contextmanager
    def hurry(self) -> Iterator[None]:
        """Wait for a short time only: what the cloud does not do, it never will.

        Nor does an agent whose server is lost.
        """
        with self.times(server_timeout=4, volume_timeout=4, agent_start_timeout=12,
                        guest_call_timeout=2, prepare_retry=1):
            yield

    @contextlib.contextmanager
    def times(self, **seconds: float) -> Iterator[None]:
        """Let timeouts be these for a while."""
        conf = self.plane.conf
        before = {name: conf[name] for name in seconds}
        for name, value in seconds.items():
            conf.set_override(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                conf.set_override(name, value)

    def secrets_in(self, text: str) -> list[str]:
        """Return the secrets that a text shows."""
        return [one for one in (*PASSWORDS, "s3cret-Word") if one in text]

    def settle(self) -> None:
        """Reconcile the store with the cloud until nothing is left to do."""
        def done() -> bool:
            # what one run repairs, the next one may have to write down
            repaired = [one for one in self.plane.reconcile() if one.repaired]
            self.manager.sweep()  # some repairs are operations
            with self.plane.db.reader() as session:
                begun = operations.latest(session, 1, live=True)
            return not repaired and not begun and not invariants.violations(self.plane)

        wait_for(self._heard(), "the heartbeats that are on their way")
        with contextlib.suppress(AssertionError):  # the check that follows tells what is left
            wait_for(done, "the reconciliation", 20)

    def _heard(self) -> Callable[[], bool]:
        """Return what tells whether the store knows how all agents are now."""
        sent = {one.instance_id: one.sequence for one in
                self.plane.hypervisor.agents.values()}

        def stored() -> bool:
            with self.plane.db.reader() as session:
                rows = [service_statuses.get(session, ident) for ident in sent]
            return all(row is None or row.sequence >= sent[row.instance_id] for row in rows)

        return stored

    def lose(self, instance_id: str) -> None:
        """Let an agent be silent for long."""
        lose(self.plane, instance_id)
        if instance_id == self._instance:
            self._instance = None

    def _part(self) -> None:
        """Have the instance that later cases use be one of its own again."""
        kept = self._instance and self.plane.request("GET", f"/instances/{self._instance}")
        if kept and kept.status_int == 200 and "replica_of" in kept.json["instance"]:
            self.act(str(self._instance), {"detach_replica": {}})
            self.finish(self.live(str(self._instance)))

    def tidy(self) -> None:
        """Delete what later cases do not need, and see that it is gone."""
        self._part()
        for kind, keep in (("backups", (self._backup,)),
                           ("instances", (self._instance,))):
            listed = self.plane.request("GET", f"/{kind}", status=200).json[kind]
            # sources stay until their replicas are gone
            for one in sorted(listed, key=lambda one: "replica_of" not in one):
                if one["id"] not in keep:
                    getattr(self, f"delete_{kind[:-1]}")(one["id"])
        for one in self.plane.request("GET", "/configurations", status=200).json[
                "configurations"]:
            # refused while an instance has it
            self.plane.request("DELETE", f"/configurations/{one['id']}")
        with self.plane.db.reader() as session:
            left = reconciliation.left_of_verifications(session)
        if left:
            self.settle()
        self.check()
        forget(self.plane.db, self.plane.clock.now())


@contextlib.contextmanager
def _make_world(home: Path, store: str) -> Iterator[World]:
    """Run a :class:`World` in a directory.

    :param store: URL of a migrated, empty one
    """
    conf = configure(make_store_conf(store), home)
    _arrange(conf)
    hypervisor = Hypervisor(conf)
    hypervisor.make_agent = LivingAgent
    with running(conf, Database(conf), home, hypervisor) as plane:
        made = World(plane)
        made.backup()  # what is asked once in a process is asked now
        yield made


class Worlds:
    """The world of a process on each kind of store; another one after it was spoiled.

    :param homes: makes an empty directory
    """

    def __init__(self, stores: Stores, homes: Callable[[], Path]) -> None:
        self._stores, self._homes = stores, homes
        self._running: dict[str, tuple[World, contextlib.ExitStack]] = {}

    def case(self, kind: str) -> Iterator[World]:
        """Give the world that is on a kind of store, then look at how it was left."""
        if kind not in self._running:
            with contextlib.ExitStack() as stack:
                home = self._homes()
                url = stack.enter_context(self._stores.empty(kind, home))
                self._running[kind] = (
                    stack.enter_context(_make_world(home, url)), stack.pop_all())
        world, _ = self._running[kind]
        yield world
        if invariants.violations(world.plane):
            self._end(kind)

    def _end(self, kind: str) -> None:
        _, stack = self._running.pop(kind)
        stack.close()

    def close(self) -> None:
        """End all of them."""
        for kind in list(self._running):
            self._end(kind)


def _arrange(conf: cfg.ConfigOpts) -> None:
    """Ask the cloud for its facts once, so that then only taskmanagers call it.

    Other services are told, and nothing is sent, so that it can be counted.
    """
    assert not is_on(conf)
    conf.set_override("driver", ["messagingv2"], group="oslo_messaging_notifications")
    conf.set_override("catalog_cache_time", 3600, group="service_credentials")
    conf.set_override("timeout", PATIENCE, group="service_credentials")
    for name in _TIMEOUTS:
        conf.set_override(name, 30)
    # what comes late is deleted at once
    conf.set_override("orphan_objects_age", 0)
    conf.set_override("max_volumes_per_tenant", -1)
    conf.set_override("backup_encryption", True)
    conf.set_override("enabled", True, group="dns")
    conf.set_override("max_accepted_volume_size", 1000)
