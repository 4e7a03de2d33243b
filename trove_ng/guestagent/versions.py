"""Comparing versions of databases."""

from __future__ import annotations

import re

_SERIES = re.compile(r"(\d+)\.(\d+)")


def is_older(version: str, than: str) -> bool:
    """Return whether a version is of an older series than another one; texts are not."""
    first, second = _SERIES.match(version), _SERIES.match(than)
    if first is None or second is None:
        return False
    return [int(part) for part in first.groups()] < [int(part) for part in second.groups()]
