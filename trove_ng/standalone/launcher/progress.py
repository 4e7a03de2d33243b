"""Lines of progress with the seconds since the start."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Progress:
    """Writes what is being done, for people.

    :param stream: where to; standard output when None
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._begin = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begin

    def say(self, text: str) -> None:
        """Write one line with the time."""
        self.show(f"[{self.elapsed:6.1f}s] {text}")

    def show(self, text: str = "") -> None:
        """Write one line as it is."""
        self._stream.write(text + "\n")
        self._stream.flush()

    @contextmanager
    def stage(self, text: str) -> Iterator[None]:
        """Tell when something begins and how long it took."""
        self.say(f"{text} ...")
        begin = time.monotonic()
        yield
        self.say(f"{text}: done in {time.monotonic() - begin:.1f} s")


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows (the first one is the head) as aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
