"""Replicas of MySQL and Percona Server: what is said to servers of each release.

As in ``test_mysql``, servers that speak the protocol take the place of real ones.  They replicate
by numbered transactions among each other, and refuse what a release does not know.
"""

from __future__ import annotations

import pathlib
from concurrent import futures
from typing import Any

import pymysql
import pytest

from tests.functional.guestagent import test_mysql
from tests.functional.guestagent.test_mysql import Make, World, backup, make, upgrade
from tests.integration.guestagent.store import grant
from tests.servers import mysql_sets
from trove_ng.common.errors import BadRequest, GuestError, ServiceUnavailable
from trove_ng.common.secret import Secret
from trove_ng.common.tls import BASIC, ENFORCED
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.guestagent import sql_manager
from trove_ng.guestagent.datastores.experimental.percona.manager import PerconaManager
from trove_ng.guestagent.datastores.mysql_family import replication
from trove_ng.guestagent.datastores.stable.mysql.manager import MySqlManager
from trove_ng.guestagent.tls import TlsFiles
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm

__all__ = ["make"]

ONE, TWO, OLD = (m.UserSpec(name=f"{REPLICA_USERS}{one}", password=Secret(f"pw'-of-{one}"))
                 for one in ("one", "two", "old"))
ENGINES = ((MySqlManager, "8.0.36"), (PerconaManager, "8.4.2"), (MySqlManager, "5.7.44"))
#: release → what it calls a replica and its source
WORDS = {"5.7.44": ("SLAVE", "master"), "8.0.36": ("REPLICA", "source"),
         "8.4.2": ("REPLICA", "source")}


def step(name: str) -> m.StepRequest:
    return m.StepRequest(operation_id="o", step=name)


def databases(world: World) -> list[str]:
    found = world.manager.list_databases(m.PageRequest(limit=99)).databases
    return [one.name for one in found]


def create(world: World, name: str) -> None:
    world.manager.create_databases(m.DatabasesRequest(databases=[m.DatabaseSpec(name=name)]))


def accounts(world: World, *keep: m.UserSpec, add: m.UserSpec | None = None) -> None:
    world.manager.set_replica_accounts(rm.ReplicaAccounts(
        keep=[one.name for one in keep], add=add))


def follow(replica: World, source: World, user: m.UserSpec,
           stored: m.StoredBackup | None = None, authority: str = "") -> None:
    assert user.password is not None
    replica.manager.follow(rm.FollowRequest(
        operation_id="o", step="follow", host="127.0.0.1", port=source.paths.port,
        user=user.name, password=user.password, authority=authority, named=True,
        position=dict(stored.metadata) if stored is not None else None))


def position(world: World) -> str:
    return world.manager.get_position(m.Empty()).position


def restored(make: Make, like: World, url: str, stored: m.StoredBackup, **more: Any) -> World:
    one = make(like.kind, like.server.version)
    one.prepare(restore=m.RestoreSpec(
        backup_id="1", chain=[stored], grants=[grant(url, "backup_1/")]), **more)
    return one


def seeded(make: Make, source: World, url: str, stored: m.StoredBackup) -> World:
    """Return a server with the data of a snapshot, that follows nobody yet."""
    return restored(make, source, url, stored, replica=True)


@pytest.fixture(params=ENGINES, ids=lambda one: f"{one[0].name}-{one[1]}")
def source(request: pytest.FixtureRequest, make: Make, monkeypatch: pytest.MonkeyPatch) -> World:
    """A source with database ``shop``."""
    # a server that takes a test's place answers at once, or never
    monkeypatch.setattr(replication, "_ANSWER_SECONDS", 0)
    one = make(*request.param)
    one.prepare(databases=[m.DatabaseSpec(name="shop")])
    one.manager.enable_as_source(step("source"))
    return one


@pytest.fixture
def pair(source: World, make: Make, store: tuple[str, Any]) -> tuple[World, World]:
    """A source and a replica of it."""
    create(source, "first")
    stored = backup(source, store[0], 1)
    accounts(source, add=ONE)
    replica = seeded(make, source, store[0], stored)
    follow(replica, source, ONE, stored)
    return source, replica


