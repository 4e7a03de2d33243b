"""The life of the agent: put together, run, end."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pathlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from oslo_config import cfg

from trove_ng.common.clock import Clock
from trove_ng.guestagent import entry_points, leftovers
from trove_ng.guestagent.context import AgentContext, Reporter
from trove_ng.guestagent.dispatch import GuestHandler, handlers
from trove_ng.guestagent.health import Reviver
from trove_ng.guestagent.heartbeat import Heart, StatusWatch
from trove_ng.guestagent.manager import BaseManager
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.services import get_service_control
from trove_ng.guestagent.os.volumes import VolumeManager
from trove_ng.guestagent.releases import Releases
from trove_ng.guestagent.reports import Outbox
from trove_ng.guestagent.sequence import Sequence
from trove_ng.guestagent.steps import StepEngine, StepStore
from trove_ng.rpc import messages as m
from trove_ng.rpc.machine_messages import REFUSED, TRIAL, AgentRelease, AgentVersion
from trove_ng.rpc.replication_messages import INTERVAL, REPLICATION

LOG = logging.getLogger(__name__)

MANAGERS = "trove_ng.guestagent.managers"
#: longest wait between two attempts to listen while the bus is away, seconds
LONGEST_WAIT = 15.0


class AgentError(Exception):
    """The agent cannot run; the message says what to put right."""


class Server(Protocol):
    """What listens on the bus."""

    def stop(self) -> None:
        """Take no more calls."""

    def wait(self) -> None:
        """Return when the calls that run have ended."""


class Bus(Protocol):
    """The agent's two ways on the bus."""

    @property
    def reporter(self) -> Reporter:
        """To the conductor."""

    def refused(self) -> dict[str, int]:
        """Return how many messages were refused for each reason since this was last asked."""

    def listen(self, table: Mapping[str, GuestHandler]) -> Server:
        """Serve calls; raises when the bus is away."""


