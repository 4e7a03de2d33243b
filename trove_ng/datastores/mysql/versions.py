"""Releases of MySQL, and of Percona Server, which has the same numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trove_ng.common.errors import BadRequest
from trove_ng.datastores import parameters as files
from trove_ng.datastores.base import Parameter, Parameters

#: long-term releases, the oldest first
SERIES = ("5.7", "8.0", "8.4")
_NUMBER = re.compile(r"(?<![\d.])(\d{1,3})\.(\d{1,3})(?!\d)")


def series(version: str) -> str:
    """Return the long-term release that a version belongs to, or comes after.

    :param version: for example ``8.0.36`` or ``mysql-8.0``
    :raises BadRequest: it is none
    """
    found = _NUMBER.search(version)
    if found is not None:
        number = (int(found[1]), int(found[2]))
        known = [one for one in SERIES if tuple(map(int, one.split("."))) <= number]
        if known:
            return known[-1]
    raise BadRequest(f"The version {version} is not one of {', '.join(SERIES)}.")


def parameters(*packages: str) -> Parameters:
    """Return what tells the parameters that some packages list, by version."""
    def of(version: str = "", /) -> Sequence[Parameter]:
        wanted = series(version)
        return [one for package in packages for one in files.load(package, wanted)]

    return of
