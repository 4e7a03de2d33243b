"""Logs of instances over REST: who sees them, what is done with them, what is refused."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tests.functional.api.conftest import FOREIGN, MINE, OTHER, OWN, TOKENS, Api
from trove_ng.common.clock import SystemClock, utcnow
from trove_ng.common.errors import GuestTimeout, UnprocessableEntity
from trove_ng.conf import taskmanager
from trove_ng.db.models import Duty, Instance, ServiceStatusRow
from trove_ng.db.repositories import duties
from trove_ng.rpc import log_messages as m
from trove_ng.taskmanager.housekeeping import Housekeeping

LOG = f"/instances/{OWN}1/log"
LOG_DUTY = duties.log_duty(f"{OWN}1", "error")
STEM = f"{OWN}1/mariadb-"


def act(app: Api, name: str, *actions: str, token: str = "mine", status: int = 200) -> Any:
    answer = app("POST", LOG, {"name": name, **dict.fromkeys(actions, 1)}, token=token)
    assert answer.status_int == status, answer.text
    return answer.json["log"] if status == 200 else answer.json


def held(app: Api) -> list[str]:
    with app.db.reader() as session:
        return [row.name for row in session.query(Duty)]


def test_logs_are_listed_with_what_clients_read(app: Api) -> None:
    logs = app("GET", LOG).json["logs"]
    assert [(one["name"], one["type"], one["status"], one["pending"]) for one in logs] == [
        ("error", "SYS", "Ready", 500), ("general", "USER", "Disabled", 0),
        ("slow_query", "USER", "Disabled", 0)]
    for one in logs:
        assert one | {"published": 0, "container": "None", "prefix": "None",
                      "metafile": f"{STEM}{one['name']}_metafile"} == one
        assert len(one) == 8


def test_the_agents_log_is_for_administrators(app: Api) -> None:
    assert [one["name"] for one in app("GET", LOG, token="admin").json["logs"]] == [
        "error", "general", "guest", "slow_query"]
    for actions in ((), ("publish",)):
        assert "forbidden" in act(app, "guest", *actions, status=403)
        assert act(app, "guest", *actions, token="admin")["name"] == "guest"
    # into the account of the instance's owner
    assert app.guest.store.accounts == {MINE}


@pytest.mark.parametrize(("exposed", "seen"), [
    (["ALL"], 4), ([], 0), (["guest"], 1), (["none"], 0)])
def test_the_operator_says_which_logs_owners_see(app: Api, exposed: list[str],
                                                 seen: int) -> None:
    app.conf.set_override("guest_log_exposed_logs", exposed)
    assert len(app("GET", LOG).json["logs"]) == seen
    assert len(app("GET", LOG, token="admin").json["logs"]) == 4


def test_a_reader_sees_logs_and_changes_none(app: Api) -> None:
    assert len(app("GET", LOG, token="reader").json["logs"]) == 3
    assert act(app, "error", token="reader")["status"] == "Ready"
    for action in ("enable", "disable", "publish", "discard"):
        act(app, "general", action, token="reader", status=403)
    assert app.guest.asked == []


@pytest.mark.parametrize("token", TOKENS)
def test_acting_asks_a_rule_of_its_own(app: Api, token: str) -> None:
    answer = app("POST", LOG, {"name": "general", "enable": 1}, token=token,
                 project=TOKENS[token][0])
    assert answer.status_int == {"mine": 200, "admin": 200, "other": 404,
                                 "stranger": 404}.get(token, 403)


@pytest.mark.parametrize(("method", "path", "body", "rule"), [
    ("POST", "log", {"name": "general", "enable": 1}, "instance:guest_log_action"),
    ("GET", "modules?include_contents=true", None, "instance:module_retrieve")])
def test_the_further_rule_is_asked_for_the_owner_too(
        app: Api, method: str, path: str, body: Any, rule: str) -> None:
    app.rule(rule, "project_id:%(project_id)s")
    for prefix, status in ((OWN, 200), (FOREIGN, 403)):
        answer = app(method, f"/instances/{prefix}1/{path}", body, token="admin")
        assert answer.status_int == status, prefix


def test_a_log_is_switched_on_and_off(app: Api) -> None:
    assert act(app, "slow_query", "enable")["status"] == "Enabled"
    assert app.guest.asked == [("switch_log", (m.LogSwitch(
        name="slow_query", enabled=True, long_query_time=1.0),))]
    assert act(app, "slow_query", "disable")["status"] == "Disabled"


@pytest.mark.parametrize("value", [1, True, "True", "true"])
def test_a_flag_is_set_in_any_of_these_ways(app: Api, value: object) -> None:
    answer = app("POST", LOG, {"name": "general", "enable": value, "disable": "False"})
    assert answer.json["log"]["status"] == "Enabled"


@pytest.mark.parametrize("value", [2, -1, "yes please", None, ["True"]])
def test_what_is_no_flag_is_refused(app: Api, value: object) -> None:
    assert app("POST", LOG, {"name": "general", "enable": value}).status_int == 400
    assert app.guest.asked == []


@pytest.mark.parametrize("value", [0, False, "False", "false"])
def test_a_flag_that_is_not_set_does_nothing(app: Api, value: object) -> None:
    answer = app("POST", LOG, {"name": "general", "enable": value, "publish": value})
    assert answer.json["log"]["status"] == "Disabled"
    assert app.guest.asked == []


def test_what_is_published_is_told(app: Api) -> None:
    app.guest.logs["general"] = 1500
    log = act(app, "general", "publish")
    # publishing has it written
    assert app.guest.asked[0][0] == "switch_log"
    assert log == {
        "name": "general", "type": "USER", "status": "Partial", "published": 1000,
        "pending": 500, "container": "database_logs", "prefix": f"{STEM}general/",
        "metafile": f"{STEM}general_metafile"}
    assert app("GET", LOG).json["logs"][1] == log
    log = act(app, "general", "publish")
    assert (log["status"], log["published"], log["pending"]) == ("Published", 1500, 0)
    assert len([one for one in app.guest.store.objects if "general/" in one]) == 2
    request: m.LogPublishRequest = app.guest.asked[-1][1][0]
    assert (request.chunk_size, request.expire_after, request.seconds, request.kind) == (
        1024 ** 2, 30 * 86400, 30, "USER")
    assert request.grant.prefix == f"{STEM}general"
    assert held(app) == []
    log = act(app, "general", "publish", "disable")
    assert (log["status"], log["published"]) == ("Disabled", 1500)


def test_a_rotated_log_begins_anew(app: Api) -> None:
    app.guest.logs["error"] = 800
    act(app, "error", "publish")
    before = dict(app.guest.store.objects)
    app.guest.logs["error"] = 30
    log = act(app, "error")
    assert (log["status"], log["published"], log["pending"]) == ("Rotated", 800, 30)
    assert app.guest.store.objects == before
    log = act(app, "error", "publish")
    assert (log["status"], log["published"], log["pending"]) == ("Published", 30, 0)
    parts = [one for one in app.guest.store.objects if "error/" in one]
    assert len(parts) == 1
    assert parts[0] not in before


def test_a_discarded_log_is_gone_and_the_others_are_not(app: Api) -> None:
    act(app, "error", "publish")
    app.guest.logs["general"] = 5
    act(app, "general", "publish")
    log = act(app, "error", "discard")
    assert (log["status"], log["published"], log["pending"], log["container"]) == (
        "Ready", 0, 500, "None")
    assert [one for one in app.guest.store.objects if "error" in one] == []
    assert len(app.guest.store.objects) == 2
    log = act(app, "general", "discard", "publish")
    assert (log["status"], log["published"]) == ("Published", 5)
    assert len(app.guest.store.objects) == 2


def test_parts_without_a_metafile_are_not_mixed_with_new_ones(app: Api) -> None:
    app.guest.store.objects |= {f"{STEM}error/log-old": b"x",
                                f"{STEM}error_metafile": b'{"log_size": "mine"}'}
    assert act(app, "error")["published"] == 0
    assert act(app, "error", "publish")["published"] == 500
    assert f"{STEM}error/log-old" not in app.guest.store.objects


@pytest.mark.parametrize(("body", "status"), [
    ({"name": "none"}, 404), ({"name": "error", "enable": 1}, 400),
    ({"name": "error", "disable": True}, 400),
    ({"name": "general", "enable": 1, "disable": 1}, 400), ({"name": "General"}, 400),
    ({"name": "../general"}, 400), ({"name": "general", "enable": 2}, 400),
    ({"name": "general", "enable": "1"}, 400), ({"enable": 1}, 400),
    ({"name": "general", "rotate": 1}, 400)])
def test_what_makes_no_sense_is_refused(app: Api, body: object, status: int) -> None:
    assert app("POST", LOG, body).status_int == status
    assert app.guest.asked == []


def test_foreign_logs_are_not_there(app: Api) -> None:
    for method, body in (("GET", None), ("POST", {"name": "error", "publish": 1})):
        assert app(method, f"/instances/{FOREIGN}1/log", body).status_int == 404
    assert app.guest.store.accounts == set()
    answer = app("POST", f"/instances/{FOREIGN}1/log", {"name": "error", "publish": 1},
                 token="admin")
    assert answer.status_int == 200
    assert app.guest.store.accounts == {OTHER}


@pytest.mark.parametrize(("service", "task", "status"), [
    ("CRASHED", "NONE", 200), ("SHUTDOWN", "RESTARTING", 200), ("BUILDING", "BUILDING", 422),
    ("HEALTHY", "DELETING", 422), ("NEW", "NONE", 422)])
def test_logs_of_a_database_that_is_down_are_there(app: Api, service: str, task: str,
                                                   status: int) -> None:
    with app.db.writer() as session:
        session.get(Instance, f"{OWN}1").task = task
        session.get(ServiceStatusRow, f"{OWN}1").status = service
    assert app("GET", LOG).status_int == status
    assert app("POST", LOG, {"name": "error", "publish": 1}).status_int == status


def test_an_agent_that_is_away_is_not_waited_for(app: Api) -> None:
    with app.db.writer() as session:
        session.get(ServiceStatusRow, f"{OWN}1").updated_at = (
            utcnow() - datetime.timedelta(hours=1))
    assert app("GET", LOG).status_int == 503


def test_an_object_store_that_is_away_is_told(app: Api) -> None:
    app.guest.store.away = True
    for method, body in (("GET", None), ("POST", {"name": "error", "publish": 1})):
        answer = app(method, LOG, body)
        assert answer.status_int == 503
        assert "object store" in answer.json["serviceUnavailable"]["message"]
    assert held(app) == []


def test_one_request_publishes_at_a_time(app: Api) -> None:
    seen: list[int] = []

    def meanwhile(request: m.LogPublishRequest) -> m.LogPublished:
        del app.guest.publish_log
        seen.extend(app("POST", LOG, {"name": name, action: 1}).status_int
                    for name, action in (("error", "publish"), ("error", "discard"),
                                         ("general", "publish")))
        return app.guest.publish_log(request)

    app.guest.publish_log = meanwhile  # type: ignore[method-assign]
    assert act(app, "error", "publish")["published"] == 500
    assert seen == [409, 409, 200]
    assert held(app) == []


@pytest.mark.parametrize(("error", "status", "next_status"), [
    (UnprocessableEntity("The disk is gone."), 422, 200),
    # it may be storing still
    (GuestTimeout("It does not answer."), 503, 409)])
def test_after_a_failure_others_wait_only_for_an_agent_that_may_be_at_it(
        app: Api, error: Exception, status: int, next_status: int) -> None:
    def fail(_request: object) -> Any:
        raise error

    app.guest.publish_log = fail  # type: ignore[method-assign]
    act(app, "error", "publish", status=status)
    del app.guest.publish_log
    act(app, "error", "publish", status=next_status)
    with app.db.writer() as session:
        for row in session.query(Duty):
            assert row.until < utcnow() + datetime.timedelta(minutes=3)
            row.until = utcnow()
    assert act(app, "error", "publish")["status"] == "Published"


def test_what_an_agent_never_answered_is_forgotten(app: Api) -> None:
    taskmanager.register(app.conf)
    with app.db.writer() as session:
        for name, until in ((LOG_DUTY, 0), (f"{LOG_DUTY}2", 60), ("reconciliation", 0)):
            session.add(Duty(name=name, owner="x",
                             until=utcnow() + datetime.timedelta(seconds=until)))
    Housekeeping(app.conf, app.db, SystemClock()).run()
    assert sorted(held(app)) == [f"{LOG_DUTY}2", "reconciliation"]


def test_a_log_that_is_rotated_all_the_time_is_told(app: Api) -> None:
    app.guest.publish_log = lambda request: m.LogPublished(  # type: ignore[method-assign]
        mark=request.mark, rotated=True)
    act(app, "error", "publish", status=409)


def test_an_older_agent_lists_what_it_knows(app: Api) -> None:
    del app.guest.logs["slow_query"]
    assert [one["name"] for one in app("GET", LOG).json["logs"]] == ["error", "general"]
    act(app, "slow_query", status=501)
