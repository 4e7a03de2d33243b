"""Validation rules of settings, kept as JSON beside each engine.

Form: ``{"configuration-parameters": [{"name", "type", "min", "max", "restart_required",
"choices", "description", "versions"}]}``; all but name and type may be absent.  Without
``versions`` an entry is for all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from trove_ng.common.errors import BadRequest
from trove_ng.datastores.base import Parameter, Parameters, number

FILE = "validation-rules.json"
KINDS = ("boolean", "string", "integer", "float", "list")
#: what a parameter may be called: it becomes a line of a configuration file; a second word
#: says what the setting is for
NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,127}( [a-z]{1,32})?"


def parse(text: str, version: str | None = None) -> list[Parameter]:
    """Return the parameters of a document.

    :param version: leaves out the entries for others; None leaves out none
    :raises ValueError: it does not have the form; says where
    """
    document = json.loads(text)
    entries = document.get("configuration-parameters") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("there is no list 'configuration-parameters'")
    return parse_entries([one for one in entries if not isinstance(one, dict)
                          or version is None or version in one.get("versions", [version])])


def parse_entries(entries: Sequence[object]) -> list[Parameter]:
    """Return the parameters of a document's list; raises as :func:`parse` does."""
    found = [_parameter(number, entry) for number, entry in enumerate(entries)]
    names = [one.name for one in found]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise ValueError(f"named more than once: {', '.join(sorted(doubled))}")
    return found


def _parameter(number: int, entry: object) -> Parameter:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ValueError(f"parameter {number} has no name")
    name, description = entry["name"], entry.get("description")
    if not re.fullmatch(NAME, name):
        raise ValueError(f"parameter {number}: its name is not a name of a setting")
    if entry.get("type") not in KINDS:
        raise ValueError(f"{name}: type must be one of {', '.join(KINDS)}")
    if description is not None and not isinstance(description, str):
        raise ValueError(f"{name}: description must be a text")
    low, high = _limits(name, entry)
    return Parameter(name=name, kind=entry["type"], low=low, high=high,
                     restart_required=bool(entry.get("restart_required", False)),
                     choices=_choices(name, entry), description=description)


def _limits(name: str, entry: dict[str, Any]) -> tuple[float | None, float | None]:
    low, high = entry.get("min"), entry.get("max")
    for limit in (low, high):
        if limit is None:
            continue
        if entry["type"] not in ("integer", "float"):
            raise ValueError(f"{name}: only numbers have min and max")
        number = isinstance(limit, int if entry["type"] == "integer" else int | float)
        if isinstance(limit, bool) or not number:
            raise ValueError(f"{name}: min and max must be of type {entry['type']}")
    if low is not None and high is not None and low > high:
        raise ValueError(f"{name}: min is larger than max")
    return low, high


def _choices(name: str, entry: dict[str, Any]) -> tuple[str, ...]:
    found = entry.get("choices", [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"{name}: choices must be a list of texts")
    if found and entry["type"] not in ("string", "list"):
        raise ValueError(f"{name}: only strings and lists have choices")
    return tuple(found)


def of_series(package: str, *series: str) -> Parameters:
    """Return what tells the parameters that a package lists, by series of versions.

    :param series: the oldest first; a version belongs to one, or comes after it.  One may be the
        release that its series is served from: a version that names the series only is not older
    """
    def of(version: str = "", /) -> Sequence[Parameter]:
        found = number(version)
        known = [one for one in series if number(one)[:max(2, len(found))] <= found]
        if not known:
            raise BadRequest(
                f"The version {version} is not one of {', '.join(series)} and later.")
        return load(package, known[-1])

    return of


def load(package: str, version: str | None = None) -> list[Parameter]:
    """Return the parameters of an engine's package; see :func:`parse`."""
    return parse(resources.files(package).joinpath(FILE).read_text(), version)
