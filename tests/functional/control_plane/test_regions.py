"""Instances in a second region of the cloud, with the whole control plane."""

from __future__ import annotations

import base64
import configparser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from oslo_config import cfg
from sqlalchemy import update

from tests.functional.control_plane.conftest import (
    NOTHING,
    ONE,
    ControlPlane,
    Hypervisor,
    running,
)
from tests.functional.control_plane.invariants import violations
from tests.functional.control_plane.world import LivingAgent, Worker, World, wait_for
from tests.scrape import Scrape
from trove_ng.cloud.errors import CloudUnavailable
from trove_ng.common import metrics as m
from trove_ng.db.models import Backup, Instance
from trove_ng.db.session import Database
from trove_ng.operations.work import Work
from trove_ng.rpc import messages

TWO = "RegionTwo"


@pytest.fixture
def plane(conf: cfg.ConfigOpts, tmp_path: Path, database: Database) -> Iterator[ControlPlane]:
    """A control plane in the first of two regions."""
    for name in ("agent_start_timeout", "server_timeout", "volume_timeout"):
        conf.set_override(name, 30)
    hypervisor = Hypervisor(conf)
    hypervisor.make_agent = LivingAgent
    with running(conf, database, tmp_path, hypervisor, {
            TWO: {"network_cidr": "10.97.0.0/24", "public_cidr": "203.0.113.0/24"}}) as made:
        yield made


@pytest.fixture
def awake(plane: ControlPlane) -> ControlPlane:
    """The same, with a taskmanager."""
    plane.start_taskmanager("tm-1")
    return plane


def row(plane: ControlPlane, ident: str) -> Instance:
    with plane.db.reader() as session:
        found = session.get_one(Instance, ident)
        session.expunge(found)
        return found


def made_in(plane: ControlPlane, region: str, **more: Any) -> str:
    ident = plane.create(region_name=region, **more)
    plane.wait(ident, "ACTIVE", seconds=60)
    return ident


def test_an_instance_lives_in_its_region(awake: ControlPlane) -> None:
    plane = awake
    ident = made_in(plane, TWO)
    assert plane.show(ident)["region"] == TWO
    assert plane.resources(TWO) == ONE
    assert plane.resources() == {**NOTHING, "keys": 1}
    assert violations(plane) == []
    plane.request("POST", f"/instances/{ident}/action", {"resize": {"flavorRef": "2"}},
                  status=202)
    wait_for(lambda: plane.show(ident)["flavor"]["id"] == "2", "the resize", 60)
    plane.wait(ident, "ACTIVE", seconds=60)
    server, = plane.minicloud.regions[TWO].store.list("server")
    flavor = plane.minicloud.regions[TWO].store.get("flavor", server["flavor"]["id"])
    assert flavor is not None
    assert (flavor["name"], flavor["id"] != "2") == ("db.small", True)
    plane.request("POST", f"/instances/{ident}/action", {"resize": {"volume": {"size": 2}}},
                  status=202)
    wait_for(lambda: plane.show(ident)["volume"]["size"] == 2, "the larger volume", 60)
    plane.wait(ident, "ACTIVE", seconds=60)
    assert violations(plane) == []
    assert plane.reconcile() == []
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert plane.resources(TWO) == NOTHING
    assert violations(plane) == []
    scraped = Scrape.of(plane.registries[m.TASKMANAGER])
    assert scraped.sum(f"{m.CLOUD_CALLS.name}_count", region=TWO, service="compute") >= 1


def test_a_backup_is_restored_into_another_region(awake: ControlPlane) -> None:
    plane = awake
    source = made_in(plane, "RegionOne")
    backup = plane.request("POST", "/backups", {"backup": {"name": "b", "instance": source}},
                           status=202).json["backup"]["id"]
    wait_for(lambda: plane.request("GET", f"/backups/{backup}").json["backup"]["status"]
             == "COMPLETED", "the backup", 60)
    ident = made_in(plane, TWO, restorePoint={"backupRef": backup})
    agent, = (one for one in plane.hypervisor.agents.values() if one.instance_id == ident)
    prepare, = (request for name, request in agent.asked if name == "prepare")
    assert isinstance(prepare, messages.PrepareRequest)
    assert prepare.restore is not None
    assert prepare.restore.region == "RegionOne"
    # where it was stored, not where it is read from
    assert f"/regions/{TWO}/" not in prepare.restore.grants[0].container_url
    with plane.db.reader() as session:
        assert session.get_one(Backup, backup).region_id == "RegionOne"
    back = plane.request("POST", "/backups", {"backup": {"name": "c", "instance": ident}},
                         status=202).json["backup"]["id"]
    wait_for(lambda: plane.request("GET", f"/backups/{back}").json["backup"]["status"]
             == "COMPLETED", "the second backup", 60)
    shown = plane.request("GET", f"/backups/{back}").json["backup"]
    assert f"/regions/{TWO}/object/v1/" in shown["locationRef"]
    assert violations(plane) == []
    for one in (backup, back):
        plane.request("DELETE", f"/backups/{one}", status=202)
        plane.wait_gone(f"/backups/{one}")
    assert violations(plane) == []


def _other_image(plane: ControlPlane) -> None:
    store = plane.minicloud.regions[TWO].store
    image, = store.list("image")
    store.put("image", image["id"], {**image, "checksum": "0" * 32}, "admin")


def _other_flavor(plane: ControlPlane) -> None:
    store = plane.minicloud.regions[TWO].store
    for one in store.list("flavor"):
        store.put("flavor", one["id"], {**one, "ram": 256}, "")


