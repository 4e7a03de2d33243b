"""The header ``Idempotency-Key`` on every POST of the route table.

Routes join by themselves with their sample in ``test_samples``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.functional.api.conftest import MINE, Api
from tests.functional.api.test_access_matrix import name, samples
from trove_ng.api.idempotency import Idempotency
from trove_ng.api.routes import ROUTES, Route

POSTS = [route for route in ROUTES if route.method == "POST"]
KEEPS = "idempotency_keys"


def post(app: Api, route: Route) -> Any:
    path, body = samples()[name(route)]
    return app.app.post(
        f"/v1.0/{MINE}{path}", json.dumps(body or {}), content_type="application/json",
        expect_errors=True, headers={"X-Auth-Token": "admin", "Idempotency-Key": "k"})


@pytest.mark.parametrize("route", POSTS, ids=name)
def test_a_repeated_request_is_done_once(app: Api, route: Route) -> None:
    first = post(app, route)
    assert first.status_int == route.success, first.text
    before = (app.rows(), list(app.waker.woken), len(app.guest.asked))
    again = post(app, route)
    assert (again.status_int, again.body) == (first.status_int, first.body)
    assert again.headers.get("X-Trove-Operation-Id") == first.headers.get(
        "X-Trove-Operation-Id")
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (app.rows(), app.waker.woken, len(app.guest.asked)) == before


@pytest.mark.parametrize("route", POSTS, ids=name)
def test_the_key_of_another_request_is_refused(app: Api, route: Route) -> None:
    assert post(app, route).status_int == route.success
    before = (app.rows(), list(app.waker.woken), len(app.guest.asked))
    other = next(one for one in POSTS if one.path in ("/instances", "/backups")
                 and one is not route)
    answer = post(app, other)
    assert answer.status_int == 409
    assert "Idempotency-Key" in answer.json["conflict"]["message"]
    assert (app.rows(), app.waker.woken, len(app.guest.asked)) == before


@pytest.mark.parametrize("route", POSTS, ids=name)
def test_what_is_written_is_written_with_its_answer(
        app: Api, route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed after it accepted a request has kept the answer, too.

    What a guest does cannot be part of a transaction.
    """
    late: list[dict[str, int]] = []
    monkeypatch.setattr(Idempotency, "_keep", lambda *_: late.append(app.rows()))
    before = app.rows()
    assert post(app, route).status_int == route.success
    if app.guest.asked:
        return
    for rows in late:
        assert {**rows, KEEPS: before[KEEPS]} == before
    assert late or app.rows()[KEEPS] == before[KEEPS] + 1
