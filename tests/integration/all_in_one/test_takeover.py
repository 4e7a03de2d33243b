"""A taskmanager dies during a create; another one finishes it."""

from __future__ import annotations

import signal
import time

import psutil
import pytest

from .conftest import AllInOne


def taskmanagers(cloud: AllInOne) -> list[psutil.Process]:
    """Return the taskmanager processes of this all-in-one."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if any("trove-taskmanager" in word for word in line) and any(
                str(cloud.state_dir) in word for word in line):
            found.append(process)
    return found


@pytest.mark.parametrize("delay", [0.3, 1.5, 4.0])
def test_create_survives_the_death_of_its_taskmanager(
        cloud: AllInOne, delay: float) -> None:
    admin = cloud.rest("openrc-admin")
    made = cloud.rest().post("/instances", {"instance": {
        "name": f"survivor-{delay}", "flavorRef": "1", "volume": {"size": 1},
        "datastore": {"type": "mariadb"}}}).json()["instance"]
    time.sleep(delay)
    killed = taskmanagers(cloud)
    assert killed, "a taskmanager must run to be killed"
    for process in killed:
        process.send_signal(signal.SIGKILL)
    cloud.wait_status(made["id"], "ACTIVE", 150)

    shown = admin.get(f"/mgmt/instances/{made['id']}").json()["instance"]
    servers = admin.service("compute", "/servers/detail?all_tenants=1")["servers"]
    mine = [server for server in servers if made["id"] in str(server["metadata"])
            or server["id"] == shown["server"]["id"]]
    assert len(mine) == 1
    volumes = admin.service("volumev3", "/volumes/detail?all_tenants=1")["volumes"]
    assert len([item for item in volumes if made["id"] in str(item)]) == 1
    ports = admin.service("network", f"/v2.0/ports?device_id={mine[0]['id']}")["ports"]
    assert len(ports) == 1

    cloud.run("openstack", "database", "instance", "delete", made["id"])
    cloud.wait_gone(made["id"])
    servers = admin.service("compute", "/servers/detail?all_tenants=1")["servers"]
    assert mine[0]["id"] not in [server["id"] for server in servers]
