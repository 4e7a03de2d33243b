"""A bus that does everything that a bus may do leaves the same behind as a good one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from oslo_messaging._drivers.impl_fake import FakeDriver

from tests.functional.control_plane.chaos import Chaos, Lab, laboratory
from trove_ng.db.session import Database

SEEDS = int(os.environ.get("TROVE_SEEDS", "6"))
FIRST = int(os.environ.get("TROVE_FIRST_SEED", "1"))
CHANCE = 0.2


@pytest.fixture
def lab(conf: cfg.ConfigOpts, database: Database, tmp_path: Path) -> Iterator[Lab]:
    with laboratory(conf, database, tmp_path) as made:
        yield made


def work(lab: Lab) -> dict[str, Any]:
    """Do what a user does, and return what is left of it."""
    first = lab.plane.create(
        name="first", databases=[{"name": "shop"}],
        users=[{"name": "app", "password": "pw-1", "databases": [{"name": "shop"}]}])
    lab.idle(first)
    users = f"/instances/{first}/users"
    lab.insist("POST", users, {"users": [
        {"name": name, "password": "pw-2", "databases": []} for name in ("one", "two")]},
        202, 409)
    lab.insist("DELETE", f"{users}/two", None, 202, 404)
    lab.act(first, {"resize": {"volume": {"size": 2}}})
    lab.act(first, {"restart": {}})
    backup = lab.backup(first)
    lab.act(first, {"resize": {"flavorRef": "2"}})
    second = lab.plane.create(name="second", volume={"size": 2},
                              restorePoint={"backupRef": backup})
    lab.idle(second)
    lab.plane.request("DELETE", f"/instances/{first}", status=202)
    lab.plane.wait_gone(f"/instances/{first}", 60)
    lab.idle(second)
    return lab.state()


#: what is left when nothing goes wrong; a test holds it to the truth
EXPECTED: dict[str, Any] = {
    "instances": [("first", True, "", "NONE", "2", 2, "DELETED"),
                  ("second", False, "", "NONE", "1", 2, "ACTIVE")],
    "backups": [("b", "COMPLETED", False, 188)],
    "operations": [(action, "SUCCEEDED", None) for action in (
        "backup.create", "instance.create", "instance.create", "instance.delete",
        "instance.resize_flavor", "instance.resize_volume", "instance.restart")],
    "reports": [("create_backup", "SUCCEEDED"), ("prepare", "SUCCEEDED"),
                ("prepare", "SUCCEEDED")],
    "keys": 1,
    "cloud": {"servers": 1, "volumes": 1, "ports": 1, "floating": 0,
              "server_groups": 0, "groups": 1, "keys": 1},
    "quota": {"instances": (1, 0), "volumes": (2, 0), "backups": (1, 0), "ram": (512, 0)},
    "databases": ["HEALTHY"], "objects": 3,
    "done": [["prepare"],
             ["prepare", "stop", "config 512", "start", "stop", "start", "backup", "stop",
              "config 1024", "start"]],
    "data": [["app", "one"], ["app", "one"]]}


def test_a_good_bus_leaves_what_the_others_are_held_to(lab: Lab) -> None:
    assert work(lab) == EXPECTED


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_a_bad_bus_leaves_the_same(
        lab: Lab, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chaos = Chaos(seed, CHANCE, FakeDriver.send)
    monkeypatch.setattr(FakeDriver, "send",
                        lambda driver, *args, **more: chaos.send(driver, *args, **more))
    found = work(lab)
    chaos.close()
    assert sum(chaos.faults.values()) > 20
    assert found == EXPECTED
