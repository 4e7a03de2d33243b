"""Objects that an agent stored for a backup that is not there any more."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.test_backups import forget, make, take_over
from tests.functional.control_plane.world import LivingAgent
from trove_ng.common.clock import utcnow
from trove_ng.db.models import Backup
from trove_ng.operations.reconcile.reconciler import Reconciler

FOUND = ("leftover", "objects", True)
CONTAINER = "database_backups"


@pytest.fixture
def backup(plane: ControlPlane) -> str:
    """A deleted backup that was in the object store."""
    plane.conf.set_override("orphan_objects_age", 0)
    plane.hypervisor.make_agent = LivingAgent
    instance = plane.create()
    plane.wait(instance, "ACTIVE")
    ident = str(make(plane, instance)["id"])
    plane.request("DELETE", f"/backups/{ident}", status=202)
    plane.wait_gone(f"/backups/{ident}")
    assert found(plane) == []
    return ident


def found(plane: ControlPlane) -> list[tuple[str, str, bool]]:
    return sorted((str(one.finding.kind), one.finding.resource, one.repaired)
                  for one in plane.reconcile())


def put(plane: ControlPlane, *names: str) -> None:
    for name in names:
        plane.tools.clouds.objects.write_object(plane.project_id, CONTAINER, name, b"late")


def names(plane: ControlPlane) -> list[str]:
    return plane.tools.clouds.objects.list_prefix(plane.project_id, CONTAINER, "")


def change(plane: ControlPlane, ident: str, **values: Any) -> None:
    with plane.db.writer() as session:
        session.execute(update(Backup).where(Backup.id == ident).values(**values))


def test_what_an_agent_stored_late_is_deleted_and_nothing_else(
        plane: ControlPlane, backup: str) -> None:
    instance = plane.create(name="other")
    plane.wait(instance, "ACTIVE")
    good = make(plane, instance)["id"]
    mine = ["backup_mine/000", "backup_notes.txt", f"x/backup_{backup}/000", "other/000",
            f"backup_{'0' * 8}-0000-4000-8000-{'0' * 12}/000"]
    put(plane, *mine, f"backup_{backup}/000", f"backup_{backup}/001")
    kept = sorted([*mine, f"backup_{good}/000", f"backup_{good}.json",
                   f"backup_{good}.manifest"])
    assert found(plane) == [FOUND]
    assert sorted(names(plane)) == kept
    assert found(plane) == []


def test_a_failed_backup_is_treated_likewise(plane: ControlPlane, backup: str) -> None:
    change(plane, backup, deleted=False, state="FAILED", tenant_id=plane.project_id)
    put(plane, f"backup_{backup}/000")
    assert FOUND in found(plane)
    assert names(plane) == []


def test_a_record_that_came_late_is_deleted_where_its_data_are_not(
        plane: ControlPlane, backup: str) -> None:
    put(plane, f"backup_{backup}.json", f"backup_{backup}.manifest")
    assert found(plane) == [FOUND]
    assert names(plane) == []


@pytest.mark.parametrize("why", [
    "young", "worked on", "record", "after the leave", "taken over", "another place",
    "another project"])
def test_what_may_be_needed_stays(plane: ControlPlane, backup: str, why: str) -> None:
    put(plane, f"backup_{backup}/000")
    if why == "young":
        plane.conf.set_override("orphan_objects_age", 3600)
    elif why == "worked on":
        plane.conf.set_override("orphan_age", 3600)
    elif why == "record":
        put(plane, f"backup_{backup}.json")
    elif why == "after the leave":
        # somebody put it there who has no leave of ours
        change(plane, backup, created=utcnow() - datetime.timedelta(
            seconds=plane.conf.backup_grant_lifetime + 60))
    elif why == "taken over":
        with plane.db.writer() as session:
            session.add(Backup(name="t", tenant_id=plane.project_id, state="RESTORED",
                               container=CONTAINER, prefix=f"backup_{backup}/"))
    else:
        # it is looked at because of another backup that is deleted
        with plane.db.writer() as session:
            session.add(Backup(
                name="d", tenant_id=plane.project_id, state="COMPLETED", deleted=True,
                container=CONTAINER, prefix="backup_d/"))
        change(plane, backup, **({"container": "elsewhere"} if why == "another place"
                                 else {"tenant_id": "another"}))
    assert [one for one in found(plane) if one[1] == "objects"] == []
    assert f"backup_{backup}/000" in names(plane)


def test_a_backup_that_was_taken_over_keeps_its_objects(plane: ControlPlane, backup: str) -> None:
    instance = plane.create(name="other")
    plane.wait(instance, "ACTIVE")
    source = make(plane, instance)
    forget(plane, source["id"])
    take_over(plane, source["locationRef"])
    assert FOUND not in found(plane)
    assert f"backup_{source['id']}/000" in names(plane)


def test_the_object_store_is_asked_from_time_to_time(
        plane: ControlPlane, backup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(plane.clock, "monotonic", lambda: now[0])
    seldom, never = Reconciler(plane.tools, 3600), Reconciler(plane.tools, None)
    put(plane, f"backup_{backup}/000")
    assert never.run() == []
    assert len(seldom.run()) == 1
    put(plane, f"backup_{backup}/000")
    for moment, count in ((3599.0, 0), (3600.0, 1), (3601.0, 0)):
        now[0] = moment
        assert len(seldom.run()) == count


def test_trove_manage_tells_it_and_deletes_it(
        plane: ControlPlane, backup: str, tmp_path: Path) -> None:
    put(plane, f"backup_{backup}/000")
    credentials = plane.conf.service_credentials
    config = tmp_path / "trove.conf"
    config.write_text(
        "[DEFAULT]\norphan_age = 0\norphan_objects_age = 0\ntransport_url = fake://\n"
        f"[database]\nconnection = {plane.conf.database.connection}\n"
        f"[service_credentials]\nauth_url = {credentials.auth_url}\n"
        f"password = {credentials.password}\n")

    def manage(*options: str) -> tuple[int, list[dict[str, Any]]]:
        done = subprocess.run(
            [str(Path(sys.executable).parent / "trove-manage"), "--config-file", str(config),
             "reconcile", "--json", *options], capture_output=True, text=True, timeout=60)
        return done.returncode, json.loads(done.stdout)["findings"]

    code, told = manage()
    assert (code, [(one["kind"], one["resource_id"], one["repaired"]) for one in told]) == (
        1, [("leftover", f"{CONTAINER}/backup_{backup}/", False)])
    assert names(plane)
    code, told = manage("--fix")
    assert (code, [one["repaired"] for one in told]) == (0, [True])
    assert names(plane) == []
    assert manage() == (0, [])
