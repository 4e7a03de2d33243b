"""Settings of configuration groups on their way to instances."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import update

from tests.functional.control_plane.conftest import ControlPlane
from trove_ng.common.errors import GuestError
from trove_ng.db.models import Instance
from trove_ng.operations import readiness
from trove_ng.operations.runbooks import apply_configuration
from trove_ng.operations.work import Work
from trove_ng.rpc import messages as m


def group(plane: ControlPlane, **values: Any) -> str:
    return str(plane.request("POST", "/configurations", {"configuration": {
        "name": "c", "values": values}}, status=200).json["configuration"]["id"])


def attach(plane: ControlPlane, ident: str, configuration_id: str | None) -> None:
    plane.request("PUT", f"/instances/{ident}",
                  {"instance": {"configuration": configuration_id}}, status=202)


def ended(plane: ControlPlane, operation_id: str) -> dict[str, Any]:
    end = time.monotonic() + 20
    while True:
        plane.manager.sweep()
        shown: dict[str, Any] = plane.request(
            "GET", f"/operations/{operation_id}", status=200).json["operation"]
        if shown["ended_at"] is not None:
            return shown
        assert time.monotonic() < end, shown
        time.sleep(0.05)


def overrides(plane: ControlPlane) -> list[dict[str, Any]]:
    return [agent.overrides for agent in plane.hypervisor.agents.values()]


def test_a_group_is_attached_and_detached(plane: ControlPlane, instance: str) -> None:
    ident = group(plane, wait_timeout=99)
    attach(plane, instance, ident)
    shown = plane.wait(instance, "ACTIVE")
    assert shown["configuration"]["id"] == ident
    assert overrides(plane) == [{"wait_timeout": 99}]
    attach(plane, instance, None)
    assert "configuration" not in plane.wait(instance, "ACTIVE")
    assert overrides(plane) == [{}]


def test_a_setting_for_the_next_start_shows_until_then(plane: ControlPlane, instance: str,
                                                       ) -> None:
    attach(plane, instance, group(plane, innodb_log_file_size=4194304))
    plane.wait(instance, "RESTART_REQUIRED")
    plane.request("POST", f"/instances/{instance}/action", {"restart": {}}, status=202)
    plane.wait(instance, "ACTIVE")


@pytest.mark.parametrize("resize", [{"flavorRef": "2"}, {"volume": {"size": 2}}])
def test_a_resize_starts_the_database_again(plane: ControlPlane, instance: str,
                                            resize: dict[str, Any]) -> None:
    attach(plane, instance, group(plane, innodb_log_file_size=4194304))
    plane.wait(instance, "RESTART_REQUIRED")
    plane.request("POST", f"/instances/{instance}/action", {"resize": resize}, status=202)
    plane.wait(instance, "ACTIVE")


def test_an_instance_is_made_with_a_group(plane: ControlPlane) -> None:
    ident = plane.create(configuration=group(plane, wait_timeout=7))
    plane.wait(ident, "ACTIVE")
    assert overrides(plane) == [{"wait_timeout": 7}]


def test_a_failure_leaves_the_instance_with_what_it_had(plane: ControlPlane, instance: str,
                                                        ) -> None:
    first = group(plane, wait_timeout=1)
    attach(plane, instance, first)
    plane.wait(instance, "ACTIVE")
    plane.hypervisor.failures["update_overrides"] = "The database server refuses the value."
    attach(plane, instance, group(plane, wait_timeout=2))
    shown = plane.wait(instance, "ACTIVE")
    assert shown["configuration"]["id"] == first
    assert "refuses the value" in shown["fault"]["message"]


def test_a_change_of_a_group_reaches_all_its_instances(plane: ControlPlane) -> None:
    ident = group(plane, wait_timeout=1)
    idents = [plane.create(configuration=ident) for _ in range(3)]
    for one in idents:
        plane.wait(one, "ACTIVE")
    answer = plane.request("PUT", f"/configurations/{ident}", {"configuration": {
        "values": {"max_connections": 5}}}, status=202)
    shown = ended(plane, answer.headers["X-Trove-Operation-Id"])
    assert shown["status"] == "SUCCEEDED", shown
    assert overrides(plane) == [{"max_connections": 5}] * 3
    assert {one["name"] for one in shown["steps"]} == {
        "instances", *(f"instance {one}" for one in idents)}
    for one in idents:
        assert plane.wait(one, "ACTIVE")["configuration"]["id"] == ident


def test_a_change_is_made_at_a_few_instances_at_a_time(
        plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = group(plane, wait_timeout=1)
    first, *others = sorted(plane.create(configuration=ident) for _ in range(3))
    for one in (first, *others):
        plane.wait(one, "ACTIVE")
    most, begin, running = 0, apply_configuration._begin, apply_configuration._note_end
    now: set[str] = set()
    ever: set[str] = set()

    def begun(work: Work, instance_id: str, percent: int) -> bool:
        # the first one is busy until the second one is under way
        if (instance_id != first or ever) and begin(work, instance_id, percent):
            now.add(instance_id)
            ever.add(instance_id)
        nonlocal most
        most = max(most, len(now))
        return instance_id in now

    def noted(work: Work, instance_id: str) -> bool:
        if not running(work, instance_id):
            now.discard(instance_id)
        return instance_id in now

    monkeypatch.setattr(apply_configuration, "_AT_ONCE", 1)
    monkeypatch.setattr(apply_configuration, "_begin", begun)
    monkeypatch.setattr(apply_configuration, "_note_end", noted)
    answer = plane.request("PATCH", f"/configurations/{ident}", {"configuration": {
        "values": {"wait_timeout": 5}}}, status=200)
    assert ended(plane, answer.headers["X-Trove-Operation-Id"])["status"] == "SUCCEEDED"
    assert most == 1
    assert overrides(plane) == [{"wait_timeout": 5}] * 3


def test_what_became_of_each_instance_is_told(plane: ControlPlane) -> None:
    ident = group(plane, wait_timeout=1)
    good, bad = (plane.create(configuration=ident) for _ in range(2))
    for one in (good, bad):
        plane.wait(one, "ACTIVE")
    for agent in plane.hypervisor.agents.values():
        if agent.instance_id == bad:
            agent._failures = {"update_overrides": "The server refuses."}
    answer = plane.request("PATCH", f"/configurations/{ident}", {"configuration": {
        "values": {"wait_timeout": 5}}}, status=200)
    shown = ended(plane, answer.headers["X-Trove-Operation-Id"])
    assert shown["status"] == "FAILED"
    assert shown["error"].startswith("1 of 2 instances")
    errors = {one["name"]: one["error"] for one in shown["steps"]}
    assert errors[f"instance {good}"] is None
    assert "refuses" in errors[f"instance {bad}"]
    shown = plane.wait(bad, "ACTIVE")
    assert "refuses" in shown["fault"]["message"]
    assert shown["configuration"]["id"] == ident


def test_a_change_reaches_an_instance_that_is_being_given_the_group(
        plane: ControlPlane, instance: str) -> None:
    ident = group(plane, wait_timeout=1)
    attach(plane, instance, ident)
    answer = plane.request("PATCH", f"/configurations/{ident}", {"configuration": {
        "values": {"wait_timeout": 5}}}, status=200)
    assert ended(plane, answer.headers["X-Trove-Operation-Id"])["status"] == "SUCCEEDED"
    assert overrides(plane) == [{"wait_timeout": 5}]


def test_a_change_waits_for_an_instance_that_was_given_the_values_before_it(
        plane: ControlPlane, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, = plane.hypervisor.agents.values()
    asked, looked_at, given = threading.Event(), threading.Event(), agent._update_overrides
    load = readiness.load

    def slowly(request: m.OverridesRequest) -> m.OverridesResult:
        asked.set()
        assert looked_at.wait(4)
        return given(request)

    def look(*args: Any, **kwargs: Any) -> Any:
        try:
            return load(*args, **kwargs)
        finally:
            if asked.is_set():
                looked_at.set()

    ident = group(plane, wait_timeout=1)
    monkeypatch.setattr(agent, "_update_overrides", slowly)
    attach(plane, instance, ident)
    assert asked.wait(4)
    # from now on only the change of the group looks at instances
    monkeypatch.setattr(readiness, "load", look)
    answer = plane.request("PATCH", f"/configurations/{ident}", {"configuration": {
        "values": {"wait_timeout": 5}}}, status=200)
    assert ended(plane, answer.headers["X-Trove-Operation-Id"])["status"] == "SUCCEEDED"
    assert overrides(plane) == [{"wait_timeout": 5}]


def test_an_instance_that_leaves_the_group_while_it_is_changed_is_told_of(
        plane: ControlPlane, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = group(plane, wait_timeout=1)
    attach(plane, instance, ident)
    plane.wait(instance, "ACTIVE")
    agent, = plane.hypervisor.agents.values()
    asked, gone = threading.Event(), threading.Event()

    def refuse(_request: m.OverridesRequest) -> m.OverridesResult:
        asked.set()
        assert gone.wait(4)
        raise GuestError("The server refuses.")

    monkeypatch.setattr(agent, "_update_overrides", refuse)
    answer = plane.request("PATCH", f"/configurations/{ident}", {"configuration": {
        "values": {"wait_timeout": 5}}}, status=200)
    assert asked.wait(4)
    with plane.db.writer() as session:
        session.execute(update(Instance).where(Instance.id == instance).values(
            configuration_id=None))
    gone.set()
    shown = ended(plane, answer.headers["X-Trove-Operation-Id"])
    assert (shown["status"], shown["error"][:8]) == ("FAILED", "1 of 1 i")
