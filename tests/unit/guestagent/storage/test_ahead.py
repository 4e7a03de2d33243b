"""Data are fetched while those before them are worked on, by one thread that ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from trove_ng.guestagent.storage.ahead import ahead


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("ahead")]


@pytest.mark.parametrize(("given", "lists"), [
    (0, []), (1, [[0]]), (4, [[0, 1], [2, 3]]), (5, [[0, 1], [2, 3], [4]])])
def test_all_comes_in_order(given: int, lists: list[list[int]]) -> None:
    assert list(ahead(iter(range(given)), 2)) == lists
    assert not threads()


def test_the_next_ones_are_fetched_meanwhile_and_no_more() -> None:
    fetched: list[int] = []
    third = threading.Event()

    def source() -> Iterator[int]:
        for number in range(9):
            fetched.append(number)
            if number == 3:
                third.set()
            yield number

    with contextlib.closing(ahead(source(), 2)) as lists:
        assert next(lists) == [0, 1]
        # the second list, though nobody asked for it
        assert third.wait(10)
        assert fetched == [0, 1, 2, 3]
    assert fetched == [0, 1, 2, 3]
    assert not threads()


def test_what_goes_wrong_there_is_raised_here() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise InterruptedError("enough")

    lists = ahead(source(), 2)
    assert next(lists) == [1, 2]
    with pytest.raises(InterruptedError, match="enough"):
        next(lists)
    assert not threads()
