"""The identity service, by keystoneauth1 and plain requests."""

from __future__ import annotations

import pytest
import requests
from keystoneauth1 import exceptions

from tests.functional.minicloud.conftest import Cloud


def test_a_token_has_project_roles_and_catalog(cloud: Cloud) -> None:
    session = cloud.session()
    access = session.auth.get_access(session)
    assert access.project_name == "demo"
    assert access.role_names == ["member"]
    assert set(access.service_catalog.get_endpoints()) >= {
        "identity", "compute", "volumev3", "image", "network", "object-store", "database"}


@pytest.mark.parametrize(("user", "password", "project"), [
    ("demo", "wrong", "demo"), ("nobody", "demo-pw", "demo"), ("demo", "demo-pw", "admin"),
    ("demo", "demo-pw", "none")])
def test_wrong_credentials_are_not_told_apart(cloud: Cloud, user: str, password: str,
                                              project: str) -> None:
    with pytest.raises(exceptions.Unauthorized, match="requires authentication"):
        cloud.session(user, password, project).get_token()


def test_a_service_validates_tokens_and_others_may_not(cloud: Cloud) -> None:
    url = f"{cloud.config.url}/identity/v3/auth/tokens"
    demo, trove = cloud.session().get_token(), cloud.session("trove").get_token()
    good = requests.get(url, headers={"X-Auth-Token": trove, "X-Subject-Token": demo},
                        timeout=5)
    assert good.json()["token"]["user"]["name"] == "demo"
    unknown = requests.get(url, headers={"X-Auth-Token": trove, "X-Subject-Token": "x"},
                           timeout=5)
    assert unknown.status_code == 404
    foreign = requests.get(url, headers={"X-Auth-Token": demo, "X-Subject-Token": trove},
                           timeout=5)
    assert foreign.status_code == 403


def test_a_revoked_token_is_good_no_more(cloud: Cloud) -> None:
    token = cloud.session().get_token()
    url = f"{cloud.config.url}/identity/v3/auth/tokens"
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    assert requests.delete(url, headers=headers, timeout=5).status_code == 204
    assert requests.get(url, headers=headers, timeout=5).status_code == 401


def test_an_administrator_makes_projects_and_users(cloud: Cloud) -> None:
    admin = cloud.session("admin")
    base = f"{cloud.config.url}/identity/v3"
    project = admin.post(f"{base}/projects", json={"project": {"name": "p2"}}).json()["project"]
    user = admin.post(f"{base}/users", json={
        "user": {"name": "u2", "password": "pw2"}}).json()["user"]
    assert "password_hash" not in user
    role = admin.get(f"{base}/roles?name=member").json()["roles"][0]
    admin.put(f"{base}/projects/{project['id']}/users/{user['id']}/roles/{role['id']}")
    assert cloud.session("u2", "pw2", "p2").get_project_id() == project["id"]
    with pytest.raises(exceptions.Conflict):
        admin.post(f"{base}/projects", json={"project": {"name": "p2"}})
    with pytest.raises(exceptions.Forbidden):
        cloud.session().get(f"{base}/users")


def test_no_password_or_token_is_stored_in_clear(cloud: Cloud) -> None:
    token = cloud.session().get_token()
    raw = (cloud.config.state_dir / "minicloud.sqlite-wal").read_bytes() + (
        cloud.config.state_dir / "minicloud.sqlite").read_bytes()
    assert token.encode() not in raw
    assert b"demo-pw" not in raw
