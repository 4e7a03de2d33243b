"""Versions of databases."""

from __future__ import annotations

import re
from collections.abc import Callable

from trove_ng.common.errors import BadRequest, GuestError
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


def check_recorded(version: str, installed: str, *, upgrades: bool = True) -> None:
    """Refuse data of a version that a server cannot use.

    :param version: what the record of a backup says
    :param installed: of the server
    :param upgrades: the server takes data of older versions
    :raises BadRequest: it cannot, or the version cannot be read
    """
    if not re.fullmatch(r"\d{1,3}\.\d{1,3}", version):
        raise BadRequest("The version in the record of the backup cannot be read.")
    if is_older(installed, version) or not upgrades and version != installed:
        raise BadRequest(f"The backup is of version {version}, and the server has "
                         f"{installed}.")
