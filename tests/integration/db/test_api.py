"""The API on servers of the supported kinds: races, and texts that stores differ in."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from tests import stores
from tests.functional.api.conftest import OWN, Api, api_conf, app  # noqa: F401 - fixtures
from tests.functional.api.test_access_matrix import name, samples
from tests.functional.api.test_idempotency import *  # noqa: F403 - all of them, here too
from tests.functional.api.test_races import *  # noqa: F403
from tests.functional.conftest import store_conf  # noqa: F401 - a fixture
from trove_ng.api.routes import ROUTES
from trove_ng.common.clock import utcnow
from trove_ng.db.models import IdempotencyKey
from trove_ng.db.repositories import idempotency
from trove_ng.db.repositories.idempotency import Claim
from trove_ng.db.session import Database, retry_on_db_error


@pytest.fixture(params=["mariadb", "postgresql"])
def database(request: pytest.FixtureRequest,
             store_conf: cfg.ConfigOpts) -> Iterator[Database]:  # noqa: F811 - the fixture
    """An empty store of each kind."""
    store_conf.set_override("connection", request.getfixturevalue(f"{request.param}_url"),
                            group="database")
    with stores.emptied(store_conf) as made:
        yield made


def test_a_key_that_many_processes_want_is_given_to_one(
        app: Api, store_conf: cfg.ConfigOpts) -> None:  # noqa: F811 - the fixtures
    """Each has connections of its own, as two replicas of the API have."""
    other = Database(store_conf)
    held = [Claim("p", "k" * 64, "f", str(number)) for number in range(20)]

    def once(number: int) -> bool:
        @retry_on_db_error
        def claim() -> bool:
            with (app.db, other)[number % 2].writer() as session:
                return idempotency.claim(session, held[number], utcnow(), 86400, 120) is None

        return claim()

    for _ in range(5):
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            won = list(pool.map(once, range(20)))
        assert won.count(True) == 1
        with app.db.writer() as session:
            row, = session.query(IdempotencyKey).all()
            assert row.claim == str(won.index(True))
            # its request failed: who comes next may do it
            idempotency.release(session, held[won.index(True)])
    other.close()


@pytest.mark.parametrize("name", [
    "\U0001f42c dolphin", "\u6570\u636e\u5e93", "e\u0301 combined", "\U0010ffff", "C:\\new\\0",
    "a'b\"c`d--;%s", "x" * 255, "\U0001f42c" * 255])
def test_names_of_all_alphabets_come_back_as_they_were(app: Api, name: str) -> None:  # noqa: F811
    created = app("POST", "/instances", {"instance": {
        "name": name, "flavorRef": "1", "volume": {"size": 1}}})
    assert created.status_int == 200, created.text
    ident = created.json["instance"]["id"]
    assert app("GET", f"/instances/{ident}").json["instance"]["name"] == name
    assert app("PUT", f"/instances/{OWN}1", {"instance": {"name": name}}).status_int == 202
    assert app("GET", f"/instances/{OWN}1").json["instance"]["name"] == name
    text = name * 2
    backup = app("POST", "/backups", {"backup": {
        "name": name, "instance": f"{OWN}2", "description": text[:512]}})
    assert backup.json["backup"]["description"] == text[:512]


@pytest.mark.parametrize("query", [
    "marker=%00", "marker=%F0%9F%90%AC", "marker=" + "x" * 512, "marker='%20OR%201=1--",
    "limit=999999999", "marker=%ED%A0%80", "marker=%5Cu0000"])
def test_no_marker_breaks_a_list(app: Api, query: str) -> None:  # noqa: F811
    paths = samples()
    lists = [paths[name(route)][0] for route in ROUTES
             if route.method == "GET" and "marker" in route.query]
    assert len(lists) > 20
    for path in lists:
        answer = app("GET", f"{path}{'&' if '?' in path else '?'}{query}", token="admin")
        assert answer.status_int in (200, 400), (path, answer.text)


@pytest.mark.parametrize("segment", ["%00", "%F0%9F%90%AC", "x" * 5000, "'", "%25", "%5C"])
def test_no_path_breaks_a_lookup(app: Api, segment: str) -> None:  # noqa: F811
    for path in ("/instances/{}", "/backups/{}", "/configurations/{}", "/datastores/{}",
                 "/datastores/mariadb/versions/{}", "/datastores/versions/{}/parameters/{}",
                 "/mgmt/quotas/{}"):
        answer = app("GET", path.replace("{}", segment), token="admin")
        assert answer.status_int in (400, 404), (path, answer.text)
