"""Backups that are snapshots of volumes, from request to restore."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.invariants import Cloud, violations
from tests.functional.control_plane.test_backups import asked, make, row
from tests.functional.control_plane.world import LivingAgent, wait_for
from trove_ng.datastores import base as engines
from trove_ng.db.models import Backup, Instance
from trove_ng.db.repositories import quotas
from trove_ng.rpc import messages as m

NOBODY = "00000000-0000-4000-8000-000000000000"
CINDER: dict[str, Any] = {"storage_driver": "cinder"}


@pytest.fixture
def instance(plane: ControlPlane) -> str:
    plane.hypervisor.make_agent = LivingAgent
    ident = plane.create(volume={"size": 2})
    plane.wait(ident, "ACTIVE")
    return ident


def delete(plane: ControlPlane, path: str) -> None:
    plane.request("DELETE", path, status=202)
    plane.wait_gone(path)


def refused(plane: ControlPlane, status: int = 400, **body: Any) -> str:
    answer = plane.request("POST", "/backups", {"backup": {"name": "b", **body}}, status=status)
    return str(answer.text)


def test_a_snapshot_is_made_while_the_agent_holds_the_data(
        plane: ControlPlane, instance: str) -> None:
    made = make(plane, instance, **CINDER)
    (hold,), (release,) = asked(plane, "hold_data"), asked(plane, "release_data")
    # all but their places in the order of requests
    assert msgspec.structs.replace(hold, word=release.word) == release
    assert hold.seconds == plane.conf.backup_snapshot_hold
    (snapshot,) = Cloud(plane).snapshots[made["id"]]
    assert (made["storage_driver"], made["size"], made["parent_id"]) == ("cinder", 2, None)
    assert made["locationRef"] == f"cinder://{snapshot['id']}"
    assert plane.hypervisor.snapshots == {snapshot["id"]: snapshot["volume_id"]}
    assert not asked(plane, "create_backup")
    assert plane.quota()["backups"] == (1, 0)
    assert violations(plane) == []
    delete(plane, f"/backups/{made['id']}")
    assert plane.hypervisor.snapshots == {}
    assert plane.quota()["backups"] == (0, 0)


def test_an_instance_is_made_of_a_snapshot(plane: ControlPlane, instance: str) -> None:
    made = make(plane, instance, **CINDER)
    other = plane.create(name="other", volume={"size": 3},
                         restorePoint={"backupRef": made["id"]})
    plane.wait(other, "ACTIVE")
    request = asked(plane, "prepare")[-1]
    assert request.existing == m.ExistingData(version="10.11.6-MariaDB")
    assert request.restore is None
    (volume,) = Cloud(plane).volumes[other]
    (snapshot,) = Cloud(plane).snapshots[made["id"]]
    assert (volume["snapshot_id"], volume["size"]) == (snapshot["id"], 3)
    body = {"name": "r", "flavorRef": "1", "restorePoint": {"backupRef": made["id"]}}
    for more in ({"volume": {"size": 1}}, {}):
        plane.request("POST", "/instances", {"instance": {**body, **more}}, status=400)
    assert violations(plane) == []


def test_what_a_snapshot_cannot_be(plane: ControlPlane, instance: str) -> None:
    full = make(plane, instance)["id"]
    snapshot = make(plane, instance, **CINDER)["id"]
    asks = {"instance": instance, **CINDER}
    assert "continues no other" in refused(plane, **asks, incremental=1)
    assert "continues no other" in refused(plane, **asks, parent_id=full)
    assert "no container" in refused(plane, **asks, swift_container="c")
    assert "no backup in the object store" in refused(
        plane, instance=instance, parent_id=snapshot)
    assert "cannot be combined" in refused(plane, **CINDER, restore_from={
        "remote_location": "https://swift.example.net/x", "size": 1,
        "local_datastore_version_id": "v"})
    refused(plane, instance=instance, storage_driver="ceph")
    # and is not continued by one that nobody named a parent for
    assert make(plane, instance, incremental=1)["parent_id"] == full
    plane.conf.set_override("max_backups_per_tenant", 3)
    refused(plane, 413, **asks)
    plane.conf.set_override("max_backups_per_tenant", 50)
    with plane.db.writer() as session:
        session.execute(update(Instance).where(Instance.id == instance).values(volume_id=None))
    assert "has no volume" in refused(plane, **asks)


def test_volumes_whose_content_is_needed_are_not_left_out(
        plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.hypervisor.make_agent = LivingAgent
    ident = plane.create(volume=None, volume_list=[
        {"volume_kind": kind, "size": 1} for kind in ("data", "binlog", "user_log")])
    plane.wait(ident, "ACTIVE")
    make(plane, ident, **CINDER)
    known = engines.load_datastores()
    monkeypatch.setattr(engines, "load_datastores", lambda: {
        **known, "mariadb": dataclasses.replace(known["mariadb"], begun_anew=("user_log",))})
    assert "has data on others: binlog." in refused(plane, instance=ident, **CINDER)


def test_strategies_and_the_configuration_say_where_backups_go(
        plane: ControlPlane, instance: str) -> None:
    def strategy(status: int = 202, **body: Any) -> Any:
        return plane.request("POST", "/backup_strategies", {"backup_strategy": body},
                             status=status).json

    assert strategy(storage_driver="cinder")["backup_strategy"] == {
        "project_id": plane.project_id, "instance_id": None, "backend": "cinder",
        "swift_container": None}
    assert make(plane, instance)["storage_driver"] == "cinder"
    assert make(plane, instance, storage_driver="swift")["storage_driver"] == "swift"
    refused(plane, instance=instance, incremental=1)
    strategy(swift_container="mine", instance_id=instance)
    made = make(plane, instance, incremental=1)
    assert (made["storage_driver"], "/mine/" in made["locationRef"]) == ("swift", True)
    for body in ({}, {"storage_driver": "swift"},
                 {"storage_driver": "cinder", "swift_container": "c"}):
        strategy(400, **body)
    for query in ("", f"?instance_id={instance}"):
        plane.request("DELETE", f"/backup_strategies{query}", status=202)
    assert make(plane, instance)["storage_driver"] == "swift"
    plane.conf.set_override("backup_storage_driver", "cinder")
    assert make(plane, instance)["storage_driver"] == "cinder"


def test_data_that_were_not_held_are_no_backup(
        plane: ControlPlane, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LivingAgent, "_release_data", lambda _self, _request: m.Flag(value=False))
    failed = make(plane, instance, "FAILED", **CINDER)
    assert "kept from writing" in str(row(plane, failed["id"]).error)
    assert violations(plane) == []


@pytest.mark.parametrize("fails", ["hold_data", "create_snapshot"])
def test_what_fails_leaves_nothing_and_lets_the_database_write(
        plane: ControlPlane, instance: str, fails: str) -> None:
    if fails == "hold_data":
        plane.hypervisor.failures[fails] = "The data cannot be held."
    else:
        plane.hypervisor.fail_next(fails, "no space")
    failed = make(plane, instance, "FAILED", **CINDER)
    assert row(plane, failed["id"]).error in (
        "The data cannot be held.", "The volume service could not make the snapshot.")
    assert violations(plane) == []
    assert [one.held for one in plane.hypervisor.agents.values()] == [None]
    plane.hypervisor.failures.clear()
    make(plane, instance, **CINDER)


def test_a_volume_stays_until_its_last_snapshot_is_deleted(
        plane: ControlPlane, instance: str) -> None:
    first, second = (make(plane, instance, **CINDER)["id"] for _ in range(2))
    delete(plane, f"/instances/{instance}")
    (kept,) = Cloud(plane).kept
    assert Cloud(plane).volumes == {}
    assert plane.quota()["volumes"] == (0, 0)
    assert violations(plane) == []
    plane.wait(plane.create(name="other", volume={"size": 2},
                            restorePoint={"backupRef": second}), "ACTIVE")
    delete(plane, f"/backups/{first}")
    assert Cloud(plane).kept == [kept]
    delete(plane, f"/backups/{second}")
    assert Cloud(plane).kept == []
    assert violations(plane) == []


def test_a_snapshot_of_a_person_keeps_the_volume_and_is_left_alone(
        plane: ControlPlane, instance: str) -> None:
    storage, (volume,) = plane.tools.clouds.volume, Cloud(plane).volumes[instance]
    made = make(plane, instance, **CINDER)["id"]
    storage._client.volume_snapshots.create(volume["id"], force=True, name="mine")
    change(plane, made, deleted=True)
    delete(plane, f"/instances/{instance}")
    wait_for(lambda: plane.reconcile() == [], "the reconciliation")
    assert [one.name for one in storage.list_snapshots()] == ["mine"]
    assert [one["id"] for one in Cloud(plane).kept] == [volume["id"]]


def test_snapshots_of_deleted_backups_go_with_the_volume(
        plane: ControlPlane, instance: str) -> None:
    made = make(plane, instance, **CINDER)["id"]
    change(plane, made, deleted=True)
    delete(plane, f"/instances/{instance}")
    assert violations(plane) == []
    assert plane.hypervisor.volumes == {}


def test_an_instance_that_goes_while_a_snapshot_is_made(
        plane: ControlPlane, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its volume is kept for a snapshot that then fails, and goes with it."""
    monkeypatch.setattr(plane.hypervisor, "create_snapshot",
                        lambda *_args: time.sleep(3))
    ident = plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": instance, **CINDER}}, status=202).json["backup"]["id"]
    wait_for(lambda: Cloud(plane).snapshots.get(ident), "the snapshot to be begun")
    plane.request("POST", f"/instances/{instance}/action", {
        "reset_status": {"force_delete": True}}, status=202, token="admin")
    plane.wait_gone(f"/instances/{instance}")
    wait_for(lambda: row(plane, ident).state == "FAILED", "the backup to fail")
    wait_for(lambda: not violations(plane), "all to be gone")


