"""Logs of a real instance, by the released client."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cloud import AllInOne, ClientError, connect, rows


@pytest.fixture(scope="module")
def instance(cloud: AllInOne) -> str:
    """An instance with database ``shop`` and user ``app``."""
    answer = cloud.rest().post("/instances", {"instance": {
        "name": "logs", "flavorRef": "1", "volume": {"size": 1},
        "databases": [{"name": "shop"}],
        "users": [{"name": "app", "password": "app-Pw1", "databases": [{"name": "shop"}]}]}})
    ident = str(answer.json()["instance"]["id"])
    cloud.wait_status(ident, "ACTIVE")
    return ident


def ask(cloud: AllInOne, instance: str, statement: str) -> None:
    address = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    connection = connect(address, "app", "app-Pw1", "shop")
    with connection:
        rows(connection, statement)


def test_a_log_is_read_by_the_released_client(cloud: AllInOne, instance: str,
                                              tmp_path: Path) -> None:
    log = ("database", "log")
    listed = {one["Name"]: one for one in cloud.openstack(*log, "list", instance)}
    assert {name: one["Status"] for name, one in listed.items()} == {
        "error": "Ready", "general": "Disabled", "slow_query": "Disabled"}
    assert listed["error"]["Container"] == "None"
    assert "No published 'general' log" in cloud.run("openstack", *log, "tail", instance,
                                                     "general")

    assert cloud.openstack(*log, "set", instance, "general", "--enable")["status"] in (
        "Enabled", "Ready")
    ask(cloud, instance, "SELECT 'first of all'")
    shown = cloud.openstack(*log, "set", instance, "general", "--publish")
    assert int(shown["published"]) > 0
    assert "first of all" in cloud.run("openstack", *log, "tail", instance, "general",
                                       "--lines", "1000")
    ask(cloud, instance, "SELECT 'then another'")
    cloud.openstack(*log, "set", instance, "general", "--publish")
    target = tmp_path / "saved.log"
    cloud.run("openstack", *log, "save", instance, "general", "--file", str(target))
    text = target.read_text()
    assert text.index("first of all") < text.index("then another")
    # the agent asks for users, and looks whether the database answers
    assert "app-Pw1" not in text
    assert "mysql.user" not in text

    shown = cloud.openstack(*log, "set", instance, "general", "--disable", "--discard")
    assert (shown["status"], shown["published"], shown["container"]) == ("Disabled", 0, "None")
    assert "No published 'general' log" in cloud.run("openstack", *log, "tail", instance,
                                                     "general")


def test_the_log_of_errors_is_there(cloud: AllInOne, instance: str, tmp_path: Path) -> None:
    cloud.run("openstack", "database", "log", "set", instance, "error", "--publish")
    cloud.run("openstack", "database", "log", "save", instance, "error", "--file",
              str(tmp_path / "errors"))
    assert "ready for connections" in (tmp_path / "errors").read_text()


def test_the_agents_log_is_for_operators(cloud: AllInOne, instance: str) -> None:
    with pytest.raises(ClientError, match="administrators"):
        cloud.run("openstack", "database", "log", "show", instance, "guest")
    shown = cloud.openstack("database", "log", "set", instance, "guest", "--publish",
                            openrc="openrc-admin")
    assert int(shown["published"]) > 0
