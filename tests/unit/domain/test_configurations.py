"""Which values a configuration group may hold."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from trove_ng.common.errors import UnprocessableEntity
from trove_ng.domain.configurations import check_values


@dataclasses.dataclass
class Rule:
    name: str
    data_type: str
    min_size: str | None = None
    max_size: str | None = None
    choices: list[Any] = dataclasses.field(default_factory=list)


RULES = [
    Rule("count", "integer", "0", "18446744073709551615"), Rule("share", "float", "0.5", "2"),
    Rule("on", "boolean"), Rule("text", "string"), Rule("names", "list"),
    Rule("mode", "string", choices=["fast", "safe"]),
    Rule("modes", "list", choices=["a", "b"])]


@pytest.mark.parametrize("values", [
    {}, {"count": 0}, {"count": 18446744073709551615}, {"share": 0.5}, {"share": 2},
    {"on": False}, {"text": ""}, {"text": "a b"}, {"names": []}, {"names": ["x"]},
    {"mode": "safe"}, {"modes": ["b", "a"]}])
def test_a_good_value_is_taken(values: dict[str, Any]) -> None:
    check_values(RULES, values)


@pytest.mark.parametrize(("name", "value", "why"), [
    ("count", -1, "must be at least 0"), ("count", 18446744073709551616, "must be at most"),
    ("count", True, "of type integer"), ("count", "1", "of type integer"),
    ("count", 1.0, "of type integer"), ("count", None, "of type integer"),
    ("share", 0.4, "must be at least 0.5"), ("share", 2.1, "must be at most 2"),
    ("share", float("nan"), "of type float"), ("share", float("inf"), "of type float"),
    ("share", True, "of type float"), ("on", 1, "of type boolean"),
    ("on", "ON", "of type boolean"), ("text", 5, "of type string"),
    ("text", "a\nmax_connections=1", "of type string"), ("text", "x" * 4097, "of type string"),
    *(("text", f"a{end}b", "of type string") for end in "\x0b\x0c\x1c\x1e\x85\u2028\u2029"),
    ("names", ["a\u2028"], "of type list"), ("names", "x", "of type list"),
    ("names", [1], "of type list"),
    ("names", ["a\0"], "of type list"), ("mode", "slow", "must be one of fast, safe"),
    ("modes", ["a", "c"], "must be one of a, b"), ("unknown", 1, "is not a parameter")])
def test_a_bad_value_is_refused_by_name_and_rule(name: str, value: Any, why: str) -> None:
    with pytest.raises(UnprocessableEntity) as refused:
        check_values(RULES, {"on": True, name: value})
    assert f"configuration.values.{name} " in refused.value.message
    assert why in refused.value.message


def test_a_version_without_parameters_takes_no_group() -> None:
    with pytest.raises(UnprocessableEntity, match="has no parameters"):
        check_values([], {})
