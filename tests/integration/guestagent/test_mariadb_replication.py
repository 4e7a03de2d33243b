"""Replicas of MariaDB, with real servers."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable
from typing import Any

import pymysql
import pytest

from tests.integration.guestagent.store import grant
from tests.integration.guestagent.test_mariadb import APP, Server, backup, server
from trove_ng.common.errors import ServiceUnavailable
from trove_ng.common.secret import Secret
from trove_ng.datastores.base import REPLICA_USERS
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
           position: dict[str, str] | None) -> None:
    assert user.password is not None
    replica.manager.follow(rm.FollowRequest(
        operation_id="o", step="follow", host="127.0.0.1", port=source.paths.port,
        user=user.name, password=user.password, position=position))


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
    eventually(lambda: replica.manager._replication.status()["Slave_IO_Running"] != "Yes",
               "a replica without an account to be cut off")
    assert "does not get changes" in replica.manager.examine().reason
    with pytest.raises(ServiceUnavailable, match="does not get changes"):
        follow(replica, server, one, None)


def test_a_lost_root_disk_does_not_end_a_replica(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:
    replica = following(server, make, store[0])
    replica.manager.stop_db()
    for path in pathlib.Path(replica.paths.changes).iterdir():
        path.unlink()
    replica.manager._write_configuration({}, {})
    replica.manager.configure_replication_again()
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
        replica.manager.detach_replica(step("detach"))
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
