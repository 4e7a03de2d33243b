"""Texts that are well-formed JSON and still must not get far."""

from __future__ import annotations

import json

import pytest

from tests.functional.api.conftest import NETWORK, OWN, Api
from tests.functional.api.test_instances import GOOD
from trove_ng.api.schemas.instances import CREATE
from trove_ng.api.validation import Validator
from trove_ng.common.errors import BadRequest

BACKUP = {"name": "b", "instance": f"{OWN}1"}


def refused(app: Api, path: str, body: object, raw: bytes | None = None) -> str:
    """Return the message of a refusal that left no row."""
    before = app.rows()
    answer = app("POST", path, body, raw=raw)
    assert answer.status_int == 400, answer.text
    assert app.rows() == before
    assert app.waker.woken == []
    message: str = answer.json["badRequest"]["message"]
    return message


@pytest.mark.parametrize("more", [
    {"name": "a" * 1_000_000 + "\n\n"},
    {"datastore": {"type": "a" * 1_000_000 + "\n\n"}},
    {"datastore": {"version": "_" * 1_000_000}},
    {"users": [{"name": "u", "password": "p" * 1_000_000 + "\n\n"}]},
    {"users": [{"name": "u", "password": "p", "host": "a" * 1_000_000 + "\n\n"}]},
])
def test_the_rules_of_a_long_text_are_not_tried(more: dict[str, object]) -> None:
    # looking for some of the patterns would take hours
    with pytest.raises(BadRequest):
        Validator().check(CREATE, {"instance": {**GOOD, **more}})


@pytest.mark.parametrize(("more", "field"), [
    ({"name": "abc\n"}, "instance.name"),
    ({"datastore": {"type": "mariadb\n"}}, "instance.datastore.type"),
    ({"restorePoint": {"backupRef": f"{OWN}8\n"}}, "instance.restorePoint.backupRef"),
    ({"databases": [{"name": "u", "character_set": "utf8mb4\n"}]}, "character_set"),
    ({"users": [{"name": "u", "password": "p\n"}]}, "password"),
    ({"users": [{"name": "u", "password": "p", "host": "10.0.0.1\n"}]}, "host"),
])
def test_a_last_line_break_is_no_part_of_a_name(app: Api, more: dict[str, object],
                                                field: str) -> None:
    assert field in refused(app, "/instances", {"instance": {**GOOD, **more}})


@pytest.mark.parametrize("bad", ["\ud800", "a\udfffb", "\0", "a\0b"])
@pytest.mark.parametrize("place", [
    "name", "flavorRef", "availability_zone", "datastore", "password", "key"])
def test_texts_that_no_store_takes_are_refused(app: Api, bad: str, place: str) -> None:
    more: dict[str, object] = {
        "datastore": {"datastore": {"type": f"a{bad}"}},
        "password": {"users": [{"name": "u", "password": f"p{bad}"}]},
        "key": {f"k{bad}": 1}}.get(place, {place: f"a{bad}"})
    assert refused(app, "/instances", {"instance": {**GOOD, **more}})


@pytest.mark.parametrize("raw", [b'{"backup": {"name": "\xed\xa0\x80"}}',
                                 json.dumps({"backup": BACKUP}).encode("utf-16")])
def test_a_body_is_utf_8(app: Api, raw: bytes) -> None:
    refused(app, "/backups", None, raw)


def test_an_escaped_escape_is_plain_text(app: Api) -> None:
    answer = app("POST", "/instances", {"instance": {**GOOD, "name": "C:\\u0000 \\ud800"}})
    assert answer.json["instance"]["name"] == "C:\\u0000 \\ud800"
    assert app("POST", "/instances", {"instance": {
        **GOOD, "name": "\U0001f42c"}}).json["instance"]["name"] == "\U0001f42c"


@pytest.mark.parametrize("query", ["datastore=%00", "instance_id=a%00", "marker=%00"])
def test_a_query_holds_no_nul(app: Api, query: str) -> None:
    assert app("GET", f"/backups?{query}").status_int == 400


@pytest.mark.parametrize("more", [
    {"description": "a\0b"}, {"swift_container": "a\0b"}, {"swift_container": "a\nb"},
    {"swift_container": "a\n"}, {"swift_container": "."}, {"swift_container": ".."},
    {"swift_container": "a/b"}, {"swift_container": "\u00e9" * 200}])
def test_a_container_has_a_name_that_swift_takes(app: Api, more: dict[str, str]) -> None:
    refused(app, "/backups", {"backup": {**BACKUP, **more}})


def test_a_description_may_have_lines(app: Api) -> None:
    answer = app("POST", "/backups", {"backup": {**BACKUP, "description": "one\ntwo"}})
    assert answer.json["backup"]["description"] == "one\ntwo"


@pytest.mark.parametrize("cidr", ["999.0.0.0/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0", "::/129",
                                  ":", "1/2"])
def test_an_allowed_cidr_is_a_network(app: Api, cidr: str) -> None:
    message = refused(app, "/instances", {"instance": {
        **GOOD, "access": {"allowed_cidrs": ["10.0.0.0/8", cidr]}}})
    assert "instance.access.allowed_cidrs[1]" in message


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "10.0.0.7", "10.1.2.3/8", "fd00::/8"])
def test_what_neutron_takes_as_a_network_is_taken(app: Api, cidr: str) -> None:
    assert app("POST", "/instances", {"instance": {
        **GOOD, "access": {"allowed_cidrs": [cidr]}}}).status_int == 200


@pytest.mark.parametrize("address", ["999.1.1.1", "10.0.0", "1:", "10.0.0.0.1"])
def test_a_fixed_address_is_an_address(app: Api, address: str) -> None:
    message = refused(app, "/instances", {"instance": {
        **GOOD, "nics": [{"network_id": NETWORK, "ip_address": address}]}})
    assert "instance.nics[0].ip_address" in message
