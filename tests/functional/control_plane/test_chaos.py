"""A bus that does everything that a bus may do leaves the same behind as a good one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from oslo_messaging._drivers.impl_fake import FakeDriver
from sqlalchemy import select

from tests.functional.control_plane.chaos import Chaos, RealAgents
from tests.functional.control_plane.conftest import ControlPlane, running
from trove_ng.db.models import (
    Backup,
    Instance,
    InstanceKey,
    Operation,
    OperationReport,
    ServiceStatusRow,
)
from trove_ng.db.session import Database
from trove_ng.taskmanager.periodic import Periodic

SEEDS = int(os.environ.get("TROVE_SEEDS", "6"))
FIRST = int(os.environ.get("TROVE_FIRST_SEED", "1"))
CHANCE = 0.2


class Lab:
    """A control plane on a bad bus, and the user's side of it."""

    def __init__(self, plane: ControlPlane, agents: RealAgents) -> None:
        self.plane, self.agents = plane, agents

    def until(self, probe: Callable[[], Any], seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while not (found := probe()):
            assert time.monotonic() < end, self.state()
            time.sleep(0.03)
        return found

    def idle(self, instance: str) -> None:
        """Wait until nothing works on an instance, and it serves."""
        def done() -> bool:
            with self.plane.db.reader() as session:
                live = session.scalar(select(Operation.id).where(
                    Operation.live_key.is_not(None)))
                assert not session.scalar(select(Operation.error).where(
                    Operation.status == "FAILED")), self.state()
            return live is None and self.plane.show(instance)["status"] == "ACTIVE"

        self.until(done)

    def act(self, instance: str, body: object) -> None:
        self.plane.request("POST", f"/instances/{instance}/action", body, status=202)
        self.idle(instance)

    def insist(self, method: str, path: str, body: Any, *final: int) -> None:
        """Ask until the answer is one of those that say that it is done.

        The agent may have done it although the answer says that it did not answer.
        """
        def asked() -> bool:
            answer = self.plane.request(method, path, body)
            assert answer.status_int in (*final, 503), answer.text
            return answer.status_int != 503

        self.until(asked)

    def backup(self, instance: str) -> str:
        made = str(self.plane.request("POST", "/backups", {"backup": {
            "name": "b", "instance": instance}}, status=202).json["backup"]["id"])

        self.idle(instance)
        return made

    def state(self) -> dict[str, Any]:
        """Return everything that is left, without ids and times."""
        with self.plane.db.reader() as session:
            instances = session.scalars(select(Instance).order_by(Instance.name)).all()
            backups = session.scalars(select(Backup)).all()
            operations = session.execute(select(
                Operation.action, Operation.status, Operation.error).order_by(
                Operation.created, Operation.id)).all()
            reports = session.execute(select(
                OperationReport.step, OperationReport.state).order_by(
                OperationReport.updated_at)).all()
            keys = len(session.scalars(select(InstanceKey.id)).all())
            found: dict[str, Any] = {
                "instances": [(one.name, one.deleted, one.error, one.task, one.flavor_id,
                               one.volume_size, one.server_status) for one in instances],
                "backups": [(one.name, str(one.state), one.deleted, one.size_bytes)
                            for one in backups],
                "operations": sorted(tuple(one) for one in operations),
                "reports": sorted(tuple(one) for one in reports), "keys": keys}
            statuses = session.scalars(select(ServiceStatusRow.status).join(
                Instance, Instance.id == ServiceStatusRow.instance_id).where(
                Instance.deleted.is_(False))).all()
        return found | {
            "cloud": self.plane.resources(), "quota": self.plane.quota(),
            "databases": list(statuses), "objects": self._objects(),
            "done": sorted(one.done for one in self.agents.disks.values()),
            "data": sorted(sorted(one.data["users"]) for one in self.agents.disks.values())}


    def _objects(self) -> int:
        found, = Path(self.plane.minicloud.config.state_dir).glob("**/objects.sqlite")
        with contextlib.closing(sqlite3.connect(found)) as connection:
            return int(connection.execute("SELECT count(*) FROM objects").fetchone()[0])


@pytest.fixture
def lab(conf: cfg.ConfigOpts, database: Database, tmp_path: Path) -> Iterator[Lab]:
    for name, value in (("prepare_retry", 1), ("agent_start_timeout", 60),
                        ("server_timeout", 60), ("volume_timeout", 60),
                        ("guest_long_call_timeout", 60), ("guest_call_timeout", 5)):
        conf.set_override(name, value)
    agents = RealAgents(conf, tmp_path)
    with running(conf, database, tmp_path, agents) as plane:
        plane.start_taskmanager("tm-1")
        sweep = Periodic("the sweep", plane.manager.sweep, 0.3)
        sweep.start()
        yield Lab(plane, agents)
        sweep.stop()
        agents.stop_all()


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
    "cloud": {"servers": 1, "volumes": 1, "ports": 1, "groups": 1, "keys": 1},
    "quota": {"instances": (1, 0), "volumes": (2, 0), "backups": (1, 0), "ram": (512, 0)},
    "databases": ["HEALTHY"], "objects": 2,
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