class Agent:
    """One running agent.

    :param version: version of this software, told in heartbeats
    :param releases: other releases of it
    :ivar again: it ends to be started again
    """

    def __init__(self, manager: BaseManager, bus: Bus, version: str,
                 releases: Releases) -> None:
        conf = manager.ctx.conf
        state_dir = manager.ctx.state_dir
        sequence = Sequence(state_dir / "sequence")
        self._manager = manager
        self._bus = bus
        self._releases = releases
        self.again = False
        self._interval = conf.report_interval
        self._stop_timeout = conf.guest_agent.stop_timeout
        self._outbox = Outbox(bus.reporter, on_delivered=self._delivered)
        self._engine = StepEngine(StepStore(state_dir / "steps"), self._outbox, sequence)
        self._heart = Heart(
            bus.reporter, manager.status, sequence, interval=conf.report_interval,
            version=version, volume_path=self._volume_path, details=self._details)
        reviver = Reviver(manager, self._engine, manager.ctx.clock,
                          longest_wait=conf.guest_agent.restart_wait_max)
        self._watch = StatusWatch(
            reviver.look if conf.guest_agent.restart_database else manager.look,
            conf.guest_agent.status_interval)
        manager.status.on_change(self._heart.nudge)
        self._ending = threading.Event()
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._server: Server | None = None
        self._server_lock = threading.Lock()

    def start(self) -> None:
        """Begin to work; returns at once, also while the bus is away."""
        ctx = self._manager.ctx
        leftovers.end_programs(ctx.instance_id)
        leftovers.clear_scratch(ctx.scratch())
        for folder in (ctx.state_dir, ctx.state_dir / "steps"):
            leftovers.remove_unfinished(folder)
        self._manager.reload()
        self._heart.start()
        self._outbox.start()
        self._engine.recover()
        self._watch.start()
        for name, work in (("listen", self._listen), ("resume", self._resume)):
            threading.Thread(target=work, name=name, daemon=True).start()

    def run(self) -> None:
        """Work until :meth:`end` is called."""
        self.start()
        LOG.info("the agent of instance %s is up", self._manager.ctx.instance_id)
        self._asked.get()
        self.stop()
        LOG.info("the agent has ended")

    def end(self) -> None:
        """Ask :meth:`run` to return; may be called from a signal handler."""
        # Unlike an event, this queue may be used while the same thread waits on it.
        self._asked.put(None)

    def stop(self) -> None:
        """Take no more calls, give running work ``stop_timeout`` seconds, end."""
        self._ending.set()
        with self._server_lock:
            server = self._server
        if server is not None:
            # The bus may be away, and then stopping waits for it.
            stopper = threading.Thread(
                target=self._leave_bus, args=(server,), name="stop", daemon=True)
            stopper.start()
            stopper.join(5)
        self._engine.stop(self._stop_timeout)
        self._watch.stop(2)
        self._heart.stop(2)
        self._outbox.stop(5)

    # ---- inner ------------------------------------------------------------

    def _leave_bus(self, server: Server) -> None:
        server.stop()
        if self.again:
            # whoever asked for it is to have the answer before this program is another
            server.wait()

    def _listen(self) -> None:
        wait = 0.5
        table = handlers(self._manager, self._engine, {
            "install_agent": self._install, "restart_agent": self._start_over,
            "confirm_agent": self._confirm, "discard_agent": self._discard})
        while not self._ending.is_set():
            try:
                server = self._bus.listen(table)
            except Exception as err:  # noqa: BLE001  the agent outlives any trouble of the bus
                LOG.warning("the bus is away, %.1f s until the next attempt: %s", wait,
                            type(err).__name__)
                self._ending.wait(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            with self._server_lock:
                self._server = server
            self._heart.nudge()
            return

    def _resume(self) -> None:
        if not self._manager.status.prepared:
            return
        try:
            with self._engine.exclusive("resume"):
                self._manager.resume()
        except Exception:  # noqa: BLE001  the status tells that the database is down
            LOG.exception("the database did not come back")

    def _install(self, request: AgentRelease) -> m.Empty:
        self._releases.install(request)
        self._heart.nudge()
        return m.Empty()

    def _start_over(self, _request: m.StepRequest) -> m.Empty:
        self.again = True
        self.end()
        return m.Empty()

    def _confirm(self, request: AgentVersion) -> m.Empty:
        self._releases.confirm(request.version)
        self._heart.nudge()
        return m.Empty()

    def _discard(self, request: m.StepRequest) -> m.Empty:
        return self._start_over(request) if self._releases.discard() else m.Empty()

    def _delivered(self, report: Any) -> None:
        self._engine.delivered(report)

    def _volume_path(self) -> str | None:
        path = self._manager.volume_mount_point
        return path if os.path.isdir(path) else None

    def _details(self) -> dict[str, Any]:
        trial, replica = self._releases.trial, self._manager.replication_state()
        refused = self._bus.refused()
        return {"manager": self._manager.name, "prepared": self._manager.status.prepared,
                "capabilities": self._manager.capabilities(),
                INTERVAL: self._interval,
                **({TRIAL: trial} if trial else {}),
                **({REFUSED: refused} if refused else {}),
                **({REPLICATION: replica} if replica else {})}


def load_manager(name: str | None) -> Callable[[AgentContext], BaseManager]:
    """Return the class of a datastore manager by its entry point name.

    :raises AgentError: there is none of that name, or it cannot be imported
    """
    if not name:
        raise AgentError("datastore_manager is not configured")
    try:
        manager: Callable[[AgentContext], BaseManager] = entry_points.find(MANAGERS, name)
    except entry_points.NoEntryPoint as err:
        reason = f": {err.__cause__}" if err.__cause__ is not None else ""
        raise AgentError(f"there is no datastore manager named {name}{reason}") from err
    return manager


def make_context(conf: cfg.ConfigOpts, clock: Clock, reporter: Reporter) -> AgentContext:
    """Return what the manager is given.

    :raises AgentError: the configuration names no instance
    """
    check_identity(conf)
    state_dir = pathlib.Path(conf.state_path)
    files.make_directory(state_dir, mode=0o700)
    return AgentContext(
        conf=conf, instance_id=conf.guest_id, clock=clock,
        services=get_service_control(conf), volumes=VolumeManager(conf, state_dir, clock),
        reporter=reporter, state_dir=state_dir)


def check_identity(conf: cfg.ConfigOpts) -> None:
    """Raise :class:`AgentError` if the configuration names no instance."""
    if not conf.guest_id:
        raise AgentError("guest_id is not configured")


@contextlib.contextmanager
def only_agent(state_dir: pathlib.Path) -> Iterator[None]:
    """Hold the lock that one agent of a server has.

    :raises AgentError: another agent runs
    """
    files.make_directory(state_dir, mode=0o700)
    with open(state_dir / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise AgentError("another agent runs on this server") from err
        yield
