"""Parameters of datastore versions, for operators."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.api.conftest import UNKNOWN, Api

PARAMETERS = "/mgmt/datastores/versions/v/parameters"
USERS = "/datastores/versions/v/parameters"


def ask(app: Api, method: str, name: str = "", /, **body: Any) -> Any:
    return app(method, f"{PARAMETERS}{name and '/' + name}",
               {"configuration-parameter": body} if body else None, token="admin")


def users_see(app: Api) -> list[str]:
    return [one["name"] for one in app("GET", USERS).json["configuration-parameters"]]


def test_a_parameter_is_defined_and_groups_may_set_it(app: Api) -> None:
    made = ask(app, "POST", name="wait_timeout", data_type="integer", restart_required=0,
               min_size=0, max_size="18446744073709551615")
    assert made.status_int == 200, made.text
    assert made.json == {
        "name": "wait_timeout", "datastore_version_id": "v", "type": "integer", "min": 0,
        "max": 18446744073709551615, "restart_required": False, "deleted": False,
        "deleted_at": None}
    assert users_see(app) == ["max_connections", "wait_timeout"]
    group = {"configuration": {"name": "c", "values": {"wait_timeout": 5}}}
    assert app("POST", "/configurations", group).status_int == 200


def test_its_rules_are_changed(app: Api) -> None:
    changed = ask(app, "PUT", "max_connections", name="max_connections", data_type="integer",
                  restart_required=1, min_size=5, max_size=6)
    assert changed.status_int == 200, changed.text
    assert (changed.json["min"], changed.json["max"], changed.json["restart_required"]) == (
        5, 6, True)
    group = {"configuration": {"name": "c", "values": {"max_connections": 7}}}
    assert "at most 6" in app("POST", "/configurations", group).text


def test_one_that_is_taken_away_is_shown_to_operators_and_can_come_back(app: Api) -> None:
    assert ask(app, "DELETE", "max_connections").status_int == 204
    assert users_see(app) == []
    assert app("GET", f"{USERS}/max_connections").status_int == 404
    shown = ask(app, "GET", "max_connections").json
    assert shown["deleted"] is True
    assert shown["deleted_at"] is not None
    assert [one["name"] for one in ask(app, "GET").json["configuration-parameters"]] == [
        "max_connections"]
    assert ask(app, "DELETE", "max_connections").status_int == 404
    assert ask(app, "PUT", "max_connections", data_type="string").status_int == 404
    back = ask(app, "POST", name="max_connections", data_type="string", choices=["a", "b"],
               description="one of two")
    assert back.json["deleted"] is False
    assert "min" not in back.json
    assert app("GET", f"{USERS}/max_connections").json == {
        "name": "max_connections", "datastore_version_id": "v", "type": "string",
        "restart_required": False, "choices": ["a", "b"], "description": "one of two"}


@pytest.mark.parametrize(("body", "status", "why"), [
    ({"name": "max_connections", "data_type": "string"}, 409, "exists already"),
    ({"name": "x", "data_type": "integer", "min_size": 1}, 400, "min_size and max_size"),
    ({"name": "x", "data_type": "integer", "min_size": 2, "max_size": 1}, 400, "larger"),
    ({"name": "x", "data_type": "integer", "min_size": 1.5, "max_size": 2}, 400, "integer"),
    ({"name": "x", "data_type": "string", "max_size": 2}, 400, "only numbers"),
    ({"name": "x", "data_type": "float", "max_size": 1e300}, 200, "max"),
    ({"name": "x", "data_type": "integer", "min_size": 0, "max_size": 10 ** 400}, 400, ""),
    ({"name": "x", "data_type": "boolean", "choices": ["a"]}, 400, "only strings"),
    ({"name": "x", "data_type": "text"}, 400, "data_type"),
    ({"name": "a\nb", "data_type": "string"}, 400, "name"),
    ({"name": "datadir", "data_type": "string"}, 400, "the service's own"),
    ({"name": "Loose-SSL-ca", "data_type": "string"}, 400, "the service's own"),
    ({"name": "server_id", "data_type": "integer", "min_size": 1, "max_size": 9}, 400,
     "the service's own")])
def test_what_cannot_be_defined_is_refused(app: Api, body: dict[str, Any], status: int,
                                           why: str) -> None:
    answer = ask(app, "POST", **body)
    assert (answer.status_int, why in answer.text) == (status, True), answer.text


def test_a_parameter_keeps_its_name(app: Api) -> None:
    answer = ask(app, "PUT", "max_connections", name="other", data_type="string")
    assert answer.status_int == 400


def test_an_unknown_version_or_parameter_is_not_found(app: Api) -> None:
    for method, path in (("GET", f"{PARAMETERS}/none"), ("DELETE", f"{PARAMETERS}/none"),
                         ("GET", f"/mgmt/datastores/versions/{UNKNOWN}/parameters")):
        assert app(method, path, token="admin").status_int == 404
