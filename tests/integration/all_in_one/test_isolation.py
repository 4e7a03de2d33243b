"""Two projects: neither sees, counts or touches the other's resources."""

from __future__ import annotations

import uuid

import pytest

from tests.integration.cloud import AllInOne


@pytest.fixture(scope="module")
def foreign(cloud: AllInOne) -> str:
    """An instance of another project."""
    made = cloud.rest("openrc-alt").post("/instances", {"instance": {
        "name": "foreign", "flavorRef": "1", "volume": {"size": 1},
        "datastore": {"type": "mariadb"}}}).json()["instance"]
    cloud.wait_status(made["id"], "ACTIVE", openrc="openrc-alt")
    return str(made["id"])


PATHS = [
    ("GET", "/instances/{id}", None),
    ("PUT", "/instances/{id}", {"instance": {"name": "mine"}}),
    ("PATCH", "/instances/{id}", {"instance": {"name": "mine"}}),
    ("DELETE", "/instances/{id}", None),
    ("POST", "/instances/{id}/action", {"restart": {}}),
    ("POST", "/instances/{id}/action", {"resize": {"volume": {"size": 2}}}),
    ("GET", "/instances/{id}/databases", None),
    ("POST", "/instances/{id}/databases", {"databases": [{"name": "x"}]}),
    ("GET", "/instances/{id}/users", None),
    ("POST", "/instances/{id}/users",
     {"users": [{"name": "x", "password": "y", "databases": []}]}),
    ("GET", "/instances/{id}/root", None),
    ("POST", "/instances/{id}/root", None),
    ("GET", "/instances/{id}/backups", None),
    ("POST", "/backups", {"backup": {"name": "b", "instance": "{id}"}}),
]


@pytest.mark.parametrize(("method", "path", "body"), PATHS)
def test_a_foreign_instance_is_as_unknown_as_any_id(
        cloud: AllInOne, foreign: str, method: str, path: str, body: object) -> None:
    rest = cloud.rest()
    unknown = str(uuid.uuid4())
    answers = []
    for ident in (foreign, unknown):
        sent = body
        if path == "/backups":
            sent = {"backup": {"name": "b", "instance": ident}}
        answer = rest.request(method, path.format(id=ident), json=sent, check=False)
        answers.append((answer.status_code, answer.text.replace(ident, "ID")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


def test_lists_and_usage_do_not_count_foreign_instances(
        cloud: AllInOne, foreign: str) -> None:
    listed = cloud.rest().get("/instances").json()["instances"]
    assert foreign not in [item["id"] for item in listed]
    alt = cloud.rest("openrc-alt").get("/instances").json()["instances"]
    assert foreign in [item["id"] for item in alt]


def test_the_administrator_sees_both(cloud: AllInOne, foreign: str) -> None:
    shown = cloud.rest("openrc-admin").get("/mgmt/instances").json()["instances"]
    assert foreign in [item["id"] for item in shown]
    cloud.run("openstack", "database", "instance", "delete", foreign, openrc="openrc-alt")
    cloud.wait_gone(foreign, openrc="openrc-alt")
