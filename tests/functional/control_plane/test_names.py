"""Names of instances, registered with a service that checks what it is asked."""

from __future__ import annotations

import pytest

from tests.functional.control_plane.conftest import NOTHING, ControlPlane
from tests.functional.control_plane.designate import ZONE
from trove_ng.cloud.errors import CloudError
from trove_ng.db.models import DnsRecord

UNKNOWN = "5b5a1b3e-0f9e-4f4e-9d5e-0c1f6a5ad001"


@pytest.fixture(autouse=True)
def on(plane: ControlPlane) -> None:
    plane.conf.set_override("enabled", True, group="dns")


def stored(plane: ControlPlane) -> list[tuple[str, str]]:
    with plane.db.reader() as session:
        return [(one.name, one.record_id) for one in session.query(DnsRecord)]


def address(plane: ControlPlane, kind: str) -> str:
    """Return the instance's address as the network service has it."""
    own = plane.minicloud.people.named("project", "service")["id"]
    if kind == "private":
        return str(plane.minicloud.store.list("port", own)[0]["fixed_ips"][0]["ip_address"])
    return str(plane.minicloud.store.list("floatingip")[0]["floating_ip_address"])


def test_an_instance_has_a_name_until_it_is_deleted(plane: ControlPlane) -> None:
    ident = plane.create()
    shown = plane.wait(ident, "ACTIVE")
    name = f"{ident}.db.example.org"
    # clients show one or the other
    assert (shown["hostname"], "ip" in shown) == (name, False)
    assert plane.designate.addresses() == {name: address(plane, "private")}
    record, = plane.designate.records.values()
    assert (record["type"], record["ttl"], record["description"]) == (
        "A", 300, f"Database instance {ident}")
    assert stored(plane) == [(name, record["id"])]
    # the zone was looked up once, by its name
    assert plane.designate.asked.count(("GET", "/v2/zones")) == 1
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert (plane.designate.addresses(), stored(plane)) == ({}, [])
    assert plane.resources() == NOTHING


def test_the_name_follows_the_address(plane: ControlPlane) -> None:
    ident = plane.create(access={"is_public": True})
    name = plane.wait(ident, "ACTIVE")["hostname"]
    assert plane.designate.addresses() == {name: address(plane, "public")}
    for public in (False, True):
        plane.request("PUT", f"/instances/{ident}", {"instance": {"access": {
            "is_public": public}}}, status=202)
        plane.wait(ident, "ACTIVE")
        kind = "public" if public else "private"
        assert plane.designate.addresses() == {name: address(plane, kind)}


def test_a_given_zone_is_not_looked_up(plane: ControlPlane) -> None:
    plane.conf.set_override("domain_id", plane.designate.zone_id, group="dns")
    plane.wait(plane.create(), "ACTIVE")
    assert ("GET", "/v2/zones") not in plane.designate.asked
    assert len(plane.designate.records) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_lost_answer_makes_no_second_record(plane: ControlPlane, method: str) -> None:
    plane.minicloud.faults.add({"kind": "reply_lost", "service": "dns", "method": method,
                                "path": "recordsets", "times": 1})
    plane.wait(plane.create(), "ACTIVE")
    assert len(plane.designate.records) == 1


def test_a_name_that_is_not_served_fails_the_create_and_leaves_nothing(
        plane: ControlPlane) -> None:
    plane.designate.status = "ERROR"
    shown = plane.wait(plane.create(), "ERROR")
    assert "could not serve the name" in shown["fault"]["message"]
    assert (plane.designate.addresses(), stored(plane)) == ({}, [])
    assert plane.resources() == NOTHING


@pytest.mark.parametrize(("option", "value", "why"), [
    ("domain_name", None, "named no domain"), ("domain_name", "other.org", "does not exist"),
    ("driver", "bind", "no DNS driver bind"), ("endpoint_url", None, "dns service")])