@pytest.fixture
def three(pair: tuple[World, World], make: Make, store: tuple[str, Any],
          ) -> tuple[World, World, World]:
    """A source and two replicas of it."""
    source, one = pair
    stored = backup(source, store[0], 1)
    accounts(source, ONE, add=TWO)
    two = seeded(make, source, store[0], stored)
    follow(two, source, TWO, stored)
    return source, one, two


def flag(world: World, name: str) -> bool:
    assert world.server.state is not None
    return world.server.state.flag(name)


def test_an_instance_becomes_a_source_by_one_restart(make: Make, store: tuple[str, Any]) -> None:
    for kind, version in ENGINES:
        one = make(kind, version)
        one.prepare()
        assert "gtid" not in backup(one, store[0], 1).metadata
        first = one.server.state
        one.manager.enable_as_source(step("source"))
        second = one.server.state
        assert second is not first
        one.manager.enable_as_source(step("source again"))
        assert one.server.state is second
        options, word = one.options(), WORDS[version][0].lower()
        assert {name: options[name] for name in (
            "gtid_mode", "enforce_gtid_consistency", f"log_{word}_updates", "relay_log_recovery",
            "binlog_format", "super_read_only", f"{word}_net_timeout")} == {
            "gtid_mode": "ON", "enforce_gtid_consistency": "ON", f"log_{word}_updates": "ON",
            "relay_log_recovery": "ON", "binlog_format": "MIXED", "super_read_only": "OFF",
            f"{word}_net_timeout": "4"}
        assert "disable_log_bin" not in options
        assert options.get("relay_log_info_repository") == (
            "TABLE" if version == "5.7.44" else None)
        # nothing was written yet, and that is a position, too
        assert backup(one, store[0], 2).metadata["gtid"] == ""


def test_replicas_follow_from_one_snapshot_with_accounts_of_their_own(
        source: World, make: Make, store: tuple[str, Any]) -> None:
    create(source, "first")
    accounts(source, add=TWO)
    stored = backup(source, store[0], 1)
    assert stored.metadata["gtid"] == position(source)
    create(source, "later")
    one, two = (seeded(make, source, store[0], stored) for _ in range(2))
    assert len({test_mysql.number(world) for world in (source, one, two)}) == 3
    accounts(source, TWO, add=ONE)
    for replica, user in ((one, ONE), (two, TWO)):
        assert (flag(replica, "super_read_only"), databases(replica)) == (
            True, ["first", "shop"])
        follow(replica, source, user, stored)
        assert databases(replica) == ["first", "later", "shop"]
        assert replica.manager.replication_trouble() == ""
        assert replica.manager.replication_state() == {
            "lag": 0, "position": position(source), "connected": True, "applies": True,
            "last_lag": 0, "progress": source.manager.get_position(m.Empty()).progress}
        # the agents' passwords, and the accounts of replicas, are each server's own
        assert not any(name.startswith(REPLICA_USERS) for name in replica.stored()["users"])
        assert replica.manager.probe().name == "HEALTHY"
    assert source.manager.list_users(m.PageRequest(limit=9)).users == []
    assert source.manager.replication_trouble() == ""
    # each is removed when it is not needed any more
    accounts(source, TWO)
    assert f"{ONE.name}@%" not in source.stored()["users"]
    create(source, "last")
    assert "last" not in databases(one)
    assert "error 1045" in one.manager.replication_trouble()
    assert "last" in databases(two)


def test_replicas_follow_a_source_that_has_committed_nothing_yet(
        source: World, make: Make, store: tuple[str, Any]) -> None:
    stored = backup(source, store[0], 1)
    assert (position(source), stored.metadata["gtid"]) == ("", "")
    accounts(source, add=ONE)
    replica = seeded(make, source, store[0], stored)
    follow(replica, source, ONE, stored)
    create(source, "first")
    assert databases(replica) == ["first", "shop"]


def test_a_log_without_numbers_is_no_position(make: Make, store: tuple[str, Any]) -> None:
    for kind, version in ENGINES:
        one = make(kind, version)
        one.prepare()
        one.manager.begin_log_archive()
        assert flag(one, "log_bin")
        assert "gtid" not in backup(one, store[0], 1).metadata


