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


def replica_of(plane: ControlPlane, source: str, name: str = "r") -> str:
    made = plane.request("POST", "/instances", {"instance": {
        "name": name, "replica_of": source}}, status=200).json["instance"]["id"]
    plane.wait(made, "ACTIVE")
    plane.wait(source, "ACTIVE")
    return str(made)


def link(plane: ControlPlane, replica: str) -> tuple[str, bool]:
    """Return what a replica verifies its source with, and whether for its address."""
    follows = plane.agent(replica).follows
    assert follows is not None
    return follows.authority, follows.named


def test_replicas_of_a_source_with_tls_have_it_from_the_beginning_and_keep_it(
        plane: ControlPlane, instance: str) -> None:
    ask(plane, instance, {"enable": True, "mode": "enforced"})
    one, two = replica_of(plane, instance), replica_of(plane, instance, "s")
    states = [plane.agent(each).tls[-1][1] for each in (instance, one, two)]
    assert [each.mode for each in states] == ["enforced"] * 3
    assert len({each.certificate for each in states}) == 3
    authority, = {each.authority for each in states}
    assert link(plane, one) == link(plane, two) == (authority, True)
    for each in (one, two):
        certificate = shown(plane, each)["certificate"]
        assert certificate["cn"] == each
        assert set(certificate["san"]) >= set(plane.wait(each, "ACTIVE")["ip"])
    # whoever is promoted keeps its own, and so does the source of before
    before = {each: shown(plane, each) for each in (instance, one, two)}
    plane.request("POST", f"/instances/{one}/action", {"promote_to_replica_source": {}},
                  status=202)
    for each in (instance, one, two):
        plane.wait(each, "ACTIVE")
    assert link(plane, instance) == link(plane, two) == (authority, True)
    plane.request("PUT", f"/instances/{two}", {"instance": {"replica_of": None}}, status=202)
    plane.wait(two, "ACTIVE")
    assert {each: shown(plane, each) for each in before} == before


def test_a_set_begins_to_speak_tls_changes_and_ends_together(
        plane: ControlPlane, instance: str) -> None:
    one, two = replica_of(plane, instance), replica_of(plane, instance, "s")
    assert link(plane, one) == ("", False)
    agents = [plane.agent(each) for each in (instance, one, two)]
    for wanted, mode in (({"enable": True, "mode": "enforced"}, "enforced"),
                         ({"enable": True}, "basic"), ({"disable": True}, None),
                         ({"rollback": True}, "basic"), ({"rollback": True}, None)):
        for agent in agents:
            # what the server needs a start for, it gets at once
            agent.tls_restarts = True
            agent.asked.clear()
        assert ask(plane, instance, wanted)["restart_required"] is False
        for agent in agents:
            assert "restart" in [name for name, _ in agent.asked]
            assert agent.tls[-1][1].mode == mode
            assert shown(plane, agent.instance_id)["mode"] == mode
            assert plane.wait(agent.instance_id, "ACTIVE")["status"] == "ACTIVE"
        authority = agents[0].tls[-1][1].authority
        assert link(plane, one) == link(plane, two) == (authority, mode is not None)
    keys = [request.key.reveal() for agent in agents for _, request in agent.asked
            if isinstance(request, tm.TlsRequest) and request.key is not None]
    assert len({*keys}) == len(keys)


def test_a_set_of_which_one_refuses_stays_as_it_was(plane: ControlPlane, instance: str) -> None:
    one, two = replica_of(plane, instance), replica_of(plane, instance, "s")
    ask(plane, instance, {"enable": True})
    before = [shown(plane, each) for each in (instance, one, two)]
    links = link(plane, one), link(plane, two)
    for call in ("set_tls", "follow"):
        failing = plane.agent(two)
        failing._failures = {call: "It does not like it."}
        plane.request("POST", f"/instances/{instance}/ssl", {"ssl": {"disable": True}},
                      status=200)
        plane.wait(instance, "ACTIVE", "ERROR")
        failing._failures = {}
        if call == "follow":
            # that one could not be told to follow as before either, and says so
            assert plane.wait(two, "ERROR")["fault"]["message"] == "It does not like it."
            break
        assert plane.wait(instance, "ACTIVE")["fault"]["message"] == "It does not like it."
        assert [shown(plane, each) for each in (instance, one, two)] == before
        assert (link(plane, one), link(plane, two)) == links
    # agents answer from memory what has the name of something that they did
    for each in (instance, one, two):
        for call in ("follow", "restart", "set_tls"):
            steps = [(request.operation_id, request.step)
                     for name, request in plane.agent(each).asked if name == call]
            assert len(steps) == len(set(steps)), (call, steps)


def test_what_a_set_cannot_have(plane: ControlPlane, instance: str) -> None:
    plane.agent(instance).tls_restarts = True
    plane.request("POST", f"/instances/{instance}/ssl", {"ssl": {"enable": True}}, status=200)
    plane.wait(instance, "RESTART_REQUIRED")
    replica = {"instance": {"name": "r", "replica_of": instance}}
    assert "has to be restarted" in plane.request("POST", "/instances", replica, status=422).text
    plane.agent(instance).tls_restarts = False
    plane.request("POST", f"/instances/{instance}/action", {"restart": {}}, status=202)
    plane.wait(instance, "ACTIVE")
    made = replica_of(plane, instance)
    for wanted in ({"enable": True}, {"disable": True}, {"rollback": True}):
        assert "ask for TLS at its source" in ask(plane, made, wanted, 400)
    plane.conf.clear_override("ca_certificate", group="tls")
    assert "no authority" in plane.request("POST", "/instances", replica, status=422).text
    # it needs no certificate for this
    assert ask(plane, instance, {"disable": True})["status"] == "off"
    assert shown(plane, made)["status"] == "off"


def test_replicas_that_show_no_certificates(plane: ControlPlane, instance: str) -> None:
    plane.add_redis()
    source = plane.create(datastore={"type": "redis", "version": "7.0"})
    plane.wait(source, "ACTIVE")
    ask(plane, source, {"enable": True, "mode": "mtls"})
    replica = {"instance": {"name": "r", "replica_of": source}}
    assert "show no certificates" in plane.request("POST", "/instances", replica, status=422).text
    ask(plane, source, {"enable": True, "mode": "enforced"})
    made = replica_of(plane, source)
    follows = plane.agent(made).follows
    assert follows is not None and (follows.port, follows.authority) == (
        6380, plane.agent(source).tls[-1][1].authority)
    assert "show no certificates" in ask(
        plane, source, {"enable": True, "mode": "mtls"}, 422)
    ask(plane, source, {"disable": True})
    follows = plane.agent(made).follows
    assert follows is not None and (follows.port, follows.authority) == (6379, "")
