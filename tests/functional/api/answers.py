"""How long answers took, over all processes of a run: figures, nothing is held to them."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any


@dataclasses.dataclass
class Answers:
    """Times of answers.

    :ivar took: milliseconds → how many answers took that long, whole ones
    :ivar longest: seconds of the one that took longest, and what was asked
    """

    took: Counter[int] = dataclasses.field(default_factory=Counter)
    longest: tuple[float, str] = (0.0, "")

    def ask(self, app: Any, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        """Have an application answer, to its last byte."""
        begun = time.monotonic()
        body = list(app(environ, start_response))
        seconds = time.monotonic() - begun
        self.took[round(seconds * 1000)] += 1
        self.longest = max(self.longest, (
            seconds, f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"))
        return iter(body)

    def plain(self) -> dict[str, Any]:
        """Return what one process tells another."""
        return {"took": dict(self.took), "longest": self.longest}

    def add(self, told: Mapping[str, Any]) -> None:
        """Add what another process told."""
        self.took.update(told["took"])
        self.longest = max(self.longest, told["longest"])

    def percentile(self, share: float) -> int:
        """Return the milliseconds that a share of the answers took, at most."""
        found = sorted(self.took.items())
        counts = itertools.accumulate(number for _, number in found)
        return next(key for (key, _), count in zip(found, counts, strict=True)
                    if count >= share * self.took.total())

    def __str__(self) -> str:
        p50, p95, p99 = (self.percentile(one) for one in (0.5, 0.95, 0.99))
        seconds, what = self.longest
        return (f"{self.took.total()} answers: p50 {p50} ms, p95 {p95} ms, p99 {p99} ms, "
                f"longest {seconds * 1000:.0f} ms ({what[:100]})")


#: those of this process to requests that are made up
ANSWERS = Answers()
