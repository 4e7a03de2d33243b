"""Data that are fetched while those before them are worked on."""

from __future__ import annotations

import concurrent.futures
import itertools
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")


def ahead(source: Iterator[T], number: int) -> Generator[list[T], None, None]:
    """Give what an iterator gives, in lists, while a thread gets the next one.

    Two lists are held at a time.  When this is closed, the iterator is not in use any more.

    :param source: used by that thread only
    :param number: items of a list at most
    :raises Exception: what the iterator raises; items that it gave just before may be lost
    """
    with concurrent.futures.ThreadPoolExecutor(1, "ahead") as pool:
        def begin() -> concurrent.futures.Future[list[T]]:
            return pool.submit(lambda: list(itertools.islice(source, number)))

        coming = begin()
        while found := coming.result():
            coming = begin()
            yield found