def test_each_release_is_told_in_its_own_words(
        source: World, make: Make, store: tuple[str, Any]) -> None:
    stored = backup(source, store[0], 1)
    accounts(source, add=ONE)
    replica = seeded(make, source, store[0], stored)
    follow(replica, source, ONE, stored)
    word, origin = WORDS[replica.server.version]
    said = replica.said()
    begin = said.index(f"STOP {word}")
    reset = ("RESET BINARY LOGS AND GTIDS" if replica.server.version == "8.4.2"
             else "RESET MASTER")
    what = "MASTER" if word == "SLAVE" else "REPLICATION SOURCE"
    secure = (f"{origin}_ssl = {int(word != 'SLAVE')}, {origin}_ssl_ca = '', "
              f"{origin}_ssl_verify_server_cert = 0")
    numbers = position(source)
    assert said[begin - 3:begin + 6] == [
        "SET SESSION lock_wait_timeout = 20", "SET GLOBAL super_read_only = 1",
        f"SET GLOBAL {word.lower()}_net_timeout = 4", f"STOP {word}", f"RESET {word} ALL", reset,
        f"SET GLOBAL gtid_purged = '{numbers}'",
        f"CHANGE {what} TO {origin}_host = '127.0.0.1', {origin}_port = {source.paths.port}, "
        f"{origin}_user = '{ONE.name}', {origin}_password = 'pw\\'-of-one', "
        f"{origin}_connect_retry = 5, {origin}_heartbeat_period = 2, {secure}, "
        f"{origin}_auto_position = 1, {origin}_retry_count = 86400", f"START {word}"]
    # the step is repeated when its answer was lost: what was applied since stays
    create(source, "since")
    follow(replica, source, ONE, stored)
    assert replica.said().count(reset) == 1
    assert "since" in databases(replica)


def test_nobody_writes_to_a_replica_and_its_agent_does_all_the_same(
        pair: tuple[World, World], tmp_path: pathlib.Path) -> None:
    source, replica = pair
    with pytest.raises(GuestError, match="read only"):
        create(replica, "own")
    accounts(replica, add=TWO)
    assert f"{TWO.name}@%" in replica.stored()["users"]
    assert flag(replica, "super_read_only")
    replica.manager.upgrade_data()
    assert flag(replica, "super_read_only")
    # none of it is a change of the set
    assert position(replica) == position(source)
    replica.manager.restart_db()
    create(source, "later")
    assert "later" in databases(replica)
    with pytest.raises(GuestError, match="read only"):
        create(replica, "own")
    found = TlsFiles(BASIC, *(tmp_path / one for one in ("cert", "key", "ca")))
    assert replica.manager.apply_tls(found) is True
    replica.manager.restart_db()
    assert replica.manager.apply_tls(found) is (replica.server.version == "5.7.44")
    assert flag(replica, "super_read_only")


def test_a_late_change_of_accounts_leaves_a_new_source_open(pair: tuple[World, World]) -> None:
    _, replica = pair
    manager = replica.manager
    with futures.ThreadPoolExecutor(2) as pool:
        with manager.replication.writing() as session:
            opened = pool.submit(manager.allow_writes, step("writable"))
            futures.wait([opened], timeout=0.5)
            # a look meanwhile does not shut the agent out
            assert pool.submit(manager.replication_trouble).result(30) == ""
            session.run("DROP USER IF EXISTS %s@%s", ("nobody", "%"))
        opened.result(30)
    assert not flag(replica, "super_read_only")
    create(replica, "own")


def test_an_agent_that_loses_its_connection_does_not_leave_a_replica_open(
        pair: tuple[World, World]) -> None:
    _, replica = pair
    state = replica.server.state
    assert state is not None
    with (pytest.raises(GuestError, match="refused"),
          replica.manager.replication.writing() as session):
        assert not flag(replica, "super_read_only")
        for number in list(state.connections):
            state.end(number)
        session.run("DROP USER IF EXISTS %s@%s", ("nobody", "%"))
    assert flag(replica, "super_read_only")


