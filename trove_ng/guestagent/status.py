"""What the database on this server is, and what the agent knows about its past."""

from __future__ import annotations

import contextlib
import json
import logging
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from trove_ng.common.clock import Clock, isoformat
from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.health import CrashCount, Finding
from trove_ng.guestagent.os import files

LOG = logging.getLogger(__name__)

PREPARE_START = ".guestagent.prepare.start"
PREPARE_END = ".guestagent.prepare.end"
STATE_FILE = "status.json"

#: what the datastore's probe may say
PROBED = frozenset({
    ServiceStatus.HEALTHY, ServiceStatus.RUNNING, ServiceStatus.BLOCKED,
    ServiceStatus.SHUTDOWN, ServiceStatus.CRASHED, ServiceStatus.UNKNOWN})


class DatabaseStatus:
    """The status machine of one database.

    NEW until prepare begins, BUILDING while it runs, then FAILED or what the probe
    sees.  A database that is gone is SHUTDOWN when it was stopped on purpose and
    CRASHED when it was not; one that comes up and ends again and again stays CRASHED.

    The prepare markers name their instance, and lie on the root disk and, as soon as it
    is mounted, on the data volume: they outlast a rebuilt root disk and count while the
    volume is away, and a copy of the volume under another instance does not count.

    :param probe: how to look at the database
    :param volume_dir: the agent's directory on the data volume, None while unmounted
    :param crashes: tells a loop of unwanted ends from an accident
    """

    def __init__(self, *, instance_id: str, state_dir: pathlib.Path, clock: Clock,
                 probe: Callable[[], Finding],
                 volume_dir: Callable[[], pathlib.Path | None],
                 crashes: CrashCount | None = None) -> None:
        self._instance_id = instance_id
        self._state_dir = state_dir
        self._clock = clock
        self._probe = probe
        self._volume_dir = volume_dir
        self._lock = threading.RLock()
        self._listeners: list[Callable[[], None]] = []
        self._mode: ServiceStatus | None = None
        self._current = ServiceStatus.NEW
        self._reason = ""
        self._is_down = False
        self._incarnation = ""
        self._crashes = crashes or CrashCount(clock, 3)
        self._prepared = False
        self._memory: dict[str, Any] = {}

    # ---- reading ----------------------------------------------------------

    @property
    def current(self) -> ServiceStatus:
        """The status as last determined."""
        return self._current

    @property
    def reason(self) -> str:
        """A sentence on what is wrong, empty when nothing is."""
        return self._reason

    @property
    def is_down(self) -> bool:
        """True if the last look showed no process of a database that should run."""
        return self._is_down and not self._is_held()

    @property
    def prepared(self) -> bool:
        """True if prepare ended well, now or in an earlier life of the agent."""
        return self._prepared

    @property
    def restart_required(self) -> bool:
        """True if settings wait for a restart of the database."""
        return bool(self._memory.get("restart_required", False))

    @property
    def expects_running(self) -> bool:
        """False if the database was stopped on purpose."""
        return bool(self._memory.get("expects_running", True))

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call the listener after each change of the status."""
        self._listeners.append(listener)

    # ---- life -------------------------------------------------------------

    def load(self) -> None:
        """Read what is remembered and determine the status.

        A prepare that an earlier agent began and did not end has failed.
        """
        self._state_dir.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._memory = self._read_memory()
            self._prepared = self._marked(PREPARE_END)
            started = self._marked(PREPARE_START)
        if self._prepared:
            self.update()
        else:
            self._set(ServiceStatus.FAILED if started else ServiceStatus.NEW,
                      "Preparing the instance was cut off, or failed." if started else "")

    def begin_install(self) -> None:
        """Prepare begins."""
        with self._lock:
            self._memory = {}
            self._write_memory()
            for folder in self._folders():
                files.remove(folder / PREPARE_END)
            self._prepared = False
            self._mark(PREPARE_START)
            self._mode = None
            self._forget_crashes()
        self._set(ServiceStatus.BUILDING)

    def volume_mounted(self) -> None:
        """The data volume has been mounted: take the markers there, or from there."""
        with self._lock:
            if self._current is ServiceStatus.BUILDING:
                # Leftovers on the volume are of an earlier use of it.
                for folder in self._folders():
                    files.remove(folder / PREPARE_END)
                self._mark(PREPARE_START)
                return
        self.load()

    def end_install(self, failed: bool = False) -> None:
        """Prepare is over; report FAILED or what the database really is."""
        if failed:
            self._set(ServiceStatus.FAILED, "Preparing the instance failed.")
            return
        with self._lock:
            self._mark(PREPARE_END)
            self._prepared = True
        self.expect_running(True)
        self.update()

    @contextlib.contextmanager
    def restarting(self) -> Iterator[None]:
        """Show RESTARTING while the block runs, then the real status."""
        with self._lock:
            self._mode = ServiceStatus.RESTARTING
            self._forget_crashes()
        self.expect_running(True)
        self._set(ServiceStatus.RESTARTING)
        try:
            yield
        finally:
            with self._lock:
                self._mode = None
                self._forget_crashes()
            self.update()

    def update(self) -> ServiceStatus:
        """Look at the database and return the status, which listeners hear of."""
        if self._is_held():
            return self._current
        seen = self._probe()
        with self._lock:
            # Looking takes a while: prepare or a restart may have begun meanwhile.
            if self._is_held():
                return self._current
            if seen.status not in PROBED:
                raise ValueError(f"a probe does not say {seen.status}")
            seen = self._judge(seen)
        self._set(seen.status, seen.reason)
        return seen.status

    def expect_running(self, running: bool) -> None:
        """Remember whether the database is meant to run."""
        with self._lock:
            if running:
                # it is fenced no more
                self._memory.pop("fenced", None)
            self._remember("expects_running", running)

    def fence(self) -> None:
        """Remember that the database is not meant to run, and whether it was before."""
        if "fenced" not in self._memory:
            self._remember("fenced", self.expects_running)
        self.expect_running(False)

    def unfence(self) -> None:
        """Have the database be meant to run if it was before; nothing if it is not fenced."""
        with self._lock:
            before = self._memory.pop("fenced", None)
            if before is not None:
                self._memory["expects_running"] = before
                self._write_memory()

    def set_restart_required(self, required: bool) -> None:
        """Remember whether settings wait for a restart."""
        if required != self.restart_required:
            self._remember("restart_required", required)
            self._tell()

    # ---- inner ------------------------------------------------------------

    def _is_held(self) -> bool:
        """True while the status is not what the database shows."""
        return not self._prepared or self._mode is not None

    def _judge(self, seen: Finding) -> Finding:
        """Return what a look means, given what was seen before."""
        was_down, self._is_down = self._is_down, False
        if not self.expects_running:
            self._incarnation = ""
            return seen
        if seen.status is ServiceStatus.SHUTDOWN:
            seen = seen._replace(status=ServiceStatus.CRASHED)
            self._is_down, self._incarnation = True, ""
            if not was_down:
                self._crashes.add()
        elif seen.incarnation:
            if self._incarnation not in ("", seen.incarnation):
                # it ended and its supervisor started it between two looks
                self._crashes.add()
            self._incarnation = seen.incarnation
        if self._crashes.looping(seen.status is ServiceStatus.HEALTHY):
            reason = f"The database ends again and again. {seen.reason}"
            return Finding(ServiceStatus.CRASHED, reason.rstrip())
        return seen

    def _forget_crashes(self) -> None:
        self._crashes.clear()
        self._incarnation, self._is_down = "", False

    def _set(self, status: ServiceStatus, reason: str = "") -> None:
        with self._lock:
            if (status, reason) == (self._current, self._reason):
                return
            LOG.info("the status changes from %s to %s. %s", self._current, status, reason)
            self._current, self._reason = status, reason
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _folders(self) -> list[pathlib.Path]:
        volume = self._volume_dir()
        return [self._state_dir] if volume is None else [volume, self._state_dir]

    def _mark(self, name: str) -> None:
        text = json.dumps({
            "instance_id": self._instance_id, "at": isoformat(self._clock.now())})
        for folder in self._folders():
            files.make_directory(folder, mode=0o700)
            files.write_text(folder / name, text, mode=0o600)

    def _marked(self, name: str) -> bool:
        return any(self._is_ours(folder / name) for folder in self._folders())

    def _is_ours(self, path: pathlib.Path) -> bool:
        try:
            marker = json.loads(path.read_text())
        except FileNotFoundError:
            return False
        except (ValueError, OSError) as err:
            LOG.warning("the marker %s cannot be read: %s", path, err)
            return False
        return isinstance(marker, dict) and marker.get("instance_id") == self._instance_id

    def _remember(self, key: str, value: Any) -> None:
        with self._lock:
            if self._memory.get(key) != value:
                self._memory[key] = value
                self._write_memory()

    def _write_memory(self) -> None:
        """Write what is remembered; on a full root disk only this life knows it."""
        try:
            files.make_directory(self._state_dir, mode=0o700)
            files.write_text(self._state_dir / STATE_FILE, json.dumps(self._memory),
                             mode=0o600)
        except OSError as err:
            LOG.error("the status is not remembered: %s", err)

    def _read_memory(self) -> dict[str, Any]:
        try:
            memory = json.loads((self._state_dir / STATE_FILE).read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            LOG.warning("the remembered status cannot be read and is dropped")
            return {}
        return memory if isinstance(memory, dict) else {}
