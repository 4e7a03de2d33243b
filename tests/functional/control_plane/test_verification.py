"""Backups that are verified: restored where nobody sees it, looked through, and told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.invariants import violations
from tests.functional.control_plane.test_backups import asked, instance, make, row
from tests.functional.control_plane.world import LivingAgent, wait_for
from trove_ng.common.states import VERIFICATION_PROJECT
from trove_ng.db.models import Instance
from trove_ng.db.repositories import quotas, usage
from trove_ng.operations.reconcile.findings import Repair
from trove_ng.rpc import messages as m

__all__ = ["instance"]


def begin(plane: ControlPlane, ident: str, status: int = 202) -> Any:
    return plane.request("POST", f"/backups/{ident}/action", {"verify": {}}, status=status)


def end(plane: ControlPlane, answer: Any) -> dict[str, Any]:
    """Return the operation of an answer when it has ended."""
    ident = answer.headers["X-Trove-Operation-Id"]

    def ended() -> Any:
        shown = plane.request("GET", f"/operations/{ident}", status=200).json["operation"]
        return shown if shown["status"] not in ("PENDING", "RUNNING") else None

    shown: dict[str, Any] = wait_for(ended, "the verification")
    return shown


def shown(plane: ControlPlane, ident: str) -> dict[str, Any]:
    found: dict[str, Any] = plane.request("GET", f"/backups/{ident}", status=200).json["backup"]
    return found


def scratch(plane: ControlPlane) -> Instance:
    """Return the only instance that was made for a verification."""
    with plane.db.reader() as session:
        return session.scalars(select(Instance).where(Instance.verifies_id.is_not(None))).one()


def script(plane: ControlPlane, change: Callable[[LivingAgent], None]) -> None:
    """Let the agents of instances that are made from now on be another way."""
    def agent(*args: Any) -> LivingAgent:
        made = LivingAgent(*args)
        change(made)
        return made

    plane.hypervisor.make_agent = agent


def test_a_good_backup_is_verified_and_nothing_stays(plane: ControlPlane, instance: str) -> None:
    ident = make(plane, instance)["id"]
    before, used = plane.resources(), plane.quota()
    seen: list[Any] = []

    def look(agent: LivingAgent) -> None:
        seen.append((plane.quota(), plane.request("GET", "/instances").json["instances"],
                     plane.request("GET", "/mgmt/instances", token="admin").json["instances"]))
        with plane.db.reader() as session:
            told = usage.instances(session, plane.clock.now(), "", 100)
            accounts = quotas.usage(session, VERIFICATION_PROJECT)
        seen.append(([one[0].id for one in told], accounts))

    script(plane, look)
    operation = end(plane, begin(plane, ident))
    assert operation["status"] == "SUCCEEDED", operation
    found = shown(plane, ident)
    assert found["status"] == "COMPLETED"
    assert found["verified_at"] is not None
    assert found["restore_seconds"] > 0
    assert found["verification"] == {
        "result": "GOOD", "at": found["verified_at"], "operation_id": operation["id"],
        "reason": None, "size": 5, "counts": {"tables": 3}}
    assert (plane.resources(), plane.quota()) == (before, used)
    (quota, listed, managed), (told, accounts) = seen
    assert (quota, [one["id"] for one in listed], told) == (used, [instance], [instance])
    made = scratch(plane)
    assert made.deleted
    assert {one["id"] for one in managed} == {instance, made.id}
    assert made.name == f"verification-{ident}"
    assert accounts["instances"] == (1, 1)
    assert plane.request("GET", f"/instances/{made.id}").status_int == 404
    assert asked(plane, "create_backup")
    assert violations(plane) == []
    events = plane.request("GET", f"/instances/{instance}/events").json["events"]
    assert "Verifying a backup has succeeded." in [one["message"] for one in events]


@pytest.mark.parametrize("how", ["restore", "data", "objects"])
def test_a_backup_that_is_damaged_is_never_restored_again(
        plane: ControlPlane, instance: str, how: str) -> None:
    first, second = (make(plane, instance, incremental=1)["id"] for _ in range(2))
    before = plane.resources()
    if how == "objects":
        plane.minicloud.swift._store.delete(
            f"AUTH_{plane.project_id}", "database_backups", f"backup_{first}/000")
    elif how == "data":
        script(plane, lambda agent: agent.problems.append("Table shop.orders is damaged."))
    else:
        def refuse(agent: LivingAgent) -> None:
            agent.damaged = "The checksum of a segment is wrong: the backup is damaged."
        script(plane, refuse)
    operation = end(plane, begin(plane, first))
    assert operation["status"] == "FAILED"
    found = shown(plane, first)
    assert (found["status"], found["verified_at"]) == ("CORRUPT", None)
    assert found["verification"]["result"] == "CORRUPT"
    assert found["verification"]["reason"] in operation["error"]
    assert row(plane, first).error == found["verification"]["reason"]
    assert (plane.resources(), violations(plane)) == (before, [])
    for ident, why in ((first, f"{first} is CORRUPT"),
                       (second, f"{second} continues backup {first}, which is CORRUPT")):
        answer = plane.request("POST", "/instances", {"instance": {
            "name": "r", "flavorRef": "1", "volume": {"size": 1},
            "restorePoint": {"backupRef": ident}}})
        assert (answer.status_int, why in answer.text) == (400, True), answer.text
    assert first in begin(plane, second, 409).text
    assert plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": instance, "parent_id": first}}).status_int == 409


@pytest.mark.parametrize("lost", [False, True])
def test_what_the_store_tells_an_agent_is_asked_again(plane: ControlPlane, instance: str,
                                                      lost: bool) -> None:
    ident = make(plane, instance)["id"]

    def refuse(agent: LivingAgent) -> None:
        agent.damaged, agent.damage = "The backup is damaged: 000 is missing (404).", m.Damage()
        if lost:
            plane.minicloud.swift._store.delete(
                f"AUTH_{plane.project_id}", "database_backups", f"backup_{ident}/000")

    script(plane, refuse)
    operation = end(plane, begin(plane, ident))
    assert operation["status"] == "FAILED"
    found = shown(plane, ident)
    verdict = found["verification"]["result"]
    assert (found["status"], verdict) == (("CORRUPT", "CORRUPT") if lost
                                          else ("COMPLETED", "FAILED"))
    assert found["verification"]["reason"] in operation["error"]
    assert violations(plane) == []


@pytest.mark.parametrize("driver", ["swift", "cinder"])
def test_a_backup_that_is_found_to_be_good_is_good_again(plane: ControlPlane, instance: str,
                                                         driver: str) -> None:
    ident = make(plane, instance, storage_driver=driver)["id"]
    script(plane, lambda agent: agent.problems.append("Table shop.orders is damaged."))
    end(plane, begin(plane, ident))
    assert shown(plane, ident)["status"] == "CORRUPT"
    script(plane, lambda agent: None)
    operation = end(plane, begin(plane, ident))
    assert operation["status"] == "SUCCEEDED", operation
    found = shown(plane, ident)
    assert (found["status"], found["verification"]["result"]) == ("COMPLETED", "GOOD")
    assert row(plane, ident).error is None
    assert violations(plane) == []
    plane.request("POST", "/instances", {"instance": {
        "name": "r", "flavorRef": "1", "volume": {"size": 1},
        "restorePoint": {"backupRef": ident}}}, status=200)


@pytest.mark.parametrize("how", ["restore", "objects"])
def test_a_parent_that_is_damaged_is_the_one_that_is_told(
        plane: ControlPlane, instance: str, how: str) -> None:
    first, second = (make(plane, instance, incremental=1)["id"] for _ in range(2))
    checksum = row(plane, first).checksum or ""
    assert checksum != row(plane, second).checksum

    def refuse(agent: LivingAgent) -> None:
        agent.damaged = "The checksum of 000 is wrong: the backup is damaged."
        agent.damage = m.Damage(proved=True, checksum=checksum)

    if how == "restore":
        script(plane, refuse)
    else:
        plane.minicloud.swift._store.delete(
            f"AUTH_{plane.project_id}", "database_backups", f"backup_{first}/000")
    operation = end(plane, begin(plane, second))
    assert first in operation["error"]
    assert [shown(plane, one)["status"] for one in (first, second)] == ["CORRUPT", "COMPLETED"]
    assert shown(plane, second)["verification"]["result"] == "FAILED"


@pytest.mark.parametrize("step", ["prepare", "check_data"])
def test_trouble_that_is_not_the_backups_is_not_held_against_it(
        plane: ControlPlane, instance: str, step: str) -> None:
    ident = make(plane, instance)["id"]
    end(plane, begin(plane, ident))
    good, before = shown(plane, ident), plane.resources()
    plane.hypervisor.failures[step] = "The volume is too small."
    operation = end(plane, begin(plane, ident))
    assert (operation["status"], operation["error"]) == ("FAILED", "The volume is too small.")
    found = shown(plane, ident)
    assert found["status"] == "COMPLETED"
    assert found["verified_at"] == good["verified_at"]
    assert found["verification"]["result"] == "FAILED"
    assert found["verification"]["reason"] == "The volume is too small."
    assert (plane.resources(), violations(plane)) == (before, [])


def test_a_backup_is_verified_by_one_at_a_time_and_few_at_once(
        plane: ControlPlane, instance: str) -> None:
    first, second = (make(plane, instance)["id"] for _ in range(2))
    plane.conf.set_override("backup_verification_limit", 1)
    plane.hypervisor.silent = True
    answer = begin(plane, first)
    begin(plane, first, 409)
    assert "No more than 1 backups" in begin(plane, second, 422).text
    # others are to have the rest
    plane.conf.set_override("backup_verification_limit", 9)
    assert "of the project" in begin(plane, second, 422).text
    # what is verified is needed
    assert plane.request("DELETE", f"/backups/{first}").status_int in (409, 422)
    ident = answer.headers["X-Trove-Operation-Id"]
    plane.request("POST", f"/operations/{ident}/cancel", status=202)
    assert end(plane, answer)["status"] == "CANCELLED"
    assert (shown(plane, first)["status"], shown(plane, first)["verification"]) == (
        "COMPLETED", None)
    plane.hypervisor.silent = False
    assert end(plane, begin(plane, second))["status"] == "SUCCEEDED"
    plane.conf.set_override("backup_verification_limit", 0)
    begin(plane, second, 422)
    assert violations(plane) == []


def test_what_could_not_be_removed_is_removed_later(plane: ControlPlane, instance: str,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    ident, before = make(plane, instance)["id"], plane.resources()
    network = type(plane.tools.clouds.network)
    delete = network.delete_security_group

    def fail(*_args: Any) -> None:
        raise RuntimeError("not now")

    monkeypatch.setattr(network, "delete_security_group", fail)
    assert end(plane, begin(plane, ident))["status"] == "FAILED"
    # it was found to be good all the same
    assert shown(plane, ident)["verification"]["result"] == "GOOD"
    made = scratch(plane)
    assert (made.deleted, made.error, made.task) == (False, "DELETE", "NONE")
    with plane.db.reader() as session:
        accounts = quotas.usage(session, VERIFICATION_PROJECT)
        assert {name: used for name, (used, _) in accounts.items() if used} == {
            name: used for name, used in quotas.counted(session, VERIFICATION_PROJECT).items()
            if used}
    monkeypatch.setattr(network, "delete_security_group", delete)
    outcomes = [one for one in plane.reconcile()
                if one.finding.repair is Repair.DELETE_INSTANCE]
    assert [(one.finding.instance_id, one.repaired) for one in outcomes] == [(made.id, True)]
    plane.manager.sweep()
    wait_for(lambda: scratch(plane).deleted, "the deletion")
    assert (plane.resources(), violations(plane)) == (before, [])
    with plane.db.reader() as session:
        assert not any(used for used, _ in quotas.usage(
            session, VERIFICATION_PROJECT).values())


def test_a_snapshot_is_verified_as_well(plane: ControlPlane, instance: str) -> None:
    ident = make(plane, instance, storage_driver="cinder")["id"]
    operation = end(plane, begin(plane, ident))
    assert operation["status"] == "SUCCEEDED", operation
    assert shown(plane, ident)["verification"]["result"] == "GOOD"
    assert violations(plane) == []
