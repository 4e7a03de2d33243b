"""When a replica last heard its source: what another agent knows of it."""

from __future__ import annotations

import pathlib
import time

import pytest

from trove_ng.guestagent import replicas
from trove_ng.guestagent.replicas import LastWord

SOURCE = ("10.0.0.5", 3306)
NEVER = (None, None)


class Machine:
    """The clocks of a machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boot, self.up, self.wall = "first", 1000.0, 5000.0
        monkeypatch.setattr(replicas, "_boot", lambda: self.boot)
        monkeypatch.setattr(replicas, "_up", lambda: self.up)
        monkeypatch.setattr(time, "time", lambda: self.wall)

    def passes(self, seconds: float) -> None:
        self.up += seconds
        self.wall += seconds

    def boots(self, seconds: float) -> None:
        """Be off for some time, and up for ten seconds then."""
        self.boot, self.up, self.wall = "second", 10.0, self.wall + seconds + 10


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_the_last_word_outlives_the_agent(tmp_path: pathlib.Path, machine: Machine) -> None:
    one = LastWord(tmp_path)
    assert one.look(*SOURCE) == NEVER
    one.hear(*SOURCE, 3)
    machine.passes(7)
    assert one.look(*SOURCE) == LastWord(tmp_path).look(*SOURCE) == (7, 3)
    assert LastWord(tmp_path / "other").look(*SOURCE) == NEVER
    one.hear(*SOURCE, None)
    assert one.look(*SOURCE) == LastWord(tmp_path).look(*SOURCE) == (0, None)


@pytest.mark.parametrize("other", [("10.0.0.6", 3306), ("10.0.0.5", 3307)])
def test_of_a_source_that_was_never_heard_nothing_is_known(
        tmp_path: pathlib.Path, machine: Machine, other: tuple[str, int]) -> None:
    one = LastWord(tmp_path)
    one.hear(*SOURCE, 3)
    assert one.look(*other) == LastWord(tmp_path).look(*other) == NEVER
    one.hear(*other, 4)
    assert one.look(*SOURCE) == LastWord(tmp_path).look(*SOURCE) == NEVER


def test_a_clock_that_is_set_changes_nothing_while_the_machine_is_up(
        tmp_path: pathlib.Path, machine: Machine) -> None:
    one = LastWord(tmp_path)
    one.hear(*SOURCE, 3)
    for wall in (0.0, 9e9):
        machine.wall = wall
        machine.passes(1)
    assert one.look(*SOURCE) == LastWord(tmp_path).look(*SOURCE) == (2, 3)


def test_another_boot_goes_by_the_wall_clock(tmp_path: pathlib.Path, machine: Machine) -> None:
    LastWord(tmp_path).hear(*SOURCE, 3)
    machine.boots(20)
    later = LastWord(tmp_path)
    assert later.look(*SOURCE) == (30, 3)
    # it is not looked at again
    machine.wall = 0
    machine.passes(5)
    assert later.look(*SOURCE) == (35, 3)


@pytest.mark.parametrize("seconds", [-3600, -1])
def test_a_clock_that_was_set_back_meanwhile_is_not_believed(
        tmp_path: pathlib.Path, machine: Machine, seconds: float) -> None:
    LastWord(tmp_path).hear(*SOURCE, 3)
    machine.boots(seconds)
    assert LastWord(tmp_path).look(*SOURCE) == NEVER


def test_what_a_server_had_in_another_run_is_not_known(
        tmp_path: pathlib.Path, machine: Machine) -> None:
    one = LastWord(tmp_path)
    one.hear(*SOURCE, 3, "run")
    assert one.look(*SOURCE, "another") == (0, 3), "this agent saw it"
    assert LastWord(tmp_path).look(*SOURCE, "run") == (0, 3)
    assert LastWord(tmp_path).look(*SOURCE, "another") == NEVER


@pytest.mark.parametrize("content", [b"", b"{}", b"{\"host\": 1}", b"\xff"])
def test_what_cannot_be_read_says_nothing(tmp_path: pathlib.Path, machine: Machine,
                                          content: bytes) -> None:
    (tmp_path / "last-word.json").write_bytes(content)
    assert LastWord(tmp_path).look(*SOURCE) == NEVER


def test_what_cannot_be_written_is_known_to_this_agent(
        tmp_path: pathlib.Path, machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    one = LastWord(tmp_path / "gone")
    one.hear(*SOURCE, 3)
    assert one.look(*SOURCE) == (0, 3)
    assert "cannot be noted" in caplog.text
