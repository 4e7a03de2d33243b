"""Backups that continue each other, and encrypted ones, from request to restore."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.world import LivingAgent, wait_for
from trove_ng.db.models import Backup
from trove_ng.db.repositories import backups


@pytest.fixture
def instance(plane: ControlPlane) -> str:
    """An instance whose agent stores backups."""
    plane.hypervisor.make_agent = LivingAgent
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    return ident


def make(plane: ControlPlane, instance: str, status: str = "COMPLETED",
         **more: Any) -> dict[str, Any]:
    """Make a backup; return its view when it has ended."""
    ident = plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": instance, **more}}, status=202).json["backup"]["id"]

    def ended() -> Any:
        shown = plane.request("GET", f"/backups/{ident}", status=200).json["backup"]
        return shown if shown["status"] in ("COMPLETED", "FAILED") else None

    shown: dict[str, Any] = wait_for(ended, "the backup")
    assert shown["status"] == status, shown
    plane.wait(instance, "ACTIVE")
    return shown


def asked(plane: ControlPlane, name: str) -> list[Any]:
    return [request for agent in plane.hypervisor.agents.values()
            for method, request in agent.asked if method == name]


def row(plane: ControlPlane, ident: str) -> Backup:
    with plane.db.reader() as session:
        found = backups.get(session, ident)
    assert found is not None
    return found


def test_a_chain_is_made_and_restored_in_its_order(plane: ControlPlane, instance: str) -> None:
    chain = [make(plane, instance, incremental=1)["id"] for _ in range(3)]
    assert [row(plane, one).parent_id for one in chain] == [None, *chain[:2]]
    parents = [request.parent for request in asked(plane, "create_backup")]
    assert [one and one.segments[0].name for one in parents] == [
        None, *(f"backup_{one}/000" for one in chain[:2])]
    other = plane.create(name="other", restorePoint={"backupRef": chain[2]})
    plane.wait(other, "ACTIVE")
    restore = asked(plane, "prepare")[-1].restore
    assert [one.segments[0].name for one in restore.chain] == [
        f"backup_{one}/000" for one in chain]
    assert [one.prefix for one in restore.grants] == [f"backup_{one}/" for one in chain]
    assert all(one.put_query is None for one in restore.grants)
    assert restore.keys == [None, None, None]


@pytest.mark.parametrize("damage", ["missing", "other"])
def test_a_damaged_backup_is_not_continued_and_not_restored(
        plane: ControlPlane, instance: str, damage: str) -> None:
    first, second = (make(plane, instance, incremental=1)["id"] for _ in range(2))
    store, account = plane.minicloud.swift._store, f"AUTH_{plane.project_id}"
    name = f"backup_{first}/000"
    if damage == "missing":
        store.delete(account, "database_backups", name)
    else:
        plane.tools.clouds.objects._ask(
            plane.project_id, "put_object", "database_backups", name, b"else")
    asks = len(asked(plane, "create_backup"))
    failed = make(plane, instance, "FAILED", parent_id=second)
    assert name in (row(plane, failed["id"]).error or "")
    assert len(asked(plane, "create_backup")) == asks
    shown = plane.request("GET", f"/backups/{first}", status=200).json["backup"]
    assert shown["status"] == "CORRUPT"
    plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": instance, "parent_id": second}}, status=409)
    # who does not name one gets a full one
    assert make(plane, instance, incremental=1)["parent_id"] is None
    plane.request("POST", "/instances", {"instance": {
        "name": "r", "flavorRef": "1", "volume": {"size": 1},
        "restorePoint": {"backupRef": second}}}, status=400)


def test_a_key_of_its_own_encrypts_each_backup_and_comes_with_the_restore(
        plane: ControlPlane, instance: str) -> None:
    plain = make(plane, instance)["id"]
    plane.conf.set_override("backup_encryption", True)
    first, second = (make(plane, instance, incremental=1)["id"] for _ in range(2))
    keys = [request.key for request in asked(plane, "create_backup")]
    assert keys[0] is None
    assert len({base64.urlsafe_b64decode(one.reveal()) for one in keys[1:]}) == 2
    assert row(plane, plain).sealed_key is None
    for ident, key in zip((first, second), keys[1:], strict=True):
        assert key.reveal() not in str(row(plane, ident).sealed_key)
    # what is encrypted stays so
    plane.conf.set_override("backup_encryption", False)
    plane.wait(plane.create(name="other", restorePoint={"backupRef": second}), "ACTIVE")
    restored = asked(plane, "prepare")[-1].restore.keys
    assert [one and one.reveal() for one in restored] == [
        one and one.reveal() for one in keys]
    plane.request("DELETE", f"/backups/{plain}", status=202)
    plane.wait_gone(f"/backups/{plain}")

    def forgotten() -> bool:
        with plane.db.reader() as session:
            return not backups.sealed_with(session)

    wait_for(forgotten, "the keys to be forgotten")


def test_strategies_of_an_instance_end_with_it(plane: ControlPlane, instance: str) -> None:
    for ident in (None, instance):
        plane.request("POST", "/backup_strategies", {"backup_strategy": {
            "swift_container": "mine", "instance_id": ident}}, status=202)
    made = make(plane, instance)
    assert "/mine/" in made["locationRef"]
    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.wait_gone(f"/instances/{instance}")
    listed = plane.request("GET", "/backup_strategies", status=200).json["backup_strategies"]
    assert [one["instance_id"] for one in listed] == [None]
