"""Two regions with real servers: an instance is made in, and restored into, the second one."""

from __future__ import annotations

from tests.integration.cloud import REGIONS, AllInOne, connect, rows

HERE, THERE = REGIONS


def test_a_backup_is_restored_into_another_region_row_for_row(cloud: AllInOne) -> None:
    source = cloud.rest().post("/instances", {"instance": {
        "name": "here", "flavorRef": "1", "volume": {"size": 1},
        "databases": [{"name": "shop"}],
        "users": [{"name": "app", "password": "app-Pw1", "databases": [{"name": "shop"}]}],
        "datastore": {"type": "mariadb"}}}).json()["instance"]
    assert source["region"] == HERE
    # while that is built: an empty one over there, as the released client asks for it
    cloud.run("trove", "create", "empty", "1", "--size", "1", "--datastore", "mariadb",
              "--region", THERE)
    empty, = (one for one in cloud.rest().get("/instances").json()["instances"]
              if one["name"] == "empty")
    assert empty["region"] == THERE

    address = cloud.wait_status(source["id"], "ACTIVE")["ip"][0]
    connection = connect(address, "app", "app-Pw1", "shop")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY, body VARBINARY(64))")
        cursor.executemany("INSERT INTO t VALUES (%s, RANDOM_BYTES(32))",
                           [(number,) for number in range(500)])
    connection.commit()
    before = rows(connection, "SELECT * FROM t ORDER BY id")
    connection.close()
    backup = cloud.openstack("database", "backup", "create", "b", "-i", source["id"])
    cloud.wait_backup(backup["id"])
    cloud.wait_status(empty["id"], "ACTIVE")

    cloud.run("trove", "create", "there", "1", "--size", "1", "--datastore", "mariadb",
              "--region", THERE, "--backup", backup["id"])
    restored, = (one for one in cloud.rest().get("/instances").json()["instances"]
                 if one["name"] == "there")
    shown = cloud.wait_status(restored["id"], "ACTIVE", 180)
    assert shown["region"] == THERE
    connection = connect(shown["ip"][0], "app", "app-Pw1", "shop")
    assert rows(connection, "SELECT * FROM t ORDER BY id") == before
    connection.close()

    servers = {region: {one["Name"] for one in cloud.openstack(
        "server", "list", "--all-projects", openrc=openrc)}
        for region, openrc in ((HERE, "openrc-admin"), (THERE, f"openrc-admin-{THERE}"))}
    assert {"empty", "there"} <= servers[THERE]
    assert "here" in servers[HERE]
    assert not servers[HERE] & servers[THERE]

    cloud.run("openstack", "database", "backup", "delete", backup["id"])
    for one in (source, empty, restored):
        cloud.run("openstack", "database", "instance", "delete", one["id"])
    for one in (source, empty, restored):
        cloud.wait_gone(one["id"])
    left = cloud.openstack("server", "list", "--all-projects",
                           openrc=f"openrc-admin-{THERE}")
    assert not {one["Name"] for one in left} & {"empty", "there"}
