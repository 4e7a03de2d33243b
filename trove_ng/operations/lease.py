"""The right to work on an operation, and keeping it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy.orm import Session

from trove_ng.common.clock import Clock
from trove_ng.db.repositories import operations
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.db.trouble import StoreAway

LOG = logging.getLogger(__name__)


#: seconds until the wish to cancel an operation is noticed, at most
NOTICE = 3.0


class Abandoned(BaseException):  # noqa: N818 - not an error: nothing went wrong
    """This worker must stop without writing more; another one goes on.

    It is no :class:`Exception`, so that no step takes it for a failure and undoes what
    the other worker continues.
    """


class Later(Abandoned):
    """The operation waits for others, which need this worker's thread.

    It is taken again, by whoever is free then, and its step runs from the beginning.

    :param seconds: how long nobody need look at it
    """

    def __init__(self, operation_id: str, seconds: float) -> None:
        super().__init__(operation_id)
        self.seconds = seconds


class Lease:
    """The right to work on one operation.

    It ends by itself when it was not prolonged in time, also for a process that was
    stopped meanwhile and does not know.

    :param fence: the token that all writes of the holder name
    :param until: when it ends unless it is prolonged, by ``now``
    """

    def __init__(self, operation_id: str, fence: int, until: float = math.inf,
                 now: Callable[[], float] = time.monotonic) -> None:
        self.operation_id = operation_id
        self.fence = fence
        self._until = until
        self._now = now
        self._ended = threading.Event()
        self._words = itertools.count(1)
        self._cancelled = False
        #: why it ended, a value of the metric ``trove_operations_abandoned_total``
        self.reason = "lease_lost"

    @property
    def cancelled(self) -> bool:
        """True if the operation is asked to be cancelled."""
        return self._cancelled

    def cancel(self) -> None:
        """Tell the holder that the operation is asked to be cancelled."""
        self._cancelled = True

    @property
    def ended(self) -> bool:
        """True if the holder must stop."""
        if self._now() >= self._until:
            self.end("lease_expired")
        return self._ended.is_set()

    def prolong(self, until: float) -> None:
        """Let it end later, unless it has ended."""
        if not self.ended:
            self._until = until

    def end(self, reason: str = "lease_lost") -> None:
        """Make the holder stop at its next look; the first reason stays."""
        if not self._ended.is_set():
            self.reason = reason
        self._ended.set()

    def check(self) -> None:
        """Raise Abandoned if the right has ended."""
        if self.ended:
            raise Abandoned(self.operation_id)

    def next_word(self) -> int:
        """Return the number of what is sent next to an agent."""
        return next(self._words)

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than the right lasts.

        :raises Abandoned: the right has ended
        """
        end = self._now() + seconds
        while (left := end - self._now()) > 0:
            self._ended.wait(max(0.0, min(left, self._until - self._now())))
            self.check()
        self.check()

    def prove(self, db: Database) -> None:
        """Raise Abandoned if the right has ended, or somebody else has it now."""
        self.check()
        with db.reader() as session:
            held = operations.is_held(session, self.operation_id, self.fence)
        if not held:
            self.end()
            raise Abandoned(self.operation_id)

    @contextlib.contextmanager
    def writer(self, db: Database) -> Iterator[Session]:
        """Give a session that is committed only if the right is still held.

        :raises Abandoned: it is not
        """
        self.check()
        with db.writer() as session:
            if not operations.hold(session, self.operation_id, self.fence):
                self.end()
                raise Abandoned(self.operation_id)
            yield session


class LeaseKeeper:
    """Prolongs the leases of a process from a thread of its own.

    A lease that could not be prolonged ends for its holder before others may take it,
    also while the store does not answer at all.

    :param owner: unique name of this process
    :param seconds: how long a lease lasts without being prolonged
    :param skills: what this process knows to do; None: all
    """

    def __init__(self, db: Database, clock: Clock, owner: str, seconds: float,
                 skills: operations.Skills | None = None) -> None:
        self._skills = skills
        self._db = db
        self._clock = clock
        self._owner = owner
        self._seconds = seconds
        #: what of a lease its holder uses; the rest is for what is on its way
        self._good = seconds * 0.9
        self._held: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Begin to prolong."""
        self._thread.start()

    def stop(self) -> None:
        """End; leases that are still held run out."""
        self._stop.set()
        self._thread.join()

    def claimable(self, limit: int) -> Sequence[str]:
        """Return ids of operations that this process may take, in the order to do so."""
        with self._db.reader() as session:
            return operations.claimable(session, self._clock.now(), limit, self._skills)

    def claim(self, operation_id: str) -> Lease | None:
        """Take an operation; None if somebody else has it, or has to, or it has ended."""
        begun = self._clock.monotonic()
        fence = self._claim(operation_id)
        if fence is None:
            return None
        lease = Lease(operation_id, fence, begun + self._good, self._clock.monotonic)
        with self._lock:
            self._held[operation_id] = lease
        return lease

    @retry_on_db_error
    def _claim(self, operation_id: str) -> int | None:
        with self._db.writer() as session:
            return operations.claim(
                session, operation_id, self._owner, self._clock.now(), self._seconds,
                self._skills)

    def forget(self, lease: Lease) -> None:
        """Prolong a lease no more."""
        with self._lock:
            if self._held.get(lease.operation_id) is lease:
                del self._held[lease.operation_id]

    def end_all(self) -> None:
        """Make the holders of all leases stop."""
        with self._lock:
            for lease in self._held.values():
                lease.end("shutdown")

    def _run(self) -> None:
        pause = usual = min(self._seconds / 3, NOTICE)
        while not self._stop.wait(pause):
            pause = usual
            try:
                self._renew()
            except StoreAway as err:
                # it may come back before they end
                LOG.warning("leases could not be prolonged: %s", err.message)
                pause = min(1.0, usual)
            except Exception:
                LOG.exception("leases could not be prolonged")

    def _renew(self) -> None:
        with self._lock:
            held = dict(self._held)
        if not held:
            return
        begun = self._clock.monotonic()
        with self._db.writer() as session:
            kept = operations.renew(
                session, self._owner, ((lease.operation_id, lease.fence)
                                       for lease in held.values()),
                self._clock.now(), self._seconds)
            cancelled = operations.cancel_requested(session, kept)
        for ident, lease in held.items():
            if ident in cancelled:
                lease.cancel()
            if ident in kept:
                lease.prolong(begun + self._good)
            else:
                lease.end()
