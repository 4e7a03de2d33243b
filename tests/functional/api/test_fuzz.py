"""Made-up requests, good and bad, to every route; the answers must be as documented.

``TROVE_FUZZ_CASES``, ``TROVE_FUZZ_CHAINS`` and ``TROVE_FUZZ_SEED`` make it more, or other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from openapi_spec_validator import validate
from oslo_config import cfg

from tests.functional.api import fuzzing
from tests.functional.api.conftest import MINE, Api, PutBack
from trove_ng.api.openapi import Document
from trove_ng.api.routes import ROUTES
from trove_ng.api.validation import Validator

FORWARD = fuzzing.Forward()
SCHEMA = fuzzing.load(FORWARD, examples=True, coverage=True, fuzzing=True)
QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None,
                 max_examples=fuzzing.CASES)


@pytest.fixture
def store(app: Api, api_conf: cfg.ConfigOpts) -> Iterator[PutBack]:
    """An API without quotas whose store is put back after each change."""
    for name in ("instances", "volumes", "backups"):
        api_conf.set_override(f"max_{name}_per_tenant", -1)
    # a long run is longer than a heartbeat is fresh
    api_conf.set_override("agent_heartbeat_expiry", 10 ** 6)
    app.guest, app.waker = fuzzing.StrictGuest(), fuzzing.Finisher(app.db)
    FORWARD.app = app.wsgi
    yield PutBack(app)
    FORWARD.app = None


def test_the_document_is_valid_and_open_to_all(app: Api) -> None:
    answer = app.app.get("/v1.0/openapi.json")
    validate(answer.json)
    assert answer.json["servers"] == [{"url": "http://localhost:80"}]
    assert {**answer.json, "servers": [{"url": "/"}]} == Document(ROUTES).render()
    described = {(method.upper(), path) for path, item in answer.json["paths"].items()
                 for method in item if method != "parameters"}
    assert described >= {(route.method, "/v1.0/{tenant_id}" + route.path)
                         for route in ROUTES}


@pytest.mark.parametrize("route", [one for one in ROUTES if one.request is not None],
                         ids=lambda route: f"{route.method} {route.path}")
def test_examples_fit_their_schema(route: Any) -> None:
    for example in route.request.get("examples", ()):
        Validator().check(route.request, example)


def token_of(path: str) -> str:
    return "admin" if "/mgmt/" in path else "mine"


@SCHEMA.parametrize()
@QUIET
@seed(fuzzing.SEED)
def test_every_answer_is_as_documented(case: Any, store: PutBack) -> None:
    answer = case.call_and_validate(headers={"X-Auth-Token": token_of(case.path)})
    if answer.status_code < 300 and case.method not in ("GET", "HEAD"):
        store()


def test_chains_by_links_are_as_documented(store: PutBack) -> None:
    schema = fuzzing.load(FORWARD, stateful=True)

    class Chain(schema.as_state_machine()):  # type: ignore[misc]
        """Each chain begins with the same store."""

        def teardown(self) -> None:
            store()

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": {"X-Auth-Token": token_of(case.path)}}

        def validate_response(self, response: Any, case: Any, **kwargs: Any) -> None:
            """Say that the token is ours, not a made-up one."""
            case.validate_response(response, headers=kwargs["headers"],
                                   transport_kwargs=kwargs, recorder=self.recorder)

    Chain.run(settings=settings(QUIET, max_examples=fuzzing.CHAINS, stateful_step_count=8,
                                derandomize=True))
    assert store.api("GET", "/limits", project=MINE).status_int == 200
