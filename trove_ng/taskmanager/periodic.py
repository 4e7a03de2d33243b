"""Work that is done again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from trove_ng.common.errors import ServiceUnavailable
from trove_ng.operations.duty import Duty

LOG = logging.getLogger(__name__)


class Periodic:
    """Calls a function every so many seconds, in a thread of its own.

    A failure is logged and the next call is made in time.
    """

    def __init__(self, name: str, work: Callable[[], None], interval: float) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Call for the first time, and then again."""
        self._thread.start()

    def stop(self) -> None:
        """Call no more; wait for a running call."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._work()
            except ServiceUnavailable as err:
                LOG.warning("%s waits %s s: %s", self._name, self._interval, err.message)
            except Exception:
                LOG.exception("%s failed; it is tried again in %s s", self._name,
                              self._interval)
            self._stop.wait(self._interval)


class InTurn:
    """Does work when it is this taskmanager's turn: one of all does it in an interval.

    :param interval: seconds between two times, whoever does it
    """

    def __init__(self, duty: Duty, work: Callable[[], None], interval: float) -> None:
        self._duty = duty
        self._work = work
        # the clocks of the processes' turns differ by little
        self._pause = interval * 0.9

    def run(self) -> None:
        """Do it once, unless another taskmanager does, or just did."""
        if not self._duty.take(self._pause):
            return
        with self._duty.kept():
            self._work()