def test_an_agent_that_was_killed_does_not_leave_a_server_open(pair: tuple[World, World]) -> None:
    source, replica = pair
    source.manager.stop_writes(step("freeze"))

    def look() -> list[bool]:
        for one in pair:
            with one.manager.server.session() as session:
                session.run("SET GLOBAL super_read_only = 0")
            one.become(one.server.version)
            one.manager.replication_trouble()
        return [flag(one, "super_read_only") for one in pair]

    assert look() == [True, True]
    source.manager.allow_writes(step("thaw"))
    assert look() == [False, True]
    create(source, "later")
    # a server that does not answer is none to be closed, and not more trouble than that
    replica.manager.stop_db()
    assert replica.manager.replication_trouble() == ""


def test_a_replica_is_promoted_and_nothing_is_lost(
        three: tuple[World, World, World], make: Make, store: tuple[str, Any]) -> None:
    source, one, two = three
    create(source, "before")
    frozen = source.manager.stop_writes(step("freeze"))
    with pytest.raises(GuestError, match="read only"):
        create(source, "refused")
    source.manager.restart_db()
    with pytest.raises(GuestError, match="read only"):
        create(source, "refused")
    assert source.manager.get_position(m.Empty()) == frozen
    assert "may not write" in source.manager.replication_trouble()
    for replica in (one, two):
        assert replica.manager.wait_for_position(
            rm.PositionRequest(position=frozen.position, seconds=0)).value
    one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take", hold=True))
    for follower, user in ((two, TWO), (source, OLD)):
        accounts(one, TWO, OLD, add=user)
        with pytest.raises(GuestError, match="read only"):
            create(one, "too soon")
        follow(follower, one, user)
    one.manager.allow_writes(step("writable"))
    create(one, "after")
    for follower in (two, source):
        assert "after" in databases(follower)
        assert position(follower) == position(one)
        with pytest.raises(GuestError, match="read only"):
            create(follower, "refused")
    assert len(position(one).split(",")) == 2
    assert one.manager.get_position(m.Empty()).progress == frozen.progress + 1
    # a snapshot of the new source tells numbers of both
    third = backup(one, store[0], 1)
    assert third.metadata["gtid"] == position(one)
    accounts(one, TWO, OLD, add=ONE)
    new = seeded(make, one, store[0], third)
    follow(new, one, ONE, third)
    create(one, "for all")
    assert all("for all" in databases(world) for world in (new, two, source))


def test_a_promotion_is_taken_back(pair: tuple[World, World]) -> None:
    source, replica = pair
    source.manager.stop_writes(step("freeze"))
    replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take", hold=True))
    source.manager.allow_writes(step("thaw"))
    create(source, "goes on")
    accounts(source, add=ONE)
    follow(replica, source, ONE)
    accounts(replica)
    assert "goes on" in databases(replica)
    assert replica.manager.replication_trouble() == ""


def test_a_source_that_is_let_write_again_follows_nobody(pair: tuple[World, World]) -> None:
    source, replica = pair
    source.manager.stop_writes(step("freeze"))
    replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take", hold=True))
    accounts(replica, OLD, add=OLD)
    follow(source, replica, OLD)
    # its agent was away when it was to let go
    source.manager.allow_writes(step("thaw"))
    assert source.manager.replication.status() == {}
    accounts(source, ONE, add=ONE)
    follow(replica, source, ONE)
    create(source, "after")
    assert "after" in databases(replica)


def test_of_replicas_of_a_lost_source_the_one_with_more_is_told(
        three: tuple[World, World, World]) -> None:
    source, one, two = three
    assert one.manager.replication_trouble() == ""
    behind = one.manager.stop_receiving(step("halt"))
    create(source, "more")
    # it hears of it, and then never again
    assert two.manager.replication_trouble() == ""
    source.manager.stop_db()
    ahead = two.manager.stop_receiving(step("halt"))
    assert ahead.progress == behind.progress + 1
    for replica in (one, two):
        replica.manager.receive_again(step("go on"))
        assert "error 2003" in replica.manager.replication_trouble()
        state = replica.manager.replication_state()
        assert (state["connected"], state["last_lag"]) == (False, 0)
        assert state["unheard"] >= 0
    two.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take over"))
    accounts(two, add=ONE)
    follow(one, two, ONE)
    create(two, "anew")
    assert databases(one) == ["anew", "first", "more", "shop"]


