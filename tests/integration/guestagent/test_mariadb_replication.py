"""Replicas of MariaDB, with real servers."""

from __future__ import annotations

import pathlib
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pymysql
import pytest

from tests.integration.guestagent.store import grant
from tests.integration.guestagent.test_mariadb import APP, Server, backup, server
from trove_ng.common.errors import ServiceUnavailable
from trove_ng.common.secret import Secret
from trove_ng.common.states import ServiceStatus
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.guestagent import sql_manager
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.standalone.minicloud.swift import Swift

__all__ = ["server"]


def eventually(truth: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def step(name: str) -> m.StepRequest:
    return m.StepRequest(operation_id="o", step=name)


def account(name: str) -> m.UserSpec:
    return m.UserSpec(name=f"{REPLICA_USERS}{name}", password=Secret(f"pw'-of-{name}"))


def follow(replica: Server, source: Server, user: m.UserSpec,
           position: dict[str, str] | None, **how: Any) -> None:
    assert user.password is not None
    replica.manager.follow(rm.FollowRequest(
        operation_id="o", step="follow", host="127.0.0.1", port=source.paths.port,
        user=user.name, password=user.password, position=position, **how))


def seeded(make: Any, source: Server, url: str, name: str, stored: m.StoredBackup) -> Server:
    """Return a new server with the data of a backup, that follows nobody yet."""
    one: Server = make(name)
    one.prepare(replica=True, restore=m.RestoreSpec(
        backup_id="1", chain=[stored], grants=[grant(url)]))
    return one


def following(server: Server, make: Any, url: str) -> Server:
    """Return a replica of a server, which gets an empty table first."""
    server.query("CREATE TABLE t (v INT PRIMARY KEY)", *APP)
    server.manager.enable_as_source(step("source"))
    stored, user = backup(server, url), account("one")
    replica = seeded(make, server, url, "replica", stored)
    server.manager.set_replica_accounts(rm.ReplicaAccounts(add=user))
    follow(replica, server, user, dict(stored.metadata))
    return replica


def values(one: Server) -> list[int]:
    return [row[0] for row in one.query("SELECT v FROM t ORDER BY v", *APP)]


def insert(one: Server, value: int) -> None:
    one.query(f"INSERT INTO t VALUES ({value})", *APP)


def test_replicas_follow_with_accounts_of_their_own(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    url, _ = store
    server.query("CREATE TABLE t (v INT PRIMARY KEY)", *APP)
    insert(server, 1)
    before = backup(server, url)
    assert "gtid" not in before.metadata
    server.manager.enable_as_source(step("source"))
    running = server.manager.paths.pid_file
    begun = pathlib.Path(running).stat().st_mtime_ns
    server.manager.enable_as_source(step("source again"))
    assert pathlib.Path(running).stat().st_mtime_ns == begun
    insert(server, 2)
    one, two = account("one"), account("two")
    server.manager.set_replica_accounts(rm.ReplicaAccounts(add=two))
    stored = backup(server, url)
    assert stored.metadata["gtid"]
    insert(server, 3)
    replica = seeded(make, server, url, "replica", stored)
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        insert(replica, 99)
    server.manager.set_replica_accounts(rm.ReplicaAccounts(add=two))
    server.manager.set_replica_accounts(rm.ReplicaAccounts(keep=[two.name], add=one))
    assert [user.name for user in server.manager.list_users(m.PageRequest()).users] == ["app"]
    follow(replica, server, one, dict(stored.metadata))
    eventually(lambda: values(replica) == [1, 2, 3], "what was written since the backup")
    assert replica.manager.examine().reason == server.manager.examine().reason == ""
    assert (replica.manager.replication_state(), server.manager.replication_state()) == (
        {"lag": 0, "position": server.manager.get_position(m.Empty()).position,
         "connected": True, "applies": True, "last_lag": 0,
         "progress": server.manager.get_position(m.Empty()).progress}, {})
    # the step is repeated when its answer was lost
    follow(replica, server, one, dict(stored.metadata))
    server.query("UPDATE t SET v = v + 10 WHERE v = 3", *APP)
    eventually(lambda: values(replica) == [1, 2, 13], "a change after the step was repeated")
    server.query("UPDATE t SET v = v - 10 WHERE v = 13", *APP)
    # accounts, and passwords of the agents, are each server's own
    with replica.manager.server.session() as session:
        assert session.run("SELECT User FROM mysql.user WHERE User LIKE 'os\\_replica%'") == []
    server.manager.create_users(m.UsersRequest(users=[
        m.UserSpec(name="later", password=Secret("pw-Later1"), databases=["shop"])]))
    eventually(lambda: "later" in [
        user.name for user in replica.manager.list_users(m.PageRequest()).users], "a user")
    for again in (server, replica):
        again.manager.restart_db()
    insert(server, 4)
    eventually(lambda: values(replica) == [1, 2, 3, 4], "changes after restarts")
    with replica.manager.server.session() as session:
        ((read_only, own),) = session.run("SELECT @@read_only, @@gtid_binlog_state")
    assert read_only == 1
    with server.manager.server.session() as session:
        assert session.run("SELECT @@gtid_binlog_state") == [(own,)], "a replica wrote by itself"
    server.manager.set_replica_accounts(rm.ReplicaAccounts(keep=[two.name]))
    eventually(lambda: replica.manager.replication.status()["Slave_IO_Running"] != "Yes",
               "a replica without an account to be cut off")
    assert "does not get changes" in replica.manager.examine().reason
    with pytest.raises(ServiceUnavailable, match="does not get changes"):
        follow(replica, server, one, None)


def test_sessions_of_root_at_a_replica_end_when_its_source_disables_it(
        server: Server, make: Any, store: tuple[str, Swift],
        monkeypatch: pytest.MonkeyPatch) -> None:
    replica = following(server, make, store[0])
    server.manager.enable_root(m.RootRequest(password=Secret("mine")))
    eventually(replica.manager.root.is_enabled, "root to come with the data")
    with replica.login("root", "mine") as connection, connection.cursor() as cursor:
        with monkeypatch.context() as patch, pytest.raises(
                ServiceUnavailable, match="has not heard yet"):
            patch.setattr(sql_manager, "ARRIVAL_SECONDS", 0.5)
            # nothing is taken away here: the change has to come from the source
            replica.manager.disable_root(m.Empty())
        cursor.execute("SELECT 1")
        server.manager.disable_root(m.Empty())
        replica.manager.disable_root(m.Empty())
        with pytest.raises(pymysql.MySQLError):
            cursor.execute("SELECT 1")
    with pytest.raises(pymysql.err.OperationalError):
        replica.login("root", "mine")
    insert(server, 7)
    eventually(lambda: values(replica) == [7], "it to follow still")


def test_a_lost_root_disk_does_not_end_a_replica(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    replica = following(server, make, store[0])
    replica.manager.stop_db()
    for path in pathlib.Path(replica.paths.changes).iterdir():
        path.unlink()
    replica.manager._write_configuration({}, {})
    replica.manager.replication.configure_again()
    replica.manager.start_db()
    insert(server, 1)
    eventually(lambda: values(replica) == [1], "the change")
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        insert(replica, 99)


def test_a_detached_replica_is_written_to_and_has_replicas(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    replica = following(server, make, store[0])
    for value in range(50):
        insert(server, value)
    eventually(lambda: len(values(replica)) == 50, "all changes")
    for _ in range(2):
        replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="detach"))
        insert(server, len(values(server)))
        insert(replica, 1000 + len(values(replica)))
        replica.manager.restart_db()
    assert [one for one in values(server) if one >= 1000] == []
    assert len(values(replica)) == 52
    # it comes back as a replica of what was its replica
    other = seeded(make, server, store[0], "other", backup(replica, store[0]))
    replica.manager.enable_as_source(step("source"))
    user = account("one")
    replica.manager.set_replica_accounts(rm.ReplicaAccounts(add=user))
    follow(other, replica, user, dict(backup(replica, store[0]).metadata))
    insert(replica, 2000)
    eventually(lambda: values(other) == values(replica), "the change")


class Writer(threading.Thread):
    """Writes rows one after another, and remembers those that were acknowledged.

    :param target: says which server is written to now
    """

    def __init__(self, target: Callable[[], Server], first: int, *login: str) -> None:
        super().__init__(daemon=True)
        self._target, self._next, self._login = target, first, login
        self.written: list[int] = []
        self.refused = 0
        self.ends = False

    def run(self) -> None:
        while not self.ends:
            try:
                with self._target().login(*self._login) as connection:
                    while not self.ends:
                        self._next += 1
                        connection.query(f"INSERT INTO shop.t VALUES ({self._next})")
                        self.written.append(self._next)
            except pymysql.MySQLError:
                self.refused += 1


def test_changes_of_the_source_lose_nothing_that_its_replicas_have(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    root = server.manager.enable_root(m.RootRequest()).password
    assert root is not None
    one = following(server, make, store[0])
    stored = backup(server, store[0])
    two, users = seeded(make, server, store[0], "two", stored), {
        name: account(name) for name in ("old", "one", "two")}
    server.manager.set_replica_accounts(rm.ReplicaAccounts(
        keep=[users["one"].name], add=users["two"]))
    follow(two, server, users["two"], dict(stored.metadata))
    source = server
    writers = [Writer(lambda: source, 1_000_000 * number, *login) for number, login in enumerate(
        (APP[:2], APP[:2], ("root", root.reveal())), 1)]
    for writer in writers:
        writer.start()
    eventually(lambda: all(len(writer.written) > 50 for writer in writers), "some rows")
    position = server.manager.stop_writes(step("freeze")).position
    refused = [writer.refused for writer in writers]
    eventually(lambda: all(writer.refused > before for writer, before in zip(
        writers, refused, strict=True)), "all writers, root too, to be refused")
    # not sooner: one may have been told of its last row yet
    frozen = [len(writer.written) for writer in writers]
    # a server that is started again lets nobody write either
    server.manager.restart_db()
    assert server.manager.get_position(m.Empty()).position == position
    for replica in (one, two):
        assert replica.manager.wait_for_position(
            rm.PositionRequest(position=position, seconds=20)).value
    one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take", hold=True))
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        insert(one, 99)
    for name, follower in (("two", two), ("old", server)):
        one.manager.set_replica_accounts(rm.ReplicaAccounts(
            keep=[users["two"].name, users["old"].name], add=users[name]))
        follow(follower, one, users[name], None)
    assert [len(writer.written) for writer in writers] == frozen
    one.manager.allow_writes(step("writable"))
    source = one
    eventually(lambda: all(len(writer.written) > before + 20 for writer, before in zip(
        writers, frozen, strict=True)), "rows at the new source")
    for writer in writers:
        writer.ends = True
        writer.join(30)
    acknowledged = {value for writer in writers for value in writer.written}
    assert acknowledged <= set(values(one))
    for follower in (two, server):
        eventually(lambda follower=follower: values(follower) == values(one), "all rows")
        with pytest.raises(pymysql.err.OperationalError, match="read-only"):
            insert(follower, 99)
    with pytest.raises(pymysql.err.OperationalError, match="locked"):
        server.login("root", root.reveal())
    # it is taken back: the first source goes on where all are
    one.manager.stop_writes(step("freeze"))
    server.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take", hold=True))
    one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="go", hold=True))
    server.manager.allow_writes(step("thaw"))
    server.query("INSERT INTO shop.t VALUES (7)", "root", root.reveal())
    server.manager.set_replica_accounts(rm.ReplicaAccounts(
        keep=[users["two"].name], add=users["one"]))
    follow(one, server, users["one"], None)
    eventually(lambda: 7 in values(one), "the row")
    # a source that is lost: the one that has more is told by its progress
    behind = one.manager.stop_receiving(step("halt"))
    server.manager.set_replica_accounts(rm.ReplicaAccounts(
        keep=[users["one"].name], add=users["two"]))
    follow(two, server, users["two"], None)
    insert(server, 8)
    eventually(lambda: 8 in values(two), "the row")
    server.manager.stop_db()
    ahead = two.manager.stop_receiving(step("halt"))
    assert (ahead.progress, 8 in values(one)) == (behind.progress + 1, False)
    one.manager.receive_again(step("go on"))
    two.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take over"))
    two.manager.set_replica_accounts(rm.ReplicaAccounts(add=users["one"]))
    follow(one, two, users["one"], None)
    insert(two, 9)
    eventually(lambda: values(one) == values(two), "what it lacked, and what was written")


def test_a_source_that_hangs_is_fenced_until_it_is_taken_back(server: Server) -> None:
    assert server.process.child is not None
    server.process.child.send_signal(signal.SIGSTOP)
    assert server.manager.probe() is ServiceStatus.BLOCKED
    for _ in range(2):
        server.manager.fence(step("fence"))
        assert server.manager.probe() is ServiceStatus.SHUTDOWN
        assert not server.manager.status.expects_running
    server.manager.unfence(step("open"))
    assert server.query("SELECT DATABASE()", *APP) == [("shop",)]
    assert server.manager.status.expects_running


def test_neither_roles_nor_events_write_to_a_held_source_and_its_backup_is_whole(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    root = server.manager.enable_root(m.RootRequest()).password
    assert root is not None
    login = ("root", root.reveal(), "shop")
    server.query("CREATE TABLE t (v INT PRIMARY KEY AUTO_INCREMENT)", *APP)
    for statement in (
            "CREATE ROLE outer_role", "CREATE ROLE `inner'role`",
            "GRANT SUPER, READ_ONLY ADMIN ON *.* TO `inner'role`",
            "GRANT `inner'role` TO outer_role", "GRANT outer_role TO app",
            "SET DEFAULT ROLE outer_role FOR app",
            "CREATE USER shut IDENTIFIED BY 'pw-Shut1' ACCOUNT LOCK",
            "GRANT SUPER ON *.* TO shut",
            "CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DO INSERT INTO shop.t VALUES (NULL)"):
        server.query(statement, *login)
    server.manager.enable_as_source(step("source"))
    server.manager.update_overrides(m.OverridesRequest(
        operation_id="o", step="overrides", values={"event_scheduler": True}))
    eventually(lambda: bool(values(server)), "the event")

    def count() -> Any:
        with server.manager.server.session() as session:
            return session.run("SELECT COUNT(*), MAX(v) FROM shop.t")

    position = server.manager.stop_writes(step("freeze")).position
    frozen = count()
    for who in (APP, login, ("shut", "pw-Shut1", "shop")):
        with pytest.raises(pymysql.err.OperationalError, match="locked"):
            server.login(*who)
    time.sleep(2.5)
    server.manager.restart_db()
    time.sleep(1.5)
    assert (server.manager.get_position(m.Empty()).position, count()) == (position, frozen)
    copy: Server = make("copy")
    copy.prepare(restore=m.RestoreSpec(
        backup_id="1", chain=[backup(server, store[0])], grants=[grant(store[0])]))
    insert(copy, 1000)
    assert copy.query("SELECT 1", *login) == [(1,)]
    server.manager.allow_writes(step("thaw"))
    eventually(lambda: count() > frozen, "the event")
    assert server.query("SELECT 1", *login) == [(1,)]
    for one in (server, copy):
        # what the owner has locked is not opened
        with pytest.raises(pymysql.err.OperationalError, match="locked"):
            one.login("shut", "pw-Shut1")


def test_a_right_that_everybody_has_keeps_everybody_out_of_a_held_source(
        server: Server) -> None:
    root = server.manager.enable_root(m.RootRequest()).password
    assert root is not None
    server.query("CREATE TABLE t (v INT PRIMARY KEY)", *APP)
    server.manager.enable_as_source(step("source"))
    server.query("GRANT SUPER, READ_ONLY ADMIN ON *.* TO PUBLIC", "root", root.reveal())
    with server.login(*APP) as connection:
        server.manager.stop_writes(step("freeze"))
        with pytest.raises(pymysql.MySQLError):
            connection.query("INSERT INTO t VALUES (1)")
    with pytest.raises(pymysql.err.OperationalError, match="locked"):
        server.login(*APP)
    server.manager.allow_writes(step("thaw"))
    insert(server, 1)
    assert values(server) == [1]
