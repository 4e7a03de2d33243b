"""What holds for every route of the table."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.api.conftest import FOREIGN, MINE, OTHER, OWN, RULE, UNKNOWN, Api
from tests.functional.api.test_samples import SAMPLES
from trove_ng.api.routes import ROUTES, Route

#: parameter → what exists, by the first part of the path
_IDS = {"instances": "1", "backups": "8", "configurations": "7", "modules": "4",
        "operations": "6", "schedules": "9", "security-groups": "1",
        "security-group-rules": f"1-{RULE}"}
#: what belongs to no project, by the same; all else does
_SHARED = {"datastores", "flavors", "volume-types"}


def path(route: Route, prefix: str = OWN) -> str:
    """Return the path with parameters that exist."""
    parts = route.path.strip("/").split("/")
    first = parts[1] if parts[0] == "mgmt" else parts[0]
    number = _IDS.get(first)
    values = {"datastore": "mariadb", "database": "shop", "user": "app", "name": "max_connections",
              "module_id": f"{prefix}4", "execution_id": f"{prefix}e", "key": "team",
              "member_id": "m", "config": "small",
              "project_id": MINE if prefix == OWN else OTHER,
              "id": f"{prefix}{number}" if number else (
                  "v" if first.startswith("datastore") else "1")}
    values["id"] = {"volume-types": "vt", "hosts": "compute1",
                    "accounts": values["project_id"]}.get(first, values["id"])
    return "/" + "/".join(
        values[part[1:-1]] if part.startswith("{") else part for part in parts)


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


OWNED = [route for route in ROUTES if "{id}" in route.path
         and route.path.strip("/").split("/")[0] not in {*_SHARED, "mgmt"}]
BODIES = [route for route in ROUTES if route.request is not None]


def test_every_kind_of_resource_is_known_here() -> None:
    kinds = {route.path.split("/")[1] for route in ROUTES if "{id}" in route.path}
    assert kinds <= {*_IDS, *_SHARED, "mgmt"}


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_a_token_is_needed(app: Api, route: Route) -> None:
    answer = app(route.method, path(route), token=None)
    assert answer.status_int == 401
    assert answer.json["unauthorized"]["code"] == 401


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_the_project_of_the_path_must_be_the_tokens(app: Api, route: Route) -> None:
    assert app(route.method, path(route), token="other").status_int == 403


@pytest.mark.parametrize("route", OWNED, ids=name)
def test_foreign_and_unknown_ids_are_not_told_apart(app: Api, route: Route) -> None:
    body = next(good_bodies(route), None)
    foreign = app(route.method, path(route, FOREIGN), body)
    number = _IDS[route.path.strip("/").split("/")[0]]
    unknown_path = path(route, FOREIGN).replace(f"{FOREIGN}{number}", UNKNOWN)
    unknown = app(route.method, unknown_path, body)
    assert foreign.status_int == unknown.status_int == 404
    assert foreign.text.replace(f"{FOREIGN}{number}", UNKNOWN) == unknown.text


@pytest.mark.parametrize(("method", "path_", "body"), [
    one for one in SAMPLES if "/mgmt/" in one[1] and "quotas" not in one[1]])
def test_management_is_for_administrators(app: Api, method: str, path_: str, body: Any) -> None:
    assert app(method, path_, body).status_int == 403
    assert app(method, path_, body, token="admin").status_int < 300


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_other_methods_are_refused_with_those_allowed(app: Api, route: Route) -> None:
    answer = app("TRACE", path(route))
    assert answer.status_int == 405
    assert route.method in answer.headers["Allow"].split(", ")


@pytest.mark.parametrize("route", BODIES, ids=name)
@pytest.mark.parametrize("raw", [b"{", b"[1]", b'"x"', b"1", b"null", b'{"x": NaN}',
                                 b"\xff\xfe", b"[" * 5000])
def test_bodies_that_are_no_json_object_are_refused(app: Api, route: Route,
                                                    raw: bytes) -> None:
    if raw == b"null" and route.body_optional:
        return
    before = app.rows()
    answer = app(route.method, path(route), raw=raw, token=token_for(route))
    assert answer.status_int == 400, answer.text
    assert answer.json["badRequest"]["message"]
    assert app.rows() == before


def token_for(route: Route) -> str:
    return "admin" if "/mgmt/" in route.path else "mine"


def good_bodies(route: Route) -> Iterator[dict[str, Any]]:
    """Give bodies that fit the schema."""
    if route.request is not None:
        yield sample(route.request)


def sample(schema: dict[str, Any]) -> Any:
    """Return a small value that fits a schema."""
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return sample(schema[word][0])
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        wanted = list(schema.get("required", ()))
        rest = [one for one in schema.get("properties", {}) if one not in wanted]
        wanted += rest[:max(0, schema.get("minProperties", 0) - len(wanted))]
        return {one: sample(schema["properties"][one]) for one in wanted}
    if kind == "array":
        return [sample(schema["items"])] * max(1, schema.get("minItems", 0))
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 1), 1)
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    return text(schema)


def text(schema: dict[str, Any]) -> str:
    if "examples" in schema:
        return str(schema["examples"][0])
    for candidate in (UNKNOWN, "10.0.0.1", "x1", "1"):
        pattern = schema.get("pattern")
        if schema.get("format") == "uuid":
            return UNKNOWN
        if (pattern is None or re.search(pattern, candidate)) and (
                schema.get("minLength", 0) <= len(candidate) <= schema.get("maxLength", 999)):
            return candidate
    raise AssertionError(schema)


def spoiled(schema: dict[str, Any], good: Any) -> Iterator[tuple[str, Any]]:
    """Give bodies with one thing wrong each, and the name of the field."""
    extra = copy.deepcopy(good)
    extra["no_such_field"] = 1
    yield "no_such_field", extra
    for field in schema.get("required", ()):
        less = copy.deepcopy(good)
        del less[field]
        yield field, less
    for field, inner in schema.get("properties", {}).items():
        if inner.get("type") == "object" and field in good and inner.get("properties"):
            for below, value in spoiled(inner, good[field]):
                yield below, {**good, field: value}
        for wrong in (object_for(inner), "x" * 5000 + "!"):
            if wrong is not None:
                yield field, {**good, field: wrong}


def object_for(schema: dict[str, Any]) -> Any:
    """Return a value of a type that a field does not take."""
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if "object" in kinds:
        return [7]
    if kind is None and "oneOf" not in schema and "enum" not in schema:
        return None
    return {"a": {"b": 1}}


@pytest.mark.parametrize("route", BODIES, ids=name)
def test_bad_fields_are_refused_by_name_and_nothing_is_made(app: Api, route: Route) -> None:
    assert route.request is not None
    good = sample(route.request)
    before = app.rows()
    tried = 0
    for field, body in spoiled(route.request, good):
        answer = app(route.method, path(route), body, token=token_for(route))
        assert answer.status_int == 400, (field, body, answer.text)
        assert answer.json["badRequest"]["code"] == 400
        tried += 1
    assert tried
    assert app.rows() == before
    assert app.waker.woken == []


@pytest.mark.parametrize("route", [route for route in ROUTES if "limit" in route.query],
                         ids=name)
@pytest.mark.parametrize("query", ["limit=-1", "limit=x", "limit=1e3", "limit=9" + "9" * 30,
                                   "marker=" + "x" * 600])
def test_bad_pages_are_refused(app: Api, route: Route, query: str) -> None:
    answer = app("GET", f"{path(route)}?{query}", token="admin")
    assert answer.status_int == 400
    assert query.split("=")[0] in answer.json["badRequest"]["message"]
