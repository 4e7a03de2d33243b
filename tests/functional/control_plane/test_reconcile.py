"""Each difference between store and cloud: made, found, repaired or left, and not found again."""

from __future__ import annotations

import dataclasses
import datetime
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update

from tests.functional.control_plane.conftest import NOTHING, ONE, ControlPlane
from tests.functional.control_plane.test_events import timeline
from tests.functional.control_plane.test_replicas import let_in
from tests.functional.control_plane.world import LivingAgent, lose
from trove_ng.cloud.errors import CloudUnavailable
from trove_ng.common.clock import utcnow
from trove_ng.common.metrics import Recorder
from trove_ng.db.models import (
    Backup,
    Duty,
    Instance,
    InstanceKey,
    InstanceVolume,
    Operation,
    QuotaUsage,
    Reservation,
    ServiceStatusRow,
)
from trove_ng.db.repositories import operations
from trove_ng.operations import duty
from trove_ng.operations.duty import Duty as OneDuty
from trove_ng.operations.reconcile import look
from trove_ng.operations.reconcile.findings import Kind, Outcome
from trove_ng.operations.reconcile.reconciler import Reconciler
from trove_ng.operations.replication import account
from trove_ng.standalone.minicloud.nova_server_api import ServerApi
from trove_ng.taskmanager.reconcile import Turns

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def instance(plane: ControlPlane) -> str:
    """An instance that works, and with which nothing is wrong."""
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    assert plane.reconcile() == []
    return ident


def kinds(found: list[Outcome]) -> list[tuple[str, str, bool]]:
    return sorted((str(one.finding.kind), one.finding.resource, one.repaired) for one in found)


def row(plane: ControlPlane, ident: str) -> Instance:
    with plane.db.reader() as session:
        found = session.get(Instance, ident)
        assert found is not None
        session.expunge(found)
        return found


def change(plane: ControlPlane, statement: Any) -> None:
    with plane.db.writer() as session:
        session.execute(statement)


def edit(plane: ControlPlane, kind: str, ident: str, how: Change) -> None:
    """Change something in the cloud behind our back."""
    store = plane.minicloud.store
    doc = store.get(kind, ident)
    assert doc is not None
    how(doc)
    store.put(kind, ident, doc, doc["project_id"])


