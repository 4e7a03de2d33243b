"""The time, in one place, so that a test can pass another clock."""

from __future__ import annotations

import datetime
import time
from typing import Protocol


class Clock(Protocol):
    """What a component that needs the time is given."""

    def now(self) -> datetime.datetime:
        """Return the wall-clock time as naive UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime.datetime:
        return utcnow()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def utcnow() -> datetime.datetime:
    """Return the present time as naive UTC, the form the store keeps."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def isoformat(moment: datetime.datetime | None) -> str | None:
    """Return the form that the REST API shows, to the second, or None."""
    if moment is None:
        return None
    return moment.replace(microsecond=0, tzinfo=None).isoformat()
