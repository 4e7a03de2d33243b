"""Claiming operations and running them on a pool of threads."""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from trove_ng.common.clock import Clock
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.db.repositories import operations
from trove_ng.db.session import Database
from trove_ng.db.trouble import StoreAway
from trove_ng.operations.lease import Abandoned, Later, Lease, LeaseKeeper
from trove_ng.rpc import messages
from trove_ng.rpc.endpoint import Caller, Method

LOG = logging.getLogger(__name__)


class Manager:
    """Runs operations that it can claim.

    :param run: does a claimed operation
    :param workers: operations at the same time
    :param recorder: is told of operations that are left to others
    """

    def __init__(self, db: Database, clock: Clock, keeper: LeaseKeeper,
                 run: Callable[[Lease], None], workers: int,
                 recorder: Recorder = SILENT) -> None:
        self._recorder = recorder
        self._db = db
        self._clock = clock
        self._keeper = keeper
        self._run = run
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="operation")
        self._taken: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def table(self) -> dict[str, Method]:
        """Return the methods that the bus may call."""
        return {"wake": Method(messages.Wake, messages.Empty, self._on_wake)}

    def _on_wake(self, _caller: Caller, message: messages.Wake) -> messages.Empty:
        self.take(message.operation_id)
        return messages.Empty()

    def take(self, operation_id: str) -> None:
        """Run an operation as soon as a thread is free, if nobody else does."""
        with self._lock:
            # more than the threads can do is left to others, and to the sweep
            if (self._stopping or operation_id in self._taken
                    or len(self._taken) >= self._workers):
                return
            self._taken.add(operation_id)
        self._pool.submit(self._work, operation_id)

    def sweep(self) -> None:
        """Take operations whose wake-up was lost, or whose worker died."""
        with self._lock:
            free = self._workers - len(self._taken)
        if free <= 0:
            return
        for operation_id in self._keeper.claimable(free):
            self.take(operation_id)

    def _work(self, operation_id: str) -> None:
        try:
            lease = self._keeper.claim(operation_id)
            if lease is not None:
                self._run_leased(lease)
        except StoreAway as err:
            LOG.warning("operation %s is left to the next sweep: %s", operation_id,
                        err.message)
        except Exception:
            LOG.exception("operation %s is left to the next sweep", operation_id)
        finally:
            with self._lock:
                self._taken.discard(operation_id)

    def _run_leased(self, lease: Lease) -> None:
        again: datetime.datetime | None = None
        try:
            self._run(lease)
        except Later as err:
            again = self._clock.now() + datetime.timedelta(seconds=err.seconds)
        except Abandoned:
            self._recorder.operation_abandoned(lease.reason)
            LOG.info("operation %s is left to another worker", lease.operation_id)
        finally:
            self._keeper.forget(lease)
            with self._db.writer() as session:
                # changes nothing when the operation has ended or belongs to another
                operations.give_back(session, lease.operation_id, lease.fence, again)

    def stop(self) -> None:
        """Leave running operations to other taskmanagers, at their present step."""
        with self._lock:
            self._stopping = True
        self._keeper.end_all()
        self._pool.shutdown(wait=True, cancel_futures=True)
