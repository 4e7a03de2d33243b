"""Where an instance goes: locality, zone, type of volume, network, address."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from tests.functional.control_plane.conftest import NOTHING, ONE, ControlPlane
from tests.functional.control_plane.test_replicas import ask, ids, promote
from tests.functional.control_plane.world import LivingAgent
from trove_ng.db.models import Instance


@pytest.mark.parametrize("locality", [
    "affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"])
def test_a_server_group_is_made_before_the_server_and_goes_with_it(
        plane: ControlPlane, locality: str) -> None:
    ident = plane.create(locality=locality)
    assert plane.wait(ident, "ACTIVE")["locality"] == locality
    assert plane.resources() == {**ONE, "server_groups": 1}
    group, = plane.minicloud.store.list("server_group")
    server, = plane.minicloud.store.list("server")
    assert (group["policy"], server["group_id"]) == (locality, group["id"])
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert plane.resources() == NOTHING


def test_an_instance_without_locality_has_none(plane: ControlPlane) -> None:
    ident = plane.create()
    assert "locality" not in plane.wait(ident, "ACTIVE")
    assert plane.resources() == ONE


def test_a_server_group_goes_with_the_last_instance_in_it(plane: ControlPlane) -> None:
    first, second = plane.create(locality="soft-affinity"), plane.create()
    for one in (first, second):
        plane.wait(one, "ACTIVE")
    group, = plane.minicloud.store.list("server_group")
    with plane.db.writer() as session:
        session.execute(update(Instance).where(Instance.id == second).values(
            server_group_id=group["id"], locality="soft-affinity"))
    plane.request("DELETE", f"/instances/{first}", status=202)
    plane.wait_gone(f"/instances/{first}")
    assert plane.reconcile() == []
    assert plane.resources()["server_groups"] == 1
    plane.request("DELETE", f"/instances/{second}", status=202)
    plane.wait_gone(f"/instances/{second}")
    assert plane.resources() == NOTHING


def members(plane: ControlPlane) -> tuple[str, set[str]]:
    """Return the one server group, and the instances whose servers Nova has in it."""
    found, = plane.tools.clouds._clients.nova.server_groups.list()
    owners = {one["id"]: one["metadata"]["trove_instance_id"]
              for one in plane.minicloud.store.list("server")}
    return found.id, {owners[one] for one in found.members}


def remove(plane: ControlPlane, ident: str) -> None:
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")


@pytest.mark.parametrize("locality", ["affinity", "anti-affinity"])
def test_replicas_are_in_the_server_group_of_their_source(
        plane: ControlPlane, locality: str) -> None:
    plane.hypervisor.make_agent = LivingAgent
    source = plane.create(locality=locality)
    plane.wait(source, "ACTIVE")
    ask(plane, source, replica_count=2)
    one, two = ids(plane, source)
    assert [plane.wait(each, "ACTIVE")["locality"] for each in (source, one, two)] == (
        [locality] * 3)
    group, found = members(plane)
    assert found == {source, one, two}
    with plane.db.reader() as session:
        assert set(session.scalars(select(Instance.server_group_id))) == {group}
    for gone, left in ((one, {source, two}), (two, {source})):
        remove(plane, gone)
        assert members(plane) == (group, left)
    remove(plane, source)
    assert plane.resources() == NOTHING


def test_a_server_group_outlives_the_source_that_it_was_made_for(plane: ControlPlane) -> None:
    plane.hypervisor.make_agent = LivingAgent
    source = plane.create(locality="anti-affinity")
    plane.wait(source, "ACTIVE")
    heir = ask(plane, source)["id"]
    plane.wait(heir, "ACTIVE")
    promote(plane, heir)
    for one in (heir, source):
        plane.wait(one, "ACTIVE")
    remove(plane, source)
    group, found = members(plane)
    assert found == {heir}
    assert plane.reconcile() == []
    later = ask(plane, heir)["id"]
    assert plane.wait(later, "ACTIVE")["locality"] == "anti-affinity"
    assert members(plane) == (group, {heir, later})
    for one in (later, heir):
        remove(plane, one)
    assert plane.resources() == NOTHING


@pytest.mark.parametrize("path", ["os-server-groups", "servers$"])
def test_a_lost_answer_makes_no_second_group(plane: ControlPlane, path: str) -> None:
    plane.minicloud.faults.add({"kind": "reply_lost", "service": "compute", "method": "POST",
                                "path": path, "times": 1})
    plane.wait(plane.create(locality="affinity"), "ACTIVE")
    assert plane.resources() == {**ONE, "server_groups": 1}


def test_a_create_that_fails_leaves_no_group(plane: ControlPlane) -> None:
    plane.hypervisor.failures["prepare"] = "The disk is full."
    plane.wait(plane.create(locality="anti-affinity"), "ERROR")
    assert plane.resources() == NOTHING


def test_the_volume_has_the_type_and_if_wanted_the_zone(plane: ControlPlane) -> None:
    kinds = plane.request("GET", "/volume-types", status=200).json["volume_types"]
    plane.conf.set_override("cinder_volume_type", kinds[0]["name"])
    plane.conf.set_override("enable_volume_az", True)
    for asked in ({"size": 1}, {"size": 1, "type": kinds[0]["id"]}):
        ident = plane.create(volume=asked, availability_zone="nova")
        plane.wait(ident, "ACTIVE")
    for volume in plane.minicloud.store.list("volume"):
        assert volume["availability_zone"] == "nova"
        assert kinds[0]["name"] in str(volume), volume
    for wrong in ({"volume": {"size": 1, "type": "gold"}}, {"availability_zone": "moon"},
                  {"locality": "near"}, {"nics": [{"network_id": ident}]}):
        plane.request("POST", "/instances", {"instance": {
            "name": "db", "flavorRef": "1", "volume": {"size": 1}, **wrong}}, status=400)


def test_the_network_and_the_address_are_those_that_were_asked_for(
        plane: ControlPlane) -> None:
    subnet, = [one for one in plane.minicloud.store.list("subnet")
               if one["name"] == "private-subnet"]
    address = subnet["cidr"].replace(".0/24", ".77")
    # as --nic net-id=…,subnet-id=…,ip-address=… sends it
    ident = plane.create(nics=[{"network_id": subnet["network_id"], "subnet_id": subnet["id"],
                                "ip_address": address}])
    assert plane.wait(ident, "ACTIVE")["addresses"] == [
        {"address": address, "type": "private", "network": subnet["network_id"]}]
    for taken, why in ((address, "in use"), (subnet["gateway_ip"], "not an address"),
                       ("192.0.2.9", "not an address")):
        answer = plane.request("POST", "/instances", {"instance": {
            "name": "db", "flavorRef": "1", "volume": {"size": 1}, "nics": [{
                "network_id": subnet["network_id"], "ip_address": taken}]}}, status=400)
        message = answer.json["badRequest"]["message"]
        assert "instance.nics[0].ip_address" in message
        assert why in message
