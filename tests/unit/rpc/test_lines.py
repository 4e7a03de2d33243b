"""Sends that hang do not take others with them."""

from __future__ import annotations

import threading
import time

import pytest

from trove_ng.rpc.lines import BusAway, Lines


def fail() -> None:
    raise ConnectionRefusedError


def test_what_is_sent_is_answered_or_fails_as_it_does() -> None:
    lines = Lines()
    assert lines.run(lambda: "sent", 30) == "sent"
    with pytest.raises(ConnectionRefusedError):
        lines.run(fail, 30)


def test_a_send_that_hangs_is_given_up_and_others_are_refused_at_once() -> None:
    clock = [0.0]
    lines, end = Lines(most=2, pause=1, now=lambda: clock[0]), threading.Event()
    try:
        with pytest.raises(BusAway):
            lines.run(lambda: end.wait(30), 0.01)
        with pytest.raises(BusAway):
            lines.run(lambda: "too early", 30)
        clock[0] = 2
        with pytest.raises(BusAway):
            lines.run(lambda: end.wait(30), 0.01)
        clock[0] = 4
        alive = threading.active_count()
        with pytest.raises(BusAway):
            lines.run(lambda: "no line is free", 30)
        assert threading.active_count() <= alive
    finally:
        end.set()
    clock[0] = 6

    def sent() -> bool:
        try:
            return lines.run(lambda: True, 30)
        except BusAway:
            clock[0] += 2
            time.sleep(0.01)
            return False

    assert any(sent() for _ in range(1000)), "the lines are free again"
    assert lines.run(lambda: "at once", 30) == "at once"


def test_a_failure_takes_the_proof_away() -> None:
    lines = Lines()
    assert not lines.proven(5)
    lines.prove()
    assert lines.proven(5)
    lines.failed()
    assert not lines.proven(5)
