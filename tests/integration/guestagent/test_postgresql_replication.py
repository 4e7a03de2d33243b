"""Replicas of PostgreSQL, with real servers."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.sql import SQL

from tests.integration.guestagent.conftest import wait_for
from tests.integration.guestagent.store import grant
from tests.integration.guestagent.test_postgresql import (
    PAGE,
    Server,
    alike,
    backup,
    first,
    restored,
    server,
)
from trove_ng.common.errors import (
    BadRequest,
    GuestError,
    ServiceUnavailable,
    UnprocessableEntity,
)
from trove_ng.common.secret import Secret
from trove_ng.common.states import ServiceStatus
from trove_ng.datastores import base as datastores
from trove_ng.guestagent import sql_manager
from trove_ng.guestagent.datastores.experimental.postgresql.manager import PostgreSqlManager
from trove_ng.guestagent.datastores.experimental.postgresql.wal import REPLICA_SLOT, Kept
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage.http import FullBackupNeeded
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm
from trove_ng.standalone.minicloud.swift import Swift

__all__ = ["alike", "first", "server"]


def account(name: str) -> m.UserSpec:
    return m.UserSpec(name=f"{datastores.REPLICA_USERS}{name}",
                      password=Secret(f"pw:\\'-of-{name}"))


def follow(replica: Server, source: Server, user: m.UserSpec, **how: Any) -> None:
    assert user.password is not None
    replica.manager.follow(rm.FollowRequest(
        operation_id="o", step="follow", host="127.0.0.1", port=source.paths.port,
        user=user.name, password=user.password, position={}, **how))


def accounts(source: Server, *keep: m.UserSpec, add: m.UserSpec | None = None) -> None:
    source.manager.set_replica_accounts(rm.ReplicaAccounts(
        keep=[one.name for one in keep], add=add))


def seeded(make: Any, url: str, name: str, *chain: m.StoredBackup) -> Server:
    one: Server = make(name)
    one.prepare(replica=True, restore=m.RestoreSpec(
        backup_id="1", chain=list(chain), grants=[grant(
            url, stored.segments[0].name.partition("/")[0] + "/") for stored in chain]))
    return one


def values(one: Server) -> list[int]:
    return [row[0] for row in one.ask("SELECT v FROM t ORDER BY v")]


def arrive(one: Server, *expected: int) -> None:
    """Wait until a server has these values."""
    wait_for(lambda: values(one) == [*expected])


def insert(one: Server, value: int) -> None:
    one.ask(f"INSERT INTO t VALUES ({value})")


def left(source: Server) -> list[str]:
    """Return the accounts and slots that replicas have, or had."""
    with source.manager.server.connect() as connection:
        return [row[0] for row in connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE '%replica%' AND rolname NOT LIKE "
            "'pg_%' UNION ALL SELECT slot_name FROM pg_replication_slots "
            "WHERE slot_name LIKE '%replica%' ORDER BY 1")]


def test_replicas_follow_until_they_are_detached(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    url, _ = store
    server.ask("CREATE TABLE t (v INT PRIMARY KEY)")
    whole = backup(server, url)
    insert(server, 1)
    server.override(max_connections=150)
    server.manager.restart_db()
    server.manager.enable_as_source(m.StepRequest(operation_id="o", step="source"))
    chain = [whole, backup(server, url, "2", parent=whole)]
    insert(server, 2)
    one, two = account("one"), account("two")
    for _ in range(2):
        accounts(server, add=one)
    accounts(server, one, add=two)
    assert [user.name for user in server.manager.list_users(PAGE).users] == ["app"]
    # what is written between backup and first start, though nobody asks for it
    server.ask("SELECT pg_switch_wal()", *root(server))
    server.ask("CHECKPOINT", *root(server))
    replicas = [seeded(make, url, name, *chain) for name in ("r1", "r2")]
    for replica, user in zip(replicas, (one, two), strict=True):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            insert(replica, 99)
        for _ in range(2):
            follow(replica, server, user)
        arrive(replica, 1, 2)
        assert replica.manager.examine().reason == ""
        assert replica.setting("max_connections") == "150"
    logs = [pathlib.Path(str(one.ctx.services.log_path(()))).read_text()
            for one in (server, *replicas)]
    assert ["source.pgpass" in text for text in logs] == [False, True, True]
    assert not any("-of-" in text for text in logs)
    # an account is for nothing else
    with pytest.raises(psycopg.OperationalError, match="rejects"):
        server.login(one.name, one.password.reveal(), "shop")
    # what a replica must have, whoever says something else
    replica, other = replicas
    assert replica.override(max_connections=20, max_worker_processes=9)
    for again in (server, replica):
        again.manager.restart_db()
    assert [replica.setting(name) for name in ("max_connections", "max_worker_processes")] == [
        "150", "9"]
    insert(server, 3)
    arrive(replica, 1, 2, 3)
    arrive(other, 1, 2, 3)
    with pytest.raises(BadRequest, match="replica do not continue"):
        backup(replica, url, "3", parent=chain[-1])
    assert values(restored(make, url, backup(replica, url, "4"), name="r3")) == [1, 2, 3]
    # a lost root disk
    replica.manager.stop_db()
    shutil.rmtree(replica.paths.etc)
    fresh = PostgreSqlManager(replica.ctx, replica.paths)
    fresh.restore_settings(None, sm.PostUpgrade(
        operation_id="o", step="post", memory_mb=512,
        config=datastores.get("postgresql").config(512),
        volume=m.VolumeSpec(device="/dev/vdb", mount_point=replica.paths.mount)))
    fresh.start_db()
    insert(server, 4)
    arrive(replica, 1, 2, 3, 4)
    # on its own
    for _ in range(2):
        replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="detach"))
    accounts(server, two)
    insert(server, 5)
    insert(replica, 1000)
    arrive(other, 1, 2, 3, 4, 5)
    assert (left(replica), left(server)) == ([], [two.name, two.name, "trove_replicas"])
    with pytest.raises(BadRequest, match="data of its own"):
        follow(replica, server, one)
    replica.manager.restart_db()
    assert values(replica) == [1, 2, 3, 4, 1000]
    assert replica.setting("max_connections") == "64"
    # an account that is gone is no way in any more
    accounts(server)
    assert left(server) == []
    wait_for(lambda: "does not get changes" in other.manager.examine().reason)
    with pytest.raises(ServiceUnavailable, match="does not get changes"):
        other.manager.replication.wait()
    assert other.manager.probe() is ServiceStatus.HEALTHY


def test_a_replica_is_backed_up_while_it_follows(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    """The log that a backup needs is kept, however many restart points there are meanwhile."""
    server.ask("CREATE TABLE t (v INT PRIMARY KEY)")
    server.manager.enable_as_source(step("source"))
    one, superuser = account("one"), root(server)
    accounts(server, add=one)
    replica = seeded(make, store[0], "r1", backup(server, store[0]))
    follow(replica, server, one)
    written: list[int] = []

    def go_on(_percent: int) -> None:
        for _ in range(3):
            written.append(len(written))
            insert(server, written[-1])
            for statement in ("SELECT pg_switch_wal()", "CHECKPOINT"):
                server.ask(statement, *superuser)
            arrive(replica, *written)
            with replica.manager.server.session() as session:
                session.run(SQL("CHECKPOINT"))

    def slots() -> list[tuple[Any, ...]]:
        with replica.manager.server.session() as session:
            return session.run(SQL("SELECT slot_name FROM pg_replication_slots"))

    stored = replica.manager.create_backup(m.BackupRequest(
        operation_id="o", step="create_backup", backup_id="2", strategy="pg_basebackup",
        grant=grant(store[0], "backup_2/")), Progress(go_on, threading.Event()))
    assert values(restored(make, store[0], stored, name="r2"))[:1] == written[:1] == [0]
    assert slots() == []
    # what a killed agent left
    with replica.manager.server.session() as session:
        Kept(session, 0, REPLICA_SLOT).begin()
    replica.manager.clean()
    assert slots() == []


def step(name: str) -> m.StepRequest:
    return m.StepRequest(operation_id="o", step=name)


class Writer(threading.Thread):
    """Writes rows one after another, and remembers those that were acknowledged."""

    def __init__(self, target: Callable[[], Server], first: int, *login: str) -> None:
        super().__init__(daemon=True)
        self._target, self._next, self._login = target, first, login
        self.written: list[int] = []
        self.ends = False

    def run(self) -> None:
        while not self.ends:
            with contextlib.suppress(psycopg.Error), self._target().login(
                    *self._login) as connection:
                # as one who does not want to be held
                connection.execute("SET default_transaction_read_only = off")
                while not self.ends:
                    self._next += 1
                    connection.execute("INSERT INTO t VALUES (%s)", (self._next,))
                    self.written.append(self._next)


def a_set(server: Server, make: Any, url: str) -> tuple[list[Server], dict[str, m.UserSpec]]:
    """Return a source and two replicas that follow it, and the accounts of all."""
    server.ask("CREATE TABLE t (v INT PRIMARY KEY)")
    server.manager.enable_as_source(step("source"))
    users = {name: account(name) for name in ("old", "one", "two")}
    stored = backup(server, url)
    accounts(server, add=users["one"])
    accounts(server, users["one"], add=users["two"])
    replicas = [seeded(make, url, f"r-{name}", stored) for name in ("one", "two")]
    for name, replica in zip(("one", "two"), replicas, strict=True):
        follow(replica, server, users[name])
    return [server, *replicas], users


def test_changes_of_the_source_lose_nothing_that_its_replicas_have(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    (_, one, two), users = a_set(server, make, store[0])
    accounts(server, users["one"], users["two"], add=users["old"])
    source, superuser = server, root(server)
    writers = [Writer(lambda: source, 1_000_000 * number, *login) for number, login in enumerate(
        (("app", "app-Pw1", "shop"), superuser), 1)]
    for writer in writers:
        writer.start()
    wait_for(lambda: all(len(writer.written) > 50 for writer in writers))
    # a server that stands by would empty it
    server.ask("CREATE UNLOGGED TABLE quick AS SELECT 1 AS v")
    with pytest.raises(UnprocessableEntity, match="public.quick of database shop is unlogged"):
        server.manager.stop_writes(step("freeze"))
    assert server.ask("SELECT v FROM quick") == [(1,)]
    server.ask("ALTER TABLE quick SET LOGGED")
    position = server.manager.stop_writes(step("freeze")).position
    frozen = [len(writer.written) for writer in writers]
    assert server.manager.stop_writes(step("freeze")).position == position
    for again in (server.manager.restart_db, lambda: None):
        again()
        assert server.manager.get_position(m.Empty()).position == position
    for replica in (one, two):
        assert replica.manager.wait_for_position(
            rm.PositionRequest(position=position, seconds=20)).value
    assert not one.manager.wait_for_position(
        rm.PositionRequest(position="FF/0", seconds=0.5)).value
    for _ in range(2):
        one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take", hold=True))
    assert "follows nobody" in one.manager.examine().reason
    with pytest.raises(GuestError, match="did not come"):
        accounts(one, add=account("unknown"))
    for name, follower in (("two", two), ("old", server)):
        accounts(one, users["two"], users["old"], add=users[name])
        follow(follower, one, users[name])
    assert [len(writer.written) for writer in writers] == frozen
    # it is taken back: the first source goes on where all are, and its backups too
    server.manager.detach_replica(rm.DetachRequest(operation_id="o", step="go", hold=True))
    for _ in range(2):
        server.manager.allow_writes(step("thaw"))
    for name, follower in (("two", two), ("one", one)):
        accounts(server, users["one"], users["two"], add=users[name])
        follow(follower, server, users[name])
    accounts(one)
    assert slots(one) == slots(two) == []
    wait_for(lambda: all(len(writer.written) > before + 20 for writer, before in zip(
        writers, frozen, strict=True)))
    # and once more, to the end
    accounts(server, users["one"], users["two"], add=users["old"])
    position = server.manager.stop_writes(step("freeze")).position
    frozen = [len(writer.written) for writer in writers]
    for replica in (one, two):
        assert replica.manager.wait_for_position(
            rm.PositionRequest(position=position, seconds=20)).value
    one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take", hold=True))
    for name, follower in (("two", two), ("old", server)):
        accounts(one, users["two"], users["old"], add=users[name])
        follow(follower, one, users[name])
    one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="writable"))
    source = one
    accounts(server)
    accounts(one, users["two"], users["old"])
    wait_for(lambda: all(len(writer.written) > before + 20 for writer, before in zip(
        writers, frozen, strict=True)))
    for writer in writers:
        writer.ends = True
        writer.join(30)
    assert {value for writer in writers for value in writer.written} <= set(values(one))
    for follower in (two, server):
        wait_for(lambda follower=follower: values(follower) == values(one))
        assert follower.manager.examine().reason == ""
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            insert(follower, 99)
        follower.manager.restart_db()
    insert(one, 7)
    for follower in (two, server):
        wait_for(lambda follower=follower: values(follower) == values(one))
    assert slots(server) == []
    assert set(slots(one)) == {users["two"].name, users["old"].name}
    # the source is lost: the one that has more takes its place
    behind = server.manager.stop_receiving(step("halt"))
    insert(one, 8)
    wait_for(lambda: 8 in values(two))
    for _ in range(2):
        one.manager.fence(step("fence"))
    ahead = two.manager.stop_receiving(step("halt"))
    assert ahead.progress > behind.progress
    assert 8 not in values(server)
    server.manager.receive_again(step("go on"))
    two.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take over"))
    accounts(two, add=users["old"])
    follow(server, two, users["old"])
    insert(two, 9)
    wait_for(lambda: values(server) == values(two))
    assert 8 in values(server)


def test_a_source_that_dies_while_it_writes_is_ejected(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    (_, one, two), users = a_set(server, make, store[0])
    insert(server, 1)

    def write() -> None:
        with contextlib.suppress(psycopg.Error):
            server.ask("INSERT INTO t SELECT v FROM generate_series(10, 1500000) AS v")

    writer = threading.Thread(target=write, daemon=True)
    begun = one.manager.get_position(m.Empty()).progress
    writer.start()
    # much of what nobody commits
    wait_for(lambda: all(replica.manager.get_position(m.Empty()).progress > begun + 16 ** 6
                         for replica in (one, two)))
    server.process.kill(())
    # a process of the server goes on until it would answer
    writer.join(60)
    ends = {replica: replica.manager.stop_receiving(step("halt")).progress
            for replica in (one, two)}
    # also after a start, which applies it once more
    one.manager.restart_db()
    assert one.manager.stop_receiving(step("again")).progress == ends[one]
    chosen, other = sorted((one, two), key=lambda replica: -ends[replica])
    name = "two" if other is two else "one"
    chosen.manager.detach_replica(rm.DetachRequest(
        operation_id="o", step="take over", keep=[users[name].name]))
    assert users[name].name in left(chosen)
    accounts(chosen, add=users[name])
    follow(other, chosen, users[name])
    insert(chosen, 2)
    arrive(other, 1, 2)
    # what it gets from another one than it is to follow does not count
    kept = other.manager.replication._kept()
    asked = msgspec.json.decode(kept.read_bytes())
    kept.write_bytes(msgspec.json.encode({**asked, "port": 1}))
    assert other.manager.replication._look().starved


def slots(one: Server) -> list[str]:
    with one.manager.server.connect() as connection:
        return [row[0] for row in connection.execute(
            "SELECT slot_name FROM pg_replication_slots ORDER BY 1")]


def root(server: Server) -> tuple[str, str, str]:
    server.manager.enable_root(m.RootRequest(password=Secret("root-Pw1")))
    return "postgres", "root-Pw1", "shop"


def test_sessions_of_root_at_a_replica_end_when_its_source_disables_it(
        server: Server, make: Any, store: tuple[str, Swift],
        monkeypatch: pytest.MonkeyPatch) -> None:
    (_, replica, _), _ = a_set(server, make, store[0])
    login = root(server)
    wait_for(replica.manager.root.is_enabled)
    with replica.login(*login) as connection:
        with monkeypatch.context() as patch, pytest.raises(
                ServiceUnavailable, match="has not heard yet"):
            patch.setattr(sql_manager, "ARRIVAL_SECONDS", 0.5)
            # nothing is taken away here: the change has to come from the source
            replica.manager.disable_root(m.Empty())
        connection.execute("SELECT 1")
        server.manager.disable_root(m.Empty())
        replica.manager.disable_root(m.Empty())
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        replica.login(*login)


def test_another_backup_leaves_what_a_replica_begins_with(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    server.ask("CREATE TABLE t (v INT PRIMARY KEY)")
    server.manager.enable_as_source(step("source"))
    user = account("one")
    # as it is made before the backup; its password comes later
    accounts(server, add=m.UserSpec(name=user.name, password=Secret("another")))
    stored = backup(server, store[0])
    superuser = root(server)
    insert(server, 1)
    for number in range(4):
        backup(server, store[0], str(number + 2))
        for _ in range(3):
            server.ask("SELECT pg_switch_wal()", *superuser)
            server.ask("CHECKPOINT", *superuser)
            insert(server, 10 + len(values(server)))
    accounts(server, add=user)
    replica = seeded(make, store[0], "replica", stored)
    follow(replica, server, user)
    wait_for(lambda: values(replica) == values(server))


def test_what_was_a_replica_begins_a_new_chain_of_backups(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    (_, one, _), _ = a_set(server, make, store[0])
    of_replica = backup(one, store[0], "2")
    for _ in range(2):
        with pytest.raises(FullBackupNeeded):
            backup(one, store[0], "3", parent=of_replica)
        one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="go"))
    full = backup(one, store[0], "4")
    assert backup(one, store[0], "5", parent=full).metadata["wal_from"] == full.metadata[
        "wal_next"]


def test_a_replica_is_behind_while_its_source_has_more_than_came(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    (_, one, _), _ = a_set(server, make, store[0])
    # what the server's own view shows while much is on its way
    with server.manager.server.session() as session:
        session.run(SQL("CREATE SCHEMA late"))
        session.run(SQL(
            "CREATE VIEW late.pg_stat_wal_receiver AS SELECT 'streaming'::text AS status, "
            "'127.0.0.1'::text AS sender_host, {} AS sender_port, 'FFFF/0'::pg_lsn AS "
            "latest_end_lsn, 'sslmode=prefer sslmode=verify-ca'::text AS conninfo").format(
                server.paths.port))
    position = server.manager.get_position(m.Empty()).position
    wait_for(lambda: one.manager.wait_for_position(
        rm.PositionRequest(position=position, seconds=0)).value)
    time.sleep(2)
    assert one.manager.examine().reason == ""
    assert one.manager.replication_state()["lag"] == 0
    one.manager.server._options += " -c search_path=late,pg_catalog"
    assert one.manager.replication._look().lag >= 2
    # but what was written when the source was still had come a moment ago
    assert one.manager.examine().reason == ""
    assert one.manager.replication_state()["lag"] <= 1
    time.sleep(2)
    assert one.manager.examine().reason == ""
    assert one.manager.replication_state()["lag"] >= 2
