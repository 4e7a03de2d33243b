"""Bounds on who waits for guests: one that does not answer must not take all threads."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from trove_ng.common.errors import ServiceUnavailable

#: seconds that a seat is waited for
SEAT_SECONDS = 1.0


class Seats:
    """Places to wait for the answers of guests.

    :param most: that there are
    :param each: that one guest may have
    """

    def __init__(self, most: int, each: int) -> None:
        self._most = most
        self._each = each
        self._taken: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, instance_id: str, seconds: float) -> Iterator[None]:
        """Have a seat within the block.

        :param seconds: how long it is waited for
        :raises ServiceUnavailable: there is none
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_free(instance_id), seconds):
                raise ServiceUnavailable("Too many requests wait for guest agents; try again "
                                         "soon.")
            self._taken[instance_id] += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken[instance_id] -= 1
                # what is zero is not kept
                self._taken += Counter()
                self._changed.notify_all()

    def _is_free(self, instance_id: str) -> bool:
        return self._taken.total() < self._most and self._taken[instance_id] < self._each
