"""Sending without waiting for a bus that hangs."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from trove_ng.common.errors import ServiceUnavailable

T = TypeVar("T")

#: seconds without any try after the bus did not take something
PAUSE = 1.0


class BusAway(ServiceUnavailable):
    """The message bus does not take it; what was sent may arrive nevertheless."""

    def __init__(self) -> None:
        super().__init__("The message bus is not available.")


class Lines:
    """Does sends in threads of their own, and gives up those that hang.

    oslo.messaging waits without end for a broker that is away, in any of a send's
    stages, and a broker may take a connection and then nothing more.  A send that is
    given up keeps its line until it ends, so that there are never more than ``most``.
    After a failure one send at a time is tried, and all others are refused at once.

    :param most: sends at the same time
    """

    def __init__(self, most: int = 16, pause: float = PAUSE,
                 now: Callable[[], float] = time.monotonic) -> None:
        self._free = threading.BoundedSemaphore(most)
        self._pause = pause
        self._now = now
        self._lock = threading.Lock()
        self._suspect = False
        self._trying = False
        self._closed_until = 0.0
        self._proven_at: float | None = None

    def prove(self) -> None:
        """Note that the bus takes messages and brings answers."""
        with self._lock:
            self._proven_at = self._now()

    def proven(self, within: float) -> bool:
        """Return whether that was noted so many seconds ago or less, and nothing failed."""
        with self._lock:
            return self._proven_at is not None and self._now() - self._proven_at <= within

    def run(self, work: Callable[[], T], seconds: float) -> T:
        """Return what a send returns.

        :param seconds: how long to wait for it
        :raises BusAway: it hangs, others do, or one failed a moment ago
        """
        trying = self._enter()
        try:
            return self._run(work, seconds)
        finally:
            if trying:
                with self._lock:
                    self._trying = False

    def _enter(self) -> bool:
        """Return whether this is the one that tries whether the bus is back."""
        with self._lock:
            if not self._suspect:
                return False
            if self._trying or self._now() < self._closed_until:
                raise BusAway
            self._trying = True
            return True

    def _run(self, work: Callable[[], T], seconds: float) -> T:
        if not self._free.acquire(blocking=False):
            raise BusAway
        ended: queue.SimpleQueue[tuple[list[T], BaseException | None]] = queue.SimpleQueue()

        def send() -> None:
            try:
                ended.put(([work()], None))
            except BaseException as err:  # noqa: BLE001 - the waiting thread raises it
                ended.put(([], err))
            finally:
                self._free.release()

        threading.Thread(target=send, name="bus", daemon=True).start()
        try:
            result, error = ended.get(timeout=seconds)
        except queue.Empty:
            self.failed()
            raise BusAway from None
        if error is not None:
            raise error
        with self._lock:
            self._suspect = False
        return result[0]

    def failed(self) -> None:
        """Note that the bus does not take anything."""
        with self._lock:
            self._suspect, self._proven_at = True, None
            self._closed_until = self._now() + self._pause
