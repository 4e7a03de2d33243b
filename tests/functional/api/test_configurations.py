"""Configuration groups in the API."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from tests.functional.api.conftest import FOREIGN, OWN, UNKNOWN, Api
from trove_ng.common.clock import utcnow
from trove_ng.db.models import (
    Configuration,
    Datastore,
    DatastoreConfigurationParameter,
    DatastoreVersion,
    Instance,
    Operation,
)

GROUP = f"/configurations/{OWN}7"
ONE = f"/instances/{OWN}1"


@pytest.fixture(autouse=True)
def parameters(app: Api) -> None:
    now = utcnow()
    with app.db.writer() as session:
        session.add(DatastoreVersion(id="w", datastore_id="d", name="11.4", version="11.4",
                                     manager="mariadb", created=now, updated=now))
        session.flush()
        for name, restart in (("wait_timeout", False), ("innodb_log_file_size", True)):
            session.add(DatastoreConfigurationParameter(
                name=name, datastore_version_id="v", data_type="integer",
                min_size="1", max_size="1000", restart_required=restart, created=now,
                updated=now))
        session.add(Datastore(id="o", name="other"))
        session.flush()
        session.add(DatastoreVersion(id="x", datastore_id="o", name="1", version="1",
                                     manager="mariadb", created=now, updated=now))
        session.flush()
        for ident, version in ((f"{OWN}9", "w"), (f"{OWN}a", "x")):
            session.add(Configuration(id=ident, name="c11", tenant_id="a" * 32,
                                      datastore_version_id=version, created=now, updated=now))


def body(**more: Any) -> dict[str, Any]:
    return {"configuration": {"name": "shop", "values": {"max_connections": 200}, **more}}


def values(app: Api) -> Any:
    return app("GET", GROUP).json["configuration"]["values"]


def attach(app: Api, group: str | None, ident: str = f"{OWN}1") -> Any:
    return app("PUT", f"/instances/{ident}", {"instance": {"configuration": group}})


def attached(app: Api, group: str | None = f"{OWN}7", ident: str = f"{OWN}1") -> None:
    with app.db.writer() as session:
        session.get(Instance, ident).configuration_id = group


def asked(app: Api) -> list[tuple[str, str, dict[str, Any]]]:
    with app.db.reader() as session:
        return [(row.action, row.resource_id, row.payload) for row in session.query(Operation)
                if row.live_key and row.action != "instance.create"]


def test_a_group_is_created_shown_and_listed(app: Api) -> None:
    made = app("POST", "/configurations", body(description="d")).json["configuration"]
    assert made["values"] == {"max_connections": 200}
    assert (made["datastore_name"], made["datastore_version_name"], made["instance_count"],
            made["description"]) == ("mariadb", "10.11", 0, "d")
    assert app("GET", f"/configurations/{made['id']}").json["configuration"] == made
    listed = app("GET", "/configurations").json["configurations"]
    assert {one["name"] for one in listed} == {"c", "c11", "shop"}


@pytest.mark.parametrize(("values_", "why"), [
    ({"nothing": 1}, "nothing is not a parameter"), ({"max_connections": "5"}, "type integer"),
    ({"max_connections": 0}, "at least 1"), ({"max_connections": 65536}, "at most 65535"),
    ({"max_connections": True}, "type integer")])
def test_bad_values_are_refused_and_nothing_is_written(
        app: Api, values_: dict[str, Any], why: str) -> None:
    before = app.rows()
    for method, path in (("POST", "/configurations"), ("PUT", GROUP), ("PATCH", GROUP)):
        answer = app(method, path, body(values=values_))
        assert answer.status_int == 422, answer.text
        assert why in answer.json["unprocessableEntity"]["message"]
    assert app.rows() == before


@pytest.mark.parametrize("wrong", [
    {"name": ""}, {"name": "x" * 65}, {"values": None}, {"values": []}, {"extra": 1},
    {"description": "x" * 257}, {"values": {"a": {}}}, {"values": {"a": None}},
    {"values": {"x" * 129: 1}}])
def test_a_bad_body_is_refused(app: Api, wrong: dict[str, Any]) -> None:
    assert app("POST", "/configurations", body(**wrong)).status_int == 400


def test_put_replaces_and_patch_merges(app: Api) -> None:
    assert app("PUT", GROUP, body(values={"max_connections": 1, "wait_timeout": 2})
               ).status_int == 202
    assert app("PATCH", GROUP, {"configuration": {"values": {"wait_timeout": 3}}}
               ).status_int == 200
    assert values(app) == {"max_connections": 1, "wait_timeout": 3}
    app("PUT", GROUP, body(values={"wait_timeout": 4}))
    assert values(app) == {"wait_timeout": 4}
    app("PATCH", GROUP, {"configuration": {"name": "renamed"}})
    shown = app("GET", GROUP).json["configuration"]
    assert (shown["name"], shown["values"]) == ("renamed", {"wait_timeout": 4})


def test_values_that_are_allowed_no_longer_stay_until_they_are_changed(app: Api) -> None:
    app("PUT", GROUP, body(values={"max_connections": 1, "wait_timeout": 2}))
    with app.db.writer() as session:
        session.execute(update(DatastoreConfigurationParameter).where(
            DatastoreConfigurationParameter.name == "max_connections").values(deleted=True))
    for change in ({"name": "renamed"}, {"values": {"wait_timeout": 3}}):
        assert app("PATCH", GROUP, {"configuration": change}).status_int == 200, change
    assert values(app) == {"max_connections": 1, "wait_timeout": 3}
    wrong = ({"max_connections": 2}, {"max_connections": True})
    for change in wrong:
        assert app("PATCH", GROUP, {"configuration": {"values": change}}).status_int == 422
    app("PUT", GROUP, body(values={"wait_timeout": 3}))
    assert values(app) == {"wait_timeout": 3}
    # one of a version that has no parameters at all
    assert app("PATCH", f"/configurations/{OWN}9", {
        "configuration": {"name": "new"}}).status_int == 200


def test_a_change_is_spread_to_the_instances_of_the_group(app: Api) -> None:
    attached(app)
    answer = app("PATCH", GROUP, {"configuration": {"values": {"wait_timeout": 3}}})
    assert answer.headers["X-Trove-Operation-Id"] == app.waker.woken[0]
    assert asked(app) == [("configuration.apply", f"{OWN}7", {"event": "configuration_edit"})]
    # a newer change takes the place of the one under way
    app("PATCH", GROUP, {"configuration": {"values": {"wait_timeout": 5}}})
    assert len(asked(app)) == 1
    assert len(app.waker.woken) == 2


def test_a_change_that_changes_nothing_is_not_spread(app: Api) -> None:
    app("PUT", GROUP, body(values={"wait_timeout": 4}))
    attached(app)
    answer = app("PUT", GROUP, body(values={"wait_timeout": 4}))
    assert (answer.status_int, asked(app)) == (202, [])
    assert "X-Trove-Operation-Id" not in answer.headers


def test_a_group_is_deleted_once_no_instance_has_it(app: Api) -> None:
    attached(app)
    refused = app("DELETE", GROUP)
    assert refused.status_int == 400
    assert "attached" in refused.json["badRequest"]["message"]
    attached(app, None)
    assert app("DELETE", GROUP).status_int == 202
    assert app("GET", GROUP).status_int == 404


def test_a_group_is_attached_by_an_operation(app: Api) -> None:
    answer = attach(app, f"{OWN}7")
    assert answer.status_int == 202, answer.text
    assert asked(app) == [("instance.configure", f"{OWN}1", {"configuration_id": f"{OWN}7"})]
    assert app("GET", ONE).json["instance"]["status"] == "UPDATE"


@pytest.mark.parametrize("detach", [
    ("PUT", {"instance": {}}), ("PUT", {"instance": {"configuration": None}}),
    ("PATCH", {"instance": {"configuration": None}})])
def test_a_group_is_detached(app: Api, detach: tuple[str, Any]) -> None:
    attached(app)
    assert app(detach[0], ONE, detach[1]).status_int == 202
    assert asked(app) == [("instance.configure", f"{OWN}1", {"configuration_id": None})]


def test_detaching_what_is_not_attached_is_done_already(app: Api) -> None:
    assert app("PUT", ONE, {"instance": {}}).status_int == 202
    assert asked(app) == []


def test_an_instance_is_renamed_while_a_group_is_attached(app: Api) -> None:
    answer = app("PUT", ONE, {"instance": {"name": "new", "configuration": f"{OWN}7"}})
    assert answer.status_int == 202
    assert app("GET", ONE).json["instance"]["name"] == "new"
    assert len(asked(app)) == 1


@pytest.mark.parametrize(("group", "status", "why"), [
    (f"{OWN}a", 400, "another datastore"),
    (UNKNOWN, 404, "cannot be found"),
    (f"{FOREIGN}7", 404, "cannot be found")])
def test_what_cannot_be_attached_is_refused(app: Api, group: str, status: int, why: str,
                                            ) -> None:
    answer = attach(app, group)
    assert (answer.status_int, asked(app)) == (status, [])
    assert why in answer.text
    created = app("POST", "/instances", {"instance": {
        "name": "n", "flavorRef": "1", "volume": {"size": 1}, "configuration": group}})
    assert created.status_int == status
    assert why in created.text


def test_one_thing_is_changed_at_a_time(app: Api) -> None:
    answer = app("PATCH", ONE, {"instance": {"configuration": f"{OWN}7", "replica_of": None}})
    assert answer.status_int == 400
    assert "only one of configuration, replica_of" in answer.json["badRequest"]["message"]


def test_an_instance_begins_with_a_group(app: Api) -> None:
    answer = app("POST", "/instances", {"instance": {
        "name": "n", "flavorRef": "1", "volume": {"size": 1}, "configuration": f"{OWN}7"}})
    assert answer.json["instance"]["configuration"]["id"] == f"{OWN}7"
    assert app("GET", GROUP).json["configuration"]["instance_count"] == 1


def test_the_settings_without_a_group_are_shown(app: Api) -> None:
    shown = app("GET", f"{ONE}/configuration").json["instance"]["configuration"]
    assert shown["max_connections"] == "64"
    assert shown["innodb_buffer_pool_size"] == "256M"


def test_a_group_that_is_being_attached_counts_already(app: Api) -> None:
    attach(app, f"{OWN}7")
    assert app("DELETE", GROUP).status_int == 400
    app("PATCH", GROUP, {"configuration": {"values": {"wait_timeout": 3}}})
    assert "configuration.apply" in [action for action, *_ in asked(app)]


def test_a_group_may_be_attached_again(app: Api) -> None:
    attached(app)
    assert attach(app, f"{OWN}7").status_int == 202
    assert asked(app) == [("instance.configure", f"{OWN}1", {"configuration_id": f"{OWN}7"})]


def with_version(app: Api, version_id: str) -> None:
    """The instance has another version, whose connections are limited to 500."""
    now = utcnow()
    with app.db.writer() as session:
        session.add(DatastoreConfigurationParameter(
            name="max_connections", datastore_version_id="w", data_type="integer",
            min_size="1", max_size="500", restart_required=False, created=now, updated=now))
        session.get_one(Instance, f"{OWN}1").datastore_version_id = version_id


def test_a_group_of_another_version_is_attached_if_it_fits(app: Api) -> None:
    with_version(app, "w")
    app("PUT", GROUP, body(values={"max_connections": 501}))
    refused = attach(app, f"{OWN}7")
    assert (refused.status_int, asked(app)) == (422, [])
    assert "at most 500" in refused.json["unprocessableEntity"]["message"]
    app("PUT", GROUP, body(values={"max_connections": 500}))
    assert attach(app, f"{OWN}7").status_int == 202
    assert asked(app) == [("instance.configure", f"{OWN}1", {"configuration_id": f"{OWN}7"})]


@pytest.mark.parametrize("version_id", ["v", "w"])
def test_values_must_fit_the_versions_of_all_instances(app: Api, version_id: str) -> None:
    with_version(app, version_id)
    attached(app)
    if version_id == "v":  # the upgrade is under way
        with app.db.writer() as session:
            session.get_one(DatastoreVersion, "w").image_id = "i"
        assert app("PATCH", ONE, {"instance": {"datastore_version": "w"}}).status_int == 202
    for method in ("PUT", "PATCH"):
        refused = app(method, GROUP, body(values={"max_connections": 501}))
        assert refused.status_int == 422, refused.text
        assert "at most 500" in refused.text
    assert app("PUT", GROUP, body(values={"max_connections": 500})).status_int == 202
