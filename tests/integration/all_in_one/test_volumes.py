"""An instance with several volumes: binary logs really are on theirs."""

from __future__ import annotations

import os

from tests.integration.cloud import AllInOne, connect, rows
from tests.integration.processes import root_of

_GB = 1024 ** 3


def size_of(instance: str, path: str) -> int:
    """Return the bytes of the file system that is mounted on a path of a server."""
    here = root_of(instance) / path.lstrip("/")
    assert os.stat(here).st_dev != os.stat(here.parent).st_dev, f"nothing is mounted on {path}"
    found = os.statvfs(here)
    return found.f_blocks * found.f_frsize


def write(cloud: AllInOne, instance: str, number: int) -> list[str]:
    """Write a row; return the names of the binary logs, which the server has on their volume."""
    address = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    with connect(address, "app", "app-Pw1", "shop") as connection:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY)")
            cursor.execute("INSERT INTO t VALUES (%s)", (number,))
        connection.commit()
        where, = rows(connection, "SELECT @@log_bin_basename")
        assert rows(connection, "SELECT COUNT(*) FROM t") == [(number,)]
    assert where == ("/var/lib/mysql/binlog/logs/binlog",)
    folder = root_of(instance) / "var/lib/mysql/binlog/logs"
    return sorted(path.name for path in folder.glob("binlog.0*"))


def test_an_instance_with_two_volumes_lives_and_leaves_nothing(cloud: AllInOne) -> None:
    rest = cloud.rest()
    admin = cloud.rest("openrc-admin")
    instance = str(rest.post("/instances", {"instance": {
        "name": "two-volumes", "flavorRef": "1",
        "volume_list": [{"volume_kind": "data", "size": 1}, {"volume_kind": "binlog", "size": 1}],
        "databases": [{"name": "shop"}],
        "users": [{"name": "app", "password": "app-Pw1", "databases": [{"name": "shop"}]}],
        "datastore": {"type": "mariadb"}}}).json()["instance"]["id"])
    first = write(cloud, instance, 1)
    assert first
    shown = rest.get(f"/instances/{instance}/volumes").json()["volumes"]
    assert [(one["volume_kind"], one["size"]) for one in shown] == [("data", 1), ("binlog", 1)]
    assert size_of(instance, "/var/lib/mysql") < 1.1 * _GB
    assert size_of(instance, "/var/lib/mysql/binlog") < 1.1 * _GB

    rest.post(f"/instances/{instance}/action", {"resize": {"volume": {
        "size": 2, "volume_kind": "binlog"}}})
    cloud.wait_status(instance, "ACTIVE")
    assert size_of(instance, "/var/lib/mysql/binlog") > 1.8 * _GB
    assert size_of(instance, "/var/lib/mysql") < 1.1 * _GB
    second = write(cloud, instance, 2)
    assert set(first) < set(second)

    version = rest.get(f"/instances/{instance}").json()["instance"]["datastore"]["version"]
    cloud.run("openstack", "database", "instance", "upgrade", instance, version)
    assert set(second) < set(write(cloud, instance, 3))

    rest.request("DELETE", f"/instances/{instance}")
    cloud.wait_gone(instance)
    left = {one["id"] for one in admin.service("volumev3", "/volumes?all_tenants=1")["volumes"]}
    assert not left & {one["volume_id"] for one in shown}
