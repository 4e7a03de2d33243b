"""Names of instances, registered with a service that checks what it is asked."""

from __future__ import annotations

import pytest

from tests.functional.control_plane.conftest import NOTHING, ControlPlane
from trove_ng.db.models import DnsRecord


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
