"""The right to work on an operation, and keeping it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

from sqlalchemy.orm import Session

from trove_ng.common.clock import Clock
from trove_ng.db.repositories import operations
from trove_ng.db.session import Database, retry_on_db_error

LOG = logging.getLogger(__name__)


#: seconds until the wish to cancel an operation is noticed, at most
NOTICE = 3.0


class Abandoned(BaseException):  # noqa: N818 - not an error: nothing went wrong
    """This worker must stop without writing more; another one goes on.

    It is no :class:`Exception`, so that no step takes it for a failure and undoes what
    the other worker continues.
    """


class Lease:
    """The right to work on one operation.

    :param fence: the token that all writes of the holder name
    """

    def __init__(self, operation_id: str, fence: int) -> None:
        self.operation_id = operation_id
        self.fence = fence
        self._ended = threading.Event()
        self._cancelled = False

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
        return self._ended.is_set()

    def end(self) -> None:
        """Make the holder stop at its next look."""
        self._ended.set()

    def check(self) -> None:
        """Raise Abandoned if the right has ended."""
        if self._ended.is_set():
            raise Abandoned(self.operation_id)

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than the right lasts.

        :raises Abandoned: the right has ended
        """
        if self._ended.wait(seconds):
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

    :param owner: unique name of this process
    :param seconds: how long a lease lasts without being prolonged
    """

    def __init__(self, db: Database, clock: Clock, owner: str, seconds: float) -> None:
        self._db = db
        self._clock = clock
        self._owner = owner
        self._seconds = seconds
        self._held: dict[str, tuple[Lease, float]] = {}
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

    def claim(self, operation_id: str) -> Lease | None:
        """Take an operation; None if somebody else has it, or it has ended."""
        begun = time.monotonic()
        fence = self._claim(operation_id)
        if fence is None:
            return None
        lease = Lease(operation_id, fence)
        with self._lock:
            self._held[operation_id] = (lease, begun)
        return lease

    @retry_on_db_error
    def _claim(self, operation_id: str) -> int | None:
        with self._db.writer() as session:
            return operations.claim(
                session, operation_id, self._owner, self._clock.now(), self._seconds)

    def forget(self, lease: Lease) -> None:
        """Prolong a lease no more."""
        with self._lock:
            if self._held.get(lease.operation_id, (None,))[0] is lease:
                del self._held[lease.operation_id]

    def end_all(self) -> None:
        """Make the holders of all leases stop."""
        with self._lock:
            for lease, _ in self._held.values():
                lease.end()

    def _run(self) -> None:
        while not self._stop.wait(min(self._seconds / 3, NOTICE)):
            try:
                self._renew()
            except Exception:  # noqa: BLE001 - the store may come back before they expire
                LOG.exception("leases could not be prolonged")
                self._expire()

    def _renew(self) -> None:
        with self._lock:
            held = {ident: lease for ident, (lease, _) in self._held.items()}
        if not held:
            return
        begun = time.monotonic()
        with self._db.writer() as session:
            kept = operations.renew(
                session, self._owner, ((lease.operation_id, lease.fence)
                                       for lease in held.values()),
                self._clock.now(), self._seconds)
            cancelled = operations.cancel_requested(session, kept)
        with self._lock:
            for ident, lease in held.items():
                if ident in cancelled:
                    lease.cancel()
                if ident in kept and ident in self._held:
                    self._held[ident] = (lease, begun)
                elif ident not in kept:
                    lease.end()

    def _expire(self) -> None:
        """End what could not be prolonged, before others may take it."""
        latest = time.monotonic() - self._seconds * 0.9
        with self._lock:
            for lease, renewed in self._held.values():
                if renewed < latest:
                    lease.end()
