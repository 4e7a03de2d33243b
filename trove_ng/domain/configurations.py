"""What a configuration group may hold: pure checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from trove_ng.common.errors import BadRequest, UnprocessableEntity
from trove_ng.datastores import parameters
from trove_ng.datastores.base import Datastore, Parameter

_LONGEST_TEXT = 4096
#: characters of a limit, as it is stored
_LONGEST_LIMIT = 40


class ParameterRule(Protocol):
    """What a datastore version says of a parameter."""

    name: str
    data_type: str
    min_size: str | None
    max_size: str | None
    choices: list[Any]


def check_values(rules: Sequence[ParameterRule], values: Mapping[str, Any]) -> None:
    """Check the values of a group.

    :param rules: of all parameters that the datastore version knows
    :raises UnprocessableEntity: a value breaks a rule; names parameter and rule
    """
    if not rules:
        raise UnprocessableEntity(
            "Validation error: configuration.values: the datastore version has no parameters.")
    known = {rule.name: rule for rule in rules}
    for name, value in values.items():
        rule = known.get(name)
        if rule is None:
            raise UnprocessableEntity(
                f"Validation error: configuration.values.{name[:128]} is not a parameter of the "
                "datastore version.")
        why = _broken(rule, value)
        if why:
            raise UnprocessableEntity(f"Validation error: configuration.values.{name} {why}.")


def _broken(rule: ParameterRule, value: Any) -> str | None:
    """Return which rule a value breaks, None if it breaks none."""
    if not _is_of(rule.data_type, value):
        return f"must be of type {rule.data_type}"
    if rule.data_type in ("integer", "float"):
        for limit, wrong, words in ((rule.min_size, -1, "at least"),
                                    (rule.max_size, 1, "at most")):
            if limit is not None and _compare(value, limit) == wrong:
                return f"must be {words} {limit}"
    if rule.choices:
        found = value if isinstance(value, list) else [value]
        if any(one not in rule.choices for one in found):
            return f"must be one of {', '.join(map(str, rule.choices))}"
    return None


def _is_of(kind: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "boolean": isinstance(value, bool),
        "integer": number and isinstance(value, int),
        "float": number and math.isfinite(value),
        "string": _is_text(value),
        "list": isinstance(value, list) and all(_is_text(one) for one in value),
    }.get(kind, False)


def _is_text(value: Any) -> bool:
    # a line break would begin another setting in a configuration file
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and not any(
        ord(one) < 32 or one in "\x7f\x85\u2028\u2029" for one in value)


def _compare(value: float, limit: str) -> int:
    try:
        number: float = int(limit)
    except ValueError:
        number = float(limit)
    return (value > number) - (value < number)


def parameter(engine: Datastore, wanted: Mapping[str, Any]) -> Parameter:
    """Return the parameter that a request defines.

    :param wanted: ``name``, ``data_type``, ``restart_required``, ``min_size``, ``max_size``,
        ``choices``, ``description``; limits are numbers, or texts of numbers
    :raises BadRequest: names field and rule
    """
    kind = wanted["data_type"]
    low, high = (_limit(field, kind, wanted.get(field)) for field in ("min_size", "max_size"))
    if kind == "integer" and (low is None or high is None):
        raise BadRequest("Validation error: configuration-parameter: min_size and max_size are "
                         "required for type integer.")
    try:
        found, = parameters.parse_entries([{
            "name": wanted["name"], "type": kind, "min": low, "max": high,
            "restart_required": wanted.get("restart_required", False),
            "choices": wanted.get("choices", []), "description": wanted.get("description")}])
    except ValueError as err:
        raise BadRequest(f"Validation error: configuration-parameter: {err}.") from err
    check_owner(engine, found.name)
    return found


def check_owner(engine: Datastore, name: str) -> None:
    """Refuse parameters that are not the users'.

    :raises BadRequest: the agent needs the setting for itself
    """
    if engine.owns(name):
        raise BadRequest(f"Validation error: configuration-parameter.name: {name} is a setting "
                         "of the service's own.")


def _limit(field: str, kind: str, value: Any) -> int | float | None:
    if value is None:
        return None
    try:
        number = float(value) if kind == "float" else int(str(value))
    except (ValueError, OverflowError):
        raise BadRequest(f"Validation error: configuration-parameter.{field} must be of type "
                         f"{kind}.") from None
    if len(str(number)) > _LONGEST_LIMIT or not math.isfinite(number):
        raise BadRequest(f"Validation error: configuration-parameter.{field} is too long.")
    return number
