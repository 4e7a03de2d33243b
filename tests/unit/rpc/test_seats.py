"""Waiting for guests takes no more threads than it may."""

from __future__ import annotations

import threading

import pytest

from trove_ng.common.errors import ServiceUnavailable
from trove_ng.rpc.seats import Seats


def test_one_guest_leaves_a_seat_to_others() -> None:
    seats = Seats(2, 1)
    with seats.take("a", 0.1):
        with pytest.raises(ServiceUnavailable), seats.take("a", 0.01):
            pytest.fail("there is no seat")
        with seats.take("b", 0.1), pytest.raises(ServiceUnavailable) as caught, \
                seats.take("c", 0.01):
            pytest.fail("there is no seat")
        assert caught.value.retry_after
    with seats.take("a", 0.1), seats.take("c", 0.1):
        assert seats._taken.total() == 2
    assert not seats._taken


def test_a_seat_is_given_up_whatever_happens() -> None:
    seats = Seats(1, 1)
    with pytest.raises(ValueError, match="x"), seats.take("a", 0.1):
        raise ValueError("x")
    with seats.take("b", 0.1):
        assert seats._taken == {"b": 1}


def test_who_waits_hears_of_a_free_seat() -> None:
    seats, sits, leaves = Seats(1, 1), threading.Event(), threading.Event()

    def sit() -> None:
        with seats.take("a", 1):
            sits.set()
            leaves.wait(10)

    thread = threading.Thread(target=sit)
    thread.start()
    assert sits.wait(10)
    threading.Timer(0.2, leaves.set).start()
    with seats.take("b", 10):
        assert leaves.is_set()
    thread.join()
