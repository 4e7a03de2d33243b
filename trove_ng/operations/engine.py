"""Running a run-book by taskflow, from wherever an earlier worker stopped."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from taskflow import engines, states, task
from taskflow.patterns import linear_flow
from taskflow.persistence import models

from trove_ng.cloud.errors import CloudError
from trove_ng.common.errors import Conflict, ServiceUnavailable, TroveError
from trove_ng.common.tracebacks import without_texts
from trove_ng.db.repositories import operation_records, operations
from trove_ng.db.session import retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.operations import guest
from trove_ng.operations.giving_up import give_up
from trove_ng.operations.lease import Abandoned, Later, Lease
from trove_ng.operations.lost import ServerLost
from trove_ng.operations.persistence import StoreBackend, StoreConnection
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.work import Cancelled, Overdue, StepFailed, Tools, Work
from trove_ng.rpc.lines import BusAway

LOG = logging.getLogger(__name__)

_BOOK = "operation"

#: is told where an operation is: ``before|done|written <step>`` while it is done,
#: ``undo|undone <step>`` while it is taken back, ``end`` and ``ended``
Observer = Callable[[Work, str], None]


def nobody(_work: Work, _point: str) -> None:
    """Look away."""


def describe(error: BaseException, step: str) -> str:
    """Return what the owner of a resource may know of an error."""
    if isinstance(error, StepFailed | TroveError | CloudError):
        return str(error.message)
    return f"An unexpected error ({type(error).__name__}) occurred at step {step}."


class StepTask(task.Task):
    """A step, as taskflow sees it.  Nothing goes through taskflow: steps use the store.

    :param percent: how far the operation is when the step begins
    :param cancel_before: the operation may be cancelled until the step begins
    :param may_cancel: the operation may be cancelled while the step runs
    """

    def __init__(self, step: Step, work: Work, percent: int, *, cancel_before: bool,
                 may_cancel: bool, observe: Observer) -> None:
        super().__init__(name=step.name)
        self._cancel_before = cancel_before
        self._may_cancel = may_cancel
        self._step = step
        self._work = work
        self._percent = percent
        self._observe = observe

    def execute(self) -> None:
        """Do the step.

        :raises Abandoned: the store is away; the step is done again later
        """
        work, name = self._work, self._step.name
        try:
            work.allow_cancel(self._may_cancel)
            with self._measured("succeeded", "failed"):
                self._begin()
                work.check()
                LOG.info("operation %s (%s %s): %s", work.id, work.action, work.resource_id,
                         name)
                self._observe(work, f"before {name}")
                self._try(self._step.do)
                self._observe(work, f"done {name}")
                self._end(None)
                self._observe(work, f"written {name}")
        except StoreAway as err:
            self._abandon(err)
        except Exception as err:
            self._failed(err)
            raise

    @contextlib.contextmanager
    def _measured(self, good: str, bad: str) -> Iterator[None]:
        """Tell how long the block took, and how it ended."""
        tools, outcome = self._work.tools, bad
        begun = tools.clock.monotonic()
        try:
            yield
            outcome = good
        except Later:
            outcome = "waits"
            raise
        except (Abandoned, StoreAway):
            outcome = "abandoned"
            raise
        finally:
            tools.recorder.step_ended(self._work.action, self._step.name, outcome,
                                      tools.clock.monotonic() - begun)

    @retry_on_db_error
    def _begin(self) -> None:
        work = self._work
        with work.writer() as session:
            # who asks to cancel waits for this transaction, or was heard before it
            if self._cancel_before and operations.cancel_requested(session, [work.id]):
                raise Cancelled
            operations.begin_step(session, work.id, self._step.name, self._percent,
                                  work.tools.clock.now(), again=not work.waited)

    @retry_on_db_error
    def _end(self, error: str | None, trace: str | None = None) -> None:
        work = self._work
        with work.writer() as session:
            if error is None and self._may_cancel and (
                    operations.cancel_requested(session, [work.id])):
                raise Cancelled
            operations.end_step(
                session, work.id, self._step.name, error, work.tools.clock.now())
            if error is not None:
                operations.note_error(session, work.id, error, trace)

    def _abandon(self, err: Exception) -> None:
        """Leave the operation to a later sweep: a store that is away is no failure."""
        LOG.warning("operation %s is left at %s: %s", self._work.id, self._step.name,
                    type(err).__name__)
        self._work.lease.end("store_away")
        raise Abandoned(self._work.id) from err

    def _try(self, function: Callable[[Work], None], *, always: bool = False) -> None:
        """Call a step's function, again when the cloud or the agent did not answer.

        It finds what a call did whose answer was lost.  While the bus is away it is
        called again until the operation's own time is over; an agent whose server is lost
        is not asked again.

        :param always: again also when the cloud refused
        """
        work, conf = self._work, self._work.tools.conf
        left, asked = conf.operations.step_tries - 1, work.tools.clock.monotonic()
        while True:
            try:
                function(work)
                return
            except CloudError as err:
                if not ((err.retryable or always) and left):
                    raise
                left -= 1
                why = err.message
            except (StoreAway, ServerLost):
                raise
            except BusAway as err:
                why = err.message
            except (ServiceUnavailable, Conflict) as err:
                # the agent may be at it still, or its answer may be lost
                if work.tools.clock.monotonic() - asked > conf.guest_long_call_timeout:
                    raise
                why = err.message
            LOG.warning("operation %s: %s is tried again: %s", work.id, self._step.name, why)
            work.tools.recorder.step_retried(work.action, self._step.name)
            work.lease.sleep(conf.operations.step_retry_interval)
            try:
                work.check()
            except Overdue as err:
                raise Overdue(f"{err.message} {why}") from None

    def _failed(self, err: Exception) -> None:
        work, name = self._work, self._step.name
        expected = isinstance(err, StepFailed | TroveError | CloudError)
        message = describe(err, name)
        work.cancelled = isinstance(err, Cancelled)
        LOG.log(logging.INFO if work.cancelled else logging.ERROR,
                "operation %s (%s %s) failed at %s: %s", work.id, work.action,
                work.resource_id, name, message, exc_info=not expected)
        work.failure = work.failure or message
        try:
            self._end(message, None if expected else "".join(
                traceback.format_exception(without_texts(err))))
        except StoreAway as away:
            self._abandon(away)

    def revert(self, *_args: Any, **_kwargs: Any) -> None:
        """Undo the step.

        What cannot be undone is written down, so that the other steps are undone.
        """
        if self._step.undo is None:
            return
        self._work.begin_undo()
        LOG.info("operation %s: undo %s", self._work.id, self._step.name)
        try:
            with self._measured("undone", "undo_failed"):
                self._observe(self._work, f"undo {self._step.name}")
                self._try(self._step.undo, always=True)
                self._observe(self._work, f"undone {self._step.name}")
            self._note_undone()
        except StoreAway as err:
            self._abandon(err)
        except Exception as err:
            LOG.exception("operation %s (%s %s): %s could not be undone", self._work.id,
                          self._work.action, self._work.resource_id, self._step.name)
            try:
                self._note_left(err)
            except StoreAway as err:
                self._abandon(err)

    @retry_on_db_error
    def _note_undone(self) -> None:
        work = self._work
        with work.writer() as session:
            operations.note_undone(session, work.id, self._step.name, work.tools.clock.now())

    @retry_on_db_error
    def _note_left(self, err: Exception) -> None:
        work, name = self._work, self._step.name
        with work.writer() as session:
            operations.note_left(
                session, work.id, name, describe(err, name), work.tools.clock.now(),
                work.blamed_id)


class Engine:
    """Runs operations.

    :param runbooks: by action
    :param observe: is told of every point that an operation passes
    """

    def __init__(self, tools: Tools, runbooks: Mapping[str, Runbook],
                 observe: Observer = nobody) -> None:
        self._tools = tools
        self._runbooks = runbooks
        self._observe = observe

    def run(self, lease: Lease) -> None:
        """Run an operation to its end.

        :raises Abandoned: the lease ended before
        """
        with self._tools.db.reader() as session:
            row = operations.get(session, lease.operation_id)
            region = operations.region_of(session, row) if row is not None else None
        if row is None:
            return
        work = Work(self._tools, row, lease, region)
        if not work.waited:
            self._tools.recorder.operation_claimed(row.action, row.attempts)
        book = self._runbooks.get(row.action)
        if book is None:
            LOG.error("operation %s: there is no run-book for %s", work.id, work.action)
            self._give_up(work, f"{row.action} is not known to any taskmanager.")
            return
        if lease.fence > 1 and not work.waited:
            guest.take_over(work)
        try:
            failed = self._run_steps(book, work)
        except Exception:
            if not work.overdue():
                raise  # it is tried again
            LOG.exception("operation %s (%s %s) is given up", work.id, work.action,
                          work.resource_id)
            work.failure, failed = work.failure or f"{row.action} took too long.", True
        self._observe(work, "end")
        try:
            self._end(book, work, failed)
        except StoreAway:
            raise
        except Exception as err:
            if not work.overdue():
                raise  # it is tried again
            LOG.exception("the end of operation %s (%s %s) cannot be written", work.id,
                          work.action, work.resource_id)
            self._give_up(work, work.failure or describe(err, "end"), without_texts(err))
        self._observe(work, "ended")

    @retry_on_db_error
    def _end(self, book: Runbook, work: Work, failed: bool) -> None:
        now, status, message = self._tools.clock.now(), operations.SUCCEEDED, None
        if failed:
            status = operations.CANCELLED if work.cancelled else operations.FAILED
            message = work.failure or f"{work.action} failed."
        with work.writer() as session:
            if message is None:
                book.succeed(work, session)
            else:
                book.fail(work, session, message)
            operations.end(session, work.id, status, message, now)
            operation_records.erase(session, work.id)
        LOG.info("operation %s (%s %s) %s", work.id, work.action, work.resource_id,
                 status.lower())
        self._tell_end(work, status)

    def _tell_end(self, work: Work, status: str) -> None:
        seconds = (self._tools.clock.now() - work.accepted).total_seconds()
        self._tools.recorder.operation_ended(work.action, status, max(0.0, seconds))

    def _run_steps(self, book: Runbook, work: Work) -> bool:
        """Run all steps; return whether one failed (and those before it are undone)."""
        backend = StoreBackend(self._tools.db, work.lease)
        connection = backend.get_connection()
        log_book, detail = self._memory(connection, work)
        if detail.state == states.REVERTED:
            return True
        if detail.state == states.SUCCESS:
            return False
        flow = linear_flow.Flow(book.action)
        before: str | None = None
        for index, step in enumerate(book.steps):
            flow.add(StepTask(step, work, 100 * index // len(book.steps),
                              cancel_before=book.may_cancel(before),
                              may_cancel=book.may_cancel(step.name), observe=self._observe))
            before = step.name
        engine = engines.load(flow, flow_detail=detail, book=log_book, backend=backend,
                              engine="serial")
        try:
            engine.run()
        except Exception:
            if engine.storage.get_flow_state() != states.REVERTED:
                raise
            return True
        return False

    @staticmethod
    def _memory(connection: StoreConnection, work: Work,
                ) -> tuple[models.LogBook, models.FlowDetail]:
        for book in connection.get_logbooks():
            for detail in book:
                return book, detail
        book = models.LogBook(_BOOK)
        detail = models.FlowDetail(work.action, uuid=work.id)
        book.add(detail)
        connection.save_logbook(book)
        return book, detail

    @retry_on_db_error
    def _give_up(self, work: Work, why: str, err: BaseException | None = None) -> None:
        """End an operation without its run-book.

        :param err: what its end failed with, for operators
        """
        with work.writer() as session:
            if err is not None:
                operations.note_error(
                    session, work.id, why, "".join(traceback.format_exception(err)))
            give_up(work, session, why)
        self._tell_end(work, operations.FAILED)
