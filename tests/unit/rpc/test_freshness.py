"""Requests are forgotten when they are old by every clock."""

from __future__ import annotations

import pytest

from trove_ng.rpc.freshness import Freshness
from trove_ng.rpc.refusals import Rejected

ONE, OTHER = "00" * 16, "11" * 16


class Clocks:
    """A wall clock that is set, and one that is not."""

    def __init__(self) -> None:
        self.wall, self.steady = 1e9, 50.0

    def fresh(self, capacity: int = 9) -> Freshness:
        return Freshness(300, lambda: self.wall, capacity, steady=lambda: self.steady)

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_a_clock_that_is_set_forward_and_back_lets_no_replay_in() -> None:
    clocks = Clocks()
    fresh = clocks.fresh()
    fresh.check("taskmanager", clocks.wall, ONE)
    clocks.wall += 3600
    fresh.check("taskmanager", clocks.wall, OTHER)
    clocks.wall -= 3600
    with pytest.raises(Rejected, match="replayed"):
        fresh.check("taskmanager", clocks.wall, ONE)


def test_what_is_old_makes_room() -> None:
    clocks = Clocks()
    fresh = clocks.fresh(capacity=1)
    fresh.check("taskmanager", clocks.wall, ONE)
    with pytest.raises(Rejected, match="flooded"):
        fresh.check("taskmanager", clocks.wall, OTHER)
    clocks.pass_(601)
    fresh.check("taskmanager", clocks.wall, OTHER)
