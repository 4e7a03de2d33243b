"""What scrapes of the three services say while instances live and die."""

from __future__ import annotations

import copy
import re
import time
from typing import Any

from tests.functional.control_plane.conftest import Agent, ControlPlane
from tests.scrape import Scrape
from trove_ng.common import metrics as m
from trove_ng.common.states import ServiceStatus
from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.taskmanager.measures import StoreCollector


def ended(plane: ControlPlane, count: int) -> Scrape:
    """Return the taskmanager's scrape once so many operations have ended."""
    end = time.monotonic() + 20
    while True:
        found = Scrape.of(plane.registries[m.TASKMANAGER])
        if found.sum(f"{m.OPERATION_TIME.name}_count") >= count:
            return found
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_life_of_an_instance_is_counted(plane: ControlPlane) -> None:
    plane.registries[m.TASKMANAGER].register(StoreCollector(plane.db, plane.clock, 60, 0))
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    alive = ended(plane, 1)
    assert alive.get(m.INSTANCES.name, status="ACTIVE") == 1
    assert alive.get(m.SILENT_INSTANCES.name) == 0
    assert alive.get(m.STORE_UP.name) == 1
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    found = ended(plane, 2)
    for action in ("instance.create", "instance.delete"):
        assert found.get(f"{m.OPERATION_TIME.name}_count", action=action,
                         status="SUCCEEDED") == 1
        assert found.get(m.CLAIMS.name, action=action, claim="first") == 1
        for step in runbooks()[action].steps:
            assert found.get(f"{m.STEP_TIME.name}_count", action=action, step=step.name,
                             outcome="succeeded") == 1
    assert found.sum(m.OPERATIONS.name) == 0
    assert found.sum(m.INSTANCES.name) == 0


def test_calls_to_the_cloud_have_names_of_the_code_only(plane: ControlPlane) -> None:
    plane.minicloud.faults.add({"kind": "reply_lost", "service": "compute", "method": "POST",
                                "path": "servers$", "times": 1})
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    plane.request("DELETE", f"/instances/{ident}", status=202)
    plane.wait_gone(f"/instances/{ident}")
    plane.reconcile()
    found = ended(plane, 2)
    calls = [dict(labels) for name, labels in found.counts() if name == m.CLOUD_CALLS.name]
    assert {one["service"] for one in calls} >= {"compute", "volume", "network", "image"}
    assert [one["operation"] for one in calls if not re.fullmatch(
        r"[A-Za-z]+(\.[a-z][a-z_]*)?", one["operation"])] == []
    assert {one["outcome"] for one in calls} <= {
        "ok", "not_found", "conflict", "over_quota", "unavailable", "rejected"}
    assert found.sum(f"{m.CLOUD_CALLS.name}_count", service="compute", outcome="unavailable",
                     operation="ServerManager.create") == 1
    assert found.sum(m.STEP_RETRIES.name, action="instance.create") == 1
    api = Scrape.of(plane.registries[m.API])
    assert api.sum(f"{m.CLOUD_CALLS.name}_count", service="compute", outcome="ok") >= 1


def test_a_failed_create_is_counted(plane: ControlPlane) -> None:
    plane.minicloud.faults.add({"kind": "error", "service": "volume", "method": "POST",
                                "path": "volumes$", "status": 400})
    plane.wait(plane.create(), "ERROR")
    found = ended(plane, 1)
    assert found.get(f"{m.OPERATION_TIME.name}_count", action="instance.create",
                     status="FAILED") == 1
    assert found.sum(f"{m.STEP_TIME.name}_count", outcome="failed") == 1
    assert found.sum(f"{m.CLOUD_CALLS.name}_count", service="volume", outcome="rejected") >= 1


class Tap:
    """Keeps what an agent sends to the conductor, and sends it on."""

    def __init__(self, agent: Agent) -> None:
        self._client = agent._reports._client._client
        self.sent: list[dict[str, Any]] = []
        agent._reports._client._client = self

    def cast(self, context: Any, method: str, envelope: dict[str, Any]) -> None:
        self.sent.append(envelope)
        self.send(envelope)

    def send(self, envelope: dict[str, Any]) -> None:
        self._client.cast({}, "invoke", envelope=envelope)


def test_the_conductor_counts_what_it_takes_and_what_it_refuses(plane: ControlPlane) -> None:
    ident = plane.create()
    plane.wait(ident, "ACTIVE")
    agent, = plane.hypervisor.agents.values()
    tap = Tap(agent)
    agent.beat(ServiceStatus.HEALTHY)
    good, = tap.sent
    other = copy.deepcopy(good)
    other["nonce"] = "AAAAAAAAAAAAAAAA"
    for envelope in (good, good, other, {**good, "kid": "00" * 8}, {"v": 1}):
        tap.send(envelope)
    end = time.monotonic() + 20
    while (found := Scrape.of(plane.registries[m.CONDUCTOR])).sum(m.REFUSED.name) < 5:
        assert time.monotonic() < end, found.counts()
        time.sleep(0.05)
    counts = {reason: found.get(m.REFUSED.name, message="request", reason=reason)
              for reason in m.REFUSED.labels["reason"]}
    assert {reason: count for reason, count in counts.items() if count} == {
        "replayed": 2, "forged": 1, "unknown-key": 1, "plaintext": 1}
    # at the start, when prepared, and the one above
    assert found.get(m.BEATS_RECEIVED.name) == 3
    assert found.sum(m.BEATS.name, outcome="lost") == 0
    assert found.get(m.REPORTS.name, outcome="counted") == 1
