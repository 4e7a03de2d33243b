"""Modules from request to agent: at create, on request, again after a change."""

from __future__ import annotations

import base64
import datetime
import threading
from typing import Any

import pytest

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.world import World, wait_for
from trove_ng.db.repositories import operations
from trove_ng.rpc import module_messages as mm


def contents(text: str) -> str:
    return base64.b64encode(f"message={text}".encode()).decode()


def module(plane: ControlPlane, name: str, *, token: str = "demo", text: str = "Hello",
           **more: Any) -> str:
    answer = plane.request("POST", "/modules", {"module": {
        "name": name, "module_type": "ping", "contents": contents(text), **more}},
        token=token, status=200)
    return str(answer.json["module"]["id"])


def made(plane: ControlPlane, **more: Any) -> str:
    ident = plane.create(**more)
    plane.wait(ident, "ACTIVE")
    return ident


def agent(plane: ControlPlane, instance_id: str) -> Any:
    return next(one for one in plane.hypervisor.agents.values()
                if one.instance_id == instance_id)


def known(plane: ControlPlane, instance_id: str) -> dict[str, str]:
    """Return name → md5 of the modules that the store says an instance has."""
    found = plane.request("GET", f"/instances/{instance_id}/modules", token="admin",
                          status=200).json["modules"]
    return {one["name"]: one["md5"] for one in found}


def ended(plane: ControlPlane, operation_id: str) -> Any:
    def look() -> Any:
        shown = plane.request("GET", f"/operations/{operation_id}", token="admin",
                              status=200).json["operation"]
        return shown if shown["ended_at"] else None

    return wait_for(look, f"operation {operation_id}")


def reapply(plane: ControlPlane, ident: str, **more: Any) -> Any:
    answer = plane.request("PUT", f"/modules/{ident}/instances", {"reapply": more}, status=202)
    return ended(plane, answer.headers["X-Trove-Operation-Id"])


def test_an_instance_is_made_with_its_modules_and_the_automatic_ones(
        plane: ControlPlane) -> None:
    own = module(plane, "own", apply_order=1)
    module(plane, "auto", token="admin", auto_apply=1, all_tenants=1, priority_apply=1,
           visible=0, apply_order=9)
    module(plane, "not asked for")
    module(plane, "other", token="admin", auto_apply=1, all_tenants=1,
           datastore={"type": "mariadb", "version": "10.11"})
    ident = made(plane, modules=[{"id": own}])
    request, = [asked for name, asked in agent(plane, ident).asked if name == "module_apply"]
    assert isinstance(request, mm.ModulesRequest)
    specs = {one.name: one for one in request.modules}
    assert set(specs) == {"own", "auto", "other"}
    assert (specs["auto"].priority_apply, specs["auto"].is_admin, specs["auto"].apply_order) == (
        True, True, 9)
    assert (specs["other"].datastore, specs["other"].datastore_version) == ("mariadb", "10.11")
    assert specs["own"].contents.reveal() == contents("Hello")
    assert set(known(plane, ident)) == {"own", "auto", "other"}
    seen = plane.request("GET", f"/instances/{ident}/modules", status=200).json["modules"]
    assert {one["name"] for one in seen} == {"own", "other"}


def test_a_module_that_fails_at_create_leaves_the_database_and_is_told(
        plane: ControlPlane) -> None:
    good, bad = module(plane, "good"), module(plane, "bad")
    plane.hypervisor.failures["module bad"] = "It cannot be."
    ident = made(plane, modules=[{"id": good}, {"id": bad}])
    assert set(known(plane, ident)) == {"good"}
    events = plane.request("GET", f"/instances/{ident}/events?kind=fault",
                           status=200).json["events"]
    assert [one["message"] for one in events] == [
        f"Module {bad} could not be applied: It cannot be."]
    plane.request("DELETE", f"/modules/{bad}", status=200)
    plane.request("DELETE", f"/modules/{good}", status=403)


def test_modules_go_with_their_instance(plane: ControlPlane) -> None:
    ident = module(plane, "own")
    one = made(plane, modules=[{"id": ident}])
    plane.request("DELETE", f"/modules/{ident}", status=403)
    plane.request("DELETE", f"/instances/{one}", status=202)
    plane.wait_gone(f"/instances/{one}")
    plane.request("DELETE", f"/modules/{ident}", status=200)


