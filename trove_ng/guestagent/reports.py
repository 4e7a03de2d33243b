"""Step reports on their way to the conductor."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from trove_ng.common.states import ReportState
from trove_ng.rpc.messages import StepReport

LOG = logging.getLogger(__name__)

#: seconds after which a final report is sent again: the bus may lose what it took,
#: and the receiver drops what it knows already
REPEAT_AFTER = (10.0, 60.0)
#: longest wait between two attempts while the bus is away, seconds
LONGEST_WAIT = 4.0


class StepReporter(Protocol):
    """The part of the conductor's client that is used here."""

    def report_step(self, report: StepReport) -> None:
        """Send; raises when the bus does not take it."""


class Outbox:
    """Sends reports in the background until the bus takes them.

    Of the progress of one step only the newest report waits; a final one takes the
    place of all before it.

    :param reporter: way to the conductor
    :param on_delivered: called with each final report that the bus took
    """

    def __init__(self, reporter: StepReporter, *,
                 on_delivered: Callable[[StepReport], None] | None = None,
                 repeat_after: tuple[float, ...] = REPEAT_AFTER,
                 first_wait: float = 0.5) -> None:
        self._reporter = reporter
        self._on_delivered = on_delivered
        self._repeat_after = repeat_after
        self._first_wait = first_wait
        self._condition = threading.Condition()
        self._waiting: dict[tuple[str, str], tuple[float, int, StepReport]] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, report: StepReport) -> None:
        """Queue a report; it replaces an older one of the same step."""
        with self._condition:
            self._waiting[(report.operation_id, report.step)] = (time.monotonic(), 0, report)
            self._condition.notify_all()

    def stop(self, timeout: float) -> None:
        """Send what is due, for ``timeout`` seconds at most, and end."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        wait = self._first_wait
        while True:
            item = self._next()
            if item is None:
                return
            key, report = item
            try:
                self._reporter.report_step(report)
            except Exception as err:  # noqa: BLE001  whatever it is, the report must go out
                LOG.warning("the report of step %s waits %.1f s for the bus: %s",
                            report.step, wait, type(err).__name__)
                with self._condition:
                    if self._stopping:
                        return
                    self._condition.wait(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            wait = self._first_wait
            self._delivered(key, report)

    def _next(self) -> tuple[tuple[str, str], StepReport] | None:
        """Wait for the next report that is due; None when it is time to end."""
        with self._condition:
            while True:
                now = time.monotonic()
                due = sorted((at, key) for key, (at, _count, _report) in self._waiting.items())
                if due and due[0][0] <= now:
                    key = due[0][1]
                    return key, self._waiting[key][2]
                if self._stopping:
                    return None
                self._condition.wait(due[0][0] - now if due else None)

    def _delivered(self, key: tuple[str, str], report: StepReport) -> None:
        final = report.state is not ReportState.RUNNING
        first = False
        with self._condition:
            _at, count, latest = self._waiting.get(key, (0.0, 0, None))
            if latest is report:
                first = count == 0
                if final and count < len(self._repeat_after):
                    again = time.monotonic() + self._repeat_after[count]
                    self._waiting[key] = (again, count + 1, report)
                else:
                    del self._waiting[key]
        if final and first and self._on_delivered is not None:
            try:
                self._on_delivered(report)
            except OSError as err:
                LOG.warning("it is not remembered that a report was sent: %s", err)
