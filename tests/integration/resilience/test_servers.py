"""What is done to the server below a database, by the released clients."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.cloud import AllInOne, connect, rows
from tests.integration.processes import restart, root_of
from tests.wheels import make_wheel, served

ADMIN = "openrc-admin"


@pytest.fixture(scope="module")
def instance(cloud: AllInOne) -> str:
    """An instance with some rows, and a log that was switched on."""
    made = cloud.rest().post("/instances", {"instance": {
        "name": "servers", "flavorRef": "1", "volume": {"size": 1},
        "databases": [{"name": "shop"}],
        "users": [{"name": "app", "password": "app-Pw1", "databases": [{"name": "shop"}]}],
        "datastore": {"type": "mariadb"}}}).json()["instance"]
    ident = str(made["id"])
    address = cloud.wait_status(ident, "ACTIVE")["ip"][0]
    with connect(address, "app", "app-Pw1", "shop") as connection:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (id INT PRIMARY KEY, body VARBINARY(64))")
            cursor.executemany("INSERT INTO t VALUES (%s, RANDOM_BYTES(32))",
                               [(number,) for number in range(500)])
        connection.commit()
    cloud.rest().post(f"/instances/{ident}/log", {"name": "slow_query", "enable": 1})
    return ident


def content(cloud: AllInOne, instance: str) -> list[tuple[object, ...]]:
    """Log in as the customer does and return all rows."""
    address = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    with connect(address, "app", "app-Pw1", "shop") as connection:
        return rows(connection, "SELECT * FROM t ORDER BY id")


def working(cloud: AllInOne, instance: str) -> dict[str, object]:
    """Wait until the instance works again; return what administrators see of it."""
    cloud.wait_status(instance, "ACTIVE", 240)
    shown = dict(cloud.rest(ADMIN).get(f"/mgmt/instances/{instance}").json()["instance"])
    assert shown["operating_status"] == "HEALTHY"
    assert "fault" not in shown
    return shown


def steps(cloud: AllInOne, instance: str) -> list[str]:
    """Return the steps of the newest operation on an instance, which succeeded."""
    newest = cloud.rest().get(f"/operations?resource_id={instance}").json()["operations"][0]
    shown = cloud.rest().get(f"/operations/{newest['id']}").json()["operation"]
    assert shown["status"] == "SUCCEEDED"
    return [one["name"] for one in shown["steps"]]


def test_an_upgrade_keeps_data_users_settings_and_addresses(
        cloud: AllInOne, instance: str) -> None:
    before, data = working(cloud, instance), content(cloud, instance)
    cloud.run("trove", "upgrade", instance, "10.11")
    after = working(cloud, instance)
    assert steps(cloud, instance) == ["pre_upgrade", "stop", "rebuild", "agent",
                                      "post_upgrade", "database", "modules"]
    assert content(cloud, instance) == data
    for name in ("server", "volume_id", "ip", "datastore"):
        assert after[name] == before[name]
    log = cloud.rest().post(f"/instances/{instance}/log", {"name": "slow_query"}).json()["log"]
    assert log["status"] != "Disabled"
    # what the agent knew of the volume, it knows on the new disk too
    cloud.run("openstack", "database", "instance", "restart", instance)
    working(cloud, instance)
    assert content(cloud, instance) == data


def test_operators_reboot_migrate_and_rebuild(cloud: AllInOne, instance: str) -> None:
    data = content(cloud, instance)
    cloud.run("openstack", "database", "instance", "reboot", instance, openrc=ADMIN)
    working(cloud, instance)
    assert content(cloud, instance) == data
    admin = cloud.rest(ADMIN)
    admin.post(f"/mgmt/instances/{instance}/action", {"migrate": {}})
    working(cloud, instance)
    assert content(cloud, instance) == data
    image, = [one["id"] for one in admin.service("image", "/v2/images")["images"]
              if "mariadb" in str(one)]
    cloud.run("openstack", "database", "instance", "rebuild", instance, image, openrc=ADMIN)
    working(cloud, instance)
    assert content(cloud, instance) == data


def test_a_disk_that_somebody_else_replaced_is_put_to_use(
        cloud: AllInOne, instance: str) -> None:
    before, data = working(cloud, instance), content(cloud, instance)
    images = cloud.rest(ADMIN).service("image", "/v2/images")["images"]
    cloud.run("openstack", "server", "rebuild", str(before["server"]["id"]), "--wait",
              "--image", next(one["id"] for one in images if "mariadb" in one["tags"]),
              openrc=ADMIN, timeout=240)
    rest, deadline = cloud.rest(), time.monotonic() + 180
    while rest.get(f"/operations?resource_id={instance}").json()["operations"][0][
            "action"] != "instance.recover":
        assert time.monotonic() < deadline, "nobody saw it"
        time.sleep(1)
    cloud.wait_operations(instance, 240)
    after = working(cloud, instance)
    assert content(cloud, instance) == data
    assert after["ip"] == before["ip"]
    assert after["server"]["id"] == before["server"]["id"]


def test_a_stopped_database_stays_stopped_until_it_is_restarted(
        cloud: AllInOne, instance: str) -> None:
    data, admin = content(cloud, instance), cloud.rest(ADMIN)
    admin.post(f"/mgmt/instances/{instance}/action", {"stop": {}})
    assert cloud.wait_status(instance, "ACTIVE")["operating_status"] == "SHUTDOWN"
    admin.post(f"/mgmt/instances/{instance}/action", {"reboot": {}})
    assert cloud.wait_status(instance, "ACTIVE")["operating_status"] == "SHUTDOWN"
    cloud.run("trove", "restart", instance)
    working(cloud, instance)
    assert content(cloud, instance) == data


def test_operators_look_at_server_and_agent(cloud: AllInOne, instance: str) -> None:
    admin = cloud.rest(ADMIN)
    answer = admin.get(f"/mgmt/instances/{instance}/rpc_ping")
    assert (answer.status_code, answer.content) == (204, b"")
    memory = admin.get(f"/mgmt/instances/{instance}/hwinfo").json()["hwinfo"]["mem_total"]
    groups = root_of(instance) / "sys/fs/cgroup"
    if any((groups / one).exists() for one in ("memory.max", "memory/memory.limit_in_bytes")):
        flavor = cloud.rest().get("/flavors/1").json()["flavor"]
        assert memory == flavor["ram"] * 1024 ** 2
    assert memory > 0
    found = admin.get(f"/mgmt/instances/{instance}/diagnostics").json()["diagnostics"]
    assert 0 < found["vmRss"] <= found["vmHwm"] <= found["vmPeak"]
    answer = cloud.rest().get(f"/mgmt/instances/{instance}/hwinfo", check=False)
    assert answer.status_code == 403


@pytest.fixture
def package(cloud: AllInOne, tmp_path: Path) -> Iterator[str]:
    """A release of the agent that the operator offers; its version."""
    conf = cloud.state_dir / "etc" / "trove.conf.d" / "agent.conf"
    guests = (cloud.state_dir / "etc" / "trove-guestagent.conf").read_text()
    gateway = re.search(r"^transport_url\s*=\s*rabbit://[^@]*@([0-9.]+):", guests, re.MULTILINE)
    assert gateway is not None
    version = "99.1"
    digest = make_wheel(tmp_path / "agent.whl", version)
    with served(tmp_path, gateway[1]) as url:
        conf.write_text(f"[agent_package]\nversion = {version}\nsha256 = {digest}\n"
                        f"location = {url}/agent.whl\n")
        restart(cloud)
        yield version
    # the services that run keep it, and nobody asks for it
    conf.unlink()


def test_an_agent_is_upgraded_while_its_database_goes_on(
        cloud: AllInOne, instance: str, package: str) -> None:
    data, before = content(cloud, instance), working(cloud, instance)
    assert before["guest_status"]["agent_version"] != package
    process = database(instance)
    admin = cloud.rest(ADMIN)
    admin.post(f"/mgmt/hosts/{before['server']['host']}/instances/action", {"update": ""})
    after = working(cloud, instance)
    assert steps(cloud, instance) == ["install", "restart", "confirm"]
    assert after["guest_status"]["agent_version"] == package
    assert database(instance) == process
    assert content(cloud, instance) == data
    diagnostics = admin.get(f"/mgmt/instances/{instance}/diagnostics").json()["diagnostics"]
    assert diagnostics["version"] == package


def newer() -> str:
    """Return what the servers of the second image say of themselves.

    The number is the true one: the database's own upgrade compares it.
    """
    told = subprocess.run(["mariadbd", "--version"], capture_output=True, text=True, check=True)
    number = re.search(r"Ver (\d+\.\d+\.\d+)", told.stdout)
    assert number is not None
    return f"{number[1]}-release-b"


def database(instance: str) -> tuple[int, float]:
    """Return what tells the process of an instance's database from all others."""
    namespace = os.readlink(root_of(instance).parent / "ns/pid")
    found = [(one.pid, one.create_time()) for one in psutil.process_iter(["name"])
             if one.info["name"] == "mariadbd"
             and os.readlink(f"/proc/{one.pid}/ns/pid") == namespace]
    assert len(found) == 1
    return found[0]