def test_modules_are_applied_read_and_removed(plane: ControlPlane, instance: str) -> None:
    ident = module(plane, "own")
    path = f"/instances/{instance}/modules"
    done = plane.request("POST", path, {"modules": [{"id": ident}]}, status=200).json
    assert [(one["name"], one["status"], one["message"]) for one in done["modules"]] == [
        ("own", "OK", "Hello")]
    assert set(known(plane, instance)) == {"own"}
    found = plane.request("GET", f"{path}?from_guest=True&include_contents=True",
                          status=200).json["modules"]
    assert [one["contents"] for one in found] == [contents("Hello")]
    assert plane.request("GET", f"{path}/{ident}", status=200).json["contents"] == (
        contents("Hello"))
    plane.request("DELETE", f"{path}/{ident}", status=200)
    assert known(plane, instance) == {}
    assert agent(plane, instance).modules == {}
    plane.request("DELETE", f"{path}/{ident}", status=404)
    # what an agent lost can be removed too
    plane.request("POST", path, {"modules": [{"id": ident}]}, status=200)
    agent(plane, instance).modules.clear()
    plane.request("DELETE", f"{path}/{ident}", status=200)
    assert known(plane, instance) == {}
    # and one that cannot is believed
    plane.hypervisor.failures["module own"] = "No."
    done = plane.request("POST", path, {"modules": [{"id": ident}]}, status=200).json
    assert [(one["status"], one["message"], one["error_message"])
            for one in done["modules"]] == [("FAILED", "No.", "No.")]
    assert known(plane, instance) == {}


def test_changed_contents_reach_all_instances_in_batches(plane: ControlPlane) -> None:
    ident = module(plane, "own", live_update=1)
    idents = [plane.create(modules=[{"id": ident}]) for _ in range(3)]
    for one in idents:
        plane.wait(one, "ACTIVE")
    plane.conf.set_override("module_reapply_min_batch_delay", 0)
    changed = plane.request("PUT", f"/modules/{ident}", {"module": {
        "contents": contents("Bye")}}, status=200).json["module"]
    assert {known(plane, one)["own"] for one in idents} != {changed["md5"]}
    counts = plane.request("GET", f"/modules/{ident}/instances?count_only=True",
                           status=200).json["instances"]
    assert [(one["instance_count"], one["current"]) for one in counts] == [(3, False)]
    shown = reapply(plane, ident, batch_size=2, batch_delay=0)
    assert shown["status"] == "SUCCEEDED", shown
    assert {one["name"] for one in shown["steps"]} == {
        "instances", *(f"instance {one}" for one in idents)}
    assert {known(plane, one)["own"] for one in idents} == {changed["md5"]}
    assert {agent(plane, one).modules[ident].contents.reveal() for one in idents} == {
        contents("Bye")}


def asked(plane: ControlPlane, instance_id: str) -> int:
    return [name for name, _ in agent(plane, instance_id).asked].count("module_apply")


def test_instances_with_the_present_contents_are_left_alone_unless_forced(
        plane: ControlPlane) -> None:
    ident = module(plane, "own", live_update=1)
    one = made(plane, modules=[{"id": ident}])
    md5 = known(plane, one)["own"]
    assert reapply(plane, ident)["status"] == "SUCCEEDED"
    assert reapply(plane, ident, md5="0" * 32, force=1)["status"] == "SUCCEEDED"
    assert asked(plane, one) == 1
    assert reapply(plane, ident, md5=md5, force=1)["status"] == "SUCCEEDED"
    assert asked(plane, one) == 2


def test_what_became_of_each_instance_is_told(plane: ControlPlane) -> None:
    ident = module(plane, "own", live_update=1)
    good, bad = (plane.create(modules=[{"id": ident}]) for _ in range(2))
    for one in (good, bad):
        plane.wait(one, "ACTIVE")
    agent(plane, bad)._failures = {"module own": "It cannot be."}
    shown = reapply(plane, ident, force=1)
    assert shown["status"] == "FAILED"
    assert shown["error"].startswith("1 of 2 instances")
    errors = {one["name"]: one["error"] for one in shown["steps"]}
    assert errors[f"instance {good}"] is None
    assert errors[f"instance {bad}"] == "It cannot be."
    assert set(known(plane, bad)) == {"own"}