def test_a_detached_replica_is_written_to_and_has_replicas(
        pair: tuple[World, World], make: Make, store: tuple[str, Any]) -> None:
    source, replica = pair
    create(source, "last")
    for _ in range(2):
        replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="detach"))
    create(replica, "own")
    create(source, "other")
    replica.manager.restart_db()
    assert databases(replica) == ["first", "last", "own", "shop"]
    replica.manager.enable_as_source(step("source"))
    stored = backup(replica, store[0], 1)
    accounts(replica, add=TWO)
    other = seeded(make, replica, store[0], stored)
    follow(other, replica, TWO, stored)
    assert databases(other) == databases(replica)


def test_a_replica_that_applies_too_slowly_follows_still(
        pair: tuple[World, World], monkeypatch: pytest.MonkeyPatch) -> None:
    _, replica = pair
    monkeypatch.setattr(type(replica.manager.replication), "waits", lambda *_all: False)
    with pytest.raises(ServiceUnavailable, match="applies what it has received"):
        replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="detach"))
    assert replica.manager.replication_trouble() == ""
    assert flag(replica, "super_read_only")


def test_what_is_restored_from_a_replica_follows_nobody(
        pair: tuple[World, World], make: Make, store: tuple[str, Any]) -> None:
    source, replica = pair
    stored = backup(replica, store[0], 1)
    one = restored(make, replica, store[0], stored)
    create(source, "later")
    assert databases(one) == ["first", "shop"]
    assert one.stored()["channel"] == {}
    assert not any(name.startswith("skip_") and name.endswith("_start")
                   for name in one.options())
    assert not any(name.startswith(REPLICA_USERS) for name in one.stored()["users"])
    create(one, "own")


def test_a_snapshot_that_does_not_do_is_told(pair: tuple[World, World], make: Make,
                                             store: tuple[str, Any]) -> None:
    source, _ = pair
    one = make(source.kind, source.server.version)
    one.prepare()
    before = backup(one, store[0], 1)
    other = seeded(make, one, store[0], before)
    with pytest.raises(BadRequest, match="does not tell its position"):
        follow(other, one, ONE, before)
    # what is needed has gone from the source's log
    one.manager.enable_as_source(step("source"))
    stored = backup(one, store[0], 1)
    other = seeded(make, one, store[0], stored)
    create(one, "gone")
    assert one.server.state is not None
    one.server.state.log.clear()
    accounts(one, add=ONE)
    with pytest.raises(ServiceUnavailable, match="1236"):
        follow(other, one, ONE, stored)


def test_a_change_that_cannot_be_applied_is_told(pair: tuple[World, World]) -> None:
    source, replica = pair
    replica.manager.replication.configure(replication.Role.SOURCE)
    replica.manager.replication.open()
    create(replica, "both")
    replica.manager.replication.configure(replication.Role.REPLICA)
    create(source, "both")
    assert "error 1007" in replica.manager.replication_trouble()
    assert replica.manager.replication_state()["applies"] is False
    with pytest.raises(GuestError, match="1007"):
        replica.manager.wait_for_position(
            rm.PositionRequest(position=position(source), seconds=1))


def test_events_run_at_a_source_only(source: World) -> None:
    def runs() -> str:
        assert source.server.state is not None
        return str(source.server.state.read_global("event_scheduler")[0][0])

    usual = "OFF" if source.server.version == "5.7.44" else "ON"
    assert runs() == usual
    source.manager.stop_writes(step("freeze"))
    assert runs() == "OFF"
    source.manager.restart_db()
    assert runs() == "OFF"
    source.manager.allow_writes(step("thaw"))
    assert runs() == usual


@pytest.mark.parametrize(("kind", "before", "after"), [
    (MySqlManager, "5.7.44", "8.0.36"), (PerconaManager, "8.0.36", "8.4.2")])
