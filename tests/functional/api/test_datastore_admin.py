"""Registration of datastores, and what of them whom is shown and given."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.orm import Session

from tests.functional.api.conftest import IMAGE, MINE, OWN, UNKNOWN, Api
from trove_ng.cloud.types import Flavor, VolumeType
from trove_ng.common.clock import utcnow
from trove_ng.datastores import base as engines
from trove_ng.db.models import (
    Base,
    Capability,
    Datastore,
    DatastoreVersion,
    DatastoreVersionMetadata,
    Instance,
    VolumeConfig,
)

VERSIONS = "/mgmt/datastore-versions"
BELOW = "/mgmt/datastores/mariadb/versions"


def admin(app: Api, method: str, path: str, body: Any = None) -> Any:
    return app(method, path, body, token="admin")


def registered(app: Api, name: str) -> dict[str, Any]:
    listed = admin(app, "GET", VERSIONS).json["versions"]
    found: dict[str, Any] = next(one for one in listed if one["name"] == name)
    assert admin(app, "GET", f"{VERSIONS}/{found['id']}").json == {"version": found}
    return found


def register(app: Api, **more: Any) -> Any:
    return admin(app, "POST", VERSIONS, {"version": {
        "name": "12", "datastore_name": "mariadb", "datastore_manager": "mariadb",
        "image": IMAGE, **more}})


def create(app: Api, token: str = "mine", volume: dict[str, Any] | None = None, flavor: str = "1",
           **datastore: str) -> Any:
    project = MINE if token in ("mine", "admin") else {"other": "b" * 32}[token]
    return app("POST", "/instances", {"instance": {
        "name": "n", "flavorRef": flavor, "volume": {"size": 1, **(volume or {})},
        "datastore": {"type": "mariadb", **datastore}}}, token=token, project=project)


# ---- registration ------------------------------------------------------------------------


def test_a_version_is_registered(app: Api) -> None:
    made = register(app, version="12.1", packages=["mariadb-server", "x=1.2"], default=True)
    assert (made.status_int, made.json) == (202, {})
    found = registered(app, "12")
    assert found == {
        "id": found["id"], "name": "12", "version": "12.1", "datastore_id": "d",
        "datastore_name": "mariadb", "datastore_manager": "mariadb", "manager": "mariadb",
        "image": IMAGE, "image_tags": [], "packages": ["mariadb-server", "x=1.2"],
        "active": True, "default": True, "visibility": "public", "registry_ext": "",
        "repl_strategy": ""}
    assert app("GET", "/datastores/mariadb").json["datastore"]["default_version"] == found["id"]
    assert create(app).json["instance"]["datastore"]["version"] == "12"


def test_a_datastore_is_made_with_its_first_version(app: Api) -> None:
    assert register(app, datastore_name="percona", image=None,
                    image_tags=["trove", "mariadb"]).status_int == 202
    shown = app("GET", "/datastores/percona").json["datastore"]
    assert [one["name"] for one in shown["versions"]] == ["12"]
    assert "default_version" not in shown
    assert registered(app, "12")["image_tags"] == ["trove", "mariadb"]


def test_the_names_of_the_spec_will_do_too(app: Api) -> None:
    answer = admin(app, "POST", VERSIONS, {"version": {
        "name": "12", "datastore": "mariadb", "manager": "mariadb", "image": IMAGE,
        "packages": "a, b", "active": False}})
    assert answer.status_int == 202, answer.text
    found = registered(app, "12")
    assert (found["packages"], found["active"]) == (["a", "b"], False)


@pytest.mark.parametrize(("wrong", "status", "why"), [
    ({"name": "10.11"}, 400, "already exists"), ({"image": UNKNOWN}, 404, "Image"),
    ({"image": "", "image_tags": ["none"]}, 404, "tags none"),
    ({"image": ""}, 400, "image or version.image_tags is required"),
    ({"datastore_manager": "nothing"}, 400, "not installed"),
    ({"image_tags": ["a"] * 6}, 400, "image_tags"), ({"image_tags": ["a" * 21]}, 400, "tags"),
    ({"datastore": "other"}, 400, "not the same"), ({"visibility": "secret"}, 400, "visib"),
    ({"packages": ["x" * 200] * 3}, 400, "packages"), ({"active": "yes"}, 400, "active"),
    ({"registry_ext": "mysql:my.Manager"}, 400, "registry_ext"),
    ({"repl_strategy": "my.Strategy"}, 400, "repl_strategy")])
def test_what_cannot_be_registered_is_refused(app: Api, wrong: dict[str, Any], status: int,
                                              why: str) -> None:
    before = app.rows()
    answer = register(app, **wrong)
    assert (answer.status_int, why in answer.text) == (status, True), answer.text
    assert app.rows() == before


def test_a_version_is_changed(app: Api) -> None:
    body = {"image": IMAGE, "active": False, "default": False, "packages": "p",
            "name": "10.11-lts", "repl_strategy": "", "registry_ext": "",
            "visibility": "unlisted"}
    answer = admin(app, "PATCH", f"{VERSIONS}/v", body)
    assert (answer.status_int, answer.json) == (202, {})
    found = registered(app, "10.11-lts")
    assert {name: found[name] for name in body} == {**body, "packages": ["p"]}
    assert admin(app, "PATCH", f"{VERSIONS}/v", {"default": True}).status_int == 202
    assert registered(app, "10.11-lts")["default"] is True


@pytest.mark.parametrize(("wrong", "status"), [
    ({"name": "10.6"}, 202), ({"image": ""}, 400), ({"image": UNKNOWN}, 404),
    ({"manager": "nothing"}, 400), ({"version": "9"}, 400), ({"datastore_name": "x"}, 400)])
def test_what_a_version_cannot_become_is_refused(app: Api, wrong: dict[str, Any], status: int,
                                                 ) -> None:
    assert admin(app, "PATCH", f"{VERSIONS}/v", wrong).status_int == status


def test_a_name_and_number_are_one_versions_only(app: Api) -> None:
    assert register(app, name="10.6", version="10.11").status_int == 202
    answer = admin(app, "PATCH", f"{VERSIONS}/v", {"name": "10.6"})
    assert (answer.status_int, "already exists" in answer.text) == (400, True)


def test_a_version_that_something_is_made_of_is_not_deleted(app: Api) -> None:
    answer = admin(app, "DELETE", f"{VERSIONS}/v")
    assert answer.status_int == 409
    assert "instances, backups, configurations" in answer.text


def test_a_version_is_deleted_and_its_name_may_be_given_again(app: Api) -> None:
    with app.db.writer() as session:
        # a deleted instance keeps its version
        session.get(Instance, f"{OWN}3").datastore_version_id = "u"
        session.get(Instance, f"{OWN}3").deleted = True
        session.get(Datastore, "d").default_version_id = "u"
    assert admin(app, "DELETE", f"{VERSIONS}/u").status_int == 202
    for path in (f"{VERSIONS}/u", "/datastores/versions/u", f"{BELOW}/u/members"):
        assert admin(app, "GET", path).status_int == 404
    assert admin(app, "DELETE", f"{VERSIONS}/u").status_int == 404
    shown = admin(app, "GET", "/datastores/mariadb").json["datastore"]
    assert [one["id"] for one in shown["versions"]] == ["v"]
    assert "default_version" not in shown
    assert register(app, name="10.6", version="10.6.18").status_int == 202
    gone = admin(app, "GET", f"/mgmt/instances/{OWN}3?deleted=true").json["instance"]
    assert gone["datastore"]["version"] == "10.6"


def test_a_datastore_without_versions_is_deleted(app: Api) -> None:
    refused = admin(app, "DELETE", "/datastores/mariadb")
    assert (refused.status_int, "has versions" in refused.text) == (400, True)
    assert app("DELETE", "/datastores/empty").status_int == 403
    assert admin(app, "DELETE", "/datastores/empty").status_int == 202
    assert admin(app, "DELETE", "/datastores/empty").status_int == 404
    assert register(app, datastore_name="empty").status_int == 202
    assert app("GET", "/datastores/empty").status_int == 200


def test_a_registration_is_kept_for_its_key(app: Api) -> None:
    body = {"version": {"name": "12", "datastore_name": "mariadb", "image": IMAGE,
                        "datastore_manager": "mariadb"}}
    headers = {"X-Auth-Token": "admin", "Idempotency-Key": "k"}
    for _ in range(2):
        answer = app.app.post_json(f"/v1.0/{MINE}{VERSIONS}", body, headers=headers)
        assert (answer.status_int, answer.json) == (202, {})


# ---- who sees it -------------------------------------------------------------------------


def sees(app: Api, token: str, project: str = MINE) -> tuple[bool, ...]:
    """Return whether the version u is in lists, shown, limits are told, and used."""
    def ask(path: str) -> Any:
        return app("GET", path, token=token, project=project)

    def ids(answer: Any, *keys: str) -> bool:
        return answer.status_int == 200 and any(
            one["id"] == "u" for one in answer.json[keys[0]])

    whole = ask("/datastores").json["datastores"]
    one = ask("/datastores/mariadb").json["datastore"]["versions"]
    lists = {ids(ask("/datastores/mariadb/versions"), "versions"),
             any(item["id"] == "u" for item in one),
             any(item["id"] == "u" for store in whole for item in store["versions"])}
    shows = {ask(path).status_int == 200 for path in (
        "/datastores/versions/u", "/datastores/mariadb/versions/10.6",
        "/datastores/mariadb/versions/u/flavors",
        "/datastores/mariadb/versions/u/volume-types",
        "/datastores/versions/u/parameters", "/flavors/u")}
    made = app("POST", "/instances", {"instance": {
        "name": "n", "flavorRef": "1", "volume": {"size": 1},
        "datastore": {"type": "mariadb", "version": "10.6"}}}, token=token, project=project)
    assert made.status_int in (200, 404), made.text
    assert len(lists) == len(shows) == 1, (lists, shows)
    return lists.pop(), shows.pop(), made.status_int == 200


@pytest.mark.parametrize(("visibility", "member", "stranger", "operator"), [
    ("public", (True, True, True), (True, True, True), (True, True, True)),
    ("private", (True, True, True), (False, False, False), (True, True, True)),
    ("unlisted", (False, True, True), (False, True, True), (True, True, True)),
    ("deprecated", (False, False, False), (False, False, False), (True, True, True))])
def test_who_sees_and_uses_a_version(
        app: Api, visibility: str, member: tuple[bool, ...], stranger: tuple[bool, ...],
        operator: tuple[bool, ...]) -> None:
    assert admin(app, "PUT", f"{BELOW}/u", {
        "datastore_version": {"visibility": visibility}}).status_int == 202
    assert admin(app, "POST", f"{BELOW}/u/members", {"member": "b" * 32}).status_int == 200
    assert sees(app, "other", "b" * 32) == member
    assert sees(app, "mine") == stranger
    assert sees(app, "admin") == operator


def test_nobody_uses_a_version_that_is_not_active(app: Api) -> None:
    admin(app, "PATCH", f"{VERSIONS}/u", {"active": False, "visibility": "public"})
    assert sees(app, "mine") == (False, False, False)
    assert sees(app, "admin") == (True, True, False)
    admin(app, "PATCH", f"{VERSIONS}/v", {"active": False})
    assert app("GET", "/datastores").json["datastores"] == []
    assert app("GET", "/datastores/mariadb").status_int == 404
    assert create(app).status_int == 404


def test_a_hidden_default_version_is_not_named(app: Api) -> None:
    admin(app, "POST", f"{BELOW}/v", {"datastore_version": {"visibility": "private"}})
    admin(app, "POST", f"{BELOW}/u", {"datastore_version": {"visibility": "public"}})
    shown = app("GET", "/datastores/mariadb").json["datastore"]
    assert [one["id"] for one in shown["versions"]] == ["u"]
    assert "default_version" not in shown
    assert "visibility" not in shown["versions"][0]
    operator = admin(app, "GET", "/datastores/mariadb/versions/v").json["version"]
    assert operator["visibility"] == "private"


def test_lists_of_modules_tell_nothing_of_a_hidden_datastore(app: Api) -> None:
    admin(app, "POST", f"{BELOW}/v", {"datastore_version": {"visibility": "private"}})
    for path in ("/datastores/mariadb/modules", "/modules?datastore=mariadb"):
        assert app("GET", path).status_int == 404, path
        assert admin(app, "GET", path).status_int == 200, path


def test_members_are_kept(app: Api) -> None:
    made = admin(app, "POST", f"{BELOW}/10.6/members", {"member": MINE})
    member = made.json["datastore_version_member"]
    assert member == {"id": member["id"], "datastore_version_id": "u", "member": MINE}
    assert admin(app, "POST", f"{BELOW}/10.6/members", {"member": MINE}).status_int == 409
    listed = admin(app, "GET", f"{BELOW}/u/members").json["datastore_version_members"]
    assert [one["member"] for one in listed] == [MINE, "c" * 32]
    assert admin(app, "GET", f"{BELOW}/u/members/{member['id']}").json == made.json
    assert admin(app, "GET", f"{BELOW}/members/{MINE}").json == {
        "datastore_version_members": [member]}
    # of another version
    assert admin(app, "GET", f"{BELOW}/v/members/{member['id']}").status_int == 404
    assert admin(app, "DELETE", f"{BELOW}/u/members/{member['id']}").status_int == 204
    assert admin(app, "DELETE", f"{BELOW}/u/members/{member['id']}").status_int == 404
    assert admin(app, "GET", f"{BELOW}/members/{MINE}").json == {
        "datastore_version_members": []}
    assert admin(app, "GET", f"{BELOW}/members/%C2%84").status_int == 400


# ---- flavors and volume types -----------------------------------------------------------


def limited(app: Api, key: str, *values: str) -> None:
    with app.db.writer() as session:
        for value in values:
            session.add(DatastoreVersionMetadata(
                datastore_version_id="v", key=key, value=value, created=utcnow(),
                updated=utcnow()))


def test_lists_and_creates_agree_about_flavors(app: Api) -> None:
    limited(app, "flavor", "2", "gone")
    for path in ("/datastores/mariadb/versions/10.11/flavors", "/flavors/v"):
        assert [one["str_id"] for one in app("GET", path).json["flavors"]] == ["2"]
    refused = create(app)
    assert (refused.status_int, "flavorRef 1 is not allowed" in refused.text) == (400, True)
    assert create(app, flavor="2").status_int == 200
    assert app("GET", "/flavors/none").status_int == 404


def test_flavors_that_are_not_public_are_the_operators_to_give(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.catalog, "list_flavors", lambda: [
        Flavor("1", "db.tiny", 512, 1, 5), Flavor("7", "own", 1024, 1, 5, is_public=False)])

    def listed(path: str, token: str = "mine") -> list[str]:
        return [one["name"] for one in app("GET", path, token=token).json["flavors"]]

    of_version = "/datastores/mariadb/versions/10.11/flavors"
    assert listed("/flavors") == listed(of_version) == ["db.tiny"]
    assert listed("/flavors", "admin") == ["db.tiny", "own"]
    resize = ("POST", f"/instances/{OWN}1/action", {"resize": {"flavorRef": "7"}})
    assert app("GET", "/flavors/7").status_int == 404
    assert (create(app, flavor="7").status_int, app(*resize).status_int) == (400, 400)
    limited(app, "flavor", "7")
    assert listed(of_version) == ["own"]
    assert (create(app, flavor="7").status_int, app(*resize).status_int) == (200, 202)


def test_volume_types_that_are_not_public_are_the_operators_to_give(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.catalog, "list_volume_types", lambda: [
        VolumeType("vt", "lvm"), VolumeType("hi", "hidden", is_public=False)])

    def listed(path: str, token: str = "mine") -> list[str]:
        return [one["name"] for one in app("GET", path, token=token).json["volume_types"]]

    of_version = "/datastores/mariadb/versions/10.11/volume-types"
    assert listed("/volume-types") == listed(of_version) == ["lvm"]
    assert listed("/volume-types", "admin") == ["lvm", "hidden"]
    assert app("GET", "/volume-types/hidden").status_int == 404
    assert create(app, volume={"type": "hidden"}).status_int == 400
    with app.db.writer() as session:
        session.scalars(select(VolumeConfig)).one().provider_type = "hidden"
    body = {"instance": {"name": "n", "flavorRef": "1", "volume_config": "small"}}
    assert app("POST", "/instances", body).status_int == 200
    limited(app, "volume-type", "hi")
    assert listed(of_version) == ["hidden"]
    assert create(app, volume={"type": "hidden"}).status_int == 200


def test_lists_and_creates_agree_about_volume_types(app: Api) -> None:
    path = "/datastores/mariadb/versions/10.11/volume-types"
    assert [one["name"] for one in app("GET", path).json["volume_types"]] == ["lvm"]
    limited(app, "volume-type", "gone")
    assert app("GET", path).json["volume_types"] == []
    refused = create(app, volume={"type": "lvm"})
    assert (refused.status_int, "no valid volume type" in refused.text) == (400, True)
    # by id here, by name there
    limited(app, "volume-type", "vt")
    assert [one["name"] for one in app("GET", path).json["volume_types"]] == ["lvm"]
    made = create(app, volume={"type": "lvm"}).json["instance"]
    with app.db.reader() as session:
        assert session.get(Instance, made["id"]).volume_type == "lvm"
    assert create(app, volume={"type": None}).status_int == 200


def test_the_operators_volume_type_is_taken(app: Api) -> None:
    app.conf.set_override("cinder_volume_type", "vt")
    made = create(app).json["instance"]
    with app.db.reader() as session:
        assert session.get(Instance, made["id"]).volume_type == "vt"
        assert session.get(DatastoreVersion, "v").deleted is False


# ---- capabilities -----------------------------------------------------------------------


def able(app: Api) -> dict[str, bool]:
    """Return what users are told of the version."""
    rows = app("GET", "/datastores/versions/v/capabilities").json["capabilities"]
    assert all(one["description"] for one in rows)
    assert [one["name"] for one in rows if not one["enabled"]] == [
        one["name"] for one in rows if one["reason"]]
    assert rows == app("GET", "/datastores/mariadb/versions/10.11/capabilities").json[
        "capabilities"]
    return {one["name"]: one["enabled"] for one in rows}


def switch(app: Api, path: str, *, enabled: bool) -> None:
    assert admin(app, "PUT", f"/mgmt/{path}", {
        "capability": {"enabled": enabled}}).status_int == 200


def test_capabilities_are_those_of_the_engine_until_they_are_switched(app: Api) -> None:
    before = able(app)
    assert before["root"] is True
    switch(app, "capabilities/root", enabled=False)
    assert able(app) == {**before, "root": False}
    switch(app, "datastores/versions/v/capabilities/root", enabled=True)
    assert able(app) == before
    switch(app, "datastores/versions/v/capabilities/users", enabled=False)
    assert able(app) == {**before, "users": False}
    rows = admin(app, "GET", "/mgmt/datastores/versions/v/capabilities").json["capabilities"]
    assert {one["name"]: one["override"] for one in rows if one["override"] is not None} == {
        "root": True, "users": False}
    reset = admin(app, "DELETE", "/mgmt/datastores/versions/v/capabilities/users")
    assert reset.status_int == 200
    assert able(app) == before
    global_ = admin(app, "GET", "/mgmt/capabilities").json["capabilities"]
    assert {one["name"] for one in global_ if not one["enabled"]} == {"root"}


@contextlib.contextmanager
def overtaken(table: type[Base], **values: Any) -> Iterator[None]:
    """Let another transaction be faster, once, at adding a row with these values."""
    left = [values]

    def add(session: Session, *_more: Any) -> None:
        if left and any(isinstance(one, table) for one in session.new):
            session.connection().execute(insert(table).values(left.pop()))

    event.listen(Session, "before_flush", add)
    try:
        yield
    finally:
        event.remove(Session, "before_flush", add)
    assert not left


def test_two_requests_that_add_the_same_are_both_answered(app: Api) -> None:
    with overtaken(Capability, name="root", enabled=True):
        switch(app, "capabilities/root", enabled=False)
    assert able(app)["root"] is False
    with overtaken(Datastore, name="new", live_key="live"):
        assert register(app, datastore_name="new").status_int == 202
    assert registered(app, "12")["datastore_name"] == "new"


def test_what_is_switched_off_is_refused(app: Api) -> None:
    one = f"/instances/{OWN}1"
    group = {"instance": {"configuration": f"{OWN}7"}}
    asked: list[tuple[str, str, Any, str, int]] = [
        ("POST", f"{one}/root", None, "root", 501),
        ("GET", f"{one}/users", None, "users", 501),
        ("GET", f"{one}/databases", None, "databases", 501),
        ("POST", "/backups", {"backup": {"name": "b", "instance": f"{OWN}1"}}, "backups", 400),
        ("PUT", one, group, "configuration", 400),
        ("POST", f"{one}/action", {"resize": {"flavorRef": "2"}}, "resize", 501),
        ("POST", f"{one}/action", {"resize": {"volume": {"size": 2}}}, "resize", 501)]
    for method, path, body, name, status in asked:
        switch(app, f"datastores/versions/v/capabilities/{name}", enabled=False)
        answer = app(method, path, body)
        assert (answer.status_int, "does not offer" in answer.text) == (status, True), (
            path, answer.text)
    assert app.waker.woken == []
    for name in ("root", "users", "databases", "backups", "configuration", "resize"):
        switch(app, f"datastores/versions/v/capabilities/{name}", enabled=True)
    assert app("PUT", one, group).status_int == 202


@pytest.mark.parametrize(("name", "method", "path", "body", "status"), [
    ("log_archiving", "PATCH", f"/instances/{OWN}1",
     {"instance": {"log_archiving": {"enabled": True}}}, 501),
    ("incremental_backups", "POST", "/backups",
     {"backup": {"name": "b", "instance": f"{OWN}1", "incremental": 1}}, 501),
    ("automatic_failover", "PATCH", f"/instances/{OWN}1",
     {"instance": {"failover": {"mode": "automatic"}}}, 400)])
def test_who_switched_it_off_is_told(app: Api, name: str, method: str, path: str, body: Any,
                                     status: int) -> None:
    switch(app, f"datastores/versions/v/capabilities/{name}", enabled=False)
    answer = app(method, path, body)
    assert (answer.status_int, "The operator switched it off." in answer.text) == (
        status, True), answer.text
    assert app.waker.woken == []


def test_an_old_version_does_not_do_what_later_ones_do(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    known = engines.load_datastores()
    monkeypatch.setattr(engines, "load_datastores", lambda: {
        **known, "postgresql": dataclasses.replace(known["postgresql"], lacks=(
            engines.Lack("incremental_backups", "13", "Version 12 has no log."),))})

    def rows() -> dict[str, Any]:
        found = app("GET", "/datastores/versions/v/capabilities").json["capabilities"]
        return {one["name"]: one for one in found}

    with app.db.writer() as session:
        version = session.get_one(DatastoreVersion, "v")
        version.manager, version.version = "postgresql", "12.19"
    assert (rows()["incremental_backups"]["enabled"], rows()["tls"]["values"]) == (
        False, ["basic", "enforced", "mtls"])
    why = rows()["incremental_backups"]["reason"]
    assert "Version 12" in why
    listed = admin(app, "GET", "/mgmt/datastores/versions/v/capabilities").json["capabilities"]
    assert {one["name"]: one["declared"] for one in listed}["incremental_backups"] is False
    answer = app("POST", "/backups", {"backup": {
        "name": "b", "instance": f"{OWN}1", "incremental": 1}})
    assert (answer.status_int, why in answer.text) == (501, True), answer.text
    with app.db.writer() as session:
        session.get_one(DatastoreVersion, "v").version = "13.2"
    assert rows()["incremental_backups"]["enabled"]


def test_unknown_capabilities_and_versions_are_not_found(app: Api) -> None:
    body = {"capability": {"enabled": True}}
    for path in ("/mgmt/capabilities/flying",
                 "/mgmt/datastores/versions/v/capabilities/flying",
                 f"/mgmt/datastores/versions/{UNKNOWN}/capabilities/root"):
        assert admin(app, "PUT", path, body).status_int == 404
