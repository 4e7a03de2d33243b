"""That rules, routes and their documentation are of one mind."""

from __future__ import annotations

from typing import Any

import pytest

from trove_ng.api.routes import ROUTES, Route
from trove_ng.policies import list_rules
from trove_ng.policies.base import ADMIN, ANYBODY, MEMBER, READER

BASE = "/v1.0/{tenant_id}"
RULES: dict[str, Any] = {rule.name: rule for rule in list_rules()}
OF_ROUTES = [rule for rule in RULES.values() if hasattr(rule, "operations")]
#: rules of requests that are not served yet
LATER = {name for name in RULES if name.startswith("cluster:")} - {"cluster:index"}
#: changes that are none: the one asks before the rule of an action, the other only looks
HARMLESS = {"instance:show", "instance:guest_log_show"}


def asked(rule: Any) -> set[tuple[str, str]]:
    return {(one["method"], one["path"]) for one in rule.operations}


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: f"{one.method} {one.path}")
def test_the_rule_of_a_route_tells_of_it(route: Route) -> None:
    assert (route.method, BASE + route.path) in asked(RULES[route.rule])


@pytest.mark.parametrize("rule", [one for one in OF_ROUTES if one.name not in LATER],
                         ids=lambda one: one.name)
def test_what_a_rule_tells_of_is_a_route(rule: Any) -> None:
    assert asked(rule) <= {(route.method, BASE + route.path) for route in ROUTES}


@pytest.mark.parametrize("rule", OF_ROUTES, ids=lambda one: one.name)
def test_a_rule_is_documented(rule: Any) -> None:
    assert rule.description.endswith(".")
    assert rule.operations
    assert rule.scope_types == ["project"]
    assert rule.check_str in {ADMIN, MEMBER, READER, ANYBODY}


@pytest.mark.parametrize("rule", OF_ROUTES, ids=lambda one: one.name)
def test_readers_change_nothing(rule: Any) -> None:
    changes = {method for method, path in asked(rule)} - {"GET"}
    if rule.check_str in (READER, ANYBODY) and rule.name not in HARMLESS:
        assert not changes


@pytest.mark.parametrize("rule", OF_ROUTES, ids=lambda one: one.name)
def test_management_is_for_administrators(rule: Any) -> None:
    if any(path.startswith(f"{BASE}/mgmt/") for _, path in asked(rule)):
        assert rule.check_str == (READER if rule.name == "quota:show" else ADMIN)


def test_the_base_rules_of_the_spec_are_there() -> None:
    for name in ("admin", "admin_or_owner", "default", "project_member", "project_reader"):
        assert RULES[name].description.endswith(".")