def wait_until(done: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def server_states(plane: ControlPlane) -> list[str]:
    return [one.status for one in plane.tools.clouds.compute.list_servers()]


def make_late(plane: ControlPlane, ident: str) -> None:
    """Make all that a worker which lost its lease may still have made."""
    clouds = plane.tools.clouds
    before = len(plane.minicloud.store.list("volume"))
    plane.hypervisor.silent = True
    network = clouds.network.default_network()
    assert network is not None
    group = clouds.network.create_security_group(ident, "late")
    port = clouds.network.create_port(
        instance_id=ident, index=0, network_id=network, security_group_ids=[group.id])
    external, = clouds.network.external_networks()
    clouds.network.create_floating_ip(ident, external, port.id)
    image, = plane.minicloud.store.list("image")
    clouds.compute.create_server(
        instance_id=ident, name="late", image_id=image["id"], flavor_id="1",
        port_ids=[port.id], user_data="#cloud-config\n")
    clouds.volume.create_volume(instance_id=ident, name="late", size_gb=1)
    wait_until(lambda: [one["status"] for one in plane.minicloud.store.list("volume")].count(
        "available") >= 1 and len(plane.minicloud.store.list("volume")) == before + 1)
    wait_until(lambda: set(server_states(plane)) == {"ACTIVE"})


ALL = ["floating_ip", "port", "security_group", "server", "volume"]


def repair_until(plane: ControlPlane, resources: dict[str, int]) -> list[Outcome]:
    """Reconcile until no more than this is left; return what the first run found."""
    first = plane.reconcile()
    # a group goes only after its ports, a server takes a moment
    wait_until(lambda: plane.resources() == resources or not plane.reconcile())
    wait_until(lambda: plane.resources() == resources)
    assert plane.reconcile() == []
    return first


def test_what_is_left_of_a_deleted_instance_goes(plane: ControlPlane, instance: str) -> None:
    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.wait_gone(f"/instances/{instance}")
    make_late(plane, instance)
    plane.conf.set_override("orphan_age", 1000)
    assert plane.reconcile() == []
    plane.conf.set_override("orphan_age", 0)
    found = repair_until(plane, NOTHING)
    assert [one.finding.resource for one in found] == [
        "server", "volume", "floating_ip", "port", "security_group"]
    assert {one.finding.kind for one in found} == {Kind.LEFTOVER}
    told = timeline(plane, instance, "?kind=mismatch.repaired")
    assert sorted(one["details"]["resource"] for one in told) == ALL


def test_what_is_left_of_a_failed_create_goes(plane: ControlPlane) -> None:
    plane.hypervisor.failures["prepare"] = "The disk is full."
    ident = plane.create()
    plane.wait(ident, "ERROR")
    assert plane.reconcile() == []
    make_late(plane, ident)
    found = repair_until(plane, NOTHING)
    assert {one.finding.kind for one in found} == {Kind.LEFTOVER}


def test_a_second_one_of_everything_goes_and_the_first_stays(
        plane: ControlPlane, instance: str) -> None:
    first = row(plane, instance)
    make_late(plane, instance)
    found = repair_until(plane, ONE)
    assert {one.finding.kind for one in found} == {Kind.DUPLICATE}
    assert sorted(one.finding.resource for one in found) == ALL
    store = plane.minicloud.store
    assert store.list("server")[0]["id"] == first.compute_instance_id
    assert store.list("volume")[0]["id"] == first.volume_id
    assert [one["id"] for one in store.list("port")] == first.port_ids
    assert plane.show(instance)["status"] == "ACTIVE"


def test_a_second_volume_or_port_that_may_be_in_use_is_left(
        plane: ControlPlane, instance: str) -> None:
    server = row(plane, instance).compute_instance_id
    assert server is not None
    clouds = plane.tools.clouds
    network = clouds.network.default_network()
    assert network is not None
    volume = clouds.volume.create_volume(instance_id=instance, name="second", size_gb=1)
    port = clouds.network.create_port(instance_id=instance, index=7, network_id=network,
                                      security_group_ids=[])
    edit(plane, "port", port.id, lambda doc: doc.update(device_id=server))
    wait_until(lambda: (clouds.volume.get_volume(volume.id) or volume).status == "available")
    clouds.compute.attach_volume(server, volume.id)
    for _ in range(2):
        assert kinds(plane.reconcile()) == [
            ("duplicate", "port", False), ("duplicate", "volume", False)]
    assert clouds.volume.get_volume(volume.id) is not None
    # told once, not with each comparison
    assert len(timeline(plane, instance, "?kind=mismatch.found")) == 2


def test_a_public_address_that_the_instance_has_no_more_is_told(plane: ControlPlane) -> None:
    ident = plane.create(access={"is_public": True})
    plane.wait(ident, "ACTIVE")
    floating = row(plane, ident).floating_ip_id
    assert floating is not None
    edit(plane, "floatingip", floating, lambda doc: doc.update(port_id=None))
    assert kinds(plane.reconcile()) == [("floating-ip-elsewhere", "floating_ip", False)]
    # the next update of the access gives it back
    plane.request("PUT", f"/instances/{ident}", {"instance": {"access": {}}}, status=202)
    plane.wait(ident, "ACTIVE")
    assert plane.reconcile() == []
    plane.minicloud.store.delete("floatingip", floating)
    assert kinds(plane.reconcile()) == [("missing", "floating_ip", False)]


def test_an_address_of_a_replica_that_is_gone_is_let_in_no_more(plane: ControlPlane) -> None:
    plane.hypervisor.make_agent = LivingAgent
    source = plane.create(access={"allowed_cidrs": ["192.0.2.0/24"]})
    plane.wait(source, "ACTIVE")
    plane.request("POST", "/instances", {"instance": {
        "name": "follower", "replica_of": source}}, status=200)
    replica, = (one["id"] for one in plane.show(source)["replicas"])
    for ident in (replica, source):
        plane.wait(ident, "ACTIVE")
    address, = (f"{one['address']}/32" for one in row(plane, replica).addresses)
    assert let_in(plane, source) == {"192.0.2.0/24", address}
    assert plane.reconcile() == []
    plane.request("DELETE", f"/instances/{replica}", status=202)
    plane.wait_gone(f"/instances/{replica}")
    group = row(plane, source).security_group_id
    assert group is not None
    # what was on its way when a taskmanager died, and what an operator let in
    plane.tools.clouds.network.add_rules(group, [
        ("tcp", 3306, 3306, address), ("tcp", 22, 22, "203.0.113.9/32")])
    assert kinds(plane.reconcile()) == [("lets-in", "security_group", True)]
    plane.manager.sweep()
    plane.wait(source, "ACTIVE")
    wait_until(lambda: let_in(plane, source) == {"192.0.2.0/24"})
    assert plane.reconcile() == []


def test_accounts_that_a_silent_source_kept_are_taken_when_it_answers(
        plane: ControlPlane) -> None:
    plane.hypervisor.make_agent = LivingAgent
    source = plane.create()
    plane.wait(source, "ACTIVE")
    plane.request("POST", "/instances", {"instance": {
        "name": "follower", "replica_of": source, "replica_count": 2}}, status=200)
    one, two = (each["id"] for each in plane.show(source)["replicas"])
    for ident in (one, two, source):
        plane.wait(ident, "ACTIVE")
    agent = plane.agent(source)
    assert set(agent.accounts) == {account(one), account(two)}
    plane.hypervisor.failures["set_replica_accounts"] = "The server cannot be reached."
    plane.request("DELETE", f"/instances/{one}", status=202)
    plane.wait_gone(f"/instances/{one}")
    assert set(agent.accounts) == {account(one), account(two)}
    # asked in vain, it is asked again; and not at all while it is not heard of
    for _ in range(2):
        assert kinds(plane.reconcile()) == [("accounts-left", "instance", True)]
        plane.manager.sweep()
        plane.wait(source, "ACTIVE")
    lose(plane, source)
    assert "accounts-left" not in [kind for kind, *_ in kinds(plane.reconcile())]
    plane.hypervisor.failures.clear()
    agent.lost = False
    wait_until(lambda: plane.show(source)["operating_status"] == "HEALTHY")
    assert kinds(plane.reconcile()) == [("accounts-left", "instance", True)]
    plane.manager.sweep()
    wait_until(lambda: set(agent.accounts) == {account(two)})
    plane.wait(source, "ACTIVE")
    assert plane.reconcile() == []


def test_accounts_are_looked_at_again_while_replicas_may_go(plane: ControlPlane) -> None:
    plane.hypervisor.make_agent = LivingAgent
    source = plane.create()
    plane.wait(source, "ACTIVE")
    with plane.db.writer() as session:
        session.get_one(Instance, source).accounts_left = True
    assert kinds(plane.reconcile()) == [("accounts-left", "instance", True)]
    with plane.db.writer() as session:
        version = session.get_one(Instance, source).datastore_version_id
        session.add(Instance(
            id=str(uuid.uuid4()), name="going", tenant_id=plane.project_id, task="DELETING",
            flavor_id="1", datastore_version_id=version, slave_of_id=source, operation_id="o"))
    plane.manager.sweep()
    plane.wait(source, "ACTIVE")
    assert row(plane, source).accounts_left


def test_a_server_that_somebody_moved_is_known_where_it_is(
        plane: ControlPlane, instance: str) -> None:
    server = row(plane, instance).compute_instance_id
    assert server is not None
    edit(plane, "server", server, lambda doc: doc.update(host="elsewhere"))
    assert kinds(plane.reconcile()) == [("server-host", "server", True)]
    assert plane.reconcile() == []
    shown = plane.request("GET", f"/mgmt/instances/{instance}", token="admin", status=200)
    assert shown.json["instance"]["server"]["host"] == "elsewhere"
    # machines are nothing that owners are told of
    assert timeline(plane, instance, "?kind=mismatch.repaired") == []


def test_what_we_did_not_make_is_not_touched(plane: ControlPlane, instance: str) -> None:
    """Neither what has no mark of ours nor what another store's instance has."""
    clouds = plane.tools.clouds
    clouds.volume.create_volume(instance_id=str(uuid.uuid4()), name="theirs", size_gb=1)
    clouds.volume._client.volumes.create(1, name=f"trove-{instance}")
    network = clouds.network.default_network()
    for name in ("trove-x", f"trove-{instance}-x", f"x-trove-{instance}-0"):
        clouds.network._client.create_port({"port": {"name": name, "network_id": network}})
    clouds.network._client.create_security_group({"security_group": {"name": "trove-7"}})
    before = plane.resources()
    for _ in range(2):
        assert kinds(plane.reconcile()) == [("unknown-instance", "volume", False)]
    assert plane.resources() == before


def live_operation(plane: ControlPlane, ident: str) -> None:
    with plane.db.writer() as session:
        session.add(Operation(
            action="instance.restart", resource_type="instance", resource_id=ident,
            live_key=ident, tenant_id=plane.project_id, status="RUNNING", owner="someone",
            lease_expires_at=utcnow() + datetime.timedelta(hours=1)))


def test_nothing_of_a_live_operation_is_judged(plane: ControlPlane, instance: str) -> None:
    live_operation(plane, instance)
    make_late(plane, instance)
    edit(plane, "port", row(plane, instance).port_ids[0],
         lambda doc: doc.update(status="DOWN"))
    change(plane, update(Instance).values(task="RESIZING", server_status="SHUTOFF"))
    before = plane.resources()
    assert plane.reconcile() == []
    assert plane.resources() == before
    # and what has just ended is left alone for a while
    change(plane, update(Operation).values(live_key=None, status="SUCCEEDED",
                                           ended_at=utcnow()))
    change(plane, update(Instance).values(task="NONE", server_status="ACTIVE"))
    plane.conf.set_override("orphan_age", 1000)
    assert plane.reconcile() == []
    assert plane.resources() == before


def test_a_member_of_a_set_is_left_alone_for_a_while_after_work_on_the_set(
        plane: ControlPlane, instance: str) -> None:
    """The lists of the cloud may be older than what the work did."""
    other = str(uuid.uuid4())
    long_ago = update(Operation).values(ended_at=utcnow() - datetime.timedelta(days=1))
    change(plane, long_ago)
    with plane.db.writer() as session:
        operations.add(session, Operation(
            action="instance.grow_set", resource_type="instance", resource_id=other,
            tenant_id=plane.project_id, status="SUCCEEDED", ended_at=utcnow(),
            payload={"source_id": other, "replica_ids": [instance]}))
    change(plane, update(InstanceVolume).values(size=2))
    plane.conf.set_override("orphan_age", 1000)
    assert plane.reconcile() == []
    change(plane, long_ago)
    assert [str(one.finding.kind) for one in plane.reconcile()] != []


def test_an_operation_that_begins_meanwhile_stops_a_repair(
        plane: ControlPlane, instance: str) -> None:
    make_late(plane, instance)
    before = plane.resources()

    def begins() -> bool:
        if row(plane, instance).task == "NONE":
            live_operation(plane, instance)
            change(plane, update(Instance).values(task="RESTARTING"))
        return True

    found = plane.reconciler.run(begins)
    assert len(found) == 5
    assert {one.problem for one in found} == {"It has changed meanwhile."}
    assert plane.resources() == before


def test_a_person_is_told_once_of_what_cannot_be_repaired(
        plane: ControlPlane, instance: str) -> None:
    mine, store = row(plane, instance), plane.minicloud.store
    server, volume, port = mine.compute_instance_id, mine.volume_id, mine.port_ids[0]
    assert server is not None and volume is not None
    attachment = store.list("volume_attachment")[0]["id"]
    cases: list[tuple[str, str, str, Change]] = [
        ("volume-elsewhere", "volume_attachment", attachment,
         lambda doc: doc.update(server_id="other", instance="other", instance_uuid="other")),
        ("volume-detached", "volume_attachment", attachment,
         lambda doc: doc.update(volume_id="other")),
        ("volume-size", "volume", volume, lambda doc: doc.update(size=5)),
        ("port-down", "port", port, lambda doc: doc.update(status="DOWN")),
        ("port-elsewhere", "port", port, lambda doc: doc.update(device_id=""))]
    for kind, resource, ident, how in cases:
        good = store.get(resource, ident)
        assert good is not None
        edit(plane, resource, ident, how)
        for _ in range(2):
            assert kinds(plane.reconcile()) == [(kind, resource.partition("_")[0], False)]
        newest = timeline(plane, instance)[-1]
        assert (newest["kind"], newest["details"]["finding"]) == ("mismatch.found", kind)
        store.put(resource, ident, good, good["project_id"])
        assert plane.reconcile() == []
    assert len(timeline(plane, instance, "?kind=mismatch.found")) == len(cases)


def test_a_person_is_told_once_whichever_process_finds_it(
        plane: ControlPlane, instance: str) -> None:
    mine, store = row(plane, instance), plane.minicloud.store
    assert mine.volume_id is not None
    good = store.get("volume", mine.volume_id)
    assert good is not None

    def told() -> int:
        return len(timeline(plane, instance, "?kind=mismatch.found"))

    edit(plane, "volume", mine.volume_id, lambda doc: doc.update(size=5))
    plane.reconcile()
    other = Reconciler(plane.tools)
    assert kinds(other.run()) == [("volume-size", "volume", False)]
    assert told() == 1
    # it goes, and comes again
    store.put("volume", mine.volume_id, good, good["project_id"])
    assert other.run() == []
    edit(plane, "volume", mine.volume_id, lambda doc: doc.update(size=5))
    for reconciler in (other, plane.reconciler, Reconciler(plane.tools)):
        assert kinds(reconciler.run()) == [("volume-size", "volume", False)]
        assert told() == 2
    # between two looks of one of them, the other finds it
    edit(plane, "port", mine.port_ids[0], lambda doc: doc.update(status="DOWN"))
    for reconciler in (plane.reconciler, other):
        assert ("port-down", "port", False) in kinds(reconciler.run())
        assert told() == 3


def test_what_is_missing_is_told(plane: ControlPlane, instance: str) -> None:
    mine, store = row(plane, instance), plane.minicloud.store
    for resource, ident in (("volume", mine.volume_id), ("port", mine.port_ids[0]),
                            ("security_group", mine.security_group_id)):
        assert ident is not None
        good = store.get(resource, ident)
        assert good is not None
        store.delete(resource, ident)
        assert kinds(plane.reconcile()) == [("missing", resource, False)]
        store.put(resource, ident, good, good["project_id"])
        assert plane.reconcile() == []
    assert mine.compute_instance_id is not None
    store.delete("server", mine.compute_instance_id)
    assert kinds(plane.reconcile()) == [
        ("missing", "server", False), ("server-status", "server", True)]
    assert kinds(plane.reconcile()) == [("missing", "server", False)]
    assert plane.show(instance)["status"] == "ERROR"
    assert timeline(plane, instance, "?kind=status.server")[-1]["details"] == {
        "before": "ACTIVE", "after": "DELETED"}


@pytest.fixture
def partial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists leave servers out, as those of a cloud do whose cell is away."""
    monkeypatch.setattr(ServerApi, "_wanted", lambda _self, _call, _server: False)


@pytest.mark.usefixtures("partial")
def test_what_a_list_leaves_out_is_not_gone(plane: ControlPlane, instance: str) -> None:
    server_id = row(plane, instance).compute_instance_id
    assert plane.reconcile() == []
    plane.minicloud.faults.add({"kind": "error", "service": "compute", "status": 500,
                                "path": f"servers/{server_id}"})
    assert plane.reconcile() == []
    assert plane.show(instance)["status"] == "ACTIVE"
    plane.minicloud.faults.clear()
    assert server_id is not None
    plane.minicloud.store.delete("server", server_id)
    assert kinds(plane.reconcile()) == [
        ("missing", "server", False), ("server-status", "server", True)]


def test_no_more_is_asked_for_than_a_bound(
        plane: ControlPlane, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = row(plane, instance)
    assert mine.compute_instance_id is not None and mine.volume_id is not None
    plane.minicloud.store.delete("server", mine.compute_instance_id)
    plane.minicloud.store.delete("volume", mine.volume_id)
    monkeypatch.setattr(look, "_ASKED", 1)
    missing = [one for one in kinds(plane.reconcile()) if one[0] == "missing"]
    # which of the two is drawn is chance
    assert len(missing) == 1
    monkeypatch.setattr(look, "_ASKED", 0)
    change(plane, update(Instance).values(server_status="ACTIVE"))
    assert plane.reconcile() == []


def test_the_duty_is_kept_while_a_region_does_not_answer(
        plane: ControlPlane, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change(plane, update(Instance).values(server_status="SHUTOFF"))
    monkeypatch.setattr(duty, "_SECONDS", 0.8)
    other = OneDuty(plane.db, plane.clock, "reconciliation", "another")
    taken = []

    def slow(parts: Any, region: str) -> Any:
        time.sleep(2)
        taken.append(other.take())
        return read_cloud(parts, region)

    read_cloud = look.read_cloud
    monkeypatch.setattr(look, "read_cloud", slow)
    Turns(plane.tools, "me", 60).run()
    assert taken == [False]
    assert plane.show(instance)["status"] == "ACTIVE"
    assert other.take()


def test_what_is_found_is_measured(plane: ControlPlane, instance: str) -> None:
    told: list[tuple[str, ...]] = []

    class Listening(Recorder):
        def reconciled(self, outcome: str) -> None:
            told.append((outcome,))

        def finding(self, kind: str, outcome: str) -> None:
            told.append((kind, outcome))

    mine = row(plane, instance)
    assert mine.volume_id is not None
    plane.minicloud.store.delete("volume", mine.volume_id)
    change(plane, update(Instance).values(server_status="SHUTOFF"))
    turns = Turns(dataclasses.replace(plane.tools, recorder=Listening()), "me", 0)
    turns.run()
    assert sorted(told) == [("done",), ("missing", "reported"), ("server-status", "repaired")]
    told.clear()
    turns.run()
    assert told == [("done",)]
    plane.minicloud.faults.add({"kind": "error", "service": "compute", "status": 503})
    with pytest.raises(CloudUnavailable):
        turns.run()
    assert told == [("done",), ("incomplete",)]


def test_a_server_that_does_not_run_is_shown_and_told(plane: ControlPlane,
                                                      instance: str) -> None:
    server = row(plane, instance).compute_instance_id
    assert server is not None
    plane.tools.clouds.compute.stop_server(server)
    wait_until(lambda: server_states(plane) == ["SHUTOFF"])
    first = kinds(plane.reconcile())
    assert ("server-not-active", "server", False) in first
    assert ("server-status", "server", True) in first
    assert plane.show(instance)["status"] == "SHUTDOWN"
    assert ("server-not-active", "server", False) in kinds(plane.reconcile())
    plane.tools.clouds.compute.start_server(server)
    wait_until(lambda: server_states(plane) == ["ACTIVE"])
    plane.reconcile()
    assert plane.show(instance)["status"] == "ACTIVE"
    assert plane.reconcile() == []
    assert [one["details"]["after"] for one in timeline(plane, instance, "?kind=status.server")
            ] == ["SHUTOFF", "ACTIVE"]


@pytest.mark.parametrize("flavor", ["1", "2"])
def test_a_resize_that_nobody_decides_about_is_settled(plane: ControlPlane, instance: str,
                                                       flavor: str) -> None:
    """It arrived after its operation had been given up, or had ended well."""
    server = row(plane, instance).compute_instance_id
    assert server is not None
    plane.tools.clouds.compute.resize_server(server, "2")
    wait_until(lambda: server_states(plane) == ["VERIFY_RESIZE"])
    change(plane, update(Instance).where(Instance.id == instance).values(flavor_id=flavor))
    # what ended a moment ago may still be decided about
    plane.conf.set_override("orphan_age", 1000)
    assert ("server-not-active", "server", False) in kinds(plane.reconcile())
    plane.conf.set_override("orphan_age", 0)
    assert ("server-not-active", "server", True) in kinds(plane.reconcile())
    wait_until(lambda: server_states(plane) == ["ACTIVE"])
    found, = plane.tools.clouds.compute.list_servers()
    assert found.flavor_id == flavor
    plane.reconcile()
    assert plane.show(instance)["status"] == "ACTIVE"


def test_the_use_of_quotas_is_counted_again(plane: ControlPlane, instance: str) -> None:
    change(plane, update(QuotaUsage).where(QuotaUsage.resource == "instances").values(in_use=7))
    with plane.db.writer() as session:
        # of an operation that ended without settling it
        session.add(Reservation(operation_id="ended", tenant_id=plane.project_id,
                                resource="ram", delta=512))
        session.execute(update(QuotaUsage).where(QuotaUsage.resource == "ram").values(
            in_use=1024, reserved=512))
    assert kinds(plane.reconcile()) == [
        ("quota-usage", "instances", True), ("quota-usage", "ram", True)]
    assert plane.quota() == {"instances": (1, 0), "volumes": (1, 0), "ram": (512, 0),
                             "backups": (0, 0)}
    assert plane.reconcile() == []
    # what a running operation has reserved is not in the rows yet
    with plane.db.writer() as session:
        session.add(Operation(
            id="grow", action="instance.resize_volume", resource_type="instance",
            resource_id="x", live_key="x", tenant_id=plane.project_id, status="RUNNING",
            lease_expires_at=utcnow() + datetime.timedelta(hours=1)))
        session.add(Reservation(operation_id="grow", tenant_id=plane.project_id,
                                resource="volumes", delta=2))
        session.execute(update(QuotaUsage).where(QuotaUsage.resource == "volumes").values(
            in_use=3, reserved=2))
    assert plane.reconcile() == []
    assert plane.quota()["volumes"] == (1, 2)


def test_work_that_nobody_does_is_ended_with_a_fault(plane: ControlPlane,
                                                     instance: str) -> None:
    for task, status in (("RESIZING", "ACTIVE"), ("DELETING", "ERROR"), ("BUILDING", "ERROR")):
        change(plane, update(Instance).values(task=task, error=""))
        assert kinds(plane.reconcile()) == [("task-without-operation", "instance", True)]
        shown = plane.show(instance)
        assert shown["status"] == status
        assert shown["fault"]["message"] == "The work was interrupted and cannot go on."
        change(plane, update(Instance).values(error=""))
        assert plane.reconcile() == []
    for state, after in (("SAVING", "FAILED"), ("DELETING", "DELETE_FAILED")):
        ident = str(uuid.uuid4())
        with plane.db.writer() as session:
            session.add(Backup(id=ident, name="b", tenant_id=plane.project_id, state=state,
                               instance_id=instance, datastore_version_id="v"))
            session.execute(update(QuotaUsage).where(QuotaUsage.resource == "backups").values(
                in_use=QuotaUsage.in_use + 1))
        found = kinds(plane.reconcile())
        assert ("task-without-operation", "backup", True) in found
        shown = plane.request("GET", f"/backups/{ident}", status=200).json["backup"]
        assert shown["status"] == after
        plane.reconcile()
        assert plane.reconcile() == []


def test_keys_heartbeats_and_waiting_operations(plane: ControlPlane, instance: str) -> None:
    with plane.db.writer() as session:
        session.add(Instance(id="gone", name="gone", tenant_id="t", flavor_id="1",
                             datastore_version_id="v", deleted=True, deleted_at=utcnow()))
        session.flush()
        session.add(InstanceKey(instance_id="gone", encrypted_key="x"))
    assert kinds(plane.reconcile()) == [("key-without-instance", "key", True)]
    assert plane.reconcile() == []

    change(plane, update(ServiceStatusRow).values(
        updated_at=utcnow() - datetime.timedelta(hours=1)))
    for _ in range(2):
        assert kinds(plane.reconcile()) == [("heartbeat-old", "agent", False)]
    change(plane, update(ServiceStatusRow).values(updated_at=utcnow()))

    long_ago = utcnow() - datetime.timedelta(minutes=5)
    with plane.db.writer() as session:
        for number in range(3):
            session.add(Operation(
                # of a later release: no taskmanager here takes it
                id=f"op{number}", action="backup.copy", resource_type="backup",
                resource_id=f"b{number}", live_key=f"b{number}", tenant_id="t",
                status="PENDING", created=long_ago, updated=long_ago,
                deadline_at=utcnow() + datetime.timedelta(hours=1)))
    found, = plane.reconcile()
    assert (found.finding.kind, found.finding.after) == (Kind.OPERATIONS_WAIT, "3")
    assert not found.repaired


def test_the_number_of_calls_and_statements_does_not_grow(plane: ControlPlane,
                                                          instance: str) -> None:
    session_ = plane.tools.clouds._clients.session
    calls: list[str] = []
    statements: list[str] = []
    here = threading.get_ident()
    request = session_.request

    def counted(url: str, method: str, **options: Any) -> Any:
        calls.append(f"{method} {url}")
        return request(url, method, **options)

    def note(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if threading.get_ident() == here:
            statements.append(statement)

    session_.request = counted
    event.listen(plane.db.engine, "before_cursor_execute", note)
    assert plane.reconcile() == []
    few = len(calls), len(statements)
    with plane.db.writer() as session:
        for number in range(200):
            session.add(Instance(
                id=f"more-{number}", name="more", tenant_id="t", flavor_id="1",
                datastore_version_id="v", created=utcnow()))
        for resource, used in (("instances", 200), ("volumes", 0), ("ram", 0)):
            session.add(QuotaUsage(tenant_id="t", resource=resource, in_use=used))
    calls.clear()
    statements.clear()
    assert plane.reconcile() == []
    event.remove(plane.db.engine, "before_cursor_execute", note)
    assert (len(calls), len(statements)) == few
    # seven lists, two of which end with an empty page
    assert len(calls) <= 9


def test_one_taskmanager_at_a_time(plane: ControlPlane, instance: str) -> None:
    change(plane, update(Instance).values(server_status="SHUTOFF"))
    other = OneDuty(plane.db, plane.clock, "reconciliation", "another")
    assert other.take()
    turn = Turns(plane.tools, "me", 60)
    turn.run()
    assert plane.show(instance)["status"] == "SHUTDOWN"
    other.end()
    turn.run()  # it was just done
    assert plane.show(instance)["status"] == "SHUTDOWN"
    long_ago = utcnow() - datetime.timedelta(minutes=2)
    change(plane, update(Duty).values(ended_at=long_ago))
    assert other.take()
    change(plane, update(Duty).values(until=long_ago))  # the other one has died
    turn.run()
    assert plane.show(instance)["status"] == "ACTIVE"
    assert not other.hold()


def test_the_command_reports_and_repairs(plane: ControlPlane, instance: str,
                                         tmp_path: Path) -> None:
    credentials = plane.conf.service_credentials
    file = tmp_path / "manage.conf"
    file.write_text(
        f"[DEFAULT]\norphan_age = 0\n[database]\nconnection = {plane.db.url}\n"
        f"[service_credentials]\nauth_url = {credentials.auth_url}\n"
        f"password = {credentials.password}\ntries = 1\n")

    def manage(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [Path(sys.executable).parent / "trove-manage", "--config-file", file, "reconcile",
             *words], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    change(plane, update(QuotaUsage).where(QuotaUsage.resource == "instances").values(in_use=7))
    code, out, _ = manage("--json")
    finding, = json.loads(out)["findings"]
    assert (code, finding["kind"], finding["repair"], finding["before"], finding["after"]) == (
        1, "quota-usage", "recount", "7", "1")
    assert finding["repaired"] is False
    assert plane.quota()["instances"] == (7, 0)
    code, out, _ = manage("--fix")
    assert (code, "repaired" in out, out.endswith("1 findings\n")) == (0, True, True)
    assert plane.quota()["instances"] == (1, 0)
    assert manage("--json") == (0, '{\n  "findings": []\n}\n', "")
    plane.minicloud.faults.add({"kind": "error", "service": "volume", "status": 503})
    code, _, err = manage()
    assert (code, "volume service" in err, credentials.password in err) == (1, True, False)
