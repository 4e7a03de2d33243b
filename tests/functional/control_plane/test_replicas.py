"""Replicas: what is accepted, built, shown and refused."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import threading
from typing import Any, ClassVar

import pytest

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.invariants import violations
from tests.functional.control_plane.world import LivingAgent, lose, wait_for
from trove_ng.api.handlers import root
from trove_ng.cloud.neutron import Network
from trove_ng.common.errors import GuestError, ServiceUnavailable
from trove_ng.common.secret import Secret
from trove_ng.common.states import ServiceStatus
from trove_ng.db.repositories import instances, operations, volumes
from trove_ng.operations import fencing, roles
from trove_ng.operations import servers as built
from trove_ng.operations.replication import account
from trove_ng.operations.runbooks import seed_replicas
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm


@pytest.fixture
def instance(living: str) -> str:
    """An instance whose agent keeps what it is given."""
    return living


def ask(plane: ControlPlane, source: str, status: int = 200, **more: Any) -> Any:
    answer = plane.request("POST", "/instances", {"instance": {
        "name": "follower", "replica_of": source, **more}}, status=status)
    return answer.json["instance"] if status == 200 else answer.text


def ids(plane: ControlPlane, source: str) -> list[str]:
    return [one["id"] for one in plane.show(source).get("replicas", [])]


def let_in(plane: ControlPlane, instance_id: str) -> set[str]:
    """Return the networks that reach an instance."""
    rules = plane.minicloud.store.list("security_group_rule")
    group = next(one["id"] for one in plane.minicloud.store.list("security_group")
                 if instance_id in one["name"])
    return {one["remote_ip_prefix"] for one in rules if one["security_group_id"] == group
            and one["direction"] == "ingress"}


class Growing(LivingAgent):
    """Tells in which order file systems grow, of all instances, and may refuse it."""

    grown: ClassVar[list[str]] = []
    refusing: ClassVar[set[str]] = set()

    def _resize_fs(self, request: m.VolumeSpec) -> m.FilesystemStats:
        if self.instance_id in self.refusing:
            raise GuestError("The file system is damaged.")
        self.grown.append(self.instance_id)
        return super()._resize_fs(request)


@pytest.fixture
def pair(plane: ControlPlane) -> tuple[str, str, str]:
    """A source that few reach, with two replicas that follow it."""
    plane.hypervisor.make_agent = Growing
    source = plane.create(access={"allowed_cidrs": ["192.0.2.0/24"]})
    plane.wait(source, "ACTIVE")
    ask(plane, source, replica_count=2)
    one, two = ids(plane, source)
    for ident in (one, two, source):
        plane.wait(ident, "ACTIVE")
    return source, one, two


def promote(plane: ControlPlane, replica: str, status: int = 202) -> str:
    return str(plane.request("POST", f"/instances/{replica}/action", {
        "promote_to_replica_source": {}}, status=status).text)


def test_replicas_begin_with_one_snapshot_and_have_an_account_each(
        plane: ControlPlane, instance: str) -> None:
    plane.request("POST", "/backups", {"backup": {"name": "b", "instance": instance}}, status=202)
    plane.wait(instance, "ACTIVE")
    made = ask(plane, instance, replica_count="2", flavorRef="2")
    assert (made["name"], made["status"], made["replica_of"]["id"]) == (
        "follower-1", "BUILD", instance)
    assert plane.show(instance)["status"] == "BACKUP"
    replicas = ids(plane, instance)
    shown = [plane.wait(one, "ACTIVE") for one in replicas]
    assert {one["name"] for one in shown} == {"follower-1", "follower-2"}
    assert {one["flavor"]["id"] for one in shown} == {"2"}
    assert plane.quota()["instances"] == (3, 0)
    source = plane.agent(instance)
    assert set(source.accounts) == {account(one) for one in replicas}
    assert len(set(source.accounts.values())) == 2
    asked = [request for name, request in source.asked if name == "create_backup"]
    assert (len(asked), asked[1].parent is not None) == (2, True)
    for one in replicas:
        found = plane.agent(one)
        prepare, = (request for name, request in found.asked if name == "prepare")
        assert (prepare.replica, prepare.restore.backup_id) == (True, asked[1].backup_id)
        assert found.follows is not None
        assert (found.follows.host, found.follows.port, found.follows.user) == (
            plane.show(instance)["ip"][0], 3306, account(one))
        assert found.follows.password.reveal() == source.accounts[account(one)]
    plane.wait_gone(f"/backups/{asked[1].backup_id}")
    assert plane.quota()["backups"] == (1, 0)
    plane.request("DELETE", f"/instances/{replicas[0]}", status=202)
    plane.wait_gone(f"/instances/{replicas[0]}")
    assert set(source.accounts) == {account(replicas[1])}
    assert ids(plane, instance) == [replicas[1]]


def test_replicas_begin_with_a_full_snapshot_where_the_last_backup_cannot_be_continued(
        plane: ControlPlane, instance: str) -> None:
    plane.request("POST", "/backups", {"backup": {"name": "b", "instance": instance}}, status=202)
    plane.wait(instance, "ACTIVE")
    source = plane.agent(instance)
    source.continues = False
    replica = ask(plane, instance)["id"]
    plane.wait(replica, "ACTIVE")
    asked = [request for name, request in source.asked if name == "create_backup"]
    assert [one.parent is not None for one in asked] == [False, True, False]
    prepare, = (request for name, request in plane.agent(replica).asked if name == "prepare")
    assert [one.checksum for one in prepare.restore.chain] == [
        hashlib.sha256(b"the data of " + asked[2].backup_id.encode()).hexdigest()]


class RootedAgent(LivingAgent):
    """An agent that knows the password of the user without a name."""

    refuses = False
    #: at which it waits before it does anything
    gate: threading.Barrier | None = None

    def _check(self) -> None:
        if self.gate is not None:
            self.gate.wait(30)
        if self.refuses:
            raise GuestError("The disk is full.")

    def _enable_root(self, request: m.RootRequest) -> m.UserSpec:
        self._check()
        self.root = request.password.reveal() if request.password is not None else "made-Pw0"
        return m.UserSpec(name="-", password=Secret(self.root))

    def _disable_root(self, _request: m.Empty) -> m.Empty:
        self._check()
        self.root = ""
        return m.Empty()


def test_replicas_that_copy_their_source_begin_without_a_snapshot(plane: ControlPlane) -> None:
    plane.hypervisor.make_agent = LivingAgent
    plane.add_redis()
    source = plane.create(datastore={"type": "redis", "version": "7.0"})
    plane.wait(source, "ACTIVE")
    assert "restorePoint" in ask(plane, source, 400, restorePoint={"backupRef": source})
    ask(plane, source, replica_count=2)
    assert plane.show(source)["status"] == "ACTIVE"
    replicas = ids(plane, source)
    for one in replicas:
        plane.wait(one, "ACTIVE")
        found = plane.agent(one)
        prepare, = (request for name, request in found.asked if name == "prepare")
        assert (prepare.replica, prepare.restore) == (True, None)
        assert found.follows is not None
        assert (found.follows.port, found.follows.position) == (6379, {})
    assert set(plane.agent(source).accounts) == {account(one) for one in replicas}
    assert plane.quota()["backups"] == (0, 0)
    promote(plane, replicas[0])
    plane.wait(replicas[0], "ACTIVE")
    assert set(ids(plane, replicas[0])) == {source, replicas[1]}


def test_replicas_that_ask_their_source_are_told_of_root(plane: ControlPlane) -> None:
    plane.hypervisor.make_agent = RootedAgent
    plane.add_redis()
    source = plane.create(datastore={"type": "redis", "version": "7.0"})
    plane.wait(source, "ACTIVE")
    url = f"/instances/{source}/root"
    # alone
    assert plane.request("POST", url, {"password": "root-Pw1"}, status=200).json == {
        "user": {"name": "-", "password": "root-Pw1"}, "failed_slaves": []}
    assert plane.request("DELETE", url, status=204).body == b""
    ask(plane, source, replica_count=2)
    one, two = ids(plane, source)
    for each in (one, two):
        plane.wait(each, "ACTIVE")

    def known() -> list[str]:
        return [plane.agent(each).root for each in (source, one, two)]

    made = plane.request("POST", url, status=200).json
    assert made["failed_slaves"] == []
    assert known() == [made["user"]["password"]] * 3
    # one that refuses, and one that is not heard of
    failing = plane.agent(one)
    failing.refuses = True
    assert plane.request("POST", url, {"password": "other-Pw2"}, status=200).json == {
        "user": {"name": "-", "password": "other-Pw2"}, "failed_slaves": [one]}
    assert known() == ["other-Pw2", made["user"]["password"], "other-Pw2"]
    plane.agent(two).beat(ServiceStatus.SHUTDOWN)
    wait_for(lambda: plane.show(two)["operating_status"] == "SHUTDOWN", "the heartbeat")
    answer = plane.request("DELETE", url, status=200)
    assert sorted(answer.json["failed_slaves"]) == sorted([one, two])
    assert known() == ["", made["user"]["password"], "other-Pw2"]
    # what the source refuses, no replica is told
    failing.refuses = False
    plane.agent(source).refuses = True
    asked = len(failing.asked)
    assert "The disk is full" in plane.request(
        "POST", url, {"password": "third-Pw3"}, status=422).text
    assert len(failing.asked) == asked
    assert known() == ["", made["user"]["password"], "other-Pw2"]


def test_replicas_end_what_root_has_open_when_it_is_disabled(
        plane: ControlPlane, instance: str) -> None:
    url = f"/instances/{instance}/root"
    ask(plane, instance, replica_count=2)
    one, two = ids(plane, instance)
    for each in (one, two):
        plane.wait(each, "ACTIVE")

    def asked(name: str) -> list[int]:
        return [[what for what, _ in plane.agent(each).asked].count(name)
                for each in (instance, one, two)]

    # it comes with the data
    assert "failed_slaves" not in plane.request("POST", url, status=200).json
    assert asked("enable_root") == [1, 0, 0]
    assert plane.request("DELETE", url, status=204).body == b""
    assert asked("disable_root") == [1, 1, 1]
    plane.agent(two).beat(ServiceStatus.SHUTDOWN)
    wait_for(lambda: plane.show(two)["operating_status"] == "SHUTDOWN", "the heartbeat")
    assert plane.request("DELETE", url, status=200).json == {"failed_slaves": [two]}
    assert asked("disable_root") == [2, 2, 1]


def test_replicas_are_told_of_root_at_once_and_not_waited_for_long(
        plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.hypervisor.make_agent = RootedAgent
    plane.add_redis()
    source = plane.create(datastore={"type": "redis", "version": "7.0"})
    plane.wait(source, "ACTIVE")
    ask(plane, source, replica_count=2)
    one, two = ids(plane, source)
    for each in (one, two):
        plane.wait(each, "ACTIVE")
    url = f"/instances/{source}/root"
    # each answers when the other is told
    plane.agent(one).gate = plane.agent(two).gate = threading.Barrier(2)
    made = plane.request("POST", url, status=200).json
    assert made["failed_slaves"] == []
    assert {plane.agent(each).root for each in (one, two)} == {made["user"]["password"]}
    # one that does not answer in time
    late = plane.agent(one).gate = threading.Barrier(2)
    plane.agent(two).gate = None
    monkeypatch.setattr(root, "TELL_SECONDS", 3)
    plane.conf.set_override("guest_call_timeout", 60)
    assert plane.request("DELETE", url, status=200).json == {"failed_slaves": [one]}
    # it waits still: the answer came before its 30 seconds were over
    assert (late.n_waiting, late.broken) == (1, False)
    late.abort()
    assert plane.agent(two).root == ""


def test_what_cannot_be_a_replica_is_refused(plane: ControlPlane, instance: str) -> None:
    for status, more in (
            (400, {"users": [{"name": "u", "password": "a-Password1"}]}),
            (400, {"locality": "affinity"}), (400, {"region_name": "elsewhere"}),
            (400, {"nics": [{"ip_address": "10.0.0.9"}]}), (400, {"replica_count": 4}),
            (404, {"datastore": {"type": "mariadb", "version": "9"}})):
        ask(plane, instance, status, **more)
    assert "instance.name must have at most 253" in ask(
        plane, instance, 400, name="n" * 254, replica_count=2)
    plane.request("POST", "/instances", {"instance": {
        "name": "two", "flavorRef": "1", "volume": {"size": 1}, "replica_count": 2}}, status=400)
    ask(plane, "11111111-1111-4111-8111-111111111111", 404)
    plane.request("POST", f"/instances/{instance}/action", {
        "resize": {"volume": {"size": 2}}}, status=202)
    ask(plane, instance, 422)
    plane.wait(instance, "ACTIVE")
    assert "at least 2 GB" in ask(plane, instance, 400, volume={"size": 1})
    assert "must be from 1 to" in ask(plane, instance, 400, volume={"size": "99999"})
    replica = ask(plane, instance, volume={"size": "3"})["id"]
    assert plane.wait(replica, "ACTIVE")["volume"]["size"] == 3
    plane.wait(instance, "ACTIVE")
    assert "replica itself" in ask(plane, replica, 403)
    for method, path, body in (
            ("POST", "users", {"users": [{"name": "u", "password": "a-Password1"}]}),
            ("POST", "databases", {"databases": [{"name": "d"}]}),
            ("DELETE", "databases/d", None), ("POST", "root", None), ("DELETE", "root", None)):
        answer = plane.request(method, f"/instances/{replica}/{path}", body, status=422)
        assert "is a replica" in answer.text
    answer = plane.request("DELETE", f"/instances/{instance}", status=403)
    assert "has replicas" in answer.text


def grow(plane: ControlPlane, instance_id: str, status: int = 202, size: int = 2) -> str:
    answer = plane.request("POST", f"/instances/{instance_id}/action", {
        "resize": {"volume": {"size": size}}}, status=status)
    return str(answer.text)


def sizes(plane: ControlPlane, *members: str) -> list[int]:
    return [plane.wait(one, "ACTIVE")["volume"]["size"] for one in members]


def test_replicas_grow_before_their_source(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    grow(plane, one)
    plane.wait(one, "ACTIVE")
    Growing.grown.clear()
    stopped = [name for name, _ in plane.agent(one).asked].count("stop_db")
    grow(plane, source)
    assert sizes(plane, source, one, two) == [2, 2, 2]
    # the other one is as large already, and goes on
    assert Growing.grown == [two, source]
    assert [name for name, _ in plane.agent(one).asked].count("stop_db") == stopped
    assert plane.quota()["volumes"] == (6, 0)


def test_a_set_grows_as_a_whole_or_not_at_all(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    plane.request("PUT", f"/mgmt/quotas/{plane.project_id}", {"quotas": {"volumes": 5}},
                  token="admin", status=200)
    assert "requested 3, in use 3, limit 5" in grow(plane, source, 413)
    plane.request("PUT", f"/mgmt/quotas/{plane.project_id}", {"quotas": {"volumes": 9}},
                  token="admin", status=200)
    with plane.db.writer() as session:
        instances.get(session, two).task = "RESTARTING"
    assert two in grow(plane, source, 422)
    with plane.db.writer() as session:
        instances.get(session, two).task = "NONE"
        volumes.get(session, two, "data").provider = "external"
    assert f"of replica {two} has to grow first" in grow(plane, source, 422)
    with plane.db.writer() as session:
        volumes.get(session, two, "data").provider = "cinder"
    assert sizes(plane, source, one, two) == [1, 1, 1]
    assert plane.quota()["volumes"] == (3, 0)


def test_what_has_grown_stays_when_another_replica_cannot(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, *replicas = pair
    first, second = sorted(replicas)
    Growing.refusing.add(second)
    grow(plane, source)
    wait_for(lambda: plane.show(source)["status"] == "ACTIVE", "the end")
    assert sizes(plane, source, first, second) == [1, 2, 1]
    assert plane.show(source)["fault"]["message"] == (
        f"Replica {second}: The file system is damaged.")
    assert plane.quota()["volumes"] == (4, 0)
    Growing.refusing.clear()
    grow(plane, source)
    assert sizes(plane, source, first, second) == [2, 2, 2]
    assert plane.quota()["volumes"] == (6, 0)


def test_a_replica_gets_no_volume_where_its_source_has_none(plane: ControlPlane) -> None:
    plane.hypervisor.make_agent = LivingAgent
    plane.conf.set_override("trove_volume_support", False)
    source = plane.request("POST", "/instances", {"instance": {
        "name": "shop", "flavorRef": "1"}}).json["instance"]["id"]
    plane.wait(source, "ACTIVE")
    assert "instance.volume" in ask(plane, source, 400, volume={"size": 5})


@pytest.mark.parametrize("call", ["create_backup", "enable_as_source", "set_replica_accounts",
                                  "follow"])
def test_what_fails_leaves_the_source_as_it_was(plane: ControlPlane, instance: str,
                                                call: str) -> None:
    plane.hypervisor.failures[call] = "It does not want to."
    replica = ask(plane, instance)["id"]
    shown = plane.wait(replica, "ERROR")
    assert "does not want to" in shown["fault"]["message"]
    assert plane.wait(instance, "ACTIVE")["replicas"][0]["id"] == replica
    assert plane.agent(instance).accounts == {}
    plane.hypervisor.failures.clear()
    plane.request("DELETE", f"/instances/{replica}", status=202)
    plane.wait_gone(f"/instances/{replica}")
    assert "replicas" not in plane.show(instance)


def test_a_replica_that_fails_before_it_needs_the_snapshot_leaves_no_account(
        plane: ControlPlane, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_replicas, "_keeps_log_by_account", lambda _work, _source: True)
    source = plane.agent(instance)

    def refuse(*_args: Any) -> None:
        wait_for(lambda: source.accounts, "the account that keeps the log")
        raise StepFailed("No valid host was found.")

    monkeypatch.setattr(built, "make_server", refuse)
    replica = ask(plane, instance)["id"]
    assert "No valid host" in plane.wait(replica, "ERROR")["fault"]["message"]
    plane.wait(instance, "ACTIVE")
    assert source.accounts == {}


def test_a_source_keeps_what_replicas_need_before_it_is_backed_up(
        plane: ControlPlane, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_replicas, "_keeps_log_by_account", lambda _work, _source: True)
    ask(plane, instance, replica_count=2)
    replicas = ids(plane, instance)
    source = plane.agent(instance)
    for one in replicas:
        plane.wait(one, "ACTIVE")
    names = [name for name, _ in source.asked]
    before = {request.add.name for name, request in source.asked[:names.index("create_backup")]
              if isinstance(request, rm.ReplicaAccounts) and request.add is not None}
    assert before == {account(one) for one in replicas}
    for one in replicas:
        followed = plane.agent(one).follows
        assert followed is not None
        assert followed.password.reveal() == source.accounts[account(one)]


def test_a_snapshot_that_no_replica_waits_for_any_more_ends(
        plane: ControlPlane, instance: str) -> None:
    plane.agent(instance).quiet = True
    ask(plane, instance, replica_count=2)
    one, two = ids(plane, instance)

    def cancel(replica: str) -> None:
        with plane.db.reader() as session:
            found = operations.live(session, replica)
        assert found is not None
        plane.request("POST", f"/operations/{found.id}/cancel", {}, status=202)
        plane.wait(replica, "ERROR")

    wait_for(lambda: "create_backup" in [name for name, _ in plane.agent(instance).asked],
             "the snapshot")
    cancel(one)
    assert plane.show(instance)["status"] == "BACKUP"
    cancel(two)
    plane.wait(instance, "ACTIVE")
    asked = [name for name, _ in plane.agent(instance).asked]
    assert "cancel_step" in asked[asked.index("create_backup"):]
    assert "No replica is to begin with it" in plane.show(instance)["fault"]["message"]
    assert violations(plane) == []


def test_a_source_that_is_briefly_away_is_asked_again(plane: ControlPlane, instance: str) -> None:
    plane.conf.set_override("guest_long_call_timeout", 60)
    plane.hypervisor.failures["set_replica_accounts"] = "The server cannot be reached."
    replica = ask(plane, instance)["id"]
    source = plane.agent(instance)
    wait_for(lambda: [name for name, _ in source.asked].count("set_replica_accounts") > 1,
             "another attempt")
    plane.hypervisor.failures.clear()
    plane.wait(replica, "ACTIVE")
    assert set(source.accounts) == {account(replica)}


def test_a_closed_source_lets_its_replicas_in(plane: ControlPlane) -> None:
    plane.hypervisor.make_agent = LivingAgent
    source = plane.create(access={"allowed_cidrs": ["192.0.2.0/24"]})
    plane.wait(source, "ACTIVE")
    replica = ask(plane, source)["id"]
    shown = plane.wait(replica, "ACTIVE")
    assert shown["access"]["allowed_cidrs"] == ["192.0.2.0/24"]
    group = next(one["id"] for one in plane.minicloud.store.list("security_group")
                 if source in one["name"])

    def open_to() -> set[str]:
        return let_in(plane, source)

    assert open_to() == {"192.0.2.0/24", f"{shown['ip'][0]}/32"}
    # a change of the access is under way: its rules hold before the row says so
    plane.tools.clouds.network.ensure_rules(group, [
        ("tcp", 3306, 3306, one) for one in ("198.51.100.0/24", f"{shown['ip'][0]}/32")])
    second = ask(plane, source)["id"]
    after = plane.wait(second, "ACTIVE")
    assert open_to() == {"198.51.100.0/24", f"{shown['ip'][0]}/32", f"{after['ip'][0]}/32"}
    plane.request("DELETE", f"/instances/{second}", status=202)
    plane.wait_gone(f"/instances/{second}")
    plane.request("DELETE", f"/instances/{replica}", status=202)
    plane.wait_gone(f"/instances/{replica}")
    assert open_to() == {"198.51.100.0/24"}


@pytest.mark.parametrize("way", ["replica_of", "slave_of", "action"])
def test_a_detached_replica_is_an_instance_of_its_own(plane: ControlPlane, instance: str,
                                                      way: str) -> None:
    replica = ask(plane, instance)["id"]
    plane.wait(replica, "ACTIVE")
    path = f"/instances/{replica}"
    if way == "action":
        assert "not a replica" in plane.request("POST", f"/instances/{instance}/action", {
            "detach_replica": {}}, status=400).text
        plane.request("POST", f"{path}/action", {"detach_replica": None}, status=202)
    else:
        plane.request("PATCH", path, {"instance": {way: None, "name": "alone"}}, status=202)
    shown = plane.show(replica)
    assert (shown["status"], shown["name"] == "alone") == ("DETACH", way != "action")
    assert "replica_of" not in plane.wait(replica, "ACTIVE")
    assert "replicas" not in plane.show(instance)
    assert (plane.agent(replica).follows, plane.agent(instance).accounts) == (None, {})
    plane.request("POST", f"{path}/databases", {"databases": [{"name": "d"}]}, status=202)
    plane.request("PUT", path, {"instance": {"replica_of": None}}, status=202)
    plane.request("PUT", path, {"instance": {"replica_of": instance}}, status=501)


def test_a_replica_that_cannot_be_detached_follows_still(plane: ControlPlane,
                                                         instance: str) -> None:
    replica = ask(plane, instance)["id"]
    plane.wait(replica, "ACTIVE")
    plane.hypervisor.failures["detach_replica"] = "It does not want to."
    plane.request("PUT", f"/instances/{replica}", {"instance": {"replica_of": None}}, status=202)
    shown = plane.wait(replica, "ACTIVE")
    assert shown["replica_of"]["id"] == instance
    assert shown["fault"]["message"] == "It does not want to."
    assert account(replica) in plane.agent(instance).accounts


def test_a_promoted_replica_is_the_source_of_all_others(
        plane: ControlPlane, pair: tuple[str, str, str], released: Any) -> None:
    source, chosen, other = pair
    with plane.db.writer() as session:
        instances.note_root_enabled(session, source, "u", plane.clock.now())
    promote(plane, chosen)
    assert {plane.show(one)["status"] for one in pair} <= {"PROMOTE", "ACTIVE"}
    for one in pair:
        plane.wait(one, "ACTIVE")
    assert (plane.show(chosen).get("replica_of"), set(ids(plane, chosen))) == (
        None, {source, other})
    assert violations(plane) == []
    assert plane.agent(source).accounts == {}
    own = {one: f"{plane.show(one)['ip'][0]}/32" for one in pair}
    assert let_in(plane, chosen) == {"192.0.2.0/24", own[source], own[other]}
    assert let_in(plane, source) == let_in(plane, other) == {"192.0.2.0/24"}
    assert plane.request("GET", f"/instances/{chosen}/root", status=200).json == {
        "rootEnabled": True}
    asked = {one: [name for name, _ in plane.agent(one).asked] for one in pair}
    assert asked[source][-3:] == ["stop_writes", "follow", "set_replica_accounts"]
    assert asked[chosen][-2:] == ["detach_replica", "set_replica_accounts"]
    # and back, as the released client asks for it
    released.promote_to_replica_source(source)
    for one in pair:
        plane.wait(one, "ACTIVE")
    assert {one["id"] for one in released.get(source).replicas} == {chosen, other}
    assert released.get(chosen).replica_of["id"] == source
    assert violations(plane) == []
    assert let_in(plane, chosen) == {"192.0.2.0/24"}


def test_root_of_a_set_is_known_of_all_its_members(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair

    def known() -> list[bool]:
        return [plane.request("GET", f"/instances/{ident}/root", status=200).json["rootEnabled"]
                for ident in pair]

    # let itself in behind the service's back
    plane.agent(one).root = plane.agent(two).root = "made-Pw0"
    assert known() == [False] * 3
    plane.request("PUT", f"/instances/{one}", {"instance": {"replica_of": None}}, status=202)
    wait_for(lambda: known() == [False, True, False], "root to be known")
    plane.wait(one, "ACTIVE")
    promote(plane, two)
    wait_for(lambda: known() == [False, True, True], "root to be known")
    for ident in (two, source):
        plane.wait(ident, "ACTIVE")


def test_root_that_is_enabled_comes_to_replicas_with_the_data(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    plane.request("POST", f"/instances/{pair[0]}/root", status=200)
    for ident in pair:
        assert plane.request("GET", f"/instances/{ident}/root").json == {"rootEnabled": True}


def reset(plane: ControlPlane, *instance_ids: str) -> None:
    for one in instance_ids:
        plane.request("POST", f"/instances/{one}/action", {"reset_status": {}},
                      token="admin", status=202)


@pytest.mark.parametrize(("call", "status"), [
    ("stop_writes", "ACTIVE"), ("detach_replica", "ACTIVE"), ("follow", "ERROR")])
def test_what_fails_before_the_roles_change_leaves_the_source_writable(
        plane: ControlPlane, pair: tuple[str, str, str], call: str, status: str) -> None:
    source, chosen, other = pair
    plane.hypervisor.failures[call] = "It does not want to."
    promote(plane, chosen)
    for one, after in ((source, "ACTIVE"), (chosen, status), (other, status)):
        plane.wait(one, after)
    assert "does not want to" in plane.show(chosen)["fault"]["message"]
    # what does not follow says so itself
    assert ("fault" in plane.show(other)) is (status == "ERROR")
    assert "fault" not in plane.show(source)
    assert set(ids(plane, source)) == {chosen, other}
    assert not plane.agent(source).read_only
    # what does not follow can tell no more than that
    assert status == "ERROR" or (violations(plane), plane.agent(chosen).accounts) == ([], {})
    plane.hypervisor.failures.clear()
    if status == "ERROR":
        reset(plane, chosen, other)
    promote(plane, chosen)
    plane.wait(chosen, "ACTIVE")
    assert set(ids(plane, chosen)) == {source, other}


def test_accounts_that_are_data_are_made_before_the_source_is_frozen(
        plane: ControlPlane, pair: tuple[str, str, str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "accounts_are_data", lambda _work: True)
    source, chosen, other = pair
    agent = plane.agent(source)
    plane.hypervisor.failures["follow follow"] = "It does not want to."
    promote(plane, chosen)
    assert "does not want to" in plane.wait(chosen, "ACTIVE")["fault"]["message"]
    assert violations(plane) == []
    plane.hypervisor.failures.clear()
    begun = len(agent.asked)
    promote(plane, chosen)
    for one in pair:
        plane.wait(one, "ACTIVE")
    names = [name for name, _ in agent.asked[begun:]]
    made = [request.add.name for name, request in agent.asked[begun:]
            if isinstance(request, rm.ReplicaAccounts) and request.add is not None]
    assert sorted(made) == sorted(account(one) for one in pair)
    assert names.index("stop_writes") > max(
        place for place, name in enumerate(names[:-1]) if name == "set_replica_accounts")
    assert violations(plane) == []
    assert set(plane.agent(chosen).accounts) == {account(source), account(other)}


def test_a_source_that_stays_frozen_is_in_error_itself(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, chosen, other = pair
    plane.conf.set_override("guest_long_call_timeout", 2)
    plane.conf.set_override("step_retry_interval", 0.2, group="operations")
    plane.hypervisor.failures["detach_replica"] = "It does not want to."
    plane.hypervisor.failures["allow_writes thaw"] = "It must not."
    promote(plane, chosen)
    shown = {one: plane.wait(one, after) for one, after in (
        (source, "ERROR"), (chosen, "ACTIVE"), (other, "ACTIVE"))}
    assert shown[source]["fault"]["message"] == "It must not."
    assert shown[chosen]["fault"]["message"] == "It does not want to."
    assert "fault" not in shown[other]
    plane.hypervisor.failures.clear()
    reset(plane, source)
    plane.request("POST", f"/instances/{source}/action", {"restart": {}}, status=202)
    plane.wait(source, "ACTIVE")
    assert not plane.agent(source).read_only


def test_nobody_waits_long_for_a_set_that_does_not_get_on(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, chosen, _ = pair
    plane.conf.set_override("freeze_timeout", 2, group="operations")
    plane.conf.set_override("step_retry_interval", 0.2, group="operations")
    agent = plane.agent(chosen)

    def busy(_request: Any) -> Any:
        raise ServiceUnavailable("It is busy.")

    agent._detach_replica = busy  # type: ignore[method-assign]
    promote(plane, chosen)
    assert plane.wait(chosen, "ACTIVE")["fault"]["message"] == (
        "Nobody could write for 2 seconds. It is busy.")
    assert not plane.agent(source).read_only
    assert violations(plane) == []


def test_a_new_source_that_cannot_be_written_to_is_asked_until_it_can(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, chosen, other = pair
    plane.conf.set_override("guest_long_call_timeout", 1)
    plane.hypervisor.failures["detach_replica writable"] = "It does not want to."
    promote(plane, chosen)
    agent = plane.agent(chosen)
    wait_for(lambda: [name for name, _ in agent.asked].count("detach_replica") > 6,
             "more attempts than one call has")
    plane.hypervisor.failures.clear()
    assert "fault" not in plane.wait(chosen, "ACTIVE")
    assert not agent.read_only
    assert set(ids(plane, chosen)) == {source, other}


def test_a_new_source_that_can_never_be_written_to_is_opened_by_a_restart(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, chosen, other = pair
    plane.conf.set_override("timeouts", {"instance.promote": "5"}, group="operations")
    plane.hypervisor.failures["detach_replica writable"] = "It does not want to."
    promote(plane, chosen)
    assert f"does not want to. Nobody can write to instance {chosen}: restart it." in plane.wait(
        chosen, "ACTIVE")["fault"]["message"]
    # the others follow it already: there is no way back
    assert set(ids(plane, chosen)) == {source, other}
    assert plane.agent(chosen).read_only
    plane.hypervisor.failures.clear()
    plane.request("POST", f"/instances/{chosen}/action", {"restart": {}}, status=202)
    assert "fault" not in plane.wait(chosen, "ACTIVE")
    assert not plane.agent(chosen).read_only
    assert plane.agent(source).read_only
    # those of its replicas came with the data
    asked = [one for _, one in plane.agent(chosen).asked if isinstance(one, rm.DetachRequest)]
    assert set(asked[-1].keep) == {account(source), account(other)}


@pytest.mark.parametrize("asked_for", [True, False])
def test_a_new_source_without_replicas_is_opened_by_a_restart_or_later(
        plane: ControlPlane, *, asked_for: bool) -> None:
    plane.hypervisor.make_agent = Growing
    source = plane.create()
    plane.wait(source, "ACTIVE")
    one = ask(plane, source)["id"]
    for ident in (one, source):
        plane.wait(ident, "ACTIVE")
    plane.conf.set_override("timeouts", {"instance.eject": "6"}, group="operations")
    plane.hypervisor.failures["detach_replica"] = "It does not want to."
    lose(plane, source)
    eject(plane, source)
    shown = plane.wait(one, "ACTIVE")
    # nobody follows it, and it follows nobody: the source was its only member besides
    assert "replica_of" not in shown and "replicas" not in shown
    for ident in (one, source):
        assert f"Nobody can write to instance {one}: restart it." in plane.show(
            ident)["fault"]["message"]
    assert plane.agent(one).read_only
    if not asked_for:
        assert "source-closed" in [found.finding.kind for found in plane.reconcile()]
        wait_for(lambda: [name for name, _ in plane.agent(one).asked].count("detach_replica") > 3,
                 "another attempt")
        plane.hypervisor.failures.clear()
        wait_for(lambda: not plane.agent(one).read_only, "the source")
        plane.wait(one, "ACTIVE")
        assert "source-closed" not in [found.finding.kind for found in plane.reconcile()]
        return
    plane.hypervisor.failures.clear()
    for _ in range(2):
        asked = len(plane.agent(one).asked)
        plane.request("POST", f"/instances/{one}/action", {"restart": {}}, status=202)
        assert "fault" not in plane.wait(one, "ACTIVE")
        assert (plane.agent(one).read_only, plane.agent(one).follows) == (False, None)
    # once is enough
    assert "detach_replica" not in [name for name, _ in plane.agent(one).asked[asked:]]


def test_a_set_goes_on_when_the_time_is_over_as_its_roles_are_written(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    source, chosen, other = pair
    write = roles.write

    def slow(work: Work, *args: Any, **more: Any) -> None:
        write(work, *args, **more)
        work.limit(plane.clock.now() - datetime.timedelta(seconds=1), "It took too long.")

    monkeypatch.setattr(roles, "write", slow)
    promote(plane, chosen)
    assert "fault" not in plane.wait(chosen, "ACTIVE")
    assert set(ids(plane, chosen)) == {source, other}
    assert not plane.agent(chosen).read_only
    assert violations(plane) == []


def test_nothing_else_is_done_with_a_set_that_changes(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, chosen, other = pair
    plane.agent(other).reaches = False
    promote(plane, chosen)
    for one in pair:
        assert plane.show(one)["status"] == "PROMOTE"
        for body in ({"restart": {}}, {"reset_status": {"force_delete": True}},
                     {"detach_replica": {}}, {"promote_to_replica_source": {}}):
            if one != source or "restart" in body:
                plane.request("POST", f"/instances/{one}/action", body, token="admin",
                              status=422)
    ask(plane, source, 422)
    plane.request("DELETE", f"/instances/{other}", status=422)
    assert [one for one in plane.reconcile() if one.repaired] == []
    # an operator ends it, from any of them
    plane.request("POST", f"/instances/{source}/action", {"reset_status": {}}, token="admin",
                  status=202)
    assert {plane.show(one)["status"] for one in pair} == {"ACTIVE"}
    plane.agent(other).reaches = True
    plane.agent(source).beat(ServiceStatus.SHUTDOWN)
    wait_for(lambda: plane.show(source)["operating_status"] == "SHUTDOWN", "the stop")
    assert "its database is SHUTDOWN" in promote(plane, chosen, 422)
    promote(plane, source, 400)


def servers(plane: ControlPlane) -> dict[str, str]:
    """Return what the cloud says of each instance's server."""
    return {ident: found.status for ident, (found,) in
            plane.tools.clouds.compute.list_servers_by_instance().items()}


