"""What is wrong with the database: its volume, its ends, and starting it again."""

from __future__ import annotations

import collections
import logging
import os
import threading
from typing import NamedTuple, Protocol

from trove_ng.common.clock import Clock
from trove_ng.common.errors import Conflict, TroveError
from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.steps import StepEngine

LOG = logging.getLogger(__name__)

_MB = 1024 * 1024
#: free bytes below which a volume is full: a hundredth of it, between these
_RESERVE = (4 * _MB, 64 * _MB)
#: percent used from which on the status warns
_NEARLY = 90
#: seconds for which ends of the database are counted
_COUNTED = 600.0
#: seconds without an end after which a database is thought to be well
_QUIET = 60.0
#: seconds between the first two attempts to start it
_FIRST_WAIT = 5.0

FULL = "The data volume is full."
NEARLY_FULL = f"More than {_NEARLY} % of the data volume are used."
NO_INODES = "The data volume can hold no more files."
READ_ONLY = "The data volume is read-only: its device may have failed."
NOT_MOUNTED = "The data volume is not mounted."


class Finding(NamedTuple):
    """What a look at the database showed.

    :param reason: a sentence on what is wrong, empty when nothing is
    :param incarnation: differs from one run of the database to the next; empty: unknown
    """

    status: ServiceStatus
    reason: str = ""
    incarnation: str = ""


class VolumeHealth:
    """Tells what is wrong with the data volume; one that was full must have some room
    again until it is not, so that the status does not change with every byte."""

    def __init__(self) -> None:
        self._full = False

    def trouble(self, path: str) -> str:
        """Return what keeps a database below a path from writing, empty if nothing.

        :raises OSError: the path cannot be looked at
        """
        info = os.statvfs(path)
        free = info.f_bavail * info.f_frsize
        low, high = _RESERVE
        reserve = min(max(info.f_blocks * info.f_frsize // 100, low), high)
        self._full = free < (2 * reserve if self._full else reserve)
        if info.f_flag & os.ST_RDONLY:
            return READ_ONLY
        if self._full:
            return FULL
        if info.f_files and not info.f_favail:
            return NO_INODES
        return ""

    @staticmethod
    def nearly_full(path: str) -> bool:
        """Return whether there is little room left.

        :raises OSError: the path cannot be looked at
        """
        info = os.statvfs(path)
        usable = info.f_blocks - info.f_bfree + info.f_bavail
        return info.f_bavail * 100 < usable * (100 - _NEARLY)


class CrashCount:
    """Counts unwanted ends of the database, to tell a loop from an accident.

    :param limit: ends within ten minutes that are a loop
    :param quiet: seconds without one after which the loop is over
    """

    def __init__(self, clock: Clock, limit: int, quiet: float = _QUIET) -> None:
        self._clock = clock
        self._quiet = quiet
        self._ends: collections.deque[float] = collections.deque(maxlen=limit)

    def add(self) -> None:
        """Count one."""
        self._ends.append(self._clock.monotonic())

    def clear(self) -> None:
        """Begin to count anew: somebody put things right."""
        self._ends.clear()

    def looping(self, well: bool) -> bool:
        """Return whether the database ends again and again.

        :param well: it answers now; a loop does not end before it does
        """
        now = self._clock.monotonic()
        if len(self._ends) < (self._ends.maxlen or 0) or self._ends[0] < now - _COUNTED:
            return False
        if well and self._ends[-1] < now - self._quiet:
            self._ends.clear()
            return False
        return True


class Mortal(Protocol):
    """The part of a datastore's manager that is used here."""

    @property
    def is_down(self) -> bool:
        """True while the database should run and does not."""

    def look(self) -> ServiceStatus:
        """Look at it, and tell of changes."""

    def may_start(self) -> bool:
        """Return whether a start has a prospect."""

    def revive(self) -> None:
        """Start it; raises when it did not come up."""


class Reviver:
    """Starts a database that ended, when its supervisor does not.

    The first attempt comes at once; the wait for the next one doubles.  What keeps it
    from starting at all, such as a full volume, is waited for.

    :param longest_wait: seconds between two attempts at most
    """

    def __init__(self, manager: Mortal, engine: StepEngine, clock: Clock, *,
                 longest_wait: float) -> None:
        self._manager = manager
        self._engine = engine
        self._clock = clock
        self._longest_wait = longest_wait
        self._attempts = 0
        self._next = 0.0
        self._last = 0.0
        self._work: threading.Thread | None = None

    def look(self) -> None:
        """Look at the database, and begin to start it if it is time."""
        seen = self._manager.look()
        now = self._clock.monotonic()
        if not self._manager.is_down:
            if seen is ServiceStatus.HEALTHY and now - self._last > _QUIET:
                self._attempts = 0
            return
        if not self._manager.may_start():
            # as soon as it may, it is tried
            self._attempts, self._next = 0, now
            return
        running = self._work is not None and self._work.is_alive()
        if running or self._engine.busy or (self._attempts and now < self._next):
            return
        self._attempts += 1
        # in a thread, because looking goes on meanwhile
        self._work = threading.Thread(target=self._start, name="revive", daemon=True)
        self._work.start()

    def _start(self) -> None:
        LOG.warning("the database has ended: it is started, attempt %d", self._attempts)
        try:
            with self._engine.exclusive("start after an end"):
                if self._manager.is_down:
                    self._manager.revive()
        except Conflict as err:
            LOG.info("the database is not started now: %s", err.message)
        except TroveError as err:
            LOG.error("the database does not start: %s", err.message)
        except Exception:
            LOG.exception("the database does not start")
        self._last = self._clock.monotonic()
        wait = min(_FIRST_WAIT * 2.0 ** min(self._attempts - 1, 30), self._longest_wait)
        self._next = self._last + wait
        self._manager.look()
