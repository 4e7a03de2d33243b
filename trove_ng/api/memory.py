"""Answers that hardly change, remembered for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
_MOST = 1000


class Memory:
    """Remembers what a function gave.

    :param seconds: for how long; 0 remembers nothing
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._known: dict[Hashable, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is remembered under a key, made if need be."""
        known = self._known.get(key)
        if known is not None and known[0] > self._now():
            found: T = known[1]
            return found
        found = make()
        if self._seconds > 0:
            with self._lock:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[key] = (self._now() + self._seconds, found)
        return found

    def forget(self) -> None:
        """Forget everything: what was remembered was changed here."""
        with self._lock:
            self._known.clear()