def sql(instance: str, statement: str) -> str:
    """Run a statement as the agent does, in the instance's server; return what it shows."""
    root = root_of(instance)
    account, = (root / "var/lib/mysql/.trove").glob("*.cnf")
    done = subprocess.run(
        ["nsenter", "-t", root.parent.name, "-m", "-p", "mariadb",
         f"--defaults-extra-file=/{account.relative_to(root)}", "-N", "-e", statement],
        capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def releases(cloud: AllInOne, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Two more versions: one with an image of its own, one whose image does not boot."""
    admin = cloud.rest(ADMIN)
    changes = tmp_path / "changes"
    for name, text in {"etc/mysql/mariadb.conf.d/99-b.cnf": f"[mariadbd]\nversion={newer()}\n",
                       "etc/release-b": "B\n"}.items():
        (changes / name).parent.mkdir(parents=True, exist_ok=True)
        (changes / name).write_text(text)
    made = {}
    for name, properties in {"10.11-b": {"changes": str(changes)},
                             "10.11-c": {"rootfs": str(tmp_path / "none")}}.items():
        image = admin.session.post(
            f"{admin.catalog['image'].rstrip('/')}/v2/images", json={
                "name": name, "container_format": "bare", "disk_format": "raw",
                "visibility": "public", "rootfs": "/", **properties}).json()["id"]
        admin.session.put(
            f"{admin.catalog['image'].rstrip('/')}/v2/images/{image}/file", data=b"{}",
            headers={"Content-Type": "application/octet-stream"}).raise_for_status()
        cloud.run("openstack", "datastore", "version", "create", name, "mariadb", "mariadb",
                  image, "--active", "--version-number", newer(), openrc=ADMIN)
        made[name] = next(one["id"] for one in admin.get("/mgmt/datastore-versions").json()[
            "versions"] if one["name"] == name)
    yield made
    for version in made.values():
        admin.request("DELETE", f"/mgmt/datastore-versions/{version}")


def test_an_instance_moves_to_another_version_unless_its_image_is_broken(
        cloud: AllInOne, instance: str, releases: dict[str, str]) -> None:
    before, data = working(cloud, instance), content(cloud, instance)
    cloud.run("trove", "upgrade", instance, "10.11-c")
    shown = cloud.wait_status(instance, "ACTIVE", 240)
    assert "no directory" in shown["fault"]["message"].lower()
    assert (shown["datastore"], shown["operating_status"]) == (
        before["datastore"], "HEALTHY")
    assert content(cloud, instance) == data
    # as an older release left it
    sql(instance, "ALTER TABLE mysql.proc DROP COLUMN aggregate")
    for name in ("mysql_upgrade_info", "mariadb_upgrade_info"):
        (root_of(instance) / "var/lib/mysql/data" / name).unlink(missing_ok=True)
    cloud.run("openstack", "database", "instance", "upgrade", instance, "10.11-b")
    after = working(cloud, instance)
    assert after["datastore"] == {"type": "mariadb", "version": "10.11-b",
                                  "version_number": newer()}
    for name in ("server", "volume_id", "ip"):
        assert after[name] == before[name]
    assert (root_of(instance) / "etc/release-b").read_text() == "B\n"
    assert sql(instance, "SELECT VERSION()") == newer()
    assert content(cloud, instance) == data
    # the database's own upgrade has run
    assert sql(instance, "SHOW COLUMNS FROM mysql.proc LIKE 'aggregate'")
    cloud.run("openstack", "database", "instance", "delete", instance)
    cloud.wait_gone(instance)
