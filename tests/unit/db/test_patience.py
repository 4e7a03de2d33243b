"""Waiting for the store."""

from __future__ import annotations

import threading

import pytest

from trove_ng.db.patience import Gate, Limits, limit
from trove_ng.db.trouble import StoreAway

LIMITS = Limits(connect=3, answer=7, lock=2, idle=9)


def refuse() -> None:
    raise OSError("refused")


def test_while_a_server_does_not_answer_one_thread_at_a_time_waits_for_it() -> None:
    clock = [0.0]
    gate = Gate(pause=1, now=lambda: clock[0])
    with pytest.raises(OSError):
        gate.connect(refuse)
    with pytest.raises(StoreAway):
        gate.connect(lambda: "too early")
    clock[0] = 2
    inside, leave = threading.Event(), threading.Event()
    found: list[str] = []

    def slow() -> str:
        inside.set()
        leave.wait(30)
        return "connected"

    prober = threading.Thread(target=lambda: found.append(gate.connect(slow)))
    prober.start()
    assert inside.wait(30)
    with pytest.raises(StoreAway):
        gate.connect(lambda: "a second one")
    leave.set()
    prober.join(30)
    assert found == ["connected"]
    assert gate.connect(lambda: "at once") == "at once"


def test_while_all_is_well_many_connect_at_once() -> None:
    gate = Gate()
    assert gate.connect(lambda: gate.connect(lambda: "inner")) == "inner"


def test_drivers_get_limits_and_those_of_the_url_stay() -> None:
    named = {"read_timeout": 60}
    limit("mysql", named, LIMITS)
    assert named == {"connect_timeout": 3, "read_timeout": 60, "write_timeout": 7}
    other = {"options": "-c search_path=trove"}
    limit("postgresql", other, LIMITS)
    assert other["options"] == ("-c lock_timeout=2s -c statement_timeout=7s "
                                "-c idle_in_transaction_session_timeout=9s "
                                "-c search_path=trove")
    assert other["connect_timeout"] == 3