def eject(plane: ControlPlane, source: str, status: int = 202) -> str:
    return str(plane.request("POST", f"/instances/{source}/action", {
        "eject_replica_source": {}}, status=status).text)


def test_the_replica_that_has_most_takes_the_place_of_a_lost_source(
        plane: ControlPlane, pair: tuple[str, str, str], released: Any) -> None:
    source, one, two = pair
    assert "was heard of" in eject(plane, source, 400)
    assert "not a replica source" in eject(plane, one, 400)
    plane.agent(two).progress += 1
    lose(plane, source)
    plane.hypervisor.failures["stop_receiving"] = "It does not want to."
    eject(plane, source)
    wait_for(lambda: "fault" in plane.show(source), "the failure")
    assert set(ids(plane, source)) == {one, two}
    assert violations(plane) == []
    plane.hypervisor.failures.clear()
    # it is as before: its server was stopped, and is started again
    assert servers(plane)[source] == "ACTIVE"
    released.eject_replica_source(source)
    for ident, status in ((one, "ACTIVE"), (two, "ACTIVE"), (source, "SHUTDOWN")):
        plane.wait(ident, status)
    assert servers(plane) == {one: "ACTIVE", two: "ACTIVE", source: "SHUTOFF"}
    assert (ids(plane, two), ids(plane, source)) == ([one], [])
    assert violations(plane) == []
    # the source may live: nobody reaches it, until its owner says so
    assert let_in(plane, source) == set()
    assert plane.show(source)["access"]["allowed_cidrs"] == []
    names = [name for name, _ in plane.agent(source).asked]
    assert names[-1] == "get_tls", "it is asked for nothing since the last one followed it"
    asked = [name for name, _ in plane.agent(two).asked]
    assert asked.index("detach_replica") > asked.index("stop_receiving")
    plane.request("DELETE", f"/instances/{source}", status=202)
    plane.wait_gone(f"/instances/{source}")


