"""What could not be deleted when its owner asked for it is deleted later."""

from __future__ import annotations

import datetime

import pytest
from sqlalchemy import select, update

from tests.functional.control_plane.conftest import NOTHING, ControlPlane
from trove_ng.db.models import Operation
from trove_ng.operations.reconcile.findings import Kind


def _age(plane: ControlPlane, resource_id: str, seconds: float) -> None:
    """Let the last deletion have failed so long ago."""
    with plane.db.writer() as session:
        last = session.scalars(select(Operation.id).where(
            Operation.resource_id == resource_id).order_by(
                Operation.created.desc()).limit(1)).one()
        session.execute(update(Operation).where(Operation.id == last).values(
            ended_at=plane.clock.now() - datetime.timedelta(seconds=seconds)))
        session.execute(update(Operation).where(
            Operation.resource_id == resource_id, Operation.id != last).values(
                ended_at=plane.clock.now() - datetime.timedelta(days=1)))


def _again(plane: ControlPlane) -> list[tuple[str, bool]]:
    return [(one.finding.resource_id, one.repaired) for one in plane.reconcile()
            if one.finding.kind is Kind.NOT_DELETED]


@pytest.mark.parametrize(("service", "path", "status", "name"), [
    ("network", "ports/", 403, "network"), ("network", "security-groups/", 400, "network"),
    ("volume", "volumes/", 403, "volume"), ("compute", "servers/", 401, "compute")])
def test_an_instance_whose_deletion_was_refused(
        plane: ControlPlane, instance: str, service: str, path: str, status: int,
        name: str) -> None:
    plane.minicloud.faults.add({"kind": "error", "service": service, "method": "DELETE",
                                "path": path, "status": status})
    # deleting by force is refused as well
    plane.minicloud.faults.add({"kind": "error", "service": service, "method": "POST",
                                "path": path, "status": status})
    plane.request("DELETE", f"/instances/{instance}", status=202)
    assert name in plane.wait(instance, "ERROR")["fault"]["message"]
    assert _again(plane) == []
    _age(plane, instance, 301)
    assert _again(plane) == [(instance, True)]
    plane.wait(instance, "SHUTDOWN", "ERROR")
    assert name in plane.wait(instance, "ERROR")["fault"]["message"]
    # it was the second time
    _age(plane, instance, 301)
    assert _again(plane) == []
    plane.minicloud.faults.clear()
    _age(plane, instance, 601)
    assert _again(plane) == [(instance, True)]
    plane.wait_gone(f"/instances/{instance}")
    assert plane.resources() == NOTHING
    assert {used for used, _reserved in plane.quota().values()} == {0}
    assert plane.reconcile() == []


def test_a_backup_whose_deletion_was_refused(plane: ControlPlane, living: str) -> None:
    ident = str(plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": living}}, status=202).json["backup"]["id"])

    def wait(status: str) -> str:
        while (found := plane.request("GET", f"/backups/{ident}").json["backup"])[
                "status"] != status:
            assert found["status"] in ("NEW", "BUILDING", "SAVING", "DELETING", "COMPLETED")
        return str(found)

    wait("COMPLETED")
    # one of the objects that are deleted in one call
    plane.minicloud.faults.add({"kind": "error", "service": "object", "method": "DELETE",
                                "path": "/000$", "status": 403})
    plane.request("DELETE", f"/backups/{ident}", status=202)
    assert "The object store did not delete 1 objects: 403 Forbidden." in wait("DELETE_FAILED")
    assert _again(plane) == []
    plane.minicloud.faults.clear()
    _age(plane, ident, 301)
    assert _again(plane) == [(ident, True)]
    plane.wait_gone(f"/backups/{ident}")
    assert plane.reconcile() == []


def test_an_object_that_is_not_deleted_at_once_is_asked_for_again(
        plane: ControlPlane, living: str) -> None:
    """The object store says so in an answer that is well as a whole."""
    ident = str(plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": living}}, status=202).json["backup"]["id"])
    while plane.request("GET", f"/backups/{ident}").json["backup"]["status"] != "COMPLETED":
        pass
    rule = plane.minicloud.faults.add({
        "kind": "error", "service": "object", "method": "DELETE", "path": "/000$",
        "status": 503, "times": 2})
    plane.request("DELETE", f"/backups/{ident}", status=202)
    plane.wait_gone(f"/backups/{ident}")
    assert rule.hits == 2
