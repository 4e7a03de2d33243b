"""Versions of databases."""

from __future__ import annotations

import re
from collections.abc import Callable

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.os import commands

_SERIES = re.compile(r"(\d+)\.(\d+)")


def is_older(version: str, than: str) -> bool:
    """Return whether a version is of an older series than another one; texts are not."""
    first, second = _SERIES.match(version), _SERIES.match(than)
    if first is None or second is None:
        return False
    return [int(part) for part in first.groups()] < [int(part) for part in second.groups()]


def installed(program: str, pattern: re.Pattern[str],
              run: Callable[..., commands.Result] = commands.run) -> str:
    """Return the series of a server's program, for example ``10.11``.

    :param pattern: finds it in what the program tells, as two groups
    :raises GuestError: it does not tell
    """
    found = pattern.search(run([program, "--version"], timeout=30).stdout[:1000])
    if found is None:
        raise GuestError("The database server does not tell its version.")
    return f"{found[1]}.{found[2]}"
