"""Taskmanagers die, or are stopped, at work; another one finishes it.

By default at a few points; at all points of all run-books with
``TROVE_CRASH_POINTS=all``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.functional.control_plane.scenarios import points
from tests.integration.cloud import AllInOne
from trove_ng.operations.runbooks.registry import runbooks

_SOME = [("instance.create", "done server"), ("instance.create", "written prepare"),
         ("instance.resize_volume", "done extend"), ("backup.create", "done stream"),
         ("backup.delete", "done objects"), ("instance.delete", "done server")]
#: what cannot be asked for again and again: a disk that somebody else replaced, and a release
#: of the agent; test_servers.py has them.  What makes further instances has tests of its own.
#: The functional suites have each of their points.
_ELSEWHERE = {"instance.recover", "instance.upgrade_agent", "instance.create_replica",
              "instance.detach_replica", "instance.promote", "instance.eject",
              "instance.grow_set",
              "instance.set_tls", "instance.roll_back_tls", "backup.seed_replicas",
              "backup.verify"}
_ALL = [(action, point) for action, book in runbooks().items() if action not in _ELSEWHERE
        for point in points(book, fails=False)]
_POINTS = _ALL if os.environ.get("TROVE_CRASH_POINTS") == "all" else _SOME


def taskmanagers(cloud: AllInOne) -> list[psutil.Process]:
    """Return the taskmanager processes of this all-in-one."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if any("trove-taskmanager" in word for word in line) and any(
                str(cloud.state_dir) in word for word in line):
            found.append(process)
    return found


def can_write(cloud: AllInOne) -> bool:
    """Return whether nobody holds SQLite's only lock, which a stopped process keeps."""
    store = sqlite3.connect(cloud.state_dir / "trove.sqlite", timeout=2, isolation_level=None)
    try:
        store.execute("BEGIN IMMEDIATE")
        store.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        store.close()
    return True


