"""TLS between clients and databases: issued certificates, the way back, failures."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.control_plane.conftest import ControlPlane
from trove_ng.common.clock import utcnow
from trove_ng.domain.certificates import describe
from trove_ng.rpc import tls_messages as tm


@pytest.fixture
def instance(living: str) -> str:
    """An instance whose agent keeps what it is given."""
    return living


def ask(plane: ControlPlane, ident: str, wanted: dict[str, Any], status: int = 200) -> Any:
    answer = plane.request("POST", f"/instances/{ident}/ssl", {"ssl": wanted}, status=status)
    if status == 200:
        plane.wait(ident, "ACTIVE")
        return answer.json["ssl"]
    return answer.text


def shown(plane: ControlPlane, ident: str, query: str = "") -> Any:
    return plane.request("GET", f"/instances/{ident}/ssl{query}", status=200).json["ssl"]


def test_a_certificate_is_issued_shown_and_taken_back(
        plane: ControlPlane, instance: str) -> None:
    off = {"status": "off", "mode": None, "restart_required": False}
    assert shown(plane, instance) == off
    planned = ask(plane, instance, {"enable": True, "mode": "enforced"})
    assert planned == {"status": "on", "mode": "enforced", "restart_required": True}
    found = shown(plane, instance)
    addresses = plane.wait(instance, "ACTIVE")["ip"]
    assert (found["status"], found["mode"], found["container_ref"]) == ("on", "enforced", None)
    certificate = found["certificate"]
    assert certificate["cn"] == instance
    assert set(certificate["san"]) >= set(addresses)
    assert certificate["expire_at"] > utcnow().isoformat()
    assert "payload" not in certificate
    whole = shown(plane, instance, "?include_certificate=True")["certificate"]
    agent = plane.agent(instance)
    assert whole["payload"] == agent.tls[-1][1].certificate
    assert "PRIVATE" not in str(whole)
    assert ask(plane, instance, {"rollback": True})["status"] == "off"
    assert shown(plane, instance)["status"] == "off"
    assert ask(plane, instance, {"rollback": True})["mode"] == "enforced"
    assert shown(plane, instance)["certificate"] == certificate
    assert ask(plane, instance, {"disable": True})["status"] == "off"


def test_a_new_certificate_has_another_key(plane: ControlPlane, instance: str) -> None:
    ask(plane, instance, {"enable": True})
    ask(plane, instance, {"enable": True})
    agent = plane.agent(instance)
    requests = [one for _, one in agent.asked if isinstance(one, tm.TlsRequest)]
    keys = [one.key.reveal() for one in requests if one.key is not None]
    assert len({*keys}) == 2
    numbers = {one.certificate for one in requests}
    assert len(numbers) == 2
    assert all(describe(one).common_name == instance for one in numbers)


def test_a_server_that_has_to_be_started_again_says_so(
        plane: ControlPlane, instance: str) -> None:
    plane.agent(instance).tls_restarts = True
    plane.request("POST", f"/instances/{instance}/ssl", {"ssl": {"enable": True}}, status=200)
    plane.wait(instance, "RESTART_REQUIRED")
    assert shown(plane, instance)["restart_required"]
    plane.request("POST", f"/instances/{instance}/action", {"restart": {}}, status=202)
    plane.wait(instance, "ACTIVE")
    assert not shown(plane, instance)["restart_required"]


def test_what_the_agent_refuses_changes_nothing(plane: ControlPlane, instance: str) -> None:
    ask(plane, instance, {"enable": True})
    before = shown(plane, instance)
    plane.hypervisor.failures["set_tls"] = "It does not like it."
    ask(plane, instance, {"disable": True})
    assert shown(plane, instance) | {"restart_required": None} == (
        before | {"restart_required": None})
    assert plane.wait(instance, "ACTIVE")["fault"]["message"] == "It does not like it."


def test_without_its_key_the_service_issues_nothing(
        plane: ControlPlane, instance: str) -> None:
    plane.conf.set_override("ca_private_key", "/nowhere/authority.key", group="tls")
    ask(plane, instance, {"enable": True})
    fault = plane.wait(instance, "ACTIVE")["fault"]["message"]
    assert fault == "The service cannot issue a certificate."
    assert shown(plane, instance)["status"] == "off"
    plane.conf.clear_override("ca_certificate", group="tls")
    assert "no authority" in ask(plane, instance, {"enable": True}, 501)


def test_requests_that_do_not_fit(plane: ControlPlane, instance: str) -> None:
    assert "no earlier configuration" in ask(plane, instance, {"rollback": True}, 422)
    assert "basic, enforced" in ask(plane, instance, {"enable": True, "mode": "mtls"}, 400)
    for bad in ({}, {"enable": False}, {"enable": True, "disable": True},
                {"enable": True, "mode": "none"}, {"rollback": True, "mode": "basic"}):
        ask(plane, instance, bad, 400)
    assert shown(plane, instance)["status"] == "off"


def test_replicas_and_a_source_that_lets_nobody_in_without_tls(
        plane: ControlPlane, instance: str) -> None:
    replica = {"instance": {"name": "r", "replica_of": instance}}
    ask(plane, instance, {"enable": True, "mode": "enforced"})
    assert "set its mode to basic" in plane.request(
        "POST", "/instances", replica, status=422).text
    ask(plane, instance, {"enable": True})
    made = plane.request("POST", "/instances", replica, status=200).json["instance"]["id"]
    plane.wait(made, "ACTIVE")
    plane.wait(instance, "ACTIVE")
    assert "ask for TLS at its source" in ask(plane, made, {"enable": True}, 400)
    for wanted in ({"enable": True, "mode": "enforced"}, {"rollback": True}):
        assert "has replicas" in ask(plane, instance, wanted, 422)
