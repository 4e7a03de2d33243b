"""Timelines over REST: pages, kinds, who sees what, and how much is asked of the store."""

from __future__ import annotations

import datetime

import pytest

from tests.functional.api.conftest import FOREIGN, MINE, OWN, UNKNOWN, Api
from trove_ng.common.clock import utcnow
from trove_ng.common.states import EventKind
from trove_ng.db.models import Instance
from trove_ng.db.repositories import events

ONE = f"{OWN}2"
PATH = f"/instances/{ONE}/events"


@pytest.fixture
def told(app: Api) -> list[str]:
    """The messages of 25 events, the newest first, in one transaction each."""
    start = utcnow()
    for number in range(25):
        with app.db.writer() as session:
            events.add(
                session, EventKind.FAULT if number % 5 == 0 else EventKind.DATABASE_STATUS,
                f"event {number}", start + datetime.timedelta(microseconds=number),
                tenant_id=MINE, resource_id=ONE)
    return [f"event {number}" for number in reversed(range(25))]


def messages(answer: object) -> list[str]:
    return [one["message"] for one in answer.json["events"]]  # type: ignore[attr-defined]


def test_pages_follow_each_other_without_gap_or_overlap(app: Api, told: list[str]) -> None:
    seen: list[str] = []
    url: str | None = f"{PATH}?limit=7"
    while url:
        answer = app("GET", url)
        assert len(messages(answer)) <= 7
        seen += messages(answer)
        links = answer.json.get("links", [])
        url = f"/instances{links[0]['href'].partition('/instances')[2]}" if links else None
    assert seen == told


def test_a_kind_is_chosen_and_stays_chosen_on_the_next_page(app: Api, told: list[str]) -> None:
    answer = app("GET", f"{PATH}?kind=fault&limit=3")
    assert messages(answer) == ["event 20", "event 15", "event 10"]
    link = answer.json["links"][0]["href"]
    assert "kind=fault" in link
    assert messages(app("GET", f"{PATH}{link[link.index('?'):]}")) == ["event 5", "event 0"]


def test_an_unknown_kind_is_refused(app: Api) -> None:
    answer = app("GET", f"{PATH}?kind=nonsense")
    assert answer.status_int == 400
    assert "kind must be one of" in answer.json["badRequest"]["message"]


def test_events_of_one_transaction_keep_their_order(app: Api) -> None:
    with app.db.writer() as session:
        for number in range(5):
            events.add(session, EventKind.FAULT, str(number), utcnow(), tenant_id=MINE,
                       resource_id=ONE)
    assert messages(app("GET", PATH)) == ["4", "3", "2", "1", "0"]


def test_a_page_costs_the_same_number_of_statements_whatever_it_holds(
        app: Api, told: list[str]) -> None:
    seen = app.statements()
    app("GET", f"{PATH}?limit=1")
    few = len(seen)
    app("GET", f"{PATH}?limit=20")
    assert few == len(seen) - few == 2


def test_the_timeline_of_a_deleted_instance_is_for_operators(app: Api,
                                                             told: list[str]) -> None:
    with app.db.writer() as session:
        row = session.get(Instance, ONE)
        assert row is not None
        row.deleted = True
    assert app("GET", PATH).status_int == 404
    assert app("GET", PATH, token="admin").status_int == 404
    assert messages(app("GET", f"/mgmt{PATH}?limit=2", token="admin")) == told[:2]
    assert app("GET", f"/mgmt/instances/{UNKNOWN}/events", token="admin").status_int == 404


def test_ids_of_the_service_project_are_for_operators(app: Api) -> None:
    with app.db.writer() as session:
        events.add(session, EventKind.MISMATCH_FOUND, "The volume is not attached.", utcnow(),
                   tenant_id=MINE, resource_id=ONE, details={"volume": "secret-place"})
    own = app("GET", PATH)
    assert messages(own) == ["The volume is not attached."]
    assert "secret-place" not in own.text
    assert "secret-place" in app("GET", PATH, token="admin").text


def test_an_administrator_sees_foreign_timelines(app: Api) -> None:
    assert app("GET", f"/instances/{FOREIGN}1/events").status_int == 404
    assert len(messages(app("GET", f"/instances/{FOREIGN}1/events", token="admin"))) == 2


def test_a_long_message_is_cut(app: Api) -> None:
    with app.db.writer() as session:
        events.add(session, EventKind.FAULT, "x" * 600, utcnow(), tenant_id=MINE,
                   resource_id=ONE)
    assert messages(app("GET", PATH)) == ["x" * 509 + "..."]


def test_old_events_go_in_batches(app: Api, told: list[str]) -> None:
    start = utcnow()
    with app.db.reader() as session:
        newest = events.page(session, ONE, limit=1)[0].created
    before = newest - datetime.timedelta(microseconds=4)
    removed = []
    while True:
        with app.db.writer() as session:
            removed.append(events.purge(session, before, 9))
        if not removed[-1]:
            break
    # 20 of these and the 4 of the fixture, which are older
    assert removed == [9, 9, 6, 0]
    assert messages(app("GET", PATH)) == told[:5]
    assert before < start