def test_a_reapply_can_be_cancelled_between_instances(plane: ControlPlane) -> None:
    ident = module(plane, "own", live_update=1)
    idents = [plane.create(modules=[{"id": ident}]) for _ in range(2)]
    for one in (*idents,):
        plane.wait(one, "ACTIVE")
    operation = plane.request("PUT", f"/modules/{ident}/instances", {"reapply": {
        "force": 1, "batch_size": 1, "batch_delay": 600}}, status=202).headers[
        "X-Trove-Operation-Id"]
    wait_for(lambda: sum(asked(plane, one) for one in idents) == 3, "the first instance")
    plane.request("POST", f"/operations/{operation}/cancel", status=202)
    assert ended(plane, operation)["status"] == "CANCELLED"
    assert sum(asked(plane, one) for one in idents) == 3


def test_a_pause_between_batches_keeps_no_thread(plane: ControlPlane) -> None:
    ident = module(plane, "own", live_update=1)
    idents = [made(plane, modules=[{"id": ident}]) for _ in range(3)]
    operation_id = plane.request("PUT", f"/modules/{ident}/instances", {"reapply": {
        "force": 1, "batch_size": 2, "batch_delay": 3}}, status=202).headers[
        "X-Trove-Operation-Id"]

    def is_free() -> bool:
        with plane.db.reader() as session:
            row = operations.get(session, operation_id)
        assert row is not None
        return row.owner is None and row.not_before is not None

    wait_for(is_free, "the pause")
    assert sum(asked(plane, one) for one in idents) == 5
    shown = ended(plane, operation_id)
    assert shown["status"] == "SUCCEEDED", shown
    assert {asked(plane, one) for one in idents} == {2}
    times = sorted(datetime.datetime.fromisoformat(one["started_at"])
                   for one in shown["steps"] if one["name"] != "instances")
    assert times[2] - times[1] >= datetime.timedelta(seconds=3)


@pytest.mark.parametrize("done", [True, False])
def test_instances_that_an_earlier_worker_was_through_with_are_left(world: World, done: bool,
                                                                    ) -> None:
    ident, instance_id, plane = world.module(), world.instance(), world.plane
    before = asked(plane, instance_id)
    plane.request("PUT", f"/modules/{ident}/instances", {"reapply": {"force": 1}}, status=202)
    operation_id, step = world.live(ident), f"instance {instance_id}"
    with plane.db.writer() as session:
        operations.begin_step(session, operation_id, step, 0, plane.clock.now())
        if done:
            operations.end_step(session, operation_id, step, None, plane.clock.now())
    assert world.finish(operation_id).status == operations.SUCCEEDED
    assert asked(plane, instance_id) == before + (not done)


def test_an_instance_that_is_busy_is_told_and_not_waited_for(world: World) -> None:
    ident, instance_id, plane = world.module(), world.instance(), world.plane
    world.act(instance_id, {"restart": {}})
    restart = world.live(instance_id)
    plane.request("PUT", f"/modules/{ident}/instances", {"reapply": {"force": 1}}, status=202)
    operation_id = world.live(ident)
    world.manager.take(operation_id)
    wait_for(lambda: world.operation(operation_id).live_key is None, "the reapply")
    with plane.db.reader() as session:
        steps = {one.step: one.error for one in operations.steps(session, operation_id)}
    assert "its status is REBOOT" in str(steps[f"instance {instance_id}"])
    world.finish(restart)


def test_an_instance_that_gave_a_module_up_meanwhile_does_not_get_it_again(
        plane: ControlPlane) -> None:
    ident = module(plane, "own", live_update=1)
    first, second = sorted(made(plane, modules=[{"id": ident}]) for _ in range(2))
    asked, removed = threading.Event(), threading.Event()
    apply = agent(plane, first)._module_apply

    def slowly(request: mm.ModulesRequest) -> mm.ModuleStates:
        asked.set()
        assert removed.wait(4)
        return apply(request)

    agent(plane, first)._module_apply = slowly
    plane.request("PUT", f"/modules/{ident}", {"module": {"contents": contents("New")}},
                  status=200)
    answer = plane.request("PUT", f"/modules/{ident}/instances", {"reapply": {}}, status=202)
    assert asked.wait(4)
    plane.request("DELETE", f"/instances/{second}/modules/{ident}", status=200)
    removed.set()
    assert ended(plane, answer.headers["X-Trove-Operation-Id"])["status"] == "SUCCEEDED"
    assert agent(plane, first).modules[ident].contents.reveal() == contents("New")
    assert agent(plane, second).modules == {}
    assert known(plane, second) == {}
