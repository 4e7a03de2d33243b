"""Requests that name an idempotency key."""

from __future__ import annotations

import concurrent.futures
import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.functional.api.conftest import FOREIGN, NETWORK, OTHER, OWN, Api
from trove_ng.api.idempotency import Idempotency
from trove_ng.common.clock import SystemClock, utcnow
from trove_ng.common.errors import ServiceUnavailable
from trove_ng.conf import taskmanager
from trove_ng.db.models import IdempotencyKey
from trove_ng.db.repositories import idempotency
from trove_ng.db.trouble import StoreUnsure
from trove_ng.taskmanager import housekeeping
from trove_ng.taskmanager.housekeeping import Housekeeping

CREATE = {"instance": {"name": "shop", "flavorRef": "1", "volume": {"size": 1},
                       "nics": [{"network_id": NETWORK}],
                       "users": [{"name": "app", "password": "canary-Pw1"}]}}
ROOT = f"/instances/{OWN}1/root"


def post(app: Api, path: str, body: Any, key: str = "k1", **more: Any) -> Any:
    project = more.pop("project", "a" * 32)
    token = "other" if project == OTHER else "mine"
    return app.app.post_json(
        f"/v1.0/{project}{path}", body, expect_errors=True,
        headers={"X-Auth-Token": token, "Idempotency-Key": key})


def test_the_same_request_gets_the_same_answer_and_makes_one_instance(app: Api) -> None:
    before = app.rows()
    first, second = post(app, "/instances", CREATE), post(app, "/instances", CREATE)
    assert first.status_int == second.status_int == 200
    assert first.body == second.body
    assert (first.headers["X-Trove-Operation-Id"] == second.headers["X-Trove-Operation-Id"]
            == app.waker.woken[0])
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    after = app.rows()
    assert (after["instances"], after["operations"]) == (
        before["instances"] + 1, before["operations"] + 1)
    assert len(app.waker.woken) == 1


def test_the_order_of_a_bodys_keys_does_not_matter(app: Api) -> None:
    first = post(app, "/instances", CREATE)
    turned = {"instance": dict(reversed(CREATE["instance"].items()))}
    assert post(app, "/instances", turned).body == first.body


@pytest.mark.parametrize(("path", "body"), [
    ("/instances", {"instance": {**CREATE["instance"], "name": "other"}}),
    ("/backups", {"backup": {"name": "b", "instance": f"{OWN}1"}})])
def test_another_request_with_the_key_is_refused(app: Api, path: str, body: Any) -> None:
    post(app, "/instances", CREATE)
    before = app.rows()
    answer = post(app, path, body)
    assert answer.status_int == 409
    assert "Idempotency-Key" in answer.json["conflict"]["message"]
    assert app.rows() == before


def test_keys_belong_to_their_project(app: Api) -> None:
    mine = post(app, "/backups", {"backup": {"name": "b", "instance": f"{OWN}1"}})
    other = post(app, "/backups", {"backup": {"name": "b", "instance": f"{FOREIGN}1"}},
                 project=OTHER)
    assert mine.status_int == other.status_int == 202, other.text
    assert mine.json["backup"]["id"] != other.json["backup"]["id"]


def test_a_request_that_failed_may_be_tried_again(app: Api) -> None:
    bad = {"instance": {**CREATE["instance"], "flavorRef": "nothing"}}
    assert post(app, "/instances", bad).status_int == 400
    assert app.rows()["idempotency_keys"] == 0
    assert post(app, "/instances", CREATE).status_int == 200


def test_a_guest_is_asked_once_and_its_password_is_kept_sealed(app: Api) -> None:
    first = post(app, ROOT, {"password": "canary-Pw2"})
    again = post(app, ROOT, {"password": "canary-Pw2"})
    assert first.body == again.body
    assert b"canary-Pw2" in first.body
    assert [name for name, _ in app.guest.asked] == ["enable_root"]
    with app.db.reader() as session:
        row, = session.query(IdempotencyKey).all()
    assert "canary" not in f"{row.body}{row.fingerprint}{row.key}"


def test_answers_without_a_body_are_repeated_too(app: Api) -> None:
    body = {"databases": [{"name": "x"}]}
    for _ in range(2):
        answer = post(app, f"/instances/{OWN}1/databases", body)
        assert (answer.status_int, answer.body) == (202, b"")
    assert [name for name, _ in app.guest.asked] == ["create_databases"]


def test_a_guest_that_is_away_leaves_the_key_free(app: Api) -> None:
    def away(*_: Any) -> None:
        raise ServiceUnavailable("The guest is away.")

    body = {"databases": [{"name": "x"}]}
    app.guest.create_databases = away  # type: ignore[attr-defined]
    assert post(app, f"/instances/{OWN}1/databases", body).status_int == 503
    del app.guest.create_databases  # type: ignore[attr-defined]
    assert post(app, f"/instances/{OWN}1/databases", body).status_int == 202


def age(app: Api, seconds: float, **values: Any) -> None:
    with app.db.writer() as session:
        row, = session.query(IdempotencyKey).all()
        row.created -= datetime.timedelta(seconds=seconds)
        for name, value in values.items():
            setattr(row, name, value)