def test_the_role_outlives_an_upgrade_in_new_words(
        make: Make, store: tuple[str, Any], kind: type[MySqlManager], before: str,
        after: str) -> None:
    source = make(kind, before)
    source.prepare()
    source.manager.enable_as_source(step("source"))
    stored = backup(source, store[0], 1)
    accounts(source, add=ONE)
    replica = seeded(make, source, store[0], stored)
    follow(replica, source, ONE, stored)
    upgrade(replica, after)
    options = replica.options()
    assert (options["super_read_only"], options["log_replica_updates"]) == ("ON", "ON")
    assert not any("slave" in name for name in options)
    assert "relay_log_info_repository" not in options
    create(source, "later")
    assert databases(replica) == ["later"]
    # the agent's new rights are its own server's matter
    assert position(replica) == position(source)


def test_the_servers_that_stand_in_refuse_what_a_release_does_not_know(make: Make) -> None:
    for version, words in (("5.7.44", ("SHOW REPLICA STATUS", "START REPLICA")),
                           ("8.4.2", ("SHOW SLAVE STATUS", "RESET MASTER", "STOP SLAVE"))):
        one = make(version=version)
        one.prepare()
        _, password = one.manager.admin.credentials()
        with pymysql.connect(unix_socket=one.paths.socket, user="os_admin",
                             password=password.reveal()) as connection:
            for word in words:
                with pytest.raises(pymysql.err.ProgrammingError, match="1064"):
                    connection.cursor().execute(word)
        one.server.unknown.clear()
    assert mysql_sets.NETWORK


def test_a_source_with_a_certificate_is_followed_encrypted_and_verified(
        pair: tuple[World, World], tmp_path: pathlib.Path) -> None:
    source, replica = pair
    old = source.server.version == "5.7.44"
    spoken = [TlsFiles(mode, *(tmp_path / one for one in ("cert", "key", "ca")))
              for mode in (BASIC, ENFORCED)]
    with pytest.raises(ServiceUnavailable, match="2026"):
        follow(replica, source, ONE, authority="PEM")
    source.manager.apply_tls(spoken[0])
    source.manager.restart_db()
    follow(replica, source, ONE, authority="PEM")
    trusted = replica.manager.tls.trusted
    assert trusted is not None and trusted.read_text() == "PEM"
    word, origin = WORDS[replica.server.version]
    assert (f"{origin}_ssl = 1, {origin}_ssl_ca = '{trusted}', "
            f"{origin}_ssl_verify_server_cert = {int(not old)}") in " ".join(replica.said())
    source.manager.apply_tls(spoken[1])
    source.manager.restart_db()
    create(source, "strictly")
    follow(replica, source, ONE, authority="PEM")
    assert "strictly" in databases(replica)
    if old:
        with pytest.raises(ServiceUnavailable, match="3159"):
            follow(replica, source, ONE)
        follow(replica, source, ONE, authority="PEM")
    replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="detach"))
    assert replica.manager.tls.trusted is None


def test_sessions_of_root_at_a_replica_end_when_its_source_disables_it(
        pair: tuple[World, World], monkeypatch: pytest.MonkeyPatch) -> None:
    source, replica = pair
    monkeypatch.setattr(sql_manager, "ARRIVAL_SECONDS", 0.5)
    source.manager.enable_root(m.RootRequest(password=Secret("mine")))
    assert replica.manager.is_root_enabled(m.Empty()).value
    # the stand-in has no other way in than the socket, where this one would come first
    del replica.stored()["users"]["root@localhost"]
    with pymysql.connect(unix_socket=replica.paths.socket, user="root",
                         password="mine") as connection, connection.cursor() as cursor:
        # nothing is taken away here: the change has to come from the source
        with pytest.raises(ServiceUnavailable, match="has not heard yet"):
            replica.manager.disable_root(m.Empty())
        assert "root@%" in replica.stored()["users"]
        cursor.execute("SELECT 1")
        source.manager.disable_root(m.Empty())
        replica.manager.disable_root(m.Empty())
        with pytest.raises(pymysql.err.OperationalError):
            cursor.execute("SELECT 1")
    assert position(replica) == position(source)
