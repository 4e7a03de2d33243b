"""A snapshot of a real database under load becomes another one, row for row."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from tests.integration.cloud import AllInOne, connect, rows

_SCHEMA = ("CREATE TABLE kept (id INT PRIMARY KEY, body VARBINARY(64), at DATETIME(6)) "
           "ENGINE=InnoDB",
           "CREATE TABLE written (id INT PRIMARY KEY AUTO_INCREMENT, body VARCHAR(200)) "
           "ENGINE=InnoDB",
           # without transactions: what is half written stays so
           "CREATE TABLE plain (id INT PRIMARY KEY AUTO_INCREMENT, body VARCHAR(200)) "
           "ENGINE=MyISAM")


class Writer:
    """Writes to two tables until it is told to stop; remembers what was acknowledged."""

    def __init__(self, connection: pymysql.Connection[Any]) -> None:
        self._connection = connection
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.done = 0

    def _run(self) -> None:
        with self._connection.cursor() as cursor:
            while not self._ending.is_set():
                for table in ("written", "plain"):
                    cursor.execute(f"INSERT INTO {table} (body) VALUES (REPEAT('x', 200))")  # noqa: S608
                self._connection.commit()
                self.done += 1

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ending.set()
            self._thread.join()


@pytest.fixture
def source(cloud: AllInOne) -> str:
    """An instance that is in no test before or after."""
    made = cloud.rest().post("/instances", {"instance": {
        "name": "source", "flavorRef": "1", "volume_list": [
            {"volume_kind": "data", "size": 1}, {"volume_kind": "binlog", "size": 1}],
        "databases": [{"name": "shop"}], "datastore": {"type": "mariadb"},
        "users": [{"name": "app", "password": "app-Pw1", "databases": [{"name": "shop"}]}],
    }}).json()["instance"]
    cloud.wait_status(made["id"], "ACTIVE")
    return str(made["id"])


def volumes(cloud: AllInOne) -> dict[str, dict[str, str]]:
    """Return id → metadata of all volumes of the cloud."""
    found = cloud.rest("openrc-admin").service(
        "volumev3", "/volumes/detail?all_tenants=1")["volumes"]
    return {one["id"]: one["metadata"] for one in found}


def wait_until_kept(cloud: AllInOne, instance: str, wanted: int) -> None:
    """Wait until so many volumes are kept for the snapshots of a deleted instance."""
    end = time.monotonic() + 60
    while sum(instance in one.values() for one in volumes(cloud).values()) != wanted:
        assert time.monotonic() < end, volumes(cloud)
        time.sleep(0.2)


def test_a_snapshot_under_load_restores_row_for_row(cloud: AllInOne, source: str) -> None:
    address = cloud.wait_status(source, "ACTIVE")["ip"][0]
    connection = connect(address, "app", "app-Pw1", "shop")
    with connection.cursor() as cursor:
        for statement in _SCHEMA:
            cursor.execute(statement)
        cursor.executemany("INSERT INTO kept VALUES (%s, RANDOM_BYTES(32), NOW(6))",
                           [(number,) for number in range(2000)])
    connection.commit()
    before = rows(connection, "SELECT * FROM kept ORDER BY id")
    connection.close()

    rest = cloud.rest()
    writer = Writer(connect(address, "app", "app-Pw1", "shop"))
    with writer.running():
        while writer.done < 50:
            time.sleep(0.01)
        at_least = writer.done
        made = cloud.openstack("database", "backup", "create", "s", "-i", source,
                               "--storage-driver", "cinder")
        shown = cloud.wait_backup(made["id"])
        at_most = writer.done + 1
        # it is let go again
        while writer.done <= at_most + 50:
            time.sleep(0.01)
    assert (shown["storage_driver"], shown["size"]) == ("cinder", 1)
    cloud.wait_operations(made["id"])
    connection = connect(address, "app", "app-Pw1", "shop")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM kept WHERE id < 1000")
        cursor.execute("INSERT INTO kept VALUES (5000, 'later', NOW(6))")
    connection.commit()
    connection.close()

    # the volume is needed by the snapshot; the instance goes all the same
    cloud.run("openstack", "database", "instance", "delete", source)
    cloud.wait_gone(source)
    wait_until_kept(cloud, source, 1)

    restored = rest.post("/instances", {"instance": {
        "name": "restored", "flavorRef": "1", "volume": {"size": 2},
        "restorePoint": {"backupRef": made["id"]}, "users": [
            {"name": "new", "password": "new-Pw1", "databases": [{"name": "shop"}]}],
        "datastore": {"type": "mariadb"}}}).json()["instance"]
    address = cloud.wait_status(restored["id"], "ACTIVE", 180)["ip"][0]
    connection = connect(address, "app", "app-Pw1", "shop")
    assert rows(connection, "SELECT * FROM kept ORDER BY id") == before
    for table in ("written", "plain"):
        ids = [one for (one,) in rows(connection, f"SELECT id FROM {table} ORDER BY id")]  # noqa: S608
        assert ids == list(range(1, len(ids) + 1))
        assert at_least <= len(ids) <= at_most
        ((_, _, _, verdict),) = rows(connection, f"CHECK TABLE {table} EXTENDED")
        assert verdict == "OK"
    connection.close()
    # who was asked for is there, by the agent's account, which is a new one
    connect(address, "new", "new-Pw1", "shop").close()
    assert [one["name"] for one in rest.get(
        f"/instances/{restored['id']}/users").json()["users"]] == ["app", "new"]
    # the file system fills the larger volume
    volume = rest.get(f"/instances/{restored['id']}").json()["instance"]["volume"]
    assert 100 * volume["used"] / volume["used_percent"] > 1.5

    # a backup of the new one continues nothing of the old one
    full = rest.post("/backups", {"backup": {
        "name": "f", "instance": restored["id"], "incremental": 1}}).json()["backup"]
    assert full["parent_id"] is None
    cloud.wait_backup(full["id"])
    for ident in (full["id"], made["id"]):
        cloud.run("openstack", "database", "backup", "delete", ident)
    wait_until_kept(cloud, source, 0)
    cloud.run("openstack", "database", "instance", "delete", restored["id"])
    cloud.wait_gone(restored["id"])