def test_what_the_operator_left_out_is_told(plane: ControlPlane, option: str,
                                            value: str | None, why: str) -> None:
    plane.conf.set_override(option, value, group="dns")
    ident = plane.create()
    assert why in plane.wait(ident, "ERROR", seconds=60)["fault"]["message"]
    assert plane.resources() == NOTHING
    # it can be deleted all the same
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")


def test_an_instance_made_without_a_name_gets_none_by_an_update(plane: ControlPlane) -> None:
    plane.conf.set_override("enabled", False, group="dns")
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    plane.conf.set_override("enabled", True, group="dns")
    plane.request("PUT", f"/instances/{ident}", {"instance": {"access": {
        "is_public": True}}}, status=202)
    assert "hostname" not in plane.wait(ident, "ACTIVE")
    assert plane.designate.records == {}


def found(plane: ControlPlane) -> list[tuple[str, str, bool]]:
    """Reconcile; return kind and resource of what was found, and whether it was repaired."""
    return [(str(one.finding.kind), one.finding.resource, one.repaired)
            for one in plane.reconcile()]


def test_names_of_instances_that_are_gone_are_removed(plane: ControlPlane) -> None:
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    record = dict(next(iter(plane.designate.records.values())))
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    # a request of a lost worker that came late
    plane.designate.records[record["id"]] = record
    others = {ident: {**record, "id": ident, **more} for ident, more in (
        ("1" * 8, {"name": "www.db.example.org.", "description": None}),
        ("2" * 8, {"name": "www2.db.example.org."}),
        ("3" * 8, {"name": f"{UNKNOWN}.db.example.org.",
                   "description": f"Database instance {UNKNOWN}"}))}
    plane.designate.records |= others
    assert sorted(found(plane)) == [
        ("leftover", "name", True), ("unknown-instance", "name", False)]
    assert plane.designate.records == others
    assert found(plane) == [("unknown-instance", "name", False)]


def test_names_of_instances_are_put_right(plane: ControlPlane) -> None:
    ident = plane.create()
    name = plane.wait(ident, "ACTIVE")["hostname"]
    wanted = {name: address(plane, "private")}
    record, = plane.designate.records.values()
    record["records"] = ["192.0.2.1"]
    assert found(plane) == [("name-elsewhere", "name", True)]
    assert plane.designate.addresses() == wanted
    record["status"] = plane.designate.status = "ERROR"
    assert found(plane) == [("name-elsewhere", "name", True)]
    plane.designate.status = "ACTIVE"
    plane.designate.records.clear()
    assert found(plane) == [("missing", "name", True)]
    assert plane.designate.addresses() == wanted
    assert stored(plane) == [(name, next(iter(plane.designate.records)))]
    assert found(plane) == []
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    assert (plane.designate.addresses(), stored(plane)) == ({}, [])


def test_a_long_zone_is_read_in_pages(plane: ControlPlane) -> None:
    plane.designate.most = 2
    record = {"type": "A", "records": ["192.0.2.1"], "status": "ACTIVE", "action": "NONE"}
    plane.designate.records = {f"r{number}": {
        **record, "id": f"r{number}", "name": f"n{number}.{ZONE}"} for number in range(5)}
    assert [one.id for one in plane.tools.clouds.names.list()] == [
        f"r{number}" for number in range(5)]


def test_a_dns_service_that_is_away_keeps_nothing_else_from_being_compared(
        plane: ControlPlane) -> None:
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    plane.minicloud.faults.add({"kind": "error", "service": "dns", "method": "GET",
                                "path": "recordsets", "status": 503, "times": 9})
    port, = [one for one in plane.minicloud.store.list("port") if one["device_id"]]
    plane.minicloud.store.delete("port", port["id"])
    with pytest.raises(CloudError):
        plane.reconcile()
    events = plane.request("GET", f"/instances/{ident}/events", status=200).json["events"]
    assert any("port" in one["message"] for one in events)
