"""What requests leave for other services to be told."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from oslo_config import cfg
from oslo_db.exception import DBConnectionError
from sqlalchemy import select

from tests.functional.api.conftest import FOREIGN, IMAGE, MINE, OWN, Api
from trove_ng.api.routes import ROUTES, Route
from trove_ng.common.clock import utcnow
from trove_ng.common.errors import Conflict, GuestError, ServiceUnavailable
from trove_ng.common.notifications import BASE, EVENTS
from trove_ng.db.models import Instance, InstanceFault, Notification
from trove_ng.db.repositories import notifications, operations
from trove_ng.rpc.notifier import is_on

ONE = f"/instances/{OWN}1"
SECRET = "s3cret-Passw0rd"


@pytest.fixture
def api_conf(api_conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    assert not is_on(api_conf)
    api_conf.set_override("driver", ["messagingv2"], group="oslo_messaging_notifications")
    return api_conf


def told(app: Api) -> list[Notification]:
    """Return what waits to be sent, also what is prepared, in its order."""
    with app.db.reader() as session:
        found = list(session.scalars(select(Notification).order_by(
            Notification.id)))
        session.expunge_all()
    return found


def types(app: Api) -> list[str]:
    return [one.event_type for one in told(app)]


def own(one: Notification) -> dict[str, Any]:
    """Return a payload without what all have."""
    return {name: value for name, value in one.payload.items() if name not in BASE}


USERS = {"users": [{"name": "u1", "password": SECRET, "databases": []},
                   {"name": "u2", "password": SECRET, "host": "10.0.0.1"}]}

SYNCHRONOUS = [
    ("POST", "/databases", {"databases": [{"name": "d1"}, {"name": "d2"}]},
     "database_create", [{"dbname": "d1"}, {"dbname": "d2"}]),
    ("DELETE", "/databases/shop", None, "database_delete", [{"dbname": "shop"}]),
    ("POST", "/users", USERS, "user_create", [{"username": "u1"}, {"username": "u2"}]),
    ("PUT", "/users", {"users": [{"name": "app", "password": SECRET}]},
     "user_change_password", [{"username": "app"}]),
    ("PUT", "/users/app", {"user": {"password": SECRET}}, "user_update_attributes",
     [{"username": "app"}]),
    ("DELETE", "/users/app", None, "user_delete", [{"username": "app"}]),
    ("PUT", "/users/app/databases", {"databases": [{"name": "d1"}, {"name": "d2"}]},
     "user_grant", [{"username": "app", "database": "d1"},
                    {"username": "app", "database": "d2"}]),
    ("DELETE", "/users/app/databases/shop", None, "user_revoke",
     [{"username": "app", "database": "shop"}]),
    ("POST", "/root", {"password": SECRET}, "root_enable", [{}]),
]


@pytest.mark.parametrize(("method", "path", "body", "event", "starts"), SYNCHRONOUS)
def test_a_request_that_is_done_at_once_is_told(
        app: Api, method: str, path: str, body: Any, event: str,
        starts: list[dict[str, str]]) -> None:
    answer = app(method, f"{ONE}{path}", body)
    assert answer.status_int in (200, 202)
    rows = told(app)
    assert [one.event_type for one in rows] == (
        [f"dbaas.{event}.start"] * len(starts) + [f"dbaas.{event}.end"] * len(starts))
    assert [own(one) for one in rows[:len(starts)]] == [
        {"instance_id": f"{OWN}1"} | one for one in starts]
    assert all(own(one) == {} for one in rows[len(starts):])
    request_id = answer.headers["X-Openstack-Request-Id"]
    for one in rows:
        assert one.priority == "INFO"
        assert one.publisher.startswith("api.")
        assert one.payload["tenant_id"] == one.context["project_id"] == MINE
        assert one.payload["request_id"] == one.context["request_id"] == request_id
        assert one.payload["server_type"] == "api"
        assert one.payload["server_ip"].endswith(":8779")
        assert one.payload["client_ip"]
        assert one.due_at <= utcnow()
    assert SECRET not in json.dumps([[one.payload, one.context] for one in rows])


@pytest.mark.parametrize(("method", "path", "body", "event", "starts"), SYNCHRONOUS)
def test_its_failure_is_told_with_message_and_trace(
        app: Api, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any,
        event: str, starts: list[dict[str, str]]) -> None:
    def fail(*_values: Any) -> None:
        raise GuestError("The server is full.")

    monkeypatch.setattr(type(app.guest), "__getattr__", lambda *_: fail)
    monkeypatch.setattr(app.guest, "enable_root", fail, raising=False)
    assert app(method, f"{ONE}{path}", body).status_int == 422
    rows = told(app)[len(starts):]
    assert [one.event_type for one in rows] == [f"dbaas.{event}.error"] * len(starts)
    for one in rows:
        assert one.priority == "ERROR"
        assert own(one)["message"] == "The server is full."
        assert "GuestError" in own(one)["exception"]
    assert SECRET not in json.dumps([one.payload for one in told(app)])
    with app.db.reader() as session:
        fault, = session.scalars(select(InstanceFault))
    assert (fault.instance_id, fault.message) == (f"{OWN}1", "The server is full.")
    assert "GuestError" in fault.details


@pytest.mark.parametrize("error", [Conflict("There is one."), ServiceUnavailable("Away.")])
def test_what_is_no_fault_of_the_instance_is_told_and_not_kept(
        app: Api, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_values: Any) -> None:
        raise error

    monkeypatch.setattr(app.guest, "create_databases", fail, raising=False)
    app("POST", f"{ONE}/databases", {"databases": [{"name": "d"}]})
    assert types(app) == ["dbaas.database_create.start", "dbaas.database_create.error"]
    assert app.rows()["instance_faults"] == 0


def test_the_text_of_an_unexpected_error_is_not_told(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_values: Any) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(app.guest, "create_users", fail, raising=False)
    assert app("POST", f"{ONE}/users", USERS).status_int == 500
    last = told(app)[-1]
    assert last.payload["message"] == "An unexpected error (ValueError) occurred."
    assert "ValueError" in last.payload["exception"]
    assert SECRET not in json.dumps(last.payload)


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(("token", "kept"), [("mine", 0), ("admin", 1)])
def test_a_fault_is_kept_for_who_may_see_the_instance_only(
        app: Api, monkeypatch: pytest.MonkeyPatch, token: str, kept: int) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("trove_ng.api.handlers.guest.instance_views.get", fail)
    assert app("POST", f"/instances/{FOREIGN}1/users", USERS, token=token).status_int == 500
    assert app.rows()["instance_faults"] == kept


def test_a_request_whose_process_dies_is_told_as_interrupted(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_values: Any) -> None:
        raise Killed

    monkeypatch.setattr(app.guest, "delete_user", die, raising=False)
    with pytest.raises(Killed):
        app("DELETE", f"{ONE}/users/app")
    start, error = told(app)
    assert start.event_type == "dbaas.user_delete.start"
    assert error.event_type == "dbaas.user_delete.error"
    assert error.payload["request_id"] == start.payload["request_id"]
    wait = error.due_at - start.created
    assert wait > datetime.timedelta(seconds=app.conf.api.request_timeout)
    with app.db.reader() as session:
        assert [one.id for one in notifications.due(session, utcnow(), 10)] == [start.id]
        assert len(notifications.due(session, error.due_at, 10)) == 2


def test_an_end_that_cannot_be_written_costs_the_client_nothing(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_values: Any, **_more: Any) -> None:
        raise DBConnectionError

    monkeypatch.setattr(notifications, "settle", away)
    monkeypatch.setattr("trove_ng.db.session.time.sleep", lambda _seconds: None,
                        raising=False)
    assert app("DELETE", f"{ONE}/users/app").status_int == 202
    assert types(app) == ["dbaas.user_delete.start", "dbaas.user_delete.error"]


def test_what_is_refused_before_it_begins_is_not_told(app: Api) -> None:
    assert app("POST", f"{ONE}/users", {"users": "x"}).status_int == 400
    assert app("POST", f"{ONE}/users", USERS, token="reader").status_int == 403
    assert app("POST", f"{ONE}/action", {"resize": {"flavorRef": "9"}}).status_int == 400
    assert app("DELETE", f"/instances/{FOREIGN}1").status_int == 404
    assert types(app) == []


def test_a_repeated_request_is_told_once(app: Api) -> None:
    app.app.extra_environ["HTTP_IDEMPOTENCY_KEY"] = "k"
    answers = [app("POST", f"{ONE}/users", USERS) for _ in range(2)]
    assert [one.status_int for one in answers] == [202, 202]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert types(app) == ["dbaas.user_create.start"] * 2 + ["dbaas.user_create.end"] * 2


CREATE = {"instance": {
    "name": "db", "flavorRef": "1", "volume": {"size": 2}, "availability_zone": "nova",
    "databases": [{"name": "d1"}, {"name": "d2"}],
    "users": [{"name": "u", "password": SECRET, "databases": [{"name": "d1"}]}]}}

#: what begins an operation → the event, and what its start says of the request
WORK = [
    ("POST", "/instances", CREATE, "instance_create", {
        "name": "db", "flavor": "1", "datastore": "mariadb", "datastore_version": "10.11",
        "databases": "d1,d2", "users": "u", "volume_size": 2, "availability_zone": "nova"}),
    ("POST", "/instances", {"instance": {
        "name": "db", "flavorRef": "1", "volume": {"size": 1},
        "restorePoint": {"backupRef": f"{OWN}8"}}}, "instance_create", {
        "name": "db", "flavor": "1", "datastore": "mariadb", "datastore_version": "10.11",
        "volume_size": 1, "restore_point": f"{OWN}8"}),
    ("POST", f"{ONE}/action", {"restart": {}}, "instance_restart",
     {"instance_id": f"{OWN}1"}),
    ("POST", f"{ONE}/action", {"resize": {"flavorRef": "2"}}, "instance_resize_instance",
     {"instance_id": f"{OWN}1", "new_flavor_id": "2"}),
    ("POST", f"{ONE}/action", {"resize": {"volume": {"size": 3}}}, "instance_resize_volume",
     {"instance_id": f"{OWN}1", "new_size": 3}),
    ("DELETE", ONE, None, "instance_delete", {"instance_id": f"{OWN}1"}),
    ("POST", f"{ONE}/action", {"reset_status": {"force_delete": True}}, "instance_delete",
     {"instance_id": f"{OWN}1"}),
    ("POST", "/backups", {"backup": {"name": "b", "instance": f"{OWN}1",
                                     "description": "why"}}, "backup_create",
     {"name": "b", "instance_id": f"{OWN}1", "description": "why", "parent_id": None}),
    ("DELETE", f"/backups/{OWN}8", None, "backup_delete", {"backup_id": f"{OWN}8"}),
]


@pytest.mark.parametrize(("method", "path", "body", "event", "says"), WORK)
def test_accepted_work_is_told_in_the_same_transaction(
        app: Api, method: str, path: str, body: Any, event: str, says: dict[str, Any]) -> None:
    answer = app(method, path, body)
    assert answer.status_int in (200, 202), answer.text
    start, = told(app)
    assert start.event_type == f"dbaas.{event}.start"
    assert own(start) == says
    assert SECRET not in json.dumps(start.payload)
    with app.db.reader() as session:
        row = operations.get(session, answer.headers["X-Trove-Operation-Id"])
    assert row is not None
    assert row.notification == {"event": event, "client_ip": start.payload["client_ip"]}
    assert start.payload["request_id"] == row.request_id


def test_work_that_is_ended_by_other_work_is_told_as_failed(app: Api) -> None:
    app("POST", f"{ONE}/action", {"restart": {}})
    first = told(app)[0].payload["request_id"]
    app("POST", f"{ONE}/action", {"reset_status": {"force_delete": True}})
    start, error, second = told(app)
    assert (start.event_type, error.event_type, second.event_type) == (
        "dbaas.instance_restart.start", "dbaas.instance_restart.error",
        "dbaas.instance_delete.start")
    assert error.payload["request_id"] == first != second.payload["request_id"]
    assert set(error.payload) == {*BASE, "message", "exception"}


def test_a_reset_is_told_with_what_it_ends(app: Api) -> None:
    app("POST", f"{ONE}/action", {"restart": {}})
    app("POST", f"{ONE}/action", {"reset_status": {}}, token="admin")
    assert types(app) == [
        "dbaas.instance_restart.start", "dbaas.instance_restart.error",
        "dbaas.instance_reset_status.start", "dbaas.instance_reset_status.end"]


CHANGES = [
    ("PUT", {"name": "n", "values": {"max_connections": 5}}, "configuration_update",
     {"name": "n"}),
    ("PATCH", {"values": {"max_connections": 5}}, "configuration_edit", {})]


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize(("method", "body", "event", "says"), CHANGES)
def test_a_change_of_a_group_ends_when_its_instances_have_it(
        app: Api, method: str, body: dict[str, Any], event: str, says: dict[str, str],
        attached: bool) -> None:
    if attached:
        with app.db.writer() as session:
            session.get_one(Instance, f"{OWN}1").configuration_id = f"{OWN}7"
    answer = app(method, f"/configurations/{OWN}7", {"configuration": body})
    assert answer.status_int in (200, 202)
    start, *ends = told(app)
    assert (start.event_type, own(start)) == (
        f"dbaas.{event}.start", {"configuration_id": f"{OWN}7"} | says)
    assert [one.event_type for one in ends] == ([] if attached else [f"dbaas.{event}.end"])
    if attached:
        with app.db.reader() as session:
            row = operations.get(session, answer.headers["X-Trove-Operation-Id"])
        assert row is not None
        assert row.notification["event"] == event
    refused = {"configuration": {"values": {"no_such": 1}}}
    assert app(method, f"/configurations/{OWN}7", refused).status_int == 422
    assert len(told(app)) == 1 + len(ends)


@pytest.mark.parametrize("asked", [{}, {"datastore": {"type": "d", "version": "v"}}])
def test_a_new_group_is_told_with_the_version_that_it_is_for(
        app: Api, asked: dict[str, Any]) -> None:
    body = {"configuration": {"name": "g", "values": {"max_connections": 5}, **asked}}
    made = app("POST", "/configurations", body).json["configuration"]
    assert [(one.event_type, own(one)) for one in told(app)] == [
        ("dbaas.configuration_create.start",
         {"name": "g", "datastore": "mariadb", "datastore_version": "10.11"}),
        ("dbaas.configuration_create.end", {"configuration_id": made["id"]})]


def test_another_name_is_told(app: Api) -> None:
    app("PATCH", ONE, {"instance": {}})
    assert not told(app)
    app("PATCH", ONE, {"instance": {"name": "new"}})
    assert [(one.event_type, own(one)) for one in told(app)] == [
        ("dbaas.instance_update.start", {"instance_id": f"{OWN}1", "name": "new"}),
        ("dbaas.instance_update.end", {})]


def test_what_a_set_does_when_its_source_is_lost_is_told(app: Api) -> None:
    app("PATCH", ONE, {"instance": {"failover": {"mode": "automatic"}}})
    assert [(one.event_type, own(one)) for one in told(app)] == [
        ("dbaas.instance_update_failover.start",
         {"instance_id": f"{OWN}1", "mode": "automatic"}),
        ("dbaas.instance_update_failover.end", {})]


#: changes that are told where they are accepted
ELSEWHERE = {
    "create_instance:create", "instances:delete", "instance_actions:act",
    "backups:act", "backups:create", "backups:delete", "schedules:run", "management:act",
    "ssl:update",
    "management:upgrade", "estate:act", "instances:update", "operations:cancel",
    "modules:reapply", "configurations:create",
    "configurations:replace", "configurations:merge",
    "security_groups:create_rule", "security_groups:delete_rule"}

@pytest.mark.parametrize("route", [one for one in ROUTES if one.method != "GET"],
                         ids=lambda one: f"{one.method} {one.path}")
def test_every_change_is_told(route: Route) -> None:
    if route.notify is None:
        assert route.handler in ELSEWHERE
        return
    event = EVENTS[route.notify.event]
    assert set(route.notify.start) == set(event.start)
    assert set(route.notify.end) == set(event.end)


_VERSIONS, _OFFERED = "/mgmt/datastore-versions", "/mgmt/datastores/mariadb/versions/v"
_BELOW = "/mgmt/datastores/versions/v"
_OF = {"datastore_version_id": "v"}
_VERSION = {"name": "12", "image": IMAGE}

#: what operators do to what they offer, in this order → the event, and what its start says
OFFERS = [
    ("POST", _VERSIONS, {"version": {**_VERSION, "datastore_name": "mariadb",
                                     "datastore_manager": "mariadb"}},
     "datastore_version_create", {"name": "12", "datastore": "mariadb"}),
    ("POST", _VERSIONS, {"version": {**_VERSION, "name": "13", "datastore": "mariadb",
                                     "manager": "mariadb"}},
     "datastore_version_create", {"name": "13", "datastore": "mariadb"}),
    ("PATCH", f"{_VERSIONS}/v", {"packages": "p"}, "datastore_version_update", _OF),
    ("PUT", _OFFERED, {"datastore_version": {"visibility": "private"}},
     "datastore_version_set_visibility", {
         **_OF, "datastore": "mariadb", "visibility": "private"}),
    ("POST", f"{_OFFERED}/members", {"member": MINE}, "datastore_version_member_create",
     {**_OF, "datastore": "mariadb", "member": MINE}),
    ("PUT", "/mgmt/capabilities/root", {"capability": {"enabled": False}},
     "capability_update", {"name": "root"}),
    ("PUT", f"{_BELOW}/capabilities/root", {"capability": {"enabled": True}},
     "capability_override", {**_OF, "name": "root"}),
    ("DELETE", f"{_BELOW}/capabilities/root", None, "capability_reset",
     {**_OF, "name": "root"}),
    ("POST", f"{_BELOW}/parameters", {"configuration-parameter": {
        "name": "p", "data_type": "boolean", "restart_required": 0}},
     "configuration_parameter_create", {**_OF, "name": "p"}),
    ("DELETE", f"{_BELOW}/parameters/p", None, "configuration_parameter_delete",
     {**_OF, "name": "p"}),
    ("POST", "/mgmt/flavors", {"flavor": {"name": "f", "ram": 1, "disk": 1, "vcpu": 1}},
     "flavor_create", {"name": "f"}),
    ("PUT", f"/mgmt/quotas/{MINE}", {"quotas": {"instances": 3}}, "quota_update",
     {"project_id": MINE}),
]


def test_what_operators_offer_is_told(app: Api) -> None:
    for method, path, body, event, says in OFFERS:
        known = len(told(app))
        answer = app(method, path, body, token="admin")
        assert answer.status_int < 300, (path, answer.text)
        assert [(one.event_type, own(one)) for one in told(app)[known:]] == [
            (f"dbaas.{event}.start", says), (f"dbaas.{event}.end", {})], path


def test_an_offer_that_cannot_be_is_told_as_failed(app: Api) -> None:
    assert app("DELETE", f"{_VERSIONS}/v", token="admin").status_int == 409
    assert types(app) == ["dbaas.datastore_version_delete.start",
                          "dbaas.datastore_version_delete.error"]
    # a project's users are not told to anybody
    assert app("DELETE", f"{_VERSIONS}/v").status_int == 403
    assert app("PUT", f"/mgmt/quotas/{MINE}", {"quotas": {"instances": 3}}).status_int == 403
    assert len(told(app)) == 2


def test_what_changes_a_log_is_told_and_a_look_at_it_is_not(app: Api) -> None:
    app("POST", f"{ONE}/log", {"name": "general", "publish": 0})
    assert not told(app)
    app("POST", f"{ONE}/log", {"name": "general", "enable": 1})
    assert [(one.event_type, own(one)) for one in told(app)] == [
        ("dbaas.instance_log.start", {"instance_id": f"{OWN}1", "log": "general"}),
        ("dbaas.instance_log.end", {})]


def test_a_read_is_not_told() -> None:
    assert not [one for one in ROUTES if one.method == "GET" and one.notify is not None]
