"""Checking bodies against schemas, with messages that name field and rule.

A message never repeats a value that the client sent: it may be a password.
"""

from __future__ import annotations

import ipaddress
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from trove_ng.common.errors import BadRequest

Schema = dict[str, Any]
#: characters of a text whose schema has no bound
_LONGEST = 4096


class Validator:
    """Check values; compiled schemas are kept."""

    def __init__(self) -> None:
        self._compiled: dict[int, Any] = {}
        self._lock = threading.Lock()

    def check(self, schema: Schema, value: Any) -> None:
        """Raise if the value does not fit.

        :raises BadRequest: the message names the field and the rule
        """
        compiled = self._compiled.get(id(schema))
        if compiled is None:
            compiled = self._compile(schema)
        if compiled.is_valid(value):
            return
        from jsonschema.exceptions import best_match

        raise BadRequest(f"Validation error: {describe(best_match(compiled.iter_errors(value)))}")

    def _compile(self, schema: Schema) -> Any:
        # Not needed by reads, and slow to import.
        from jsonschema import Draft7Validator, FormatChecker
        from jsonschema.validators import extend

        checker = FormatChecker(formats=())
        for name, parse in _FORMATS.items():
            checker.checks(name, raises=ValueError)(_format(parse))
        kind: Any = extend(  # type: ignore[no-untyped-call]
            Draft7Validator, {"pattern": _pattern})
        with self._lock:
            compiled = kind(schema, format_checker=checker)
            self._compiled[id(schema)] = compiled
            return compiled


def _container(text: str) -> None:
    if text in (".", "..") or len(text.encode()) > 256:
        raise ValueError("Swift does not take this name")


#: format → what raises ValueError for a text that has another
_FORMATS: dict[str, Callable[[str], object]] = {
    "ip": ipaddress.ip_address,
    "cidr": lambda text: ipaddress.ip_network(text, strict=False),
    "container": _container,
}


def _format(parse: Callable[[str], object]) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        if isinstance(value, str):
            parse(value)
        return True

    return fits


def _pattern(_validator: Any, pattern: str, instance: Any, schema: Schema) -> Iterator[Any]:
    """Check a pattern as JSON schema means it: ``$`` is the end of the text.

    A text that is too long is refused for that; looking for the pattern in it
    could take very long.
    """
    if not isinstance(instance, str) or len(instance) > schema.get("maxLength", sys.maxsize):
        return
    unseen = "maxLength" not in schema and len(instance) > _LONGEST
    if unseen or not re.search(_python_pattern(pattern), instance):
        from jsonschema.exceptions import ValidationError

        yield ValidationError("does not match")


def _python_pattern(pattern: str) -> str:
    """Return a pattern whose end is the end of the text, also before a line break."""
    return pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern


def _where(error: Any) -> str:
    text = ""
    for part in error.absolute_path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text or "body"


def _allowed(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)


def describe(error: Any) -> str:
    """Return a sentence with the field and the rule that it breaks."""
    where, rule, limit = _where(error), error.validator, error.validator_value
    if rule == "required":
        missing = [name for name in limit if name not in error.instance]
        return f"{where}: {', '.join(missing)} is required."
    if rule == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = sorted(str(name)[:64] for name in error.instance if name not in known)
        offered = f"; known are {', '.join(sorted(known))}" if known else ""
        return f"{where}: unknown {', '.join(unknown)} (additionalProperties){offered}."
    if rule == "type":
        kinds = limit if isinstance(limit, list) else [limit]
        return f"{where}: must be of type {' or '.join(kinds)}."
    if rule in ("oneOf", "anyOf"):
        wanted = " or ".join(_allowed(choice) for choice in limit)
        return f"{where}: must fit {wanted} ({rule})."
    if rule == "enum":
        return f"{where}: must be one of {_allowed(limit)} (enum)."
    if rule == "format":
        return f"{where}: must be of the form {limit} (format)."
    if rule in ("minProperties", "maxProperties"):
        known = ", ".join(sorted(error.schema.get("properties", {})))
        return f"{where}: breaks the rule {rule} {limit}; known are {known}."
    return f"{where}: breaks the rule {rule} {_allowed(limit)}."
