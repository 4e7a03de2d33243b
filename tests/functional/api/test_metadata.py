"""What projects keep with their instances, by the released client too."""

from __future__ import annotations

import types
from typing import Any

import pytest

from tests.functional.api.conftest import FOREIGN, OTHER, OWN, UNKNOWN, Api
from tests.functional.api.released import Client
from trove_ng.api.schemas.metadata import MOST_KEYS

#: the first instance has some already
ONE = f"{OWN}2"
PATH = f"/instances/{ONE}/metadata"


@pytest.fixture
def metadata(app: Api) -> Any:
    from troveclient.v1.metadata import Metadata

    return Metadata(types.SimpleNamespace(client=Client(app, "mine")))


def known(app: Api) -> dict[str, Any]:
    found: dict[str, Any] = app("GET", PATH).json["metadata"]
    return found


def test_keys_are_made_shown_changed_and_forgotten(app: Api, metadata: Any) -> None:
    made = metadata.create(ONE, "team", "shop")
    assert made["team"] == "shop"
    metadata.create(ONE, "size", '{"racks": [1, 2.5, null, true]}')
    listed = metadata.list(ONE)
    assert (listed["team"], listed["size"]) == ("shop", {"racks": [1, 2.5, None, True]})
    metadata.edit(ONE, "team", "wiki")
    assert metadata.show(ONE, "team")["team"] == "wiki"
    metadata.update(ONE, "team", "owner", "alice")
    assert known(app) == {"owner": "alice", "size": {"racks": [1, 2.5, None, True]}}
    metadata.delete(ONE, "size")
    assert known(app) == {"owner": "alice"}


def test_instances_have_their_own(app: Api) -> None:
    app("POST", f"{PATH}/team", {"metadata": {"value": "shop"}})
    assert app("GET", f"/instances/{OWN}3/metadata").json == {"metadata": {}}
    path = f"/instances/{FOREIGN}2/metadata"
    assert app("GET", path, token="other", project=OTHER).json == {"metadata": {}}


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("ident", [ONE, f"{FOREIGN}1", UNKNOWN])
def test_what_is_not_there_is_not_found(app: Api, method: str, ident: str) -> None:
    body = {"metadata": {"value": 1}} if method.startswith("P") else None
    assert app(method, f"/instances/{ident}/metadata/none", body).status_int == 404
    assert known(app) == {}


@pytest.mark.parametrize("key", ["team", "TEAM"])
def test_a_key_is_made_once(app: Api, key: str) -> None:
    app("POST", f"{PATH}/team", {"metadata": {"value": "shop"}})
    answer = app("POST", f"{PATH}/{key}", {"metadata": {"value": "wiki"}})
    assert (answer.status_int, known(app)) == (409, {"team": "shop"})


def test_a_key_does_not_take_anothers_place(app: Api) -> None:
    for key in ("team", "owner"):
        app("POST", f"{PATH}/{key}", {"metadata": {"value": key}})
    answer = app("PUT", f"{PATH}/team", {"metadata": {"key": "Owner", "value": 1}})
    assert (answer.status_int, known(app)) == (409, {"owner": "owner", "team": "team"})
    same = app("PUT", f"{PATH}/team", {"metadata": {"key": "Team", "value": 1}})
    assert (same.status_int, known(app)) == (200, {"Team": 1, "owner": "owner"})


@pytest.mark.parametrize("key", ["a%20b", "%C3%A4", "a" * 256, "a$"])
def test_a_wrong_key_is_refused(app: Api, key: str) -> None:
    answer = app("POST", f"{PATH}/{key}", {"metadata": {"value": 1}})
    assert (answer.status_int, known(app)) == (400, {})


@pytest.mark.parametrize("body", [
    {}, {"metadata": {}}, {"metadata": {"value": "x" * 4095}}, {"metadata": {"valu": 1}},
    {"metadata": {"value": ["\u00e4"] * 600}}])
def test_a_wrong_value_is_refused(app: Api, body: dict[str, Any]) -> None:
    assert app("POST", f"{PATH}/a", body).status_int == 400
    assert known(app) == {}


def test_there_is_a_most_of_keys(app: Api) -> None:
    for number in range(MOST_KEYS):
        assert app("POST", f"{PATH}/{number}", {"metadata": {"value": number}}).status_int == 200
    assert app("POST", f"{PATH}/more", {"metadata": {"value": 1}}).status_int == 409
    assert app("PUT", f"{PATH}/1", {"metadata": {"key": "more", "value": 1}}).status_int == 200
    assert len(known(app)) == MOST_KEYS


def test_readers_read_only(app: Api) -> None:
    body = {"metadata": {"value": 1}}
    assert app("POST", f"{PATH}/a", body).status_int == 200
    assert app("GET", f"{PATH}/a", token="reader").json == {"metadata": {"a": 1}}
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = app(method, f"{PATH}/a", None if method == "DELETE" else body, token="reader")
        assert answer.status_int == 403
    assert known(app) == {"a": 1}


def test_metadata_takes_a_constant_number_of_statements(app: Api) -> None:
    for number in range(20):
        app("POST", f"{PATH}/{number}", {"metadata": {"value": number}})
    seen = app.statements()
    assert len(known(app)) == 20
    assert len(seen) == 2