@pytest.mark.parametrize(("change", "why"), [
    (_other_image, "The checksum of image guest in region RegionTwo"),
    (_other_flavor, "Flavor db.tiny of region RegionTwo is another one")])
def test_what_changed_after_the_request_is_seen_before_a_server_is_made(
        plane: ControlPlane, change: Callable[[ControlPlane], None], why: str) -> None:
    ident = plane.create(region_name=TWO)
    change(plane)
    plane.start_taskmanager("tm-1")
    shown = plane.wait(ident, "ERROR", seconds=60)
    assert why in shown["fault"]["message"]
    assert {**plane.resources(TWO), "keys": 0} == NOTHING


def test_the_agent_is_told_of_the_one_bus(awake: ControlPlane) -> None:
    ident = made_in(awake, TWO)
    server = row(awake, ident).compute_instance_id
    data = yaml.safe_load(awake.hypervisor.user_data[server or ""])
    files = {one["path"].rpartition("/")[2]: base64.b64decode(one["content"]).decode()
             for one in data["write_files"]}
    assert files["trove-guestagent.conf"] == Path(awake.conf.guest_config).read_text()
    info = configparser.ConfigParser(interpolation=None)
    info.read_string(files["guest_info.conf"])
    assert info["DEFAULT"]["guest_id"] == ident


def test_each_region_is_reconciled(awake: ControlPlane) -> None:
    plane = awake
    here, there = made_in(plane, "RegionOne"), made_in(plane, TWO)
    assert plane.reconcile() == []
    clouds = plane.tools.clouds
    late = clouds.in_region(TWO).volume.create_volume(instance_id=there, name="late",
                                                      size_gb=1)
    wait_for(lambda: (found := clouds.in_region(TWO).volume.get_volume(late.id)) is not None
             and found.status == "available", "the volume")
    with plane.db.writer() as session:
        session.execute(update(Instance).values(server_status="SHUTOFF"))
    found = plane.reconcile()
    assert sorted((one.finding.kind, one.finding.instance_id, one.finding.region, one.repaired)
                  for one in found) == sorted([
                      ("duplicate", there, TWO, True),
                      ("server-status", here, "RegionOne", True),
                      ("server-status", there, TWO, True)])
    wait_for(lambda: clouds.in_region(TWO).volume.get_volume(late.id) is None, "its end")
    assert plane.reconcile() == []
    assert violations(plane) == []


def test_a_region_that_is_away_keeps_no_other_from_being_reconciled(
        awake: ControlPlane) -> None:
    plane = awake
    here, there = made_in(plane, "RegionOne"), made_in(plane, TWO)
    with plane.db.writer() as session:
        session.execute(update(Instance).values(server_status="SHUTOFF"))
    for name in ("RegionTwo/compute", "compute"):
        plane.minicloud.faults.add({"kind": "error", "service": name, "status": 503})
        with pytest.raises(CloudUnavailable):
            plane.reconcile()
        plane.minicloud.faults.clear()
        repaired = row(plane, here if name != "compute" else there)
        assert repaired.server_status == "ACTIVE"
        with plane.db.writer() as session:
            session.execute(update(Instance).values(server_status="SHUTOFF"))
    assert len(plane.reconcile()) == 2
    assert plane.reconcile() == []


def test_a_resource_of_one_region_is_no_fault_of_an_instance_in_another(
        awake: ControlPlane) -> None:
    plane = awake
    ident = made_in(plane, "RegionOne")
    made_in(plane, TWO)
    other = plane.tools.clouds.in_region(TWO).volume.create_volume(
        instance_id=ident, name="odd", size_gb=1)
    before = row(plane, ident).server_status
    found, = plane.reconcile()
    # told, and nobody's to delete: its instance may be used by another store there
    assert (found.finding.kind, found.finding.resource_id, found.repaired) == (
        "duplicate", other.id, False)
    assert row(plane, ident).server_status == before


@pytest.mark.parametrize("point", ["call compute create", "done volume"])
def test_another_worker_ends_what_one_left_in_the_second_region(
        plane: ControlPlane, point: str) -> None:
    world = World(plane)
    ident = plane.create(region_name=TWO)
    operation = world.live(ident)
    worker = Worker(plane, lambda _work, at: at == point)
    assert worker.run(operation), worker.points
    worker.expire(operation)
    assert world.finish(operation, 60).status == "SUCCEEDED"
    worker.end()
    assert plane.resources(TWO) == ONE
    assert plane.resources() == {**NOTHING, "keys": 1}
    world.check()


def test_a_failed_create_is_undone_in_its_region(plane: ControlPlane) -> None:
    plane.hypervisor.failures["prepare"] = "no"
    plane.start_taskmanager("tm-1")
    ident = plane.create(region_name=TWO)
    plane.wait(ident, "ERROR", seconds=60)
    assert {**plane.resources(TWO), "keys": 0} == NOTHING
    assert violations(plane) == []


def test_work_has_the_tools_of_its_region(plane: ControlPlane) -> None:
    seen: list[str] = []

    def note(work: Work | None, at: str) -> bool:
        if work is not None and at == "before ports":
            seen.append(work.tools.clouds.region)
        return at == "before volume"

    for region in ("RegionOne", TWO):
        ident = plane.create(region_name=region)
        worker = Worker(plane, note)
        assert worker.run(World(plane).live(ident))
        worker.end()
    assert seen == ["RegionOne", TWO]
