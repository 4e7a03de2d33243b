"""Replicas get another flavor and other settings, as all instances do, and stay replicas."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.invariants import violations
from tests.functional.control_plane.test_configurations import attach, group
from tests.functional.control_plane.test_replicas import ids
from tests.functional.control_plane.test_replicas import pair as pair  # noqa: PLC0414  fixture
from tests.functional.control_plane.world import LivingAgent

Set = tuple[str, str, str]


@pytest.fixture
def heard(plane: ControlPlane, pair: Set) -> dict[str, list[str]]:
    """What agents are asked for from now on, and do: the source's first, then the replicas'."""
    found = {}
    for one in pair:
        agent = plane.agent(one)
        assert isinstance(agent, LivingAgent)
        agent.heard.clear()
        found[one] = agent.heard
    return found


def followed(plane: ControlPlane, pair: Set) -> list[Any]:
    """Return whom its members follow; the API and the agents agree about that."""
    source, *replicas = pair
    assert set(ids(plane, source)) == {*replicas}
    assert [plane.show(one)["replica_of"]["id"] for one in replicas] == [source, source]
    agents = [plane.agent(one) for one in pair]
    assert [one.read_only for one in agents] == [False, True, True]
    return [(one.follows, dict(one.accounts)) for one in agents]


def test_a_replica_gets_another_flavor_and_stays_a_replica(
        plane: ControlPlane, pair: Set, heard: dict[str, list[str]]) -> None:
    source, one, two = pair
    before = followed(plane, pair)
    plane.request("POST", f"/instances/{one}/action", {"resize": {"flavorRef": "2"}}, status=202)
    assert plane.wait(one, "ACTIVE")["flavor"]["id"] == "2"
    assert [plane.show(each)["flavor"]["id"] for each in (source, two)] == ["1", "1"]
    assert [plane.show(each)["status"] for each in (source, two)] == ["ACTIVE", "ACTIVE"]
    assert heard == {source: [], one: ["stop_db", "start_db_with_conf_changes"], two: []}
    _, request = next(each for each in reversed(plane.agent(one).asked)
                      if each[0] == "start_db_with_conf_changes")
    assert request.memory_mb == 1024
    assert followed(plane, pair) == before
    assert plane.quota()["ram"] == (512 + 1024 + 512, 0)
    assert violations(plane) == []


def test_a_replica_that_cannot_have_another_flavor_follows_with_its_own(
        plane: ControlPlane, pair: Set, heard: dict[str, list[str]]) -> None:
    source, one, _ = pair
    before = followed(plane, pair)
    plane.hypervisor.failures["start_db_with_conf_changes start"] = "There is too little memory."
    plane.request("POST", f"/instances/{one}/action", {"resize": {"flavorRef": "2"}}, status=202)
    shown = plane.wait(one, "ACTIVE")
    assert (shown["flavor"]["id"], shown["fault"]["message"]) == (
        "1", "There is too little memory.")
    assert heard[source] == []
    assert followed(plane, pair) == before
    assert plane.quota()["ram"] == (3 * 512, 0)
    assert violations(plane) == []


def test_a_replica_has_a_configuration_group_of_its_own(
        plane: ControlPlane, pair: Set, heard: dict[str, list[str]]) -> None:
    source, one, two = pair
    before, ident = followed(plane, pair), group(plane, wait_timeout=99)
    attach(plane, one, ident)
    assert plane.wait(one, "ACTIVE")["configuration"]["id"] == ident
    assert [plane.agent(each).overrides for each in pair] == [{}, {"wait_timeout": 99}, {}]
    assert ["configuration" in plane.show(each) for each in pair] == [False, True, False]
    attach(plane, one, None)
    assert "configuration" not in plane.wait(one, "ACTIVE")
    assert [plane.agent(each).overrides for each in pair] == [{}, {}, {}]
    assert heard == {source: [], one: ["update_overrides"] * 2, two: []}
    assert followed(plane, pair) == before
    assert violations(plane) == []


def test_a_setting_for_the_next_start_of_a_replica_waits_for_its_restart_alone(
        plane: ControlPlane, pair: Set, heard: dict[str, list[str]]) -> None:
    source, one, two = pair
    before = followed(plane, pair)
    attach(plane, one, group(plane, innodb_log_file_size=4194304))
    plane.wait(one, "RESTART_REQUIRED")
    assert [plane.show(each)["status"] for each in (source, two)] == ["ACTIVE", "ACTIVE"]
    plane.request("POST", f"/instances/{one}/action", {"restart": {}}, status=202)
    plane.wait(one, "ACTIVE")
    assert heard == {source: [], one: ["update_overrides", "restart"], two: []}
    assert followed(plane, pair) == before
