"""Who reaches an instance, in the words of older clients, by the released one."""

from __future__ import annotations

import types
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.functional.api.conftest import FOREIGN, MINE, OTHER, OWN, RULE, UNKNOWN, Api
from tests.functional.api.released import Client
from trove_ng.db.models import Instance, Operation

ONE = f"{OWN}1"
FIRST = {"protocol": "tcp", "from_port": 3306, "to_port": 3306, "cidr": "10.0.0.0/8"}


@pytest.fixture
def groups(app: Api) -> Any:
    from troveclient.v1.security_groups import SecurityGroups

    return SecurityGroups(types.SimpleNamespace(client=Client(app, "mine")))


@pytest.fixture
def rules(app: Api) -> Any:
    from troveclient.v1.security_groups import SecurityGroupRules

    return SecurityGroupRules(types.SimpleNamespace(client=Client(app, "mine")))


def add(app: Api, cidr: str, ident: str = ONE, **more: Any) -> Any:
    return app("POST", "/security-group-rules",
               {"security_group_rule": {"group_id": ident, "cidr": cidr}}, **more)


def wanted(app: Api) -> list[Any]:
    """Return the access that each operation on the instance is to make."""
    with app.db.reader() as session:
        return [one.payload["access"] for one in session.scalars(select(Operation).where(
            Operation.resource_id == ONE))]


def test_a_group_shows_who_reaches_the_instance(groups: Any) -> None:
    listed, = groups.list()
    assert (listed.id, listed.name, listed.instance_id) == (ONE, f"trove-{ONE}", ONE)
    found = groups.get(ONE)
    rule, = found.rules
    assert {name: rule[name] for name in FIRST} == FIRST
    assert (rule["id"], rule["security_group_id"]) == (f"{ONE}-{RULE}", ONE)


def test_a_network_is_let_in(app: Api, rules: Any) -> None:
    made, = rules.create(ONE, "192.168.7.9/24")
    assert {name: made[name] for name in FIRST} == FIRST | {"cidr": "192.168.7.0/24"}
    assert wanted(app) == [{"allowed_cidrs": ["10.0.0.0/8", "192.168.7.0/24"]}]
    with app.db.reader() as session:
        operation = session.scalars(select(Operation).where(Operation.resource_id == ONE)).one()
    assert (operation.action, app.waker.woken) == ("instance.update_access", [operation.id])
    with app.db.writer() as session:
        session.execute(update(Instance).where(Instance.id == ONE).values(access={
            "allowed_cidrs": ["10.0.0.0/8", "192.168.7.0/24"]}))
    assert app("GET", f"/security-groups/{ONE}").json["security_group"]["rules"][1][
        "id"] == made["id"]


def test_a_network_is_kept_out_and_the_address_stays_public(app: Api, rules: Any) -> None:
    with app.db.writer() as session:
        session.execute(update(Instance).where(Instance.id == ONE).values(access={
            "is_public": True, "allowed_cidrs": ["10.0.0.0/8", "fd00::/8"]}))
    rules.delete(f"{ONE}-{RULE}")
    assert wanted(app) == [{"is_public": True, "allowed_cidrs": ["fd00::/8"]}]


def test_the_last_network_is_kept_out(app: Api, rules: Any) -> None:
    rules.delete(f"{ONE}-{RULE}")
    assert wanted(app) == [{"allowed_cidrs": []}]


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "10.1.2.3/8"])
def test_a_network_that_is_let_in_is_a_conflict(app: Api, cidr: str) -> None:
    assert add(app, cidr).status_int == 409
    assert wanted(app) == []


@pytest.mark.parametrize("cidr", ["10.0.0.0/33", "x", "", "10.0.0.0/8 ", "300.0.0.1", "::/129"])
def test_a_wrong_network_is_refused(app: Api, cidr: str) -> None:
    assert add(app, cidr).status_int == 400
    assert wanted(app) == []


def test_there_is_a_most_of_networks(app: Api) -> None:
    with app.db.writer() as session:
        session.execute(update(Instance).where(Instance.id == ONE).values(access={
            "allowed_cidrs": [f"10.0.{number}.0/24" for number in range(100)]}))
    assert add(app, "192.168.1.0/24").status_int == 400


@pytest.mark.parametrize("ident", [f"{ONE}-0000000000000000", f"{FOREIGN}1-{RULE}", "x",
                                   f"{UNKNOWN}-{RULE}", f"{OWN}2-{RULE}"])
def test_a_rule_that_is_not_there_is_not_found(app: Api, ident: str) -> None:
    answer = app("DELETE", f"/security-group-rules/{ident}")
    assert answer.status_int == 404
    assert answer.json["itemNotFound"]["message"] == (
        f"Security group rule {ident} cannot be found.")


@pytest.mark.parametrize("ident", [f"{FOREIGN}1", UNKNOWN, f"{OWN}2"])
def test_a_group_that_is_not_there_is_not_found(app: Api, ident: str) -> None:
    for answer in (app("GET", f"/security-groups/{ident}"), add(app, "10.9.0.0/16", ident)):
        assert answer.status_int == 404
        assert answer.json["itemNotFound"]["message"] == (
            f"Security group {ident} cannot be found.")


def test_nothing_changes_while_something_works_on_the_instance(app: Api) -> None:
    with app.db.writer() as session:
        session.execute(update(Instance).where(Instance.id == ONE).values(task="RESIZING"))
    assert add(app, "10.9.0.0/16").status_int == 422
    assert app("DELETE", f"/security-group-rules/{ONE}-{RULE}").status_int == 422


def test_the_answer_to_a_repeated_request_is_the_same(app: Api) -> None:
    body = {"security_group_rule": {"group_id": ONE, "cidr": "10.9.0.0/16"}}
    answers = [app.app.post_json(f"/v1.0/{MINE}/security-group-rules", body, headers={
        "X-Auth-Token": "mine", "Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json == answers[1].json
    assert answers[0].json["security_group_rule"][0]["cidr"] == "10.9.0.0/16"
    assert (answers[0].headers["X-Trove-Operation-Id"]
            == answers[1].headers["X-Trove-Operation-Id"])
    assert len(wanted(app)) == 1


def test_lists_have_pages_only_when_asked(app: Api) -> None:
    app.conf.set_override("max_page_size", 2, group="api")
    with app.db.writer() as session:
        session.execute(update(Instance).where(Instance.tenant_id == MINE).values(
            security_group_id="sg"))
    everything = app("GET", "/security-groups").json
    assert [one["id"] for one in everything["security_groups"]] == [
        f"{OWN}{number}" for number in (1, 2, 3)]
    assert "links" not in everything
    page = app("GET", "/security-groups?limit=2").json
    assert len(page["security_groups"]) == 2
    rest = app("GET", page["links"][0]["href"].partition(MINE)[2]).json
    assert [one["id"] for one in rest["security_groups"]] == [f"{OWN}3"]
    theirs = app("GET", "/security-groups", token="other", project=OTHER).json
    assert [one["id"] for one in theirs["security_groups"]] == [f"{FOREIGN}1"]


def test_groups_take_one_statement_however_many(app: Api) -> None:
    with app.db.writer() as session:
        session.execute(update(Instance).values(security_group_id="sg"))
    seen = app.statements()
    assert len(app("GET", "/security-groups").json["security_groups"]) == 3
    assert len(seen) == 1
