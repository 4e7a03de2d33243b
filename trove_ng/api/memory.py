"""Answers that hardly change, remembered for a moment."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
_MOST = 1000


class Generation:
    """What a service's workers agree on about their memories; it lives in shared memory.

    Made before the workers are forked.
    """

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def current(self) -> bytes:
        """Return what memories have to be of to be true."""
        return self._page[:8]

    def end(self) -> None:
        """Make all that the workers remember untrue."""
        # no count: two workers at once would need a lock, which a killed one never gives back
        self._page[:8] = os.urandom(8)


class Memory:
    """Remembers what a function gave.

    :param seconds: for how long; 0 remembers nothing
    :param generation: shared by all workers, so that each forgets what another one changed
    """

    def __init__(self, seconds: float, generation: Generation | None = None,
                 now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._generation = generation or Generation()
        self._now = now
        self._known: dict[Hashable, tuple[float, bytes, Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is remembered under a key, made if need be."""
        generation = self._generation.current()
        known = self._known.get(key)
        if known is not None and known[0] > self._now() and known[1] == generation:
            found: T = known[2]
            return found
        found = make()
        if self._seconds > 0:
            with self._lock:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[key] = (self._now() + self._seconds, generation, found)
        return found

    def forget(self) -> None:
        """Forget everything, in all workers: what was remembered was changed here."""
        self._generation.end()
