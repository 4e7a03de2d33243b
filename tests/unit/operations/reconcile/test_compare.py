"""Judgements on facts, without a store or a cloud."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from trove_ng.cloud.types import (
    INSTANCE_KEY,
    VOLUME_KIND_KEY,
    FloatingIP,
    Port,
    SecurityGroup,
    Server,
    ServerGroup,
    Volume,
)
from trove_ng.db.repositories.reconciliation import Facts
from trove_ng.db.repositories.reconciliation import Volume as Known
from trove_ng.operations.reconcile import compare
from trove_ng.operations.reconcile.findings import Finding, Kind, Repair

NOW = datetime.datetime(2026, 1, 1, 12)
ONE = "00000000-0000-4000-8000-000000000001"
TIMES = compare.When(NOW, NOW - datetime.timedelta(seconds=120),
                     NOW - datetime.timedelta(seconds=60),
                     tries=3, pause=datetime.timedelta(seconds=200))


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


def server(ident: str = "s", **more: Any) -> Server:
    return Server(**{"id": ident, "name": "db", "status": "ACTIVE", "task_state": None,
                     "flavor_id": "1", "created": "", "fault": "",
                     "metadata": {INSTANCE_KEY: ONE}, **more})


BINLOG = {INSTANCE_KEY: ONE, VOLUME_KIND_KEY: "binlog"}


def volume(ident: str = "v", **more: Any) -> Volume:
    return Volume(**{"id": ident, "name": "x", "status": "in-use", "size_gb": 2,
                     "attached_to": "s", "device": None, "metadata": {INSTANCE_KEY: ONE},
                     **more})


def port(ident: str = "p", **more: Any) -> Port:
    return Port(**{"id": ident, "name": f"trove-{ONE}-0", "network_id": "n", "ip_address": None,
                   "device_id": "s", "status": "ACTIVE", **more})


def group(ident: str = "g", **more: Any) -> SecurityGroup:
    return SecurityGroup(**{"id": ident, "name": f"trove-{ONE}", **more})


def floating(ident: str = "f", **more: Any) -> FloatingIP:
    return FloatingIP(**{"id": ident, "name": f"trove-{ONE}", "network_id": "e",
                         "address": "192.0.2.1", "port_id": "p", **more})


def place(ident: str = "sg", **more: Any) -> ServerGroup:
    return ServerGroup(**{"id": ident, "name": f"trove-{ONE}", "policy": "affinity", **more})


def row(**more: Any) -> Any:
    return Facts(**{
        "id": ONE, "tenant_id": "t", "deleted": False, "deleted_at": None, "task": "NONE",
        "error": "", "compute_instance_id": "s", "server_status": "ACTIVE",
        "server_host": "h", "flavor_id": "1", "volumes": (Known("v", 2),), "port_ids": ["p"],
        "floating_ip_id": "f", "security_group_id": "g", "server_group_id": None,
        "hostname": None, "addresses": [], "access": {}, "slave_of_id": None,
        "heartbeat": ago(5), "live": False, "has_key": True,
        "agent_status": "HEALTHY", "worked_at": ago(3600), "recoveries": 0, **more})


def cloud(*resources: compare.Resource) -> compare.Cloud:
    kinds = {Server: "server", Volume: "volume", FloatingIP: "floating_ip", Port: "port",
             SecurityGroup: "security_group", ServerGroup: "server_group"}
    found: dict[str, dict[str, compare.Resource]] = {kind: {} for kind in compare.KINDS}
    for one in resources:
        found[kinds[type(one)]][one.id] = one
    return compare.Cloud(found)


WHOLE = (server(), volume(), floating(), port(), group())


def find(one: Any, *resources: compare.Resource) -> list[Finding]:
    rows = {} if one is None else {ONE: one}
    seen = cloud(*resources)
    return [*compare.owners(rows, seen, TIMES), *compare.instances(rows, seen, TIMES)]


def found(one: Any, *resources: compare.Resource) -> list[tuple[Kind, str, Repair | None]]:
    return [(each.kind, each.resource_id, each.repair) for each in find(one, *resources)]


def test_a_whole_instance_gives_nothing() -> None:
    assert found(row(), *WHOLE) == []


@pytest.mark.parametrize("more", [
    {"live": True}, {"task": "RESIZING"}, {"worked_at": NOW},
    {"error": "DELETE"}])
def test_an_instance_that_is_worked_on_is_not_judged(more: dict[str, Any]) -> None:
    assert found(row(**more), server("x", status="ERROR"), volume("y"), port("z")) == []


@pytest.mark.parametrize(("more", "repair"), [
    ({}, [Repair.RECOVER]), ({"volumes": ()}, [None]),
    ({"error": "UNDO"}, []), ({"worked_at": ago(30)}, []), ({"live": True}, []),
    ({"heartbeat": None}, []),
    # what failed is tried again, later each time, and some day no more
    ({"error": "RECOVER", "recoveries": 1, "worked_at": ago(200)}, [Repair.RECOVER]),
    ({"error": "RECOVER", "recoveries": 1, "worked_at": ago(199)}, []),
    ({"error": "RECOVER", "recoveries": 2, "worked_at": ago(400)}, [Repair.RECOVER]),
    ({"error": "RECOVER", "recoveries": 2, "worked_at": ago(399)}, []),
    ({"error": "RECOVER", "recoveries": 3, "worked_at": ago(9999)}, [None])])
def test_a_database_on_a_new_disk_is_started(
        more: dict[str, Any], repair: list[Repair | None]) -> None:
    whole = WHOLE if "volumes" not in more else (server(), *WHOLE[2:])
    assert found(row(agent_status="NEW", **more), *whole) == [
        (Kind.AGENT_NEW, "s", one) for one in repair]


def test_a_server_that_moved_by_itself_is_noted() -> None:
    moved = (server(host="other"), *WHOLE[1:])
    assert found(row(), *moved) == [(Kind.SERVER_HOST, "s", Repair.NOTE_HOST)]
    assert found(row(server_host="other"), *moved) == []
    assert found(row(live=True), *moved) == []
    # not every cloud tells the machine
    assert found(row(), server(host=None), *WHOLE[1:]) == []


def test_what_ended_a_moment_ago_is_judged_by_its_server_only() -> None:
    late = row(worked_at=ago(30), server_status="BUILD")
    assert found(late, server(), volume("other")) == [
        (Kind.SERVER_STATUS, "s", Repair.NOTE_STATUS)]


@pytest.mark.parametrize("resource", [
    server("x"), volume("x"), floating("x"), port("x"), group("x"),
    place("x")])
@pytest.mark.parametrize(("more", "repair"), [
    ({"deleted": True, "deleted_at": ago(121)}, True),
    ({"deleted": True, "deleted_at": ago(119)}, False),
    ({"deleted": True, "deleted_at": None}, False),
    ({"deleted": True, "deleted_at": ago(121), "live": True}, False),
    ({"error": "BUILD", "worked_at": ago(121)}, True),
    ({"error": "BUILD", "worked_at": ago(119)}, False)])
def test_leftovers_go_when_they_are_old_enough(
        resource: compare.Resource, more: dict[str, Any], repair: bool) -> None:
    assert found(row(**more), resource) == (
        [(Kind.LEFTOVER, "x", Repair.DELETE)] if repair else [])


@pytest.mark.parametrize("resource", [
    server("x"), volume("x"), floating("x"), port("x"), group("x"),
    place("x")])
def test_what_another_store_may_know_is_never_deleted(resource: compare.Resource) -> None:
    assert found(None, resource) == [(Kind.UNKNOWN_INSTANCE, "x", None)]


@pytest.mark.parametrize("resource", [
    server("x", metadata={}), server("x", metadata={INSTANCE_KEY: ""}),
    volume("x", metadata={"name": ONE}), port("x", name=ONE), port("x", name=f"trove-{ONE}"),
    port("x", name=f"trove-{ONE}-0x"), port("x", name=f"atrove-{ONE}-0"),
    group("x", name="default"), group("x", name=f"trove-{ONE}-2"), group("x", name="trove-")])
def test_what_carries_no_mark_of_ours_is_not_ours(resource: compare.Resource) -> None:
    gone = row(deleted=True, deleted_at=ago(9999))
    assert found(gone, resource) == []
    assert found(None, resource) == []


@pytest.mark.parametrize("resource", [
    server("x", task_state="deleting"), server("x", status="DELETED"),
    volume("x", status="deleting")])
def test_what_goes_already_is_no_leftover(resource: compare.Resource) -> None:
    assert found(row(deleted=True, deleted_at=ago(9999)), resource) == []


@pytest.mark.parametrize(("resource", "repair"), [
    (server("x"), Repair.DELETE), (group("x"), Repair.DELETE),
    (volume("x", attached_to=None, status="available"), Repair.DELETE),
    (volume("x", attached_to="s"), None), (volume("x", attached_to="other"), None),
    # nobody knows what one of a kind holds that the instance does not have
    (volume("x", attached_to=None, status="available", metadata=BINLOG), None),
    (volume("x", attached_to=None, status="attaching"), None),
    (port("x", device_id=""), Repair.DELETE), (port("x", device_id="other"), Repair.DELETE),
    (port("x", device_id="s"), None), (floating("x", port_id=None), Repair.DELETE),
    (floating("x", port_id="other"), Repair.DELETE), (floating("x"), None)])
def test_a_second_one_goes_unless_it_may_be_in_use(
        resource: compare.Resource, repair: Repair | None) -> None:
    assert found(row(), *WHOLE, resource) == [(Kind.DUPLICATE, "x", repair)]


def test_each_volume_of_an_instance_is_looked_at() -> None:
    two = row(volumes=(Known("v", 2), Known("w", 1)))
    assert found(two, *WHOLE, volume("w", size_gb=1, metadata=BINLOG)) == []
    assert found(two, *WHOLE, volume("w", metadata=BINLOG, attached_to=None)) == [
        (Kind.VOLUME_DETACHED, "w", None), (Kind.VOLUME_SIZE, "w", None)]
    assert found(two, *WHOLE) == [(Kind.MISSING, "w", None)]
    spare = volume("x", attached_to=None, status="available", metadata=BINLOG)
    assert found(two, *WHOLE, volume("w", size_gb=1, metadata=BINLOG), spare) == [
        (Kind.DUPLICATE, "x", Repair.DELETE)]


def test_a_second_volume_stays_while_the_first_is_not_at_its_place() -> None:
    spare = volume("x", attached_to=None, status="available")
    detached = volume(attached_to=None, status="available")
    assert (Kind.DUPLICATE, "x", None) in found(row(), server(), detached, floating(), port(),
                                                   group(), spare)


@pytest.mark.parametrize("more", [
    {"compute_instance_id": None}, {"compute_instance_id": "lost"}])
def test_a_second_server_stays_while_the_first_is_not_there(more: dict[str, Any]) -> None:
    assert (Kind.DUPLICATE, "s", None) in found(row(**more), *WHOLE)


@pytest.mark.parametrize("kind", compare.KINDS)
def test_what_is_missing_is_told(kind: str) -> None:
    whole = zip((*WHOLE, place()), compare.KINDS, strict=True)
    rest = [one for one, name in whole if name != kind]
    placed = row(server_group_id="sg")
    missing = [each for each in find(placed, *rest) if each.kind is Kind.MISSING]
    assert [(each.resource, each.repair) for each in missing] == [(kind, None)]


def test_a_public_address_of_an_instance_that_has_none_goes() -> None:
    private = row(floating_ip_id=None)
    assert found(private, *WHOLE) == [(Kind.DUPLICATE, "f", Repair.DELETE)]


def test_a_server_group_stays_while_a_replica_is_in_it() -> None:
    gone = row(deleted=True, deleted_at=ago(9999))
    replica = row(id="other", server_group_id="sg", compute_instance_id=None, volumes=(),
                  port_ids=[], floating_ip_id=None, security_group_id=None)
    seen = cloud(place(), place("late"))
    judged = list(compare.owners({ONE: gone, "other": replica}, seen, TIMES))
    assert [(each.kind, each.resource_id) for each in judged] == [(Kind.LEFTOVER, "late")]
    assert found(row(), *WHOLE, place()) == [(Kind.DUPLICATE, "sg", Repair.DELETE)]


def test_without_a_server_nothing_is_said_of_what_hangs_on_it() -> None:
    rest = volume(attached_to=None), port(device_id=""), floating(), group()
    assert [kind for kind, _, _ in found(row(), *rest)] == [Kind.SERVER_STATUS, Kind.MISSING]


@pytest.mark.parametrize(("resources", "kind"), [
    ((server(status="SHUTOFF"), volume(), floating(), port(status="DOWN"), group()),
     Kind.SERVER_NOT_ACTIVE),
    ((server(status="ERROR"), volume(), floating(), port(), group()), Kind.SERVER_NOT_ACTIVE),
    ((server(), volume(attached_to=None), floating(), port(), group()), Kind.VOLUME_DETACHED),
    ((server(), volume(attached_to="x"), floating(), port(), group()), Kind.VOLUME_ELSEWHERE),
    ((server(), volume(size_gb=3), floating(), port(), group()), Kind.VOLUME_SIZE),
    ((server(), volume(), floating(), port(status="DOWN"), group()), Kind.PORT_DOWN),
    ((server(), volume(), floating(), port(device_id="x"), group()), Kind.PORT_ELSEWHERE),
    ((server(), volume(), floating(port_id=None), port(), group()),
     Kind.FLOATING_IP_ELSEWHERE)])
def test_what_only_a_person_can_decide(
        resources: tuple[compare.Resource, ...], kind: Kind) -> None:
    seen = row(server_status=resources[0].status)  # type: ignore[union-attr]
    assert [(each.kind, each.repair) for each in find(seen, *resources)] == [(kind, None)]


@pytest.mark.parametrize(("more", "repair"), [
    ({}, Repair.SETTLE_RESIZE), ({"worked_at": ago(30)}, None)])
def test_a_resize_that_nobody_decides_about_is_settled(more: dict[str, Any],
                                                       repair: Repair | None) -> None:
    seen = row(server_status="VERIFY_RESIZE", **more)
    assert found(seen, server(status="VERIFY_RESIZE"), *WHOLE[1:]) == [
        (Kind.SERVER_NOT_ACTIVE, "s", repair)]


def test_a_server_that_is_rebooted_now_is_not_told_as_wrong() -> None:
    booting = server(status="REBOOT", task_state="rebooting")
    assert found(row(server_status="REBOOT"), booting, *WHOLE[1:]) == []


@pytest.mark.parametrize(("more", "told"), [
    ({"heartbeat": ago(61)}, True), ({"heartbeat": ago(59)}, False), ({"heartbeat": None}, False),
    ({"heartbeat": ago(61), "has_key": False}, False),
    ({"heartbeat": ago(61), "live": True}, False)])
def test_old_heartbeats(more: dict[str, Any], told: bool) -> None:
    assert [each.kind for each in find(row(**more), *WHOLE)] == (
        [Kind.HEARTBEAT_OLD] if told else [])


def _lets_in(gone: tuple[str, ...], *others: Any) -> list[str | None]:
    allowed = ["192.0.2.7/32", "198.51.100.0/24"]
    one = row(access={"allowed_cidrs": allowed}, addresses=[{"address": "10.0.0.1"}])
    has = group(networks=frozenset([*allowed, "10.0.0.5/32", "10.1.0.0/16", "203.0.113.9/32"]))
    seen = cloud(*WHOLE[:-1], has)
    rows = {ONE: one, **{str(number): row(
        **{"id": str(number), "error": "BUILD", "addresses": [{"address": "10.0.0.5"}], **more})
        for number, more in enumerate(others)}}
    judged = list(compare.instances(rows, seen, TIMES, gone))
    assert {(each.kind, each.repair) for each in judged} <= {(Kind.LETS_IN, Repair.LET_OUT)}
    return [each.after for each in judged]


def test_who_was_a_replica_is_let_in_no_more() -> None:
    # nobody knows that address: it was let in by somebody else
    assert _lets_in(()) == []
    assert _lets_in(("10.0.0.5", "10.0.0.6", "192.0.2.7")) == ["10.0.0.5/32"]
    # one that was detached
    assert _lets_in((), {}) == ["10.0.0.5/32"]
    assert _lets_in((), {"slave_of_id": "another"}) == ["10.0.0.5/32"]


def test_whom_a_replica_needs_to_reach_lets_it_in() -> None:
    assert _lets_in((), {"slave_of_id": ONE}) == []
    # its address was another one's before, and is another one's in another network
    assert _lets_in(("10.0.0.5",), {}, {"slave_of_id": ONE}) == []
    # it may be about to leave
    assert _lets_in((), {"live": True}) == []
    assert _lets_in((), {"worked_at": NOW}) == []


def test_a_volume_is_not_asked_of_an_instance_without_one() -> None:
    rest = floating(), port(), group()
    assert found(row(volumes=()), server(), *rest) == []


def test_findings_are_the_same_while_nothing_changes() -> None:
    parts = server(), volume(attached_to=None), floating(), port(), group()
    first = find(row(heartbeat=ago(61)), *parts)
    later = find(row(heartbeat=ago(99)), *parts)
    assert [each.key for each in first] == [each.key for each in later]
