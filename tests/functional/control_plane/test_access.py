"""Who reaches an instance: allowed networks and public addresses."""

from __future__ import annotations

from typing import Any

from tests.functional.control_plane.conftest import NOTHING, ONE, ControlPlane

PUBLIC = {**ONE, "floating": 1}


def rules(plane: ControlPlane) -> set[tuple[str, int, str]]:
    """Return protocol, port and network of all that is let in."""
    own = plane.minicloud.people.named("project", "service")["id"]
    groups = {one["id"] for one in plane.minicloud.store.list("security_group", own)
              if one["name"] != "default"}
    return {(one["protocol"], one["port_range_min"], one["remote_ip_prefix"])
            for one in plane.minicloud.store.list("security_group_rule")
            if one["security_group_id"] in groups and one["direction"] == "ingress"}


def test_a_public_instance_has_a_floating_address_and_gives_it_back(
        plane: ControlPlane) -> None:
    ident = plane.create(access={"is_public": True, "allowed_cidrs": ["203.0.113.9/24"]})
    shown = plane.wait(ident, "ACTIVE")
    assert plane.resources() == PUBLIC
    # one network, in the form that the cloud keeps
    assert shown["access"] == {"is_public": True, "allowed_cidrs": ["203.0.113.0/24"]}
    assert rules(plane) == {("tcp", 3306, "203.0.113.0/24")}
    floating, = plane.minicloud.store.list("floatingip")
    assert shown["ip"] == [floating["fixed_ip_address"], floating["floating_ip_address"]]
    assert [one["type"] for one in shown["addresses"]] == ["private", "public"]
    assert shown["addresses"][1]["network"] == floating["floating_network_id"]
    # the server has an interface for it
    server, = plane.hypervisor.servers.values()
    assert floating["id"] in {port.id for port in server.ports}
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert plane.resources() == NOTHING


def test_what_the_operator_allows_by_default_is_shown(plane: ControlPlane) -> None:
    plane.conf.set_override("default_allowed_cidrs", ["10.0.0.0/8"])
    ident = plane.create()
    shown = plane.wait(ident, "ACTIVE")
    assert shown["access"] == {"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]}
    assert rules(plane) == {("tcp", 3306, "10.0.0.0/8")}
    assert plane.resources() == ONE


def test_the_released_client_changes_the_access(plane: ControlPlane, released: Any) -> None:
    ident = plane.create(access={"allowed_cidrs": ["10.0.0.0/8"]})
    plane.wait(ident, "ACTIVE")
    # openstack database instance update ID --is-public
    released.update(ident, is_public=True)
    assert plane.show(ident)["status"] in ("UPDATE", "ACTIVE")
    shown = plane.wait(ident, "ACTIVE")
    # what is not named stays
    assert shown["access"] == {"is_public": True, "allowed_cidrs": ["10.0.0.0/8"]}
    assert plane.resources() == PUBLIC
    # … update ID --allowed-cidr A --allowed-cidr B
    released.update(ident, allowed_cidrs=["192.0.2.1", "198.51.100.0/24"])
    shown = plane.wait(ident, "ACTIVE")
    assert shown["access"] == {
        "is_public": True, "allowed_cidrs": ["192.0.2.1/32", "198.51.100.0/24"]}
    assert rules(plane) == {("tcp", 3306, "192.0.2.1/32"), ("tcp", 3306, "198.51.100.0/24")}
    # … update ID --is-private
    released.update(ident, is_public=False)
    shown = plane.wait(ident, "ACTIVE")
    assert not shown["access"]["is_public"]
    assert [one["type"] for one in shown["addresses"]] == ["private"]
    assert plane.resources() == ONE
    told = plane.request("GET", f"/instances/{ident}/events", status=200).json["events"]
    assert any("Changing who reaches the database has succeeded" in one["message"]
               for one in told)


def test_nobody_gets_in_when_no_network_is_allowed(plane: ControlPlane) -> None:
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    plane.request("PATCH", f"/instances/{ident}", {"instance": {
        "name": "closed", "access": {"allowed_cidrs": []}}}, status=202)
    shown = plane.wait(ident, "ACTIVE")
    assert (shown["name"], shown["access"]["allowed_cidrs"], rules(plane)) == (
        "closed", [], set())


def test_an_update_that_fails_leaves_what_there_was(plane: ControlPlane) -> None:
    ident = plane.create(access={"allowed_cidrs": ["10.0.0.0/8"]})
    before = plane.wait(ident, "ACTIVE")
    plane.minicloud.faults.add({"kind": "error", "service": "network", "method": "POST",
                                "path": "floatingips", "status": 409})
    plane.request("PUT", f"/instances/{ident}", {"instance": {"access": {
        "is_public": True, "allowed_cidrs": ["0.0.0.0/0"]}}}, status=202)
    shown = plane.wait(ident, "ACTIVE")
    assert "network service refused" in shown["fault"]["message"]
    assert (shown["access"], shown["ip"]) == (before["access"], before["ip"])
    assert rules(plane) == {("tcp", 3306, "10.0.0.0/8")}
    assert plane.resources() == ONE


def test_a_rule_that_the_network_service_refuses_fails_the_instance(
        plane: ControlPlane) -> None:
    # the answer of a quota that is used up has the status of a rule that is there already
    plane.minicloud.faults.add({"kind": "error", "service": "network", "method": "POST",
                                "path": "security-group-rules", "status": 409})
    shown = plane.wait(plane.create(), "ERROR")
    assert "network service refused" in shown["fault"]["message"]


def test_the_database_may_be_down_but_nothing_else_under_way(plane: ControlPlane) -> None:
    plane.hypervisor.silent = True
    ident = plane.create()
    access = {"instance": {"access": {"allowed_cidrs": ["10.0.0.0/8"]}}}
    answer = plane.request("PUT", f"/instances/{ident}", access, status=422)
    assert "BUILD" in answer.json["unprocessableEntity"]["message"]
    both = {"instance": {"access": {}, "configuration": None}}
    plane.request("PUT", f"/instances/{ident}", both, status=400)


def test_no_instance_is_public_without_a_public_network(plane: ControlPlane) -> None:
    store = plane.minicloud.store
    external, = [one for one in store.list("network") if one["router:external"]]
    store.put("network", external["id"], {**external, "router:external": False},
              external["project_id"])
    answer = plane.request("POST", "/instances", {"instance": {
        "name": "db", "flavorRef": "1", "volume": {"size": 1},
        "access": {"is_public": True}}}, status=400)
    assert "no public network" in answer.json["badRequest"]["message"]
