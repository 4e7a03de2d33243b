"""Upgrades, and what operators do to servers."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from tests.functional.api.conftest import FOREIGN, OWN, UNKNOWN, Api
from trove_ng.common.clock import utcnow
from trove_ng.db.models import (
    Datastore,
    DatastoreVersion,
    DatastoreVersionMetadata,
    Instance,
    Operation,
)
from trove_ng.db.repositories import volumes

ONE = f"/instances/{OWN}1"
NEW = "10.99"


@pytest.fixture
def versions(app: Api) -> Api:
    """A store with another version of the datastore, and another datastore."""
    now = utcnow()
    with app.db.writer() as session:
        session.add(Datastore(id="o", name="other"))
        session.flush()
        for ident, datastore, name in (("n", "d", NEW), ("x", "o", "1.0")):
            session.add(DatastoreVersion(
                id=ident, datastore_id=datastore, name=name, version=name, manager="mariadb",
                image_id="i", created=now, updated=now))
    return app


def operation(app: Api, action: str) -> Operation:
    with app.db.reader() as session:
        found, = session.scalars(select(Operation).where(Operation.action == action)).all()
        session.expunge_all()
    return found


def set_instance(app: Api, **values: Any) -> None:
    with app.db.writer() as session:
        found = session.get_one(Instance, f"{OWN}1")
        for name, value in values.items():
            setattr(found, name, value)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("named", ["n", NEW])
def test_an_upgrade_is_accepted(versions: Api, method: str, named: str) -> None:
    answer = versions(method, ONE, {"instance": {"datastore_version": named, "name": "new"}})
    assert answer.status_int == 202
    row = operation(versions, "instance.upgrade")
    assert answer.headers["X-Trove-Operation-Id"] == row.id
    assert row.payload == {"datastore_version_id": "n", "previous_id": "v"}
    shown = versions("GET", ONE).json["instance"]
    assert (shown["status"], shown["name"]) == ("UPGRADE", "new")
    # the version is that which runs
    assert shown["datastore"]["version"] == "10.11"
    again = versions("PATCH", ONE, {"instance": {"datastore_version": named}})
    assert again.status_int == 422


def test_upgrades_that_are_switched_off_are_not_offered(versions: Api) -> None:
    switch = "/mgmt/datastores/versions/v/capabilities/upgrades"
    assert versions("PUT", switch, {"capability": {"enabled": False}},
                    token="admin").status_int == 200
    upgrade = {"instance": {"datastore_version": "n"}}
    answer = versions("PATCH", ONE, upgrade)
    assert (answer.status_int, "does not offer upgrades" in answer.text) == (501, True)
    # it is users who are kept from it
    rebuild = {"rebuild": {"image_id": UNKNOWN}}
    assert versions("POST", f"/mgmt{ONE}/action", rebuild, token="admin").status_int == 202
    assert versions("DELETE", switch, token="admin").status_int == 200
    assert versions("PATCH", f"/instances/{OWN}2", upgrade).status_int == 202


def test_an_instance_is_upgraded_to_the_version_that_it_has(versions: Api) -> None:
    assert versions("PATCH", ONE, {"instance": {"datastore_version": "v"}}).status_int == 202


def test_versions_of_other_datastores_and_unknown_ones_are_refused(versions: Api) -> None:
    for named, status in (("x", 400), ("1.0", 400), (UNKNOWN, 404)):
        answer = versions("PATCH", ONE, {"instance": {"datastore_version": named}})
        assert answer.status_int == status, named


def test_a_version_that_is_not_active_is_refused_to_administrators_too(versions: Api) -> None:
    with versions.db.writer() as session:
        session.get_one(DatastoreVersion, "n").active = False
    for token in ("mine", "admin"):
        answer = versions("PATCH", ONE, {"instance": {"datastore_version": NEW}}, token=token)
        assert answer.status_int == 404, token


def test_a_version_that_is_bound_to_other_flavors_is_refused(versions: Api) -> None:
    with versions.db.writer() as session:
        session.add(DatastoreVersionMetadata(
            datastore_version_id="n", key="flavor", value="2", created=utcnow(),
            updated=utcnow()))
    answer = versions("PATCH", ONE, {"instance": {"datastore_version": NEW}})
    assert answer.status_int == 400
    assert "flavor" in answer.json["badRequest"]["message"]


def test_a_version_that_does_not_know_the_settings_is_refused(versions: Api) -> None:
    set_instance(versions, configuration_id=f"{OWN}7")
    answer = versions("PATCH", ONE, {"instance": {"datastore_version": NEW}})
    assert answer.status_int == 422
    assert "parameters" in answer.json["unprocessableEntity"]["message"]
    assert versions("PATCH", ONE, {"instance": {"datastore_version": "v"}}).status_int == 202


def test_changes_are_made_one_at_a_time(versions: Api) -> None:
    answer = versions("PATCH", ONE, {"instance": {
        "datastore_version": NEW, "configuration": None}})
    assert answer.status_int == 400


def test_an_instance_whose_data_are_on_the_root_disk_is_not_upgraded(versions: Api) -> None:
    set_instance(versions, volume_size=None, volume_id=None)
    with versions.db.writer() as session:
        volumes.forget(session, f"{OWN}1")
    answer = versions("PATCH", ONE, {"instance": {"datastore_version": NEW}})
    assert answer.status_int == 400
    assert "no volume" in answer.json["badRequest"]["message"]
    answer = versions("POST", f"/mgmt{ONE}/action", {"rebuild": {"image_id": UNKNOWN}},
                      token="admin")
    assert answer.status_int == 400


def test_a_foreign_instance_is_not_found(versions: Api) -> None:
    answer = versions("PATCH", f"/instances/{FOREIGN}1",
                      {"instance": {"datastore_version": NEW}})
    assert answer.status_int == 404


@pytest.mark.parametrize(("body", "action", "payload", "status"), [
    ({"stop": {}}, "instance.stop", {}, "SHUTDOWN"),
    ({"reboot": {}}, "instance.reboot", {}, "REBOOT"),
    ({"migrate": {}}, "instance.migrate", {"host": None}, "RESIZE"),
    ({"migrate": {"host": "c-7"}}, "instance.migrate", {"host": "c-7"}, "RESIZE"),
    ({"rebuild": {"image_id": UNKNOWN}}, "instance.rebuild", {"image_id": UNKNOWN}, "BUILD"),
])
def test_operators_act_on_servers(app: Api, body: Any, action: str, payload: Any,
                                  status: str) -> None:
    answer = app("POST", f"/mgmt{ONE}/action", body, token="admin")
    assert answer.status_int == 202
    row = operation(app, action)
    assert row.payload == payload
    assert answer.headers["X-Trove-Operation-Id"] == row.id
    assert app("GET", ONE).json["instance"]["status"] == status
    assert app("POST", f"/mgmt{ONE}/action", body, token="admin").status_int == 422
    assert app("POST", f"/mgmt{ONE}/action", body).status_int == 403


@pytest.mark.parametrize("body", [{"reboot": {}}, {"rebuild": {"image_id": UNKNOWN}}])
def test_a_broken_instance_is_repaired(app: Api, body: Any) -> None:
    set_instance(app, error="UNDO", server_status="ERROR")
    assert app("POST", f"/mgmt{ONE}/action", {"stop": {}}, token="admin").status_int == 422
    assert app("POST", f"/mgmt{ONE}/action", body, token="admin").status_int == 202


def test_an_instance_without_a_server_is_not_repaired(app: Api) -> None:
    set_instance(app, error="BUILD", compute_instance_id=None)
    answer = app("POST", f"/mgmt{ONE}/action", {"reboot": {}}, token="admin")
    assert answer.status_int == 422
    assert "no server" in answer.json["unprocessableEntity"]["message"]


@pytest.mark.parametrize("action", ["promote_to_replica_source", "eject_replica_source"])
def test_what_is_no_replica_is_not_promoted(app: Api, action: str) -> None:
    answer = app("POST", f"{ONE}/action", {action: {}})
    assert answer.status_int == 400
    assert "replica" in answer.json["badRequest"]["message"]
    assert app("GET", ONE).json["instance"]["status"] == "ACTIVE"


def test_operators_see_the_ids_of_server_and_volume(app: Api) -> None:
    with app.db.writer() as session:
        session.get_one(Instance, f"{OWN}1").deleted = True
    assert app("GET", f"/mgmt{ONE}", token="admin").status_int == 404
    shown = app("GET", f"/mgmt{ONE}?deleted=true", token="admin").json["instance"]
    assert (shown["server"]["id"], shown["volume"]["id"]) == ("s01", "v01")
