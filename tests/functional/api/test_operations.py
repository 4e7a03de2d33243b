"""Operations as a resource."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tests.functional.api.conftest import FOREIGN, OTHER, OWN, UNKNOWN, Api
from trove_ng.common.clock import utcnow
from trove_ng.db.models import Operation, OperationStep
from trove_ng.operations.runbooks.registry import runbooks

MINE_ = f"/operations/{OWN}6"


def change(app: Api, ident: str, **values: Any) -> None:
    with app.db.writer() as session:
        row = session.get(Operation, ident)
        for name, value in values.items():
            setattr(row, name, value)


def test_an_accepted_request_names_its_operation(app: Api) -> None:
    answer = app("POST", f"/instances/{OWN}1/action", {"restart": {}})
    ident = answer.headers["X-Trove-Operation-Id"]
    shown = app("GET", f"/operations/{ident}").json["operation"]
    assert (shown["action"], shown["resource_id"], shown["status"]) == (
        "instance.restart", f"{OWN}1", "PENDING")
    assert app.waker.woken == [ident]


@pytest.mark.parametrize(("method", "path", "body"), [
    ("DELETE", f"/instances/{OWN}1", None), ("DELETE", f"/backups/{OWN}8", None),
    ("POST", "/backups", {"backup": {"name": "b", "instance": f"{OWN}1"}}),
    ("POST", f"/instances/{OWN}1/action", {"resize": {"volume": {"size": 2}}}),
    ("POST", f"/instances/{OWN}1/action", {"resize": {"flavorRef": "2"}}),
    ("POST", f"/instances/{OWN}1/action", {"reset_status": {"force_delete": True}}),
    ("POST", "/instances", {"instance": {"name": "x", "flavorRef": "1",
                                         "volume": {"size": 1}}})])
def test_whatever_begins_work_names_it(app: Api, method: str, path: str, body: Any) -> None:
    answer = app(method, path, body)
    assert answer.status_int in (200, 202), answer.text
    assert app.waker.woken == [answer.headers["X-Trove-Operation-Id"]]


@pytest.mark.parametrize(("method", "path", "body"), [
    ("DELETE", f"/instances/{OWN}1", None), ("DELETE", f"/backups/{OWN}8", None),
    ("POST", f"/instances/{OWN}1/action", {"reset_status": {"force_delete": True}})])
def test_a_repeated_delete_names_what_is_under_way(app: Api, method: str, path: str,
                                                   body: Any) -> None:
    first = app(method, path, body, token="admin")
    again = app(method, path, body, token="admin")
    assert first.status_int == again.status_int == 202
    assert app.waker.woken == [first.headers["X-Trove-Operation-Id"]]
    assert again.headers["X-Trove-Operation-Id"] == first.headers["X-Trove-Operation-Id"]


def test_an_answer_that_begins_nothing_names_no_operation(app: Api) -> None:
    assert "X-Trove-Operation-Id" not in app("GET", "/instances").headers
    assert "X-Trove-Operation-Id" not in app(
        "POST", f"/instances/{OWN}1/databases", {"databases": [{"name": "x"}]}).headers


def test_an_operation_shows_its_steps(app: Api) -> None:
    shown = app("GET", MINE_).json["operation"]
    assert (shown["percent"], shown["step"], shown["cancellable"]) == (60, "server", True)
    step, = shown["steps"]
    assert (step["name"], step["status"], step["ended_at"]) == ("server", "RUNNING", None)


def test_operations_are_listed_by_page_the_newest_first(app: Api) -> None:
    now = utcnow()
    with app.db.writer() as session:
        for number in range(4):
            # two of one moment
            created = now + datetime.timedelta(seconds=1 + number // 2)
            session.add(Operation(
                id=f"{OWN[:-1]}a{number}", action="instance.restart", tenant_id="a" * 32,
                resource_type="instance", resource_id=f"{OWN}1", status="SUCCEEDED",
                created=created, updated=created))
    seen, path = [], "/operations?limit=2"
    while path:
        body = app("GET", path).json
        seen += [one["id"] for one in body["operations"]]
        href = next((one["href"] for one in body.get("links", [])), None)
        path = href and "/operations" + href.partition("/operations")[2]
    assert seen == [f"{OWN[:-1]}a2", f"{OWN[:-1]}a3", f"{OWN[:-1]}a0", f"{OWN[:-1]}a1",
                    f"{OWN}6"]


@pytest.mark.parametrize(("query", "found"), [
    (f"resource_id={OWN}5", 1), (f"resource_id={UNKNOWN}", 0), ("status=RUNNING", 1),
    ("status=FAILED", 0), ("action=instance.create", 1), (f"resource_id={FOREIGN}5", 0),
    (f"marker={UNKNOWN}", 0)])
def test_lists_are_filtered(app: Api, query: str, found: int) -> None:
    assert len(app("GET", f"/operations?{query}").json["operations"]) == found


def test_a_foreign_marker_is_as_an_unknown_one(app: Api) -> None:
    change(app, f"{FOREIGN}6", created=utcnow() + datetime.timedelta(hours=1))
    assert app("GET", f"/operations?marker={FOREIGN}6").json == app(
        "GET", f"/operations?marker={UNKNOWN}").json == {"operations": []}


def test_a_list_takes_one_statement(app: Api) -> None:
    app("GET", "/operations")
    seen = app.statements()
    app("GET", "/operations")
    assert len(seen) == 1, seen


def test_the_operations_of_all_projects_are_for_operators(app: Api) -> None:
    assert app("GET", "/mgmt/operations").status_int == 403
    everything = app("GET", "/mgmt/operations", token="admin").json["operations"]
    assert {one["project_id"] for one in everything} == {"a" * 32, OTHER}
    others = app("GET", f"/mgmt/operations?project_id={OTHER}", token="admin")
    assert [one["id"] for one in others.json["operations"]] == [f"{FOREIGN}6"]


def test_cancelling_is_asked_once_and_repeated_freely(app: Api) -> None:
    for _ in range(2):
        answer = app("POST", f"{MINE_}/cancel")
        assert answer.status_int == 202, answer.text
    shown = app("GET", MINE_).json["operation"]
    assert (shown["cancel_requested"], shown["cancellable"]) == (True, False)


@pytest.mark.parametrize(("values", "why"), [
    ({"status": "SUCCEEDED", "live_key": None}, "has ended; it is SUCCEEDED"),
    ({"action": "instance.delete", "step": None}, "cannot be cancelled."),
    ({"action": "instance.resize_flavor", "step": "confirm"}, "cannot be cancelled any more"),
    ({"error": "No valid host was found."}, "cannot be cancelled any more")])
def test_what_cannot_be_cancelled_is_refused(app: Api, values: dict[str, Any], why: str,
                                             ) -> None:
    change(app, f"{OWN}6", **values)
    answer = app("POST", f"{MINE_}/cancel")
    assert answer.status_int == 409
    assert why in answer.json["conflict"]["message"]
    assert app("GET", MINE_).json["operation"]["cancellable"] is False


def test_what_is_done_but_for_its_end_is_not_cancelled(app: Api) -> None:
    with app.db.writer() as session:
        session.add(OperationStep(
            operation_id=f"{OWN}6", step=runbooks()["instance.create"].steps[-1].name,
            state="SUCCEEDED", started_at=utcnow(), ended_at=utcnow()))
    answer = app("POST", f"{MINE_}/cancel")
    assert answer.status_int == 409
    assert "any more" in answer.json["conflict"]["message"]


@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("POST", "/cancel")])
def test_foreign_operations_are_as_unknown_ones(app: Api, method: str, tail: str) -> None:
    foreign = app(method, f"/operations/{FOREIGN}6{tail}")
    unknown = app(method, f"/operations/{UNKNOWN}{tail}")
    assert foreign.status_int == unknown.status_int == 404
    assert foreign.text.replace(f"{FOREIGN}6", UNKNOWN) == unknown.text


def test_every_run_book_says_until_when_it_can_be_cancelled() -> None:
    for book in runbooks().values():
        last = book.steps[-1].name
        assert book.may_cancel(None) is book.cancellable
        assert book.may_cancel(last) is (
            book.cancellable and not any(step.final for step in book.steps))