def test_a_request_that_is_being_done_is_not_done_twice(app: Api) -> None:
    post(app, "/instances", CREATE)
    age(app, 0, status=None, body=None)
    before = app.rows()
    answer = post(app, "/instances", CREATE)
    assert answer.status_int == 409
    assert "is being done" in answer.json["conflict"]["message"]
    assert app.rows() == before


def test_a_key_whose_worker_died_is_taken_over(app: Api) -> None:
    post(app, "/instances", CREATE)
    age(app, 121, status=None, body=None)
    assert post(app, "/instances", CREATE).status_int == 200


def test_a_key_is_forgotten_after_its_time(app: Api) -> None:
    first = post(app, "/instances", CREATE)
    age(app, 86401)
    second = post(app, "/instances", CREATE)
    assert second.json["instance"]["id"] != first.json["instance"]["id"]


def test_a_worker_whose_key_was_given_away_accepts_nothing(app: Api) -> None:
    def steal(*_: Any) -> list[Any]:
        age(app, 0, claim="another")
        return []

    before = app.rows()
    app.guest.create_databases = steal  # type: ignore[attr-defined]
    answer = post(app, f"/instances/{OWN}1/databases", {"databases": [{"name": "x"}]})
    assert answer.status_int == 409
    assert app.rows() == {**before, "idempotency_keys": 1}


def test_a_key_that_is_given_back_meanwhile_is_taken(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request that was in the way of the first look is gone at the second one."""
    add, in_the_way = idempotency.add_if_new, [True]

    def add_if_new(session: Session, row: IdempotencyKey) -> bool:
        return not (in_the_way and in_the_way.pop()) and add(session, row)

    monkeypatch.setattr(idempotency, "add_if_new", add_if_new)
    answers = [post(app, ROOT, {"password": "canary-Pw2"}) for _ in range(2)]
    assert [one.status_int for one in answers] == [200, 200], answers[0].text
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert [name for name, _ in app.guest.asked] == ["enable_root"]


def test_a_key_of_which_nobody_knows_whether_it_is_written_is_free(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = Idempotency._claim

    def unsure(*values: Any) -> None:
        claim(*values)
        raise StoreUnsure

    monkeypatch.setattr(Idempotency, "_claim", unsure)
    assert post(app, "/instances", CREATE).status_int == 503
    monkeypatch.undo()
    assert post(app, "/instances", CREATE).status_int == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\xe9"])
def test_a_bad_key_is_refused_by_name(app: Api, key: str) -> None:
    before = app.rows()
    answer = post(app, "/instances", CREATE, key=key)
    assert answer.status_int == 400
    assert "Idempotency-Key" in answer.json["badRequest"]["message"]
    assert app.rows() == before


def test_the_key_means_nothing_where_nothing_is_created(app: Api) -> None:
    answer = app.app.get("/v1.0/" + "a" * 32 + "/instances", headers={
        "X-Auth-Token": "mine", "Idempotency-Key": "k"})
    assert answer.status_int == 200
    assert app.rows()["idempotency_keys"] == 0


@pytest.mark.parametrize("count", [1, 3])
def test_the_operation_that_replicas_are_answered_with_is_that_of_the_first(
        app: Api, count: int) -> None:
    body = {"instance": {"name": "r", "replica_of": f"{OWN}1", "replica_count": count}}
    answers = [post(app, "/instances", body) for _ in range(2)]
    assert [one.status_int for one in answers] == [200, 200], answers[0].text
    first, again = (one.headers["X-Trove-Operation-Id"] for one in answers)
    assert first == again
    shown = app("GET", f"/operations/{first}").json["operation"]
    assert shown["resource_id"] == answers[0].json["instance"]["id"]
    assert shown["action"] == "instance.create_replica"
    assert answers[1].body == answers[0].body


def test_of_requests_at_the_same_time_one_is_done(app: Api) -> None:
    before = app.rows()["instances"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(app, "/instances", CREATE), range(8)))
    statuses = [one.status_int for one in answers]
    assert set(statuses) <= {200, 409}
    assert len({one.json["instance"]["id"] for one in answers
                if one.status_int == 200}) == 1
    assert app.rows()["instances"] == before + 1


def test_keys_whose_time_is_over_are_removed(app: Api) -> None:
    taskmanager.register(app.conf)
    post(app, "/instances", CREATE)
    Housekeeping(app.conf, app.db, SystemClock()).run()
    assert app.rows()["idempotency_keys"] == 1
    age(app, 86401)
    Housekeeping(app.conf, app.db, SystemClock()).run()
    assert app.rows()["idempotency_keys"] == 0


def test_old_keys_go_in_batches(app: Api) -> None:
    for number in range(7):
        post(app, f"/instances/{OWN}1/databases", {"databases": [{"name": "x"}]}, f"k{number}")
    removed = []
    before = utcnow()
    while not removed or removed[-1]:
        with app.db.writer() as session:
            removed.append(idempotency.purge(session, before, 3))
    assert removed == [3, 3, 1, 0]


def test_what_cannot_be_removed_keeps_nothing_else(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> int:
        raise ValueError("The events are in the way.")

    taskmanager.register(app.conf)
    post(app, "/instances", CREATE)
    age(app, 86401)
    monkeypatch.setattr(housekeeping, "purge_events", broken)
    with pytest.raises(ValueError, match="in the way"):
        Housekeeping(app.conf, app.db, SystemClock()).run()
    assert app.rows()["idempotency_keys"] == 0
