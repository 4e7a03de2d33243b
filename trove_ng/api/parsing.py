"""Texts of clients turned into values; what no store or engine takes goes no further."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from trove_ng.common.errors import BadRequest

#: no schema is as deep; deeper bodies are attempts to exhaust a parser
MAX_DEPTH = 32
_MAX_PARAMETERS = 50
#: a NUL ends texts in PostgreSQL and C; lone halves of surrogate pairs have no UTF-8
_IMPOSSIBLE = re.compile("[\0\ud800-\udfff]")
_TRUE = ("true", "1", "yes", "on", "t", "y")
_FALSE = ("false", "0", "no", "off", "f", "n", "none", "")


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Refused are, beyond what is no JSON: names that an object has twice, numbers that
    are not finite, texts with NUL or lone surrogates, and deep nesting.  Whole numbers
    written as fractions (``1.0``) become integers.

    :raises BadRequest: says why
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as err:
        raise BadRequest("The body is not JSON in UTF-8.") from err
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_number,
                           object_pairs_hook=_object)
    except (ValueError, RecursionError) as err:
        raise BadRequest("The body is not JSON.") from err
    _check_tree(value)
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return int(value) if value.is_integer() and abs(value) < 2 ** 53 else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Which of the values counts differs from parser to parser.
        raise BadRequest("The body has an object with the same name twice.")
    return found


def _check_tree(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        if not level:
            return
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one
                below += one.values()
            elif isinstance(one, list):
                below += one
            elif isinstance(one, str) and _IMPOSSIBLE.search(one):
                raise BadRequest("The body has a text with a NUL character or a lone "
                                 "surrogate.")
        level = below
    raise BadRequest(f"The body is nested more than {MAX_DEPTH} levels deep.")


def parse_query(text: str, known: Iterable[str]) -> dict[str, str]:
    """Return the parameters of a query.

    :param known: parameters of the route, which may be given once; others are kept out,
        as clients send some that are not for this API
    :raises BadRequest: says why
    """
    try:
        pairs = parse_qsl(text.encode("latin-1").decode("utf-8"), keep_blank_values=True,
                          errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError as err:
        raise BadRequest("The query is not UTF-8, or too long.") from err
    wanted = frozenset(known)
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in wanted:
            continue
        if name in found:
            raise BadRequest(f"Validation error: {name} is given twice.")
        if _IMPOSSIBLE.search(value):
            raise BadRequest(f"Validation error: {name} has a NUL character.")
        found[name] = value
    return found


def parse_flag(name: str, text: str) -> bool:
    """Return a yes-or-no parameter of a query.

    :raises BadRequest: it is neither
    """
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise BadRequest(f"Validation error: {name} must be true or false.")


def flag_pattern() -> str:
    """Return the regular expression of what :func:`parse_flag` takes."""
    words = sorted({*_TRUE, *_FALSE})
    return f"^({'|'.join(_any_case(word) for word in words)})$"


def _any_case(word: str) -> str:
    return "".join(f"[{one}{one.upper()}]" if one.isalpha() else one for one in word)
