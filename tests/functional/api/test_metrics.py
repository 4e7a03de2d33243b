"""What a scrape of the API says after real requests."""

from __future__ import annotations

import dataclasses

import pytest
import webtest
from oslo_config import cfg
from prometheus_client import CollectorRegistry

from tests.functional.api.conftest import MINE, OWN, UNKNOWN, Api, Catalog, Waker, _identify
from tests.scrape import Scrape
from trove_ng.api.app import build_app
from trove_ng.api.wiring import make_services
from trove_ng.common import metrics as m
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.db.models import Instance


class Measured:
    """An API whose recorder can be read."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.registry = CollectorRegistry()
        services = make_services(conf, PrometheusRecorder(self.registry, m.API))
        self.app = webtest.TestApp(build_app(
            dataclasses.replace(services, catalog=Catalog(), waker=Waker()), _identify))

    def ask(self, method: str, path: str, token: str | None = "mine", body: bytes = b"",
            ) -> int:
        headers = {"X-Auth-Token": token} if token else {}
        if body:
            headers["Content-Type"] = "application/json"
        answer = self.app.request(path, method=method, headers=headers, body=body,
                                  expect_errors=True)
        return int(answer.status_int)

    def requests(self) -> dict[tuple[str, str, str], float]:
        """Return how many requests were scraped, by method, route and status."""
        return {(labels["method"], labels["route"], labels["status"]): value
                for (name, found), value in Scrape.of(self.registry).counts().items()
                if name == m.REQUESTS.name and (labels := dict(found))}


@pytest.fixture
def measured(app: Api, api_conf: cfg.ConfigOpts) -> Measured:
    """See :class:`Measured`; the store is that of ``app``."""
    return Measured(api_conf)


START = f"/v1.0/{MINE}"


@pytest.mark.parametrize("action", [
    b'{"reset_status": {"force_delete": true}}', b'{"reset_status": {}}'])
def test_operations_that_the_api_ends_are_counted(measured: Measured, action: bytes) -> None:
    path = f"{START}/instances/{OWN}1/action"
    assert measured.ask("POST", path, "admin", b'{"restart": {}}') == 202
    for _ in range(2):
        assert measured.ask("POST", path, "admin", action) == 202
    assert Scrape.of(measured.registry).get(
        f"{m.OPERATION_TIME.name}_count", action="instance.restart", status="CANCELLED") == 1


def test_a_change_of_a_group_that_ends_the_one_before_counts_it(
        measured: Measured, app: Api) -> None:
    with app.db.writer() as session:
        row = session.get_one(Instance, f"{OWN}1")
        row.configuration_id = f"{OWN}7"
    for value in (b"100", b"101", b"102"):
        assert measured.ask("PATCH", f"{START}/configurations/{OWN}7", body=(
            b'{"configuration": {"values": {"max_connections": %s}}}' % value)) == 200
    assert Scrape.of(measured.registry).get(
        f"{m.OPERATION_TIME.name}_count", action="configuration.apply",
        status="CANCELLED") == 2


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize(("method", "path", "route", "status"), [
    ("GET", f"{START}/instances", "/instances", 200),
    ("GET", f"{START}/instances/{OWN}1", "/instances/{id}", 200),
    ("HEAD", f"{START}/instances/{OWN}1", "/instances/{id}", 200),
    ("GET", f"{START}/instances/{UNKNOWN}", "/instances/{id}", 404),
    ("BREW", f"{START}/instances/{OWN}1", "/instances/{id}", 405),
    ("GET", f"{START}/nonsense/{OWN}1", "none", 404),
    ("GET", f"{START}/inst%FFances", "none", 400),
    ("GET", f"/v1.0/{'b' * 32}/instances/{OWN}1", "/instances/{id}", 403),
    ("GET", "/v1.0/", "public", 200),
    ("GET", "/", "public", 200),
    ("DELETE", f"{START}/instances/{OWN}1", "/instances/{id}", 202)])
def test_a_request_is_counted_by_its_route(
        measured: Measured, method: str, path: str, route: str, status: int) -> None:
    assert measured.ask(method, path) == status
    shown = "other" if method == "BREW" else method
    assert measured.requests() == {(shown, route, str(status)): 1}
    text = Scrape.of(measured.registry)
    assert text.sum(f"{m.REQUESTS.name}_sum") > 0


def test_requests_that_do_not_reach_a_handler_have_their_route(measured: Measured) -> None:
    assert measured.ask("GET", f"{START}/backups/{OWN}8", token=None) == 401
    assert measured.ask("POST", f"{START}/backups", body=b"{") == 400
    assert measured.requests() == {("GET", "/backups/{id}", "401"): 1,
                                   ("POST", "/backups", "400"): 1}


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_no_label_holds_what_a_client_wrote(measured: Measured) -> None:
    for number in range(5):
        measured.ask("GET", f"{START}/instances/made-up-{number}")
        measured.ask("GET", f"{START}/made-up-{number}")
        measured.ask(f"MADEUP{number}", f"{START}/instances")
    assert measured.requests() == {("GET", "/instances/{id}", "404"): 5,
                                   ("GET", "none", "404"): 5,
                                   ("other", "/instances", "405"): 5}


def test_an_unexpected_error_is_counted(
        measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("trove_ng.api.controllers.RootController._handler", broken)
    assert measured.ask("GET", f"{START}/limits") == 500
    assert measured.requests() == {("GET", "/limits", "500"): 1}


def test_rate_limited_requests_are_counted(app: Api, api_conf: cfg.ConfigOpts) -> None:
    api_conf.set_override("http_get_rate", 2)
    measured = Measured(api_conf)
    answers = [measured.ask("GET", f"{START}/flavors") for _ in range(5)]
    refused = answers.count(413)
    assert refused >= 2
    found = Scrape.of(measured.registry)
    assert found.get(m.RATE_LIMITED.name, limit="GET") == refused
    assert found.get(m.RATE_LIMITED.name, limit="POST") == 0
    assert measured.requests()["GET", "/flavors", "413"] == refused


def test_an_api_without_metrics_has_no_layer_for_them(
        app: Api, api_conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trove_ng.api.app.Measured", None)
    assert app("GET", "/instances").status_int == 200
    build_app(make_services(api_conf), _identify)
