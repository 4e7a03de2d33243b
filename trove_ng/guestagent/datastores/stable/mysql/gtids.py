"""Sets of global transaction ids, as MySQL writes them."""

from __future__ import annotations

import collections


def count(text: str) -> int:
    """Return how many transactions a set has; such as stand in it twice count once.

    :param text: ``SERVER:1-5:7,SERVER:TAG:1-3``, in which a tag is for what comes after it
    """
    ranges: dict[tuple[str, str], list[tuple[int, int]]] = collections.defaultdict(list)
    for part in "".join(text.split()).split(","):
        server, *rest = part.lower().split(":")
        tag = ""
        for one in rest:
            if not one[0].isdigit():
                tag = one
                continue
            first, _, last = one.partition("-")
            ranges[server, tag].append((int(first), int(last or first)))
    return sum(_length(found) for found in ranges.values())


def _length(ranges: list[tuple[int, int]]) -> int:
    total = end = 0
    for first, last in sorted(ranges):
        total += max(0, last - max(first, end + 1) + 1)
        end = max(end, last)
    return total