@contextlib.contextmanager
def stopped(cloud: AllInOne) -> Iterator[None]:
    """Keep the taskmanagers of the all-in-one from working, as if the machine hung."""
    found = taskmanagers(cloud)
    assert found, "a taskmanager must run to be stopped"
    end = time.monotonic() + 30
    while True:
        for process in found:
            process.send_signal(signal.SIGSTOP)
        if can_write(cloud):
            break
        for process in found:
            process.send_signal(signal.SIGCONT)
        assert time.monotonic() < end, "the store is always locked"
        # the one that held it comes to the end of its transaction
        time.sleep(0.2)
    try:
        yield
    finally:
        for process in found:
            process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def another(cloud: AllInOne, action: str, point: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run another taskmanager, which kills itself at a point."""
    line = taskmanagers(cloud)[0].cmdline()
    options = line[next(index for index, word in enumerate(line)
                        if "trove-taskmanager" in word) + 1:]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.dying_taskmanager", action, point,
         *options])
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def parts(cloud: AllInOne, instance_id: str) -> dict[str, int]:
    """Return how much the cloud has of an instance."""
    admin = cloud.rest("openrc-admin")
    servers = admin.service("compute", "/servers/detail?all_tenants=1")["servers"]
    volumes = admin.service("volumev3", "/volumes/detail?all_tenants=1")["volumes"]
    ports = admin.service("network", "/v2.0/ports")["ports"]
    groups = admin.service("network", "/v2.0/security-groups")["security_groups"]
    return {
        "servers": sum(instance_id in str(one["metadata"]) for one in servers),
        # one that is kept for snapshots is no instance's
        "volumes": sum(one["metadata"].get("trove_instance_id") == instance_id
                       for one in volumes),
        "ports": sum(one["name"].startswith(f"trove-{instance_id}-") for one in ports),
        "groups": sum(one["name"] == f"trove-{instance_id}" for one in groups)}


ONE = {"servers": 1, "volumes": 1, "ports": 1, "groups": 1}
NOTHING = dict.fromkeys(ONE, 0)


class Bench:
    """Asks for actions by REST; keeps an instance and a backup for them."""

    def __init__(self, cloud: AllInOne) -> None:
        self.cloud = cloud
        self.ident = ""
        self._backup = self._group = self._module = ""
        self._values = 100

    def create(self) -> Callable[[], object]:
        made = self.cloud.rest().post("/instances", {"instance": {
            "name": "survivor", "flavorRef": "1", "volume": {"size": 1},
            "datastore": {"type": "mariadb"}}}).json()["instance"]
        self.ident = str(made["id"])
        return self.active

    def create_anew(self) -> Callable[[], object]:
        """Ask for another instance; return when a taskmanager works on it."""
        if self.ident:
            self.delete()()
        check = self.create()
        end = time.monotonic() + 60
        while not parts(self.cloud, self.ident)["volumes"]:
            assert time.monotonic() < end, f"nobody works on {self.ident}"
            time.sleep(0.05)
        return check

    def active(self) -> dict[str, Any]:
        shown = self.cloud.wait_status(self.ident, "ACTIVE", 240)
        assert shown.get("fault") is None
        assert parts(self.cloud, self.ident) == ONE
        return shown

    def instance(self) -> str:
        """Return an instance that works."""
        if not self.ident:
            self.create()
        self.active()
        return self.ident

    def act(self, body: Any) -> Callable[[], object]:
        self.cloud.rest("openrc-admin").post(f"/instances/{self.instance()}/action", body)
        return self.active

    def resize_volume(self) -> Callable[[], object]:
        size = self.active()["volume"]["size"] + 1
        self.act({"resize": {"volume": {"size": size}}})

        def grown() -> None:
            assert self.active()["volume"]["size"] == size
        return grown

    def resize_flavor(self) -> Callable[[], object]:
        other = "2" if self.active()["flavor"]["id"] == "1" else "1"
        self.act({"resize": {"flavorRef": other}})

        def moved() -> None:
            assert self.active()["flavor"]["id"] == other
        return moved

    def delete(self) -> Callable[[], object]:
        self.cloud.rest().request("DELETE", f"/instances/{self.instance()}")
        return self._gone

    def force_delete(self) -> Callable[[], object]:
        self.act({"reset_status": {"force_delete": True}})
        return self._gone

    def _gone(self) -> None:
        ident, self.ident = self.ident, ""
        self.cloud.wait_gone(ident, 240)
        assert parts(self.cloud, ident) == NOTHING

    def snapshot(self) -> Callable[[], object]:
        return self.backup("cinder")

    def backup(self, driver: str = "swift") -> Callable[[], object]:
        self._backup = self.cloud.rest().post("/backups", {"backup": {
            "name": "b", "instance": self.instance(), "storage_driver": driver,
        }}).json()["backup"]["id"]
        return lambda: self.cloud.wait_backup(self._backup, seconds=240)

    def delete_backup(self) -> Callable[[], object]:
        rest = self.cloud.rest()
        rest.request("DELETE", f"/backups/{self._backup}")

        def gone() -> None:
            end = time.monotonic() + 240
            while rest.get(f"/backups/{self._backup}", check=False).status_code != 404:
                assert time.monotonic() < end
                time.sleep(0.5)
        return gone

    def put(self, path: str, body: Any) -> Callable[[], object]:
        """Change something; the instance is well then, and the change was made."""
        rest = self.cloud.rest()
        ident = rest.request("PUT", path, json=body).headers["X-Trove-Operation-Id"]

        def done() -> None:
            end = time.monotonic() + 240
            while (shown := rest.get(f"/operations/{ident}").json()["operation"])[
                    "status"] != "SUCCEEDED":
                assert shown["ended_at"] is None, shown
                assert time.monotonic() < end, shown
                time.sleep(0.5)
            self.active()
        return done

    def configure(self) -> Callable[[], object]:
        made = self.cloud.rest().post("/configurations", {"configuration": {
            "name": "c", "values": {"wait_timeout": 99}, "datastore": {"type": "mariadb"}}})
        self._group = str(made.json()["configuration"]["id"])
        return self.put(f"/instances/{self.instance()}", {"instance": {
            "configuration": self._group}})

    def apply_configuration(self) -> Callable[[], object]:
        self._values += 1
        return self.put(f"/configurations/{self._group}", {"configuration": {
            "name": "c", "values": {"wait_timeout": self._values}}})

    def update_access(self) -> Callable[[], object]:
        return self.put(f"/instances/{self.instance()}", {"instance": {"access": {
            "is_public": False, "allowed_cidrs": ["10.0.0.0/8"]}}})

    def module(self) -> None:
        """Make a module, and put it on the instance."""
        rest = self.cloud.rest()
        self._module = str(rest.post("/modules", {"module": {
            "name": f"m{time.monotonic_ns()}", "module_type": "ping", "live_update": 1,
            "contents": "bWVzc2FnZT1IZWxsbwo="}}).json()["module"]["id"])
        rest.post(f"/instances/{self.instance()}/modules", {"modules": [
            {"id": self._module}]})

    def reapply(self) -> Callable[[], object]:
        return self.put(f"/modules/{self._module}/instances", {"reapply": {"force": 1}})

    def manage(self, body: Any, status: str = "ACTIVE") -> Callable[[], object]:
        """Ask for what only administrators may; it has its end when the status is reached."""
        self.cloud.rest("openrc-admin").post(f"/mgmt/instances/{self.instance()}/action", body)
        if status == "ACTIVE":
            return self.active
        return lambda: self.cloud.wait_status(self.ident, status, 240)

    def rebuild(self) -> Callable[[], object]:
        images = self.cloud.rest("openrc-admin").service("image", "/v2/images")["images"]
        image = next(one["id"] for one in images if "mariadb" in one["tags"])
        return self.manage({"rebuild": {"image_id": image}})

    def upgrade(self) -> Callable[[], object]:
        rest = self.cloud.rest()
        version = rest.get("/datastores/mariadb/versions").json()["versions"][0]["id"]
        rest.request("PATCH", f"/instances/{self.instance()}", json={
            "instance": {"datastore_version": version}})
        return self.active

    def stop(self) -> Callable[[], object]:
        ended = self.manage({"stop": {}}, "SHUTDOWN")

        def started_again() -> None:
            ended()
            self.cloud.rest().post(f"/instances/{self.ident}/action", {"restart": {}})
            self.active()
        return started_again

    def take_over_backup(self) -> Callable[[], object]:
        rest = self.cloud.rest()
        made = rest.get(f"/backups/{self._backup}").json()["backup"]
        taken = rest.post("/backups", {"backup": {"name": "t", "restore_from": {
            "remote_location": made["locationRef"], "size": made["size"],
            "local_datastore_version_id": made["datastore"]["version_id"]}}})
        ident = taken.json()["backup"]["id"]
        return lambda: self.cloud.wait_backup(ident, seconds=240)

    def prepare(self, action: str) -> None:
        """Make what an action needs, while a taskmanager still works."""
        if action in ("backup.delete", "backup.import"):
            self.backup()()
        elif action == "backup.delete_snapshot":
            self.snapshot()()
        elif action == "configuration.apply":
            self.configure()()
        elif action == "module.reapply":
            self.module()
        elif action != "instance.create":
            self.instance()
        elif self.ident:
            self.delete()()

    def asks(self) -> dict[str, Callable[[], Callable[[], object]]]:
        """Return how each action is asked for; what that returns checks its end."""
        return {
            "instance.configure": self.configure, "module.reapply": self.reapply,
            "configuration.apply": self.apply_configuration,
            "instance.update_access": self.update_access,
            "instance.create": self.create, "instance.delete": self.delete,
            "instance.force_delete": self.force_delete,
            "instance.restart": lambda: self.act({"restart": {}}),
            "instance.resize_flavor": self.resize_flavor,
            "instance.resize_volume": self.resize_volume,
            "backup.create": self.backup, "backup.delete": self.delete_backup,
            "backup.snapshot": self.snapshot,
            "backup.delete_snapshot": self.delete_backup,
            "backup.import": self.take_over_backup, "instance.rebuild": self.rebuild,
            "instance.upgrade": self.upgrade, "instance.stop": self.stop,
            "instance.reboot": lambda: self.manage({"reboot": {}}),
            "instance.migrate": lambda: self.manage({"migrate": {"host": None}})}


def test_every_action_can_be_asked_for(cloud: AllInOne) -> None:
    assert set(Bench(cloud).asks()) | _ELSEWHERE == set(runbooks())


@pytest.fixture(scope="module")
def bench(cloud: AllInOne) -> Iterator[Bench]:
    made = Bench(cloud)
    yield made
    if made.ident:
        made.delete()()


@pytest.mark.parametrize(("action", "point"), _POINTS)
def test_another_taskmanager_ends_what_a_killed_one_left(
        bench: Bench, action: str, point: str) -> None:
    bench.prepare(action)
    with another(bench.cloud, action, point) as dying, stopped(bench.cloud):
        check = bench.asks()[action]()
        assert dying.wait(120) == -signal.SIGKILL
    check()


def test_a_taskmanager_that_is_killed_is_started_again(bench: Bench) -> None:
    check = bench.create_anew()
    for process in taskmanagers(bench.cloud):
        process.send_signal(signal.SIGKILL)
    check()


def test_a_taskmanager_that_wakes_up_again_changes_nothing(bench: Bench) -> None:
    """It is stopped in the middle of a create, for longer than its lease."""
    cloud, check = bench.cloud, bench.create_anew()
    with another(cloud, "", "never"):
        with stopped(cloud):
            check()
        # the one that was stopped comes to itself while the other still runs
        time_to_renew = time.monotonic() + 15
        while time.monotonic() < time_to_renew:
            assert parts(cloud, bench.ident) == ONE
            time.sleep(1)
        bench.active()
