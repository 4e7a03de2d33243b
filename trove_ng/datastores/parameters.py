"""Validation rules of settings, kept as JSON beside each engine.

Form: ``{"configuration-parameters": [{"name", "type", "min", "max", "restart_required"}]}``.
"""

from __future__ import annotations

import json
from importlib import resources

from trove_ng.datastores.base import Parameter

FILE = "validation-rules.json"
KINDS = ("integer", "float", "boolean", "string")


def parse(text: str) -> list[Parameter]:
    """Return the parameters of a document.

    :raises ValueError: it does not have the form; says where
    """
    document = json.loads(text)
    entries = document.get("configuration-parameters") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("there is no list 'configuration-parameters'")
    found = [_parameter(number, entry) for number, entry in enumerate(entries)]
    names = [one.name for one in found]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise ValueError(f"named more than once: {', '.join(sorted(doubled))}")
    return found


def _parameter(number: int, entry: object) -> Parameter:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ValueError(f"parameter {number} has no name")
    name = entry["name"]
    if entry.get("type") not in KINDS:
        raise ValueError(f"{name}: type must be one of {', '.join(KINDS)}")
    low, high = entry.get("min"), entry.get("max")
    if low is not None and high is not None and low > high:
        raise ValueError(f"{name}: min is larger than max")
    return Parameter(name=name, kind=entry["type"], low=low, high=high,
                     restart_required=bool(entry.get("restart_required", False)))


def load(package: str) -> list[Parameter]:
    """Return the parameters of an engine's package."""
    return parse(resources.files(package).joinpath(FILE).read_text())