def test_another_replica_takes_the_place_of_the_one_that_is_lost_as_it_is_chosen(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    plane.conf.set_override("timeouts", {"instance.eject": "6"}, group="operations")
    plane.agent(one).progress += 1
    lose(plane, source)
    plane.hypervisor.failures["detach_replica take_over"] = "It is about to end."
    eject(plane, source)
    assert f"Nobody can write to instance {one}" in plane.wait(one, "ACTIVE")["fault"]["message"]
    assert ids(plane, one) == [two]
    plane.hypervisor.failures.clear()
    # what failed with the new source leaves nothing of the old one half done
    assert servers(plane)[source] == "SHUTOFF"
    assert [port.is_open for port in plane.tools.clouds.network.find_ports(source)] == [True]
    lose(plane, one)
    plane.conf.clear_override("timeouts", group="operations")
    eject(plane, one)
    plane.wait(two, "ACTIVE")
    wait_for(lambda: not plane.agent(two).read_only, "the source")
    assert (ids(plane, one), ids(plane, two), "replica_of" in plane.show(two)) == ([], [], False)
    # nobody wrote to it, and nobody reaches it
    assert plane.agent(one).read_only
    assert let_in(plane, one) == let_in(plane, source) == set()


def test_a_source_that_may_live_stays_the_source(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    lose(plane, source)
    plane.conf.set_override("server_timeout", 3)
    faults = plane.minicloud.faults
    faults.add({"kind": "stuck", "path": "^nova.stop "})
    faults.add({"kind": "error", "status": 403, "service": "network", "method": "PUT",
                "path": "/ports/"})
    eject(plane, source)
    # what could not be taken back is told before
    wait_for(lambda: "network service refused" in plane.show(source).get("fault", {}).get(
        "message", ""), "the failure")
    assert plane.show(source)["fault"]["message"].startswith(
        "Timed out waiting for the server of the old source to be cut off.")
    assert set(ids(plane, source)) == {one, two}
    assert {name for ident in (one, two) for name, _ in plane.agent(ident).asked}.isdisjoint(
        {"stop_receiving", "detach_replica"})


def test_closed_ports_are_enough_to_cut_a_source_off(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, one, two = pair
    lose(plane, source)
    plane.conf.set_override("server_timeout", 3)
    plane.minicloud.faults.add({"kind": "stuck", "path": "^nova.stop "})
    eject(plane, source)
    for ident in (one, two):
        plane.wait(ident, "ACTIVE")
    wait_for(lambda: "fault" in plane.show(source), "what was not done")
    assert "ports of the old source may stay closed" in plane.show(source)["fault"]["message"]
    assert ids(plane, one) == [two]
    ports = plane.tools.clouds.network.find_ports(source)
    assert [(port.is_open, port.status) for port in ports] == [(False, "DOWN")]
    server = plane.tools.clouds.compute.find_server(source)
    assert server is not None
    assert not plane.hypervisor.servers[server.id].ports


def test_replicas_do_not_wait_for_the_old_source_to_end(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    source, one, two = pair
    before = []

    def put_aside(work: Work) -> str:
        before.extend(name for name, _ in plane.agent(two).asked)
        return aside(work)

    aside = fencing.put_aside
    monkeypatch.setattr(fencing, "put_aside", put_aside)
    lose(plane, source)
    eject(plane, source)
    plane.wait(source, "SHUTDOWN")
    assert ids(plane, one) == [two]
    assert "follow" in before[before.index("stop_receiving"):]


@pytest.mark.parametrize("action", ["reboot", "rebuild"])
def test_another_boot_opens_the_ports_that_an_ejection_left_closed(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch,
        action: str) -> None:
    source, one, _ = pair
    lose(plane, source)
    monkeypatch.setattr(fencing, "put_aside", lambda _work: "It was not put aside.")
    eject(plane, source)
    plane.wait(one, "ACTIVE")
    wait_for(lambda: plane.show(source)["status"] != "EJECT", "the end", 20)
    server = plane.tools.clouds.compute.find_server(source)
    assert server is not None
    wait_for(lambda: getattr(plane.tools.clouds.compute.get_server(server.id), "status", "")
             == "SHUTOFF", "the server to be off", 20)
    network = plane.tools.clouds.network
    assert [port.is_open for port in network.find_ports(source)] == [False]
    agent = plane.agent(source)
    assert isinstance(agent, LivingAgent)
    agent.lost = False
    # nobody could ask its agent
    refused = plane.request("POST", f"/instances/{source}/action", {"restart": {}}, status=422)
    assert "its status is ERROR" in refused.text
    plane.request("POST", f"/mgmt/instances/{source}/action", {action: {
        "image_id": server.image_id} if action == "rebuild" else {}}, status=202, token="admin")
    wait_for(lambda: [port.is_open for port in network.find_ports(source)] == [True],
             "the ports", 20)
    assert let_in(plane, source) == set()


def test_a_port_that_was_down_before_does_not_say_that_it_was_closed(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    source, _, _ = pair
    lose(plane, source)
    plane.conf.set_override("server_timeout", 2)
    plane.minicloud.faults.add({"kind": "stuck", "path": "^nova.stop "})
    find = Network.find_ports
    monkeypatch.setattr(Network, "find_ports", lambda self, ident: [
        dataclasses.replace(port, status="DOWN") for port in find(self, ident)])
    eject(plane, source)
    wait_for(lambda: "to be cut off" in plane.show(source).get("fault", {}).get("message", ""),
             "the failure")
    assert len(ids(plane, source)) == 2
    assert all(port.is_open for port in plane.tools.clouds.network.find_ports(source))


def test_a_server_that_was_off_before_stays_off_when_an_ejection_fails(
        plane: ControlPlane, pair: tuple[str, str, str]) -> None:
    source, _, _ = pair
    lose(plane, source)
    clouds = plane.tools.clouds
    server = clouds.compute.find_server(source)
    assert server is not None
    clouds.compute.stop_server(server.id)
    wait_for(lambda: getattr(clouds.compute.get_server(server.id), "status", "") == "SHUTOFF",
             "the end")
    port, = clouds.network.find_ports(source)
    clouds.network.switch_port(port.id, is_open=False)
    plane.hypervisor.failures["stop_receiving"] = "It does not want to."
    eject(plane, source)
    wait_for(lambda: "fault" in plane.show(source), "the failure")
    after = clouds.compute.get_server(server.id)
    assert after is not None
    assert (after.status, after.task_state) == ("SHUTOFF", None)
    assert [one.is_open for one in clouds.network.find_ports(source)] == [False]


@pytest.mark.parametrize("status", [
    ServiceStatus.SHUTDOWN, ServiceStatus.CRASHED, ServiceStatus.BLOCKED])
def test_a_source_whose_database_is_lost_is_fenced_and_ejected(
        plane: ControlPlane, pair: tuple[str, str, str], status: ServiceStatus) -> None:
    source, one, two = pair
    assert "its database is HEALTHY" in eject(plane, source, 400)
    lost = plane.agent(source)
    lost.beat(status)
    wait_for(lambda: plane.show(source)["operating_status"] == status, "the end")
    plane.hypervisor.failures["stop_receiving"] = "It does not want to."
    eject(plane, source)
    wait_for(lambda: "fault" in plane.show(source), "the failure")
    names = [name for name, _ in lost.asked]
    assert (names[-2:], lost.fenced) == (["fence", "unfence"], False)
    assert let_in(plane, source) > {"192.0.2.0/24"}
    plane.hypervisor.failures.clear()
    eject(plane, source)
    for ident in (one, two):
        plane.wait(ident, "ACTIVE")
    assert (lost.fenced, let_in(plane, source), ids(plane, source)) == (True, set(), [])
    assert violations(plane) == []
    # its owner uses it on: those that left it can log in there no more
    assert set(lost.accounts) == {account(one), account(two)}
    lost.beat(ServiceStatus.HEALTHY)
    wait_for(lambda: [one.finding.kind for one in plane.reconcile()] == ["accounts-left"],
             "the reconciliation")
    wait_for(lambda: lost.accounts == {}, "the accounts")
    plane.wait(source, "ACTIVE")


def test_a_database_that_was_fenced_is_opened_when_its_agent_is_silent_for_a_moment(
        plane: ControlPlane, pair: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    source, one, two = pair
    lost = plane.agent(source)
    assert isinstance(lost, LivingAgent)
    lost.beat(ServiceStatus.CRASHED)
    wait_for(lambda: plane.show(source)["operating_status"] == "CRASHED", "the end")
    asked = []

    def silent(request: Any) -> Any:
        asked.append(request.step)
        if len(asked) < 3:
            raise ServiceUnavailable("It is not there just now.")
        return type(lost)._unfence(lost, request)

    monkeypatch.setattr(lost, "_unfence", silent)
    fence = type(lost)._fence

    def fenced(request: Any) -> Any:
        answer = fence(lost, request)
        # from now on nobody hears of it
        lose(plane, source)
        return answer

    monkeypatch.setattr(lost, "_fence", fenced)
    plane.hypervisor.failures["stop_receiving"] = "It does not want to."
    eject(plane, source)
    wait_for(lambda: "fault" in plane.show(source), "the failure")
    assert (len(asked), lost.fenced) == (3, False)
    assert set(ids(plane, source)) == {one, two}