# ---- reconciliation ---------------------------------------------------------------------


def found(plane: ControlPlane) -> list[tuple[str, str, bool]]:
    return sorted((str(one.finding.kind), one.finding.resource, one.repaired)
                  for one in plane.reconcile())


def test_snapshots_that_nobody_knows_any_more_are_deleted(
        plane: ControlPlane, instance: str) -> None:
    kept, deleted, failed = (make(plane, instance, **CINDER)["id"] for _ in range(3))
    assert plane.reconcile() == []
    change(plane, deleted, deleted=True)
    change(plane, failed, state="FAILED")
    storage = plane.tools.clouds.volume
    volume_id = str(Cloud(plane).volumes[instance][0]["id"])
    unknown = storage.create_snapshot(backup_id=NOBODY, volume_id=volume_id).id
    # a request that was given up arrived after all
    storage.create_snapshot(backup_id=kept, volume_id=volume_id)
    wait_for(lambda: {one.status for one in storage.list_snapshots()} == {"available"},
             "the snapshots")
    plane.conf.set_override("orphan_age", 3600)
    assert found(plane) == [("unknown-backup", "snapshot", False)]
    plane.conf.set_override("orphan_age", 0)
    assert found(plane) == [("leftover", "snapshot", True)] * 3 + [
        ("unknown-backup", "snapshot", False)]
    wait_for(lambda: len(storage.list_snapshots()) == 2, "the others to be deleted")
    storage.delete_snapshot(unknown)
    wait_for(lambda: plane.reconcile() == [], "nothing to be wrong")
    assert [f"cinder://{one}" for one in plane.hypervisor.snapshots] == [
        row(plane, kept).location]


