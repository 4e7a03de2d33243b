"""Long steps: done once, remembered on disk, reported until they arrive.

The bus may deliver a request twice, or not at all, and the agent may be killed in
between.  A step is named by its operation and its name.  What became of it is written
before it is reported, so that a repeat is answered from memory.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from trove_ng.common.errors import Conflict, TroveError
from trove_ng.common.states import ReportState
from trove_ng.guestagent.order import Order
from trove_ng.guestagent.os import files
from trove_ng.guestagent.reports import Outbox
from trove_ng.guestagent.sequence import Sequence
from trove_ng.guestagent.storage.http import DamagedBackup, FullBackupNeeded, SeemsDamaged
from trove_ng.rpc import faults
from trove_ng.rpc import messages as m

LOG = logging.getLogger(__name__)

#: finished steps that are remembered
REMEMBERED = 200
#: seconds between two progress reports of a step
PROGRESS_INTERVAL = 1.0
#: seconds that a step waits for another one before it is refused
PATIENCE = 5.0
#: seconds that a step gets to end when it is cancelled, before the answer is sent
CANCEL_PATIENCE = 20.0
_DISK_TROUBLE = {errno.ENOSPC: "is full", errno.EDQUOT: "is full",
                 errno.EROFS: "is read-only", errno.EIO: "has failed"}
INTERRUPTED = "The guest agent ended while it worked on this step."
CANCELLED = "The step was cancelled."
LATE = "The request came after newer ones of its operation."

R = TypeVar("R", bound=m.StepRequest)
A = TypeVar("A", bound=m.Message)


class StepCancelled(Exception):
    """The step, or the whole agent, is asked to end: leave the work as soon as possible."""


class StepRecord(msgspec.Struct):
    """What is remembered of a step.

    :param result: the answer as JSON values, for a step that succeeded; see StepReport
    :param interrupted: True if the agent's end cut the step off
    :param reported: True once the bus took the final report
    :param kind: type of the error, of those that cross the bus
    :param fence: with ``word`` the place of the newest request of the operation
    """

    operation_id: str
    step: str
    state: ReportState
    percent: int = 0
    result: dict[str, Any] = {}
    error: str = ""
    kind: str = ""
    interrupted: bool = False
    reported: bool = False
    ended_at: float = 0.0
    fence: int = 0
    word: int = 0


class StepStore:
    """The records, one file each.

    :param folder: directory of the files
    """

    def __init__(self, folder: pathlib.Path, remembered: int = REMEMBERED) -> None:
        self._folder = folder
        self._remembered = remembered
        #: ends that a full disk kept from being written: this life knows them
        self._unwritten: dict[pathlib.Path, StepRecord] = {}
        files.make_directory(folder, mode=0o700)

    def get(self, operation_id: str, step: str) -> StepRecord | None:
        """Return the record, None if the step is not known."""
        path = self._path(operation_id, step)
        return self._unwritten.get(path) or self._read(path)

    def put(self, record: StepRecord) -> None:
        """Write a record; it is on the disk when this returns."""
        path = self._path(record.operation_id, record.step)
        files.write_bytes(path, msgspec.json.encode(record), mode=0o600)
        self._unwritten.pop(path, None)

    def put_anyway(self, record: StepRecord) -> None:
        """Write a record; on a full disk it is kept until the agent ends."""
        try:
            self.put(record)
        except OSError as err:
            LOG.error("the end of step %s is not remembered: %s", record.step, err)
            self._unwritten[self._path(record.operation_id, record.step)] = record

    def all(self) -> list[StepRecord]:
        """Return all records that can be read."""
        found = (self._unwritten.get(path) or self._read(path)
                 for path in self._folder.glob("*.json"))
        return [record for record in found if record is not None]

    def prune(self) -> None:
        """Forget the oldest of the reported steps beyond the number remembered."""
        done = sorted((record for record in self.all() if record.reported),
                      key=lambda record: record.ended_at)
        for record in done[:max(0, len(done) - self._remembered)]:
            files.remove(self._path(record.operation_id, record.step))

    def _path(self, operation_id: str, step: str) -> pathlib.Path:
        # The names come from the bus: they do not become file names.
        name = hashlib.sha256(json.dumps([operation_id, step]).encode()).hexdigest()
        return self._folder / f"{name[:32]}.json"

    def _read(self, path: pathlib.Path) -> StepRecord | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=StepRecord)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError:
            LOG.warning("the step record %s cannot be read and is dropped", path)
            files.remove(path)
            return None


class Progress:
    """How a running step tells how far it is, and learns that it should end.

    :param send: called with the percentage, at most once an interval
    """

    def __init__(self, send: Callable[[int], None], cancelled: threading.Event) -> None:
        self._send = send
        self._cancelled = cancelled
        self._percent = 0
        self._sent_at = 0.0

    @property
    def percent(self) -> int:
        """The last percentage told."""
        return self._percent

    def report(self, percent: int) -> None:
        """Tell how much is done, 0 to 99; it never goes back.

        :raises StepCancelled: the step is asked to end
        """
        self.check()
        percent = max(self._percent, min(int(percent), 99))
        now = time.monotonic()
        if percent > self._percent and now - self._sent_at >= PROGRESS_INTERVAL:
            self._sent_at = now
            self._percent = percent
            self._send(percent)
        self._percent = percent

    def check(self) -> None:
        """Raise :class:`StepCancelled` if the step is asked to end."""
        if self._cancelled.is_set():
            raise StepCancelled


class StepEngine:
    """Runs steps, one long one at a time.

    :param store: memory of steps
    :param outbox: way of the reports
    :param patience: seconds that a step waits for the one before it to end
    """

    def __init__(self, store: StepStore, outbox: Outbox, sequence: Sequence, *,
                 patience: float = PATIENCE) -> None:
        self._store = store
        self._outbox = outbox
        self._sequence = sequence
        self._patience = patience
        self._order = Order()
        for record in store.all():
            self._order.note(record.operation_id, (record.fence, record.word))
        self._lock = threading.Lock()
        self._free = threading.Condition(self._lock)
        self._waiting: set[tuple[str, str]] = set()
        #: the running step is asked to end; the whole agent is, with `_ending`
        self._cancelled = threading.Event()
        self._ending = False
        self._running: tuple[str, str] | None = None
        self._worker: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """True while a step runs."""
        return self._running is not None

    def recover(self) -> None:
        """Report what an earlier life of the agent left: cut off, or not reported."""
        for record in self._store.all():
            if record.state is ReportState.RUNNING:
                LOG.warning("step %s of operation %s was cut off", record.step,
                            record.operation_id)
                self._end(record, ReportState.FAILED, error=INTERRUPTED, interrupted=True)
            elif not record.reported:
                self._report(record)

    def submit(self, request: R, work: Callable[[R, Progress], m.Message], *,
               rerun_safe: bool = False) -> None:
        """Begin a step in the background; a repeat is answered from memory.

        :param rerun_safe: True if a step that the agent's end cut off may run again
            when it is asked for again; otherwise it stays failed
        """
        key = (request.operation_id, request.step)
        with self._lock:
            if key in self._waiting:
                LOG.info("step %s runs soon", request.step)
                return
            in_time = self._order.admit(request)
            if key == self._running:
                LOG.info("step %s runs already", request.step)
                return
            record = self._store.get(*key)
            again = record is not None and record.interrupted and rerun_safe
            if record is not None and not again:
                self._remember_place(record)
                self._report(record)
                return
            if not in_time:
                LOG.warning("step %s is not begun: %s", request.step, LATE)
                return
            self._waiting.add(key)
        threading.Thread(target=self._work, args=(request, work), name="step",
                         daemon=True).start()

    def call(self, request: R, work: Callable[[R], A], answer: type[A]) -> A:
        """Run a step now and return its answer; a repeat of a success is remembered.

        A failed one runs again when it is asked for again, and a repeat while it runs
        waits for its end.

        :raises Conflict: another step runs, or the request came after newer ones
        """
        key = (request.operation_id, request.step)
        with self._lock:
            # The answer to an earlier word may be lost: this one waits for the same end.
            joined = self._running == key
            self._free.wait_for(lambda: self._running != key)
            self._order.admit(request)
            record = self._store.get(*key)
            if record is not None and record.state is ReportState.SUCCEEDED:
                self._remember_place(record)
                return m.decode(json.dumps(record.result), answer)
            if joined and record is not None:
                raise faults.revive({"type": record.kind, "message": record.error})
            self._wait_until_free()
            if not self._order.admit(request):
                raise Conflict(LATE)
            record = self._begin(request, reported=True)
        try:
            result = work(request)
            plain = _plain(result)
        except BaseException as err:
            record.kind = type(err).__name__
            self._end(record, ReportState.FAILED, error=public_text(err), report=False)
            raise
        self._end(record, ReportState.SUCCEEDED, result=plain, report=False)
        return result

    def require_in_time(self, request: m.OrderedRequest) -> None:
        """Refuse what is no step and comes after newer requests of its operation.

        :raises Conflict: it does
        """
        with self._lock:
            if not self._order.admit(request):
                raise Conflict(LATE)

    @contextlib.contextmanager
    def exclusive(self, what: str) -> Iterator[None]:
        """Keep steps away while the block runs.

        :raises Conflict: a step runs
        """
        with self._lock:
            self._wait_until_free()
            self._running = ("", what)
        try:
            yield
        finally:
            with self._lock:
                self._running = None
                self._free.notify_all()

    def delivered(self, report: m.StepReport) -> None:
        """The bus took a final report: remember it, so that it is not sent again."""
        with self._lock:
            record = self._store.get(report.operation_id, report.step)
            if record is not None and record.state is report.state:
                record.reported = True
                self._store.put(record)
                self._store.prune()

    def cancel(self, request: m.StepRequest) -> bool:
        """Ask a step to end; one that did not come yet will not begin.

        :return: True if the step does not run (any more), False if it is not left yet
        :raises Conflict: the request came after newer ones
        """
        key = (request.operation_id, request.step)
        with self._lock:
            if not self._order.admit(request):
                raise Conflict(LATE)
            record = self._store.get(*key)
            if key == self._running:
                self._cancelled.set()
            elif record is not None:
                self._remember_place(record)
            else:
                self._store.put(StepRecord(
                    operation_id=request.operation_id, step=request.step,
                    state=ReportState.FAILED, error=CANCELLED, reported=True,
                    ended_at=time.time(), fence=request.fence, word=request.word))
            return self._free.wait_for(lambda: key != self._running, CANCEL_PATIENCE)

    def stop(self, timeout: float) -> None:
        """Ask the running step to end and wait for it, ``timeout`` seconds at most."""
        self._ending = True
        self._cancelled.set()
        worker = self._worker
        if worker is not None:
            worker.join(timeout)

    # ---- inner ------------------------------------------------------------

    def _wait_until_free(self) -> None:
        """Wait, with the lock held, until no step runs.

        :raises Conflict: one runs still when patience is at its end
        """
        if not self._free.wait_for(lambda: self._running is None, self._patience):
            assert self._running is not None
            raise Conflict(f"The guest agent works on step {self._running[1]}.")

    def _remember_place(self, record: StepRecord) -> None:
        """Write what the newest request of an operation is, if that is news."""
        place = self._order.newest(record.operation_id)
        if (record.fence, record.word) != place:
            record.fence, record.word = place
            self._store.put_anyway(record)

    def _work(self, request: R, work: Callable[[R, Progress], m.Message]) -> None:
        """Wait for the turn of a step and run it, in a thread of its own."""
        try:
            with self._lock:
                try:
                    self._wait_until_free()
                    self._worker = threading.current_thread()
                    if not self._ending:
                        self._cancelled.clear()
                    known = self._store.get(request.operation_id, request.step)
                    if known is not None and known.error == CANCELLED:
                        return
                    if not self._order.admit(request):
                        LOG.warning("step %s is not begun: %s", request.step, LATE)
                        return
                    record = self._begin(request)
                finally:
                    self._waiting.discard((request.operation_id, request.step))
        except Exception as err:  # noqa: BLE001  whatever it is, the asker must hear of it
            LOG.warning("step %s is refused: %s", request.step, public_text(err))
            self._refuse(request, public_text(err))
            return
        self._run(record, request, work)

    def _begin(self, request: m.StepRequest, reported: bool = False) -> StepRecord:
        self._running = (request.operation_id, request.step)
        record = StepRecord(operation_id=request.operation_id, step=request.step,
                            state=ReportState.RUNNING, reported=reported,
                            fence=request.fence, word=request.word)
        try:
            self._store.put(record)
        except BaseException:
            self._running = None
            raise
        return record

    def _run(self, record: StepRecord, request: R,
             work: Callable[[R, Progress], m.Message]) -> None:
        def send(percent: int) -> None:
            record.percent = percent
            self._report(record)

        self._report(record)
        try:
            result = _plain(work(request, Progress(send, self._cancelled)))
        except StepCancelled:
            self._end(record, ReportState.FAILED, interrupted=self._ending,
                      error=INTERRUPTED if self._ending else CANCELLED)
        except BaseException as err:
            LOG.exception("step %s of operation %s failed", record.step,
                          record.operation_id)
            self._end(record, ReportState.FAILED, error=public_text(err), result=_blame(err))
        else:
            self._end(record, ReportState.SUCCEEDED, result=result)

    def _end(self, record: StepRecord, state: ReportState, *, error: str = "",
             result: dict[str, Any] | None = None, interrupted: bool = False,
             report: bool = True) -> None:
        record.state = state
        record.error = error
        record.result = result or {}
        record.interrupted = interrupted
        record.ended_at = time.time()
        record.fence, record.word = self._order.newest(record.operation_id)
        if state is ReportState.SUCCEEDED:
            record.percent = 100
        self._store.put_anyway(record)
        with self._lock:
            if self._running == (record.operation_id, record.step):
                self._running = None
                self._free.notify_all()
        if report:
            self._report(record)

    def _report(self, record: StepRecord) -> None:
        self._outbox.put(m.StepReport(
            operation_id=record.operation_id, step=record.step, state=record.state,
            sequence=self._sequence.next(), percent=record.percent,
            result=record.result, error=record.error))

    def _refuse(self, request: m.StepRequest, error: str) -> None:
        """Fail a step without remembering it: it may be asked for again."""
        self._outbox.put(m.StepReport(
            operation_id=request.operation_id, step=request.step,
            state=ReportState.FAILED, sequence=self._sequence.next(), error=error))


def public_text(err: BaseException) -> str:
    """Return what may be told of an error: only Trove's own messages are."""
    if isinstance(err, TroveError):
        return err.message
    if isinstance(err, OSError) and err.errno in _DISK_TROUBLE:
        return f"A disk of the database server {_DISK_TROUBLE[err.errno]}."
    return f"The guest agent failed with {type(err).__name__}; its log tells more."


def _blame(err: BaseException) -> dict[str, Any]:
    if isinstance(err, FullBackupNeeded):
        return {m.FULL_NEEDED: True}
    if not isinstance(err, DamagedBackup):
        return {}
    return {m.DAMAGED: _plain(m.Damage(
        proved=not isinstance(err, SeemsDamaged), checksum=err.checksum))}


def _plain(message: m.Message) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(m.encode(message))
    return plain
