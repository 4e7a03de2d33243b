"""The main job with real servers: create, use, back up, delete, restore."""

from __future__ import annotations

import pymysql
import pytest

from tests.integration.cloud import AllInOne, connect, rows

SCHEMA = "CREATE TABLE t (id INT PRIMARY KEY, body VARBINARY(64), made DATETIME(6))"


@pytest.fixture(scope="module")
def instance(cloud: AllInOne) -> str:
    made = cloud.rest().post("/instances", {"instance": {
        "name": "main-job", "flavorRef": "1", "volume": {"size": 1},
        "databases": [{"name": "shop"}],
        "users": [{"name": "app", "password": "app-Pw1", "databases": [{"name": "shop"}]}],
        "datastore": {"type": "mariadb"}}}).json()["instance"]
    cloud.wait_status(made["id"], "ACTIVE")
    return str(made["id"])


def test_a_created_user_logs_in_from_the_host(cloud: AllInOne, instance: str) -> None:
    address = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    connection = connect(address, "app", "app-Pw1", "shop")
    assert rows(connection, "SELECT CURRENT_USER()") == [("app@%",)]


def test_a_wrong_password_is_refused(cloud: AllInOne, instance: str) -> None:
    address = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    with pytest.raises(pymysql.err.OperationalError) as caught:
        connect(address, "app", "another", "shop")
    assert caught.value.args[0] == 1045


def test_an_address_that_the_access_rules_exclude_cannot_connect(cloud: AllInOne) -> None:
    made = cloud.rest().post("/instances", {"instance": {
        "name": "closed", "flavorRef": "1", "volume": {"size": 1},
        "users": [{"name": "app", "password": "app-Pw1"}],
        "databases": [{"name": "shop"}],
        "access": {"is_public": False, "allowed_cidrs": ["203.0.113.0/24"]},
        "datastore": {"type": "mariadb"}}}).json()["instance"]
    address = cloud.wait_status(made["id"], "ACTIVE")["ip"][0]
    with pytest.raises(pymysql.err.OperationalError) as caught:
        connect(address, "app", "app-Pw1", "shop")
    assert caught.value.args[0] == 2003, "the firewall must not let the connection through"
    cloud.run("openstack", "database", "instance", "delete", made["id"])
    cloud.wait_gone(made["id"])


def test_a_backup_restores_row_for_row(cloud: AllInOne, instance: str) -> None:
    address = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    connection = connect(address, "app", "app-Pw1", "shop")
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        cursor.executemany(
            "INSERT INTO t VALUES (%s, RANDOM_BYTES(32), NOW(6))",
            [(number,) for number in range(2000)])
    connection.commit()
    before = rows(connection, "SELECT * FROM t ORDER BY id")
    connection.close()

    backup = cloud.openstack("database", "backup", "create", "b1", "-i", instance)
    shown = cloud.wait_backup(backup["id"])
    assert shown["size"] > 0
    assert shown["locationRef"]

    cloud.run("openstack", "database", "instance", "delete", instance)
    cloud.wait_gone(instance)

    restored = cloud.rest().post("/instances", {"instance": {
        "name": "restored", "flavorRef": "1", "volume": {"size": 1},
        "restorePoint": {"backupRef": backup["id"]},
        "datastore": {"type": "mariadb"}}}).json()["instance"]
    address = cloud.wait_status(restored["id"], "ACTIVE", 180)["ip"][0]
    connection = connect(address, "app", "app-Pw1", "shop")
    assert rows(connection, "SELECT * FROM t ORDER BY id") == before
    connection.close()

    cloud.run("openstack", "database", "backup", "delete", backup["id"])
    cloud.run("openstack", "database", "instance", "delete", restored["id"])
    cloud.wait_gone(restored["id"])


def test_the_demonstration_works_and_can_be_repeated(cloud: AllInOne) -> None:
    for _ in range(2):
        told = cloud.standalone("demo")
        assert "It works." in told
    # the second one began with what the first one left
    assert "removing the configuration of an earlier demo" in told
    rest = cloud.rest()
    for kind in ("instances", "backups", "modules", "configurations"):
        for one in rest.get(f"/{kind}").json()[kind]:
            if one["name"].startswith("demo"):
                # a backup goes with the one that it continues
                rest.request("DELETE", f"/{kind}/{one['id']}", check=False)
                cloud.wait_operations(one["id"])
