"""Every route for every kind of caller; what is expected follows from the policy's defaults.

Routes join by themselves with their sample in ``test_samples``: a route without one fails.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.functional.api.conftest import (
    FOREIGN,
    FOREIGN_NETWORK,
    FOREIGN_SUBNET,
    MINE,
    OTHER,
    OWN,
    TOKENS,
    UNKNOWN,
    Api,
    PutBack,
)
from tests.functional.api.test_samples import SAMPLES
from trove_ng.api.router import Router
from trove_ng.api.routes import ROUTES, Route
from trove_ng.api.schemas.instances import ACTIONS, MGMT_ACTIONS
from trove_ng.policies import list_rules
from trove_ng.policies.base import ADMIN, ANYBODY, MEMBER, READER

CHECKS = {rule.name: rule.check_str for rule in list_rules()}
#: default check of a rule → tokens that pass it, for what the first project owns
PASSING = {
    ADMIN: {"admin"},
    MEMBER: {"admin", "mine"},
    READER: {"admin", "mine", "reader"},
    ANYBODY: set(TOKENS),
}
#: who passes such a rule for another project's sake only
ELSEWHERE = {MEMBER: {"other", "stranger"}, READER: {"other", "stranger"}}
ONE = f"/instances/{OWN}1"
#: action of a body → body, rule
ACTION_SAMPLES: dict[str, list[tuple[dict[str, Any], str]]] = {
    "restart": [({}, "instance:restart")],
    "resize": [({"flavorRef": "2"}, "instance:resize_flavor"),
               ({"volume": {"size": 2}}, "instance:resize_volume")],
    "promote_to_replica_source": [({}, "instance:promote_to_replica_source")],
    "eject_replica_source": [({}, "instance:eject_replica_source")],
    "detach_replica": [({}, "instance:update")],
    "reset_status": [({}, "instance:reset_status"),
                     ({"force_delete": True}, "instance:force_delete")],
}


def samples() -> dict[str, tuple[str, Any]]:
    """Return name of a route → path and body of a good request of the first project."""
    router, found = Router(ROUTES), {}
    for method, path, body in SAMPLES:
        match = router.match(path.strip("/").split("/"))
        assert match is not None, path
        found[name(match.methods[method])] = (path, body)
    return found


def name(value: Any) -> str:
    return f"{value.method} {value.path}" if isinstance(value, Route) else str(value)[:12]


class Asking:
    """One route, asked by all kinds of callers; each finds the same store."""

    def __init__(self, app: Api, route: Route) -> None:
        found = samples()
        if name(route) not in found:
            pytest.fail(f"{name(route)} has no sample in test_samples.SAMPLES")
        self.app, self.route, self._put_back = app, route, PutBack(app)
        self.path, self.body = found[name(route)]
        rule = route.rule
        if route.handler == "instance_actions:act":
            (action, arguments), = self.body.items()
            rule = {tuple(one): rule for one, rule in ACTION_SAMPLES[action]}[
                tuple(arguments)]
        self.check = CHECKS[rule]
        #: whether the path leads to what a project owns
        self.owned = OWN in self.path or MINE in self.path

    def ask(self, token: str | None, path: str | None = None,
            project: str | None = None) -> Any:
        """Ask with a token, by default for its own project."""
        self._put_back()
        own = TOKENS[token][0] if token in TOKENS else MINE
        return self.app(self.route.method, path or self.path, self.body, token=token,
                        project=project or own)

    def expected(self, token: str) -> int:
        """Return the status that the rule gives a valid token."""
        if token in PASSING[self.check]:
            return self.route.success
        if token in ELSEWHERE.get(self.check, set()):
            return 404 if self.owned or self.refers() else self.route.success
        return 403

    def refers(self) -> bool:
        """Return True if the body names what a project owns."""
        return OWN in json.dumps(self.body)


@pytest.fixture
def asking(app: Api, route: Route) -> Asking:
    """A route, with all that its sample needs."""
    if route.method == "DELETE" and route.path.endswith("/root"):
        for token, prefix in (("mine", OWN), ("other", FOREIGN)):
            assert app("POST", f"/instances/{prefix}1/root", token=token,
                       project=TOKENS[token][0]).status_int == 200
    return Asking(app, route)


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_a_caller_may_what_the_policy_says(asking: Asking) -> None:
    app = asking.app
    before = app.rows()
    for token, (project, _) in TOKENS.items():
        answer = asking.ask(token)
        assert answer.status_int == asking.expected(token), (token, answer.text)
        if answer.status_int >= 300:
            assert (app.rows(), app.waker.woken, app.guest.asked) == (before, [], []), token
        elif token != "admin":
            # nothing of a project is in another one's answers
            foreign = (FOREIGN, OTHER) if project == MINE else (OWN, MINE)
            assert not any(one in answer.text for one in foreign), token


@pytest.mark.parametrize("path", ["/instances", "/instances/detail", "/backups",
                                  "/configurations"])
def test_lists_of_a_project_without_anything_are_empty(app: Api, path: str) -> None:
    answer = app("GET", path, token="stranger", project=TOKENS["stranger"][0])
    assert answer.json == {path.split("/")[1]: []}


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_nobody_may_anything_without_a_valid_token(asking: Asking) -> None:
    answers = [asking.ask(token, path) for token in (None, "", "expired", "x" * 4096)
               for path in (asking.path, asking.path.replace(OWN, FOREIGN), "/no/such/path")]
    for answer in answers:
        assert answer.status_int == 401
        assert answer.text == answers[0].text
    assert asking.app.guest.asked == []


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_a_token_is_for_its_own_project_only(asking: Asking) -> None:
    for token, project, path in (
            ("mine", OTHER, asking.path.replace(OWN, FOREIGN)),
            ("admin", OTHER, asking.path.replace(OWN, FOREIGN)),
            ("other", MINE, asking.path)):
        answer = asking.ask(token, path, project)
        assert answer.status_int == 403, token
        assert answer.text == asking.app("GET", "/x", token=token, project=UNKNOWN).text


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_what_is_not_the_callers_cannot_be_told_from_nothing(asking: Asking) -> None:
    if not asking.owned or asking.check not in ELSEWHERE:
        assert asking.expected("other") != 404 or asking.refers()
        return
    owned = next(part for part in asking.path.split("/")
                 if part.startswith(OWN) or part == MINE)
    foreign = asking.ask("other")
    unknown = asking.ask("other", asking.path.replace(owned, UNKNOWN))
    assert foreign.status_int == unknown.status_int == 404
    assert foreign.text.replace(owned, UNKNOWN) == unknown.text
    assert headers(foreign, len(owned)) == headers(unknown, len(UNKNOWN))


def headers(answer: Any, length: int) -> list[tuple[str, str]]:
    """Return the headers without what differs by the length of an id, or always."""
    found = {name.lower(): value for name, value in answer.headers.items()}
    assert found.pop("x-openstack-request-id").startswith("req-")
    return [("length", str(int(found.pop("content-length")) - length)), *found.items()]


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_an_administrator_reaches_other_projects(asking: Asking) -> None:
    if OWN in asking.path:
        # what the body names goes with what the path leads to
        asking.body = json.loads(json.dumps(asking.body).replace(OWN, FOREIGN))
    answer = asking.ask("admin", asking.path.replace(OWN, FOREIGN).replace(MINE, OTHER))
    assert answer.status_int == asking.route.success, answer.text


def test_every_action_is_in_the_matrix() -> None:
    assert set(ACTION_SAMPLES) == set(ACTIONS)
    assert set(MGMT_ACTIONS) == {
        "reset-task-status", "stop", "reboot", "migrate", "rebuild", "update",
    }, "all ask mgmt:instance:action"


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize(("action", "arguments", "rule"), [
    (action, arguments, rule) for action, found in ACTION_SAMPLES.items()
    for arguments, rule in found], ids=str)
def test_an_action_asks_its_own_rule(app: Api, action: str, arguments: dict[str, Any],
                                     rule: str, token: str) -> None:
    project = TOKENS[token][0]
    answer = app("POST", f"{ONE}/action", {action: arguments}, token=token, project=project)
    check = CHECKS[rule]
    # the instance is no replica
    good = 400 if "replica" in action else 202
    assert answer.status_int == (
        good if token in PASSING[check] else
        404 if token in ELSEWHERE.get(check, set()) else 403), answer.text
    assert len(app.waker.woken) == (answer.status_int == 202 and rule != "instance:reset_status")


NEW = {"name": "d", "flavorRef": "1", "volume": {"size": 1}}


@pytest.mark.parametrize(("method", "path", "key", "body", "foreign"), [
    ("POST", "/backups", "backup", {"name": "b", "instance": "ID"}, f"{FOREIGN}1"),
    ("POST", "/backups", "backup",
     {"name": "b", "instance": f"{OWN}1", "parent_id": "ID"}, f"{FOREIGN}8"),
    ("POST", "/instances", "instance", {**NEW, "restorePoint": {"backupRef": "ID"}},
     f"{FOREIGN}8"),
    ("POST", "/instances", "instance", {**NEW, "configuration": "ID"}, f"{FOREIGN}7"),
    ("POST", "/instances", "instance", {**NEW, "replica_of": "ID"}, f"{FOREIGN}1"),
    ("POST", "/instances", "instance", {**NEW, "modules": [{"id": "ID"}]}, f"{FOREIGN}4"),
    ("POST", "/instances", "instance", {**NEW, "nics": [{"net-id": "ID"}]},
     FOREIGN_NETWORK),
    ("POST", "/instances", "instance", {**NEW, "nics": [{"subnet_id": "ID"}]},
     FOREIGN_SUBNET),
    ("POST", "/instances", "instance", {**NEW, "nics": [{"port-id": "ID"}]},
     FOREIGN_NETWORK),
    ("PUT", ONE, "instance", {"configuration": "ID"}, f"{FOREIGN}7"),
    ("PUT", ONE, "instance", {"replica_of": "ID"}, f"{FOREIGN}1"),
    ("PATCH", ONE, "instance", {"slave_of": "ID"}, f"{FOREIGN}1"),
])
@pytest.mark.parametrize("token", ["mine", "admin"])
def test_what_a_body_names_must_be_the_callers(
        app: Api, method: str, path: str, key: str, body: dict[str, Any], foreign: str,
        token: str) -> None:
    if token == "admin" and path == "/backups" and "parent_id" not in body:
        return  # an administrator backs up for others
    before = app.rows()

    def ask(ident: str) -> Any:
        return app(method, path, json.loads(json.dumps({key: body}).replace("ID", ident)),
                   token=token)

    found, unknown = ask(foreign), ask(UNKNOWN)
    assert found.status_int in (400, 404, 501)
    assert (found.status_int, found.text.replace(foreign, UNKNOWN)) == (
        unknown.status_int, unknown.text)
    assert app.rows() == before


@pytest.mark.parametrize("query", ["instance_id=ID", "marker=3&instance_id=ID"])
def test_a_foreign_filter_finds_nothing(app: Api, query: str) -> None:
    for ident in (f"{FOREIGN}1", UNKNOWN):
        answer = app("GET", f"/backups?{query.replace('ID', ident)}")
        assert answer.json == {"backups": []}
    refused = [app("GET", f"/backups?project_id={project}", token="mine")
               for project in (OTHER, UNKNOWN)]
    assert [one.status_int for one in refused] == [403, 403]
    assert refused[0].text == refused[1].text
    assert app("GET", "/backups?all_projects=True").status_int == 403


@pytest.mark.parametrize("path", ["/instances", "/instances/detail", "/configurations"])
def test_a_foreign_marker_shows_nothing_foreign(app: Api, path: str) -> None:
    found = app("GET", f"{path}?marker={FOREIGN}0&include_clustered=1&deleted=1").text
    assert FOREIGN not in found
    assert OTHER not in found
