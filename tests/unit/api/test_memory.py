"""What the API's workers remember, and when they forget it together."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from itertools import count

import pytest

from trove_ng.api.memory import Generation, Memory


class Clock:
    """A clock that is set."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def numbers() -> Iterator[int]:
    """What is made: another number each time."""
    return count(1)


def test_an_answer_is_remembered_for_a_while(numbers: Iterator[int]) -> None:
    clock = Clock()
    memory = Memory(5, now=clock)
    assert [memory.get("k", lambda: next(numbers)) for _ in range(3)] == [1, 1, 1]
    assert memory.get("other", lambda: next(numbers)) == 2
    clock.seconds = 5
    assert memory.get("k", lambda: next(numbers)) == 3


def test_no_time_is_no_memory(numbers: Iterator[int]) -> None:
    memory = Memory(0)
    assert [memory.get("k", lambda: next(numbers)) for _ in range(2)] == [1, 2]


def test_what_is_forgotten_is_made_again(numbers: Iterator[int]) -> None:
    memory = Memory(5)
    memory.get("k", lambda: next(numbers))
    memory.forget()
    assert memory.get("k", lambda: next(numbers)) == 2


def test_what_was_read_before_a_change_is_not_remembered_after_it(
        numbers: Iterator[int]) -> None:
    memory = Memory(5)

    def slow() -> int:
        found = next(numbers)
        memory.forget()
        return found

    assert memory.get("k", slow) == 1
    assert memory.get("k", lambda: next(numbers)) == 2


def test_all_workers_forget_what_one_changed(numbers: Iterator[int]) -> None:
    generation = Generation()
    memory = Memory(5, generation)
    memory.get("k", lambda: next(numbers))
    worker = multiprocessing.get_context("fork").Process(
        target=lambda: Memory(5, generation).forget())
    worker.start()
    worker.join(10)
    assert worker.exitcode == 0
    assert memory.get("k", lambda: next(numbers)) == 2
