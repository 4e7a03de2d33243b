"""Instances over REST."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
import webtest

from tests.functional.api.conftest import FOREIGN, NETWORK, OWN, Api, Catalog, _identify
from trove_ng.api.app import build_app
from trove_ng.api.wiring import make_services
from trove_ng.common.clock import utcnow
from trove_ng.common.errors import ServiceUnavailable
from trove_ng.db.models import Backup, Instance, Operation, ServiceStatusRow

GOOD = {"name": "db", "flavorRef": "1", "volume": {"size": 1}}


def create(app: Api, **more: object) -> object:
    return app("POST", "/instances", {"instance": {**GOOD, **more}})


def test_a_list_has_the_projects_own_only(app: Api) -> None:
    found = app("GET", "/instances").json["instances"]
    assert [one["id"] for one in found] == [f"{OWN}{number}" for number in (1, 2, 3)]
    assert {one["status"] for one in found} == {"ACTIVE"}
    assert "tenant_id" not in found[0]


def test_pages_follow_each_other(app: Api) -> None:
    first = app("GET", "/instances?limit=2").json
    assert len(first["instances"]) == 2
    link, = first["links"]
    assert link["rel"] == "next"
    rest = app("GET", "/instances?" + link["href"].split("?")[1]).json
    assert [one["id"] for one in rest["instances"]] == [f"{OWN}3"]
    assert "links" not in rest


def test_an_administrator_sees_all_by_id_and_in_management(app: Api) -> None:
    shown = app("GET", f"/instances/{FOREIGN}1", token="admin").json["instance"]
    assert shown["tenant_id"] == "b" * 32
    assert len(app("GET", "/mgmt/instances", token="admin").json["instances"]) == 6


@pytest.mark.parametrize("path", ["/instances", "/instances/detail", f"/instances/{OWN}1",
                                  "/backups", "/datastores"])
def test_reads_cost_few_statements(app: Api, path: str) -> None:
    app("GET", path)
    seen = app.statements()
    assert app("GET", path).status_int == 200
    assert 1 <= len(seen) <= 4, seen


def test_a_create_costs_few_statements_and_wakes_a_taskmanager(app: Api) -> None:
    create(app)
    seen = app.statements()
    answer = create(app, name="two", users=[{"name": "u", "password": "p"}])
    assert answer.status_int == 200
    assert len(seen) <= 15, seen
    assert len(app.waker.woken) == 2
    assert answer.json["instance"]["status"] == "BUILD"


def test_a_lost_word_to_the_taskmanager_is_no_error(app: Api) -> None:
    def fail(operation_id: str) -> None:
        raise ServiceUnavailable("The message bus is not available.")

    app.waker.wake = fail  # type: ignore[method-assign]
    before = app.rows()["operations"]
    assert create(app).status_int == 200
    assert app.rows()["operations"] == before + 1


@pytest.mark.parametrize(("more", "field"), [
    ({"flavorRef": "99"}, "flavorRef"),
    ({"volume": {"size": 11}}, "volume.size"),
    ({"volume": {"size": 1, "type": "floppy"}}, "volume.type"),
    ({"nics": [{"network_id": "22222222-2222-4222-8222-222222222222"}]}, "nics[0].network_id"),
    ({"nics": [{"network_id": NETWORK, "ip_address": "10.2.0.7"}]}, "nics[0].ip_address"),
    ({"nics": [{"network_id": NETWORK, "ip_address": "10.1.0.0"}]}, "nics[0].ip_address"),
    ({"nics": [{"network_id": NETWORK, "ip_address": "10.1.0.1"}]}, "nics[0].ip_address"),
    ({"nics": [{"network_id": NETWORK, "ip_address": "fd00::7"}]}, "nics[0].ip_address"),
    ({"nics": [{"network_id": NETWORK, "v4-fixed-ip": "10.1.0.2"}]}, "10.1.0.2 is in use"),
    ({"nics": [{"port-id": NETWORK}]}, "nics[0].port-id: the cloud gives"),
    ({"availability_zone": "moon"}, "availability_zone"),
    ({"region_name": "RegionNine"}, "region_name"),
    ({"region": "RegionNine"}, "region_name"),
    ({"region_name": "RegionOne", "region": "RegionTwo"}, "region"),
    ({"region_name": "RegionTwo", "flavorRef": "2"}, "flavorRef"),
    ({"region_name": "RegionTwo", "flavorRef": "21"}, "flavorRef"),
    ({"region_name": "RegionTwo", "volume": {"size": 1, "type": "lvm"}}, "volume.type"),
    ({"region_name": "RegionTwo", "availability_zone": "nova"}, "availability_zone"),
    ({"region_name": "RegionTwo", "nics": [{"network_id": NETWORK}]}, "nics[0].network_id"),
    ({"databases": [{"name": "mysql"}]}, "databases[0].name"),
    ({"databases": [{"name": "a"}, {"name": "a"}]}, "databases[1].name"),
    ({"databases": [{"name": "a", "character_set": "utf8", "collate": "latin1_bin"}]},
     "databases[0].collate"),
    ({"users": [{"name": "root", "password": "p"}]}, "users[0].name"),
    ({"users": [{"name": "u", "password": "p", "host": "a b"}]}, "users[0].host"),
    ({"users": [{"name": "u", "password": "p", "databases": [{"name": "none"}]}]},
     "users[0].databases"),
])
def test_what_does_not_fit_the_cloud_or_the_engine_is_refused(
        app: Api, more: dict[str, object], field: str) -> None:
    before = app.rows()
    answer = create(app, **more)
    assert answer.status_int == 400
    assert field in answer.json["badRequest"]["message"]
    assert app.rows() == before


@pytest.mark.parametrize(("more", "status"), [
    ({"datastore": {"type": "oracle"}}, 404),
    ({"datastore": {"type": "mariadb", "version": "5.5"}}, 404),
    ({"restorePoint": {"backupRef": f"{FOREIGN}8"}}, 404),
    ({"replica_of": f"{FOREIGN}1"}, 404),
])
def test_what_is_not_there_is_refused(app: Api, more: dict[str, object],
                                      status: int) -> None:
    before = app.rows()
    assert create(app, **more).status_int == status
    assert app.rows() == before


def test_a_volume_must_hold_the_backup(app: Api) -> None:
    with app.db.writer() as session:
        session.get(Backup, f"{OWN}8").volume_size = 5
    answer = create(app, restorePoint={"backupRef": f"{OWN}8"})
    assert "at least 5 GB" in answer.json["badRequest"]["message"]


def test_what_was_asked_for_is_kept_without_passwords(app: Api) -> None:
    answer = create(app, nics=[{"net-id": NETWORK}], availability_zone="nova",
                    access={"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]},
                    databases=[{"name": "shop"}],
                    users=[{"name": "app", "password": "s3cret-Word"}])
    ident = answer.json["instance"]["id"]
    with app.db.reader() as session:
        row = session.get(Instance, ident)
        operation, = session.query(Operation).filter_by(resource_id=ident)
    assert row.nics == [{"network_id": NETWORK}]
    assert row.access["allowed_cidrs"] == ["10.0.0.0/8"]
    assert operation.payload["users"] == [{"name": "app", "host": None, "databases": []}]
    assert operation.secrets and "s3cret" not in operation.secrets
    assert "s3cret" not in answer.text


def test_root_on_create_tells_the_password_once(app: Api, api_conf: object) -> None:
    api_conf.set_override("root_on_create", ["mariadb"])  # type: ignore[attr-defined]
    shown = create(app).json["instance"]
    assert len(shown["password"]) >= 20
    assert "password" not in app("GET", f"/instances/{shown['id']}").json["instance"]


@pytest.mark.parametrize(("body", "status"), [
    ({"resize": {"flavorRef": "1"}}, 400), ({"resize": {"flavorRef": "9"}}, 400),
    ({"resize": {"volume": {"size": 1}}}, 400), ({"resize": {"volume": {"size": 99}}}, 400),
    ({"resize": {"flavorRef": "2", "volume": {"size": 2}}}, 400),
    ({"dance": {}}, 400), ({"restart": {}, "resize": {"flavorRef": "2"}}, 400),
    ({"restart": {}}, 202), ({"resize": {"flavorRef": "2"}}, 202),
    ({"resize": {"volume": {"size": 2}}}, 202), ({"reset_status": {}}, 403),
])
def test_actions(app: Api, body: object, status: int) -> None:
    answer = app("POST", f"/instances/{OWN}1/action", body)
    assert answer.status_int == status, answer.text
    assert len(app.waker.woken) == (1 if status == 202 else 0)


def test_a_stopped_heart_refuses_actions_and_statements(app: Api) -> None:
    with app.db.writer() as session:
        session.get(ServiceStatusRow, f"{OWN}1").updated_at -= datetime.timedelta(hours=1)
    assert app("POST", f"/instances/{OWN}1/action", {"restart": {}}).status_int == 422
    assert app("GET", f"/instances/{OWN}1/databases").status_int == 503


@pytest.mark.parametrize("values", [{"task": "RESIZING"}, {"error": "BUILD"},
                                    {"server_status": "SHUTOFF"}])
def test_an_instance_that_is_not_ready_refuses(app: Api, values: dict[str, str]) -> None:
    with app.db.writer() as session:
        row = session.get(Instance, f"{OWN}1")
        for name, value in values.items():
            setattr(row, name, value)
    for method, path, body in (
            ("POST", f"/instances/{OWN}1/action", {"restart": {}}),
            ("GET", f"/instances/{OWN}1/users", None),
            ("POST", "/backups", {"backup": {"name": "b", "instance": f"{OWN}1"}})):
        assert app(method, path, body).status_int == 422, path


def test_names_can_be_changed(app: Api) -> None:
    assert app("PUT", f"/instances/{OWN}1", {"instance": {"name": "new"}}).status_int == 202
    assert app("GET", f"/instances/{OWN}1").json["instance"]["name"] == "new"


def test_a_source_of_replicas_cannot_be_deleted(app: Api) -> None:
    with app.db.writer() as session:
        session.get(Instance, f"{OWN}2").slave_of_id = f"{OWN}1"
    assert app("DELETE", f"/instances/{OWN}1").status_int == 403
    shown = app("GET", f"/instances/{OWN}1").json["instance"]
    assert [one["id"] for one in shown["replicas"]] == [f"{OWN}2"]


@pytest.mark.parametrize(("told", "shown"), [
    ({"lag": 3, "position": "0-1-7", "connected": True, "applies": True},
     {"lag": 3, "position": "0-1-7", "connected": True}),
    ({"lag": None, "position": "0-1-7", "connected": False},
     {"lag": None, "position": "0-1-7", "connected": False}),
    # no agent is trusted
    ({"lag": "3", "position": ["x"]}, {"lag": None, "position": "", "connected": None}),
    ({"lag": -1, "position": "x" * 999, "connected": 1},
     {"lag": None, "position": "x" * 255, "connected": None}),
    ({"lag": True}, {"lag": None, "position": "", "connected": None}), ("x", None), (None, None)])
def test_a_replica_shows_how_far_it_is(app: Api, told: object, shown: object) -> None:
    with app.db.writer() as session:
        session.get(Instance, f"{OWN}2").slave_of_id = f"{OWN}1"
        for ident in ("1", "2"):
            row = session.get(ServiceStatusRow, f"{OWN}{ident}")
            row.details, row.updated_at = {"replication": told}, utcnow()

    def views() -> dict[str, object]:
        listed = app("GET", "/instances/detail").json["instances"]
        return {one["id"]: one.get("replication") for one in listed}

    assert app("GET", f"/instances/{OWN}2").json["instance"].get("replication") == shown
    assert (views()[f"{OWN}1"], views()[f"{OWN}2"]) == (None, shown)
    with app.db.writer() as session:
        session.get(ServiceStatusRow, f"{OWN}2").updated_at = utcnow() - datetime.timedelta(
            days=1)
    assert views()[f"{OWN}2"] is None, "what an agent told long ago is not known now"


@pytest.mark.parametrize(("size", "shown"), [
    (4, {"volume": {"size": 4, "used": 1.5, "used_percent": 75.0}}),
    (None, {"local_storage": {"used": 1.5}})])
def test_what_the_data_use_is_shown(
        app: Api, size: int | None, shown: dict[str, object]) -> None:
    with app.db.writer() as session:
        session.get_one(Instance, f"{OWN}1").volume_size = size
        row = session.query(ServiceStatusRow).filter_by(instance_id=f"{OWN}1").one()
        row.volume_used, row.volume_total = 3 * 2 ** 29, 2 ** 31
    found = app("GET", f"/instances/{OWN}1").json["instance"]
    assert {name: found[name] for name in ("volume", "local_storage") if name in found} == shown


def test_a_delete_is_shown_and_can_be_repeated(app: Api) -> None:
    for _ in range(2):
        assert app("DELETE", f"/instances/{OWN}1").status_int == 202
    assert len(app.waker.woken) == 1
    assert app("GET", f"/instances/{OWN}1").json["instance"]["status"] == "SHUTDOWN"


def test_statements_reach_the_guest_and_root_is_remembered(app: Api) -> None:
    base = f"/instances/{OWN}1"
    assert app("POST", f"{base}/databases", {"databases": [{"name": "x"}]}).status_int == 202
    assert app("POST", f"{base}/users", {"users": [
        {"name": "u", "password": "p"}]}).status_int == 202
    assert app("GET", f"{base}/users/app").json["user"]["databases"] == [{"name": "shop"}]
    assert app("GET", f"{base}/users/nobody").status_int == 404
    assert app("GET", f"{base}/root").json == {"rootEnabled": False}
    assert app("DELETE", f"{base}/root").status_int == 404
    assert app("POST", f"{base}/root").json["user"]["password"] == "made-by-agent"
    assert app("GET", f"{base}/root").json == {"rootEnabled": True}
    assert app("DELETE", f"{base}/root").status_int == 204
    history = app("GET", f"/mgmt/instances/{OWN}1/root", token="admin").json["root_history"]
    assert history["user"] == "mine"
    assert [name for name, _ in app.guest.asked] == [
        "create_databases", "create_users", "enable_root", "disable_root"]


def test_root_that_nobody_is_known_to_have_enabled_is_disabled(app: Api) -> None:
    app.guest.root = True
    assert app("DELETE", f"/instances/{OWN}1/root").status_int == 204
    assert [name for name, _ in app.guest.asked] == ["disable_root"]
    assert app("GET", f"/instances/{OWN}1/root").json == {"rootEnabled": True}


def test_public_documents_need_no_token(app: Api) -> None:
    assert app.app.get("/", status="*").status_int in (200, 300)
    document = app.app.get("/v1.0/openapi.json").json
    assert "/v1.0/{tenant_id}/instances/{id}" in document["paths"]
    assert app.app.get("/healthcheck").status_int == 200


def test_rate_limits_tell_when_to_come_again(app: Api, api_conf: object) -> None:
    api_conf.set_override("http_get_rate", 2)  # type: ignore[attr-defined]
    limited = webtest.TestApp(build_app(
        dataclasses.replace(make_services(api_conf), catalog=Catalog()), _identify))
    headers = {"X-Auth-Token": "mine"}
    answers = [limited.get(f"/v1.0/{'a' * 32}/flavors", headers=headers, status="*")
               for _ in range(4)]
    assert [one.status_int for one in answers][-1] == 413
    assert int(answers[-1].headers["Retry-After"]) > 0


@pytest.mark.parametrize(("status", "description", "age", "shown"), [
    ("HEALTHY", "", 1, ("HEALTHY", None)),
    ("BLOCKED", "The data volume is full.", 1, ("BLOCKED", "The data volume is full.")),
    ("HEALTHY", "", 3600, ("ERROR", "The guest agent has not been heard of in time."))])
def test_the_reason_of_an_operating_status_is_shown(
        app: Api, status: str, description: str, age: int,
        shown: tuple[str, str | None]) -> None:
    with app.db.writer() as session:
        row = session.get(ServiceStatusRow, f"{OWN}1")
        assert row is not None
        row.status, row.description = status, description
        assert row.updated_at is not None
        row.updated_at -= datetime.timedelta(seconds=age)
    for found in (app("GET", f"/instances/{OWN}1").json["instance"],
                  app("GET", "/instances/detail").json["instances"][0]):
        assert (found["operating_status"], found.get("operating_status_reason")) == shown
    with app.db.writer() as session:
        instance = session.get(Instance, f"{OWN}1")
        assert instance is not None
        instance.task = "RESTARTING"
    assert "operating_status_reason" not in app(
        "GET", f"/instances/{OWN}1").json["instance"]
