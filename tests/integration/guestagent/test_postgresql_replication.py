"""Replicas of PostgreSQL, with real servers."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

import psycopg
import pytest

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
from trove_ng.common.errors import BadRequest, ServiceUnavailable
from trove_ng.common.secret import Secret
from trove_ng.common.states import ServiceStatus
from trove_ng.datastores import base as datastores
from trove_ng.guestagent.datastores.experimental.postgresql.manager import PostgreSqlManager
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm
from trove_ng.standalone.minicloud.swift import Swift

__all__ = ["alike", "first", "server"]


def account(name: str) -> m.UserSpec:
    return m.UserSpec(name=f"{datastores.REPLICA_USERS}{name}",
                      password=Secret(f"pw:\\'-of-{name}"))


def follow(replica: Server, source: Server, user: m.UserSpec) -> None:
    assert user.password is not None
    replica.manager.follow(rm.FollowRequest(
        operation_id="o", step="follow", host="127.0.0.1", port=source.paths.port,
        user=user.name, password=user.password, position={}))


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
        replica.manager.detach_replica(m.StepRequest(operation_id="o", step="detach"))
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
        other.manager.replication.wait(other.manager.restart_db)
    assert other.manager.probe() is ServiceStatus.HEALTHY


def root(server: Server) -> tuple[str, str, str]:
    server.manager.enable_root(m.RootRequest(password=Secret("root-Pw1")))
    return "postgres", "root-Pw1", "shop"
