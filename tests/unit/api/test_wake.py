"""Words for the taskmanager never keep a request."""

from __future__ import annotations

import queue
import threading

import pytest

from trove_ng.api.wake import BackgroundWaker
from trove_ng.common.errors import ServiceUnavailable


def test_nobody_waits_for_a_bus_that_hangs() -> None:
    hang, sent = threading.Event(), queue.SimpleQueue[str]()

    def send(ident: str) -> None:
        hang.wait(30)
        sent.put(ident)

    waker = BackgroundWaker(send)
    for number in range(1001):
        try:
            waker.wake(str(number))
        except ServiceUnavailable:
            break
    with pytest.raises(ServiceUnavailable):
        for number in range(1001):
            waker.wake(str(number))
    hang.set()
    assert sent.get(timeout=30) == "0"
    assert sent.get(timeout=30) == "1"


def test_a_word_that_is_not_taken_does_not_stop_the_next() -> None:
    sent = queue.SimpleQueue[str]()

    def send(ident: str) -> None:
        if ident == "bad":
            raise ServiceUnavailable("away")
        if ident == "worse":
            raise RuntimeError
        sent.put(ident)

    waker = BackgroundWaker(send)
    for ident in ("bad", "worse", "good"):
        waker.wake(ident)
    assert sent.get(timeout=30) == "good"