def test_a_snapshot_that_is_gone_is_told(plane: ControlPlane, instance: str) -> None:
    make(plane, instance, **CINDER)
    (snapshot,) = plane.tools.clouds.volume.list_snapshots()
    plane.tools.clouds.volume.delete_snapshot(snapshot.id)
    wait_for(lambda: not plane.hypervisor.snapshots, "the snapshot to be gone")
    assert found(plane) == [("missing", "snapshot", False)]


def test_a_volume_that_was_kept_for_nothing_is_deleted(
        plane: ControlPlane, instance: str) -> None:
    made = make(plane, instance, **CINDER)["id"]
    delete(plane, f"/instances/{instance}")
    assert plane.reconcile() == []
    storage = plane.tools.clouds.volume
    storage.delete_snapshot(storage.list_snapshots()[0].id)
    wait_for(lambda: not storage.list_snapshots(), "the snapshot to be gone")
    change(plane, made, deleted=True)
    assert found(plane) == [("leftover", "volume", True)]
    wait_for(lambda: not storage.list_volumes(), "the volume to be gone")
    assert plane.reconcile() == []


def change(plane: ControlPlane, ident: str, **values: Any) -> None:
    with plane.db.writer() as session:
        session.execute(update(Backup).where(Backup.id == ident).values(**values))
        quotas.recount_quiet(session, plane.project_id)
