"""Replicas of Redis, with real servers."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

import pytest
import redis

from tests.integration.guestagent.conftest import wait_for
from tests.integration.guestagent.test_redis import Server, content, fill, server
from trove_ng.common.errors import ServiceUnavailable, UnprocessableEntity
from trove_ng.common.secret import Secret
from trove_ng.datastores import base as datastores
from trove_ng.guestagent.datastores.experimental.redis.manager import RedisManager
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm

__all__ = ["server"]

ROOT = "root's pw"


def account(name: str) -> m.UserSpec:
    return m.UserSpec(name=f"{datastores.REPLICA_USERS}{name}",
                      password=Secret(f"pw 'of \"{name}"))


def accounts(source: Server, *keep: m.UserSpec, add: m.UserSpec | None = None) -> list[str]:
    """Set the accounts; return those that there are."""
    source.manager.set_replica_accounts(rm.ReplicaAccounts(
        keep=[one.name for one in keep], add=add))
    with source.manager.server.session() as session:
        return sorted(one for one in session.run("ACL", "USERS") if "replica" in one)


def follow(replica: Server, source: Server, user: m.UserSpec) -> None:
    assert user.password is not None
    replica.manager.follow(rm.FollowRequest(
        operation_id="o", step="follow", host="127.0.0.1", port=source.paths.port,
        user=user.name, password=user.password, position={}))


def arrives(replica: Server, source: Server) -> None:
    wait_for(lambda: content(replica, ROOT) == content(source, ROOT))


def test_replicas_follow_until_they_are_detached(server: Server, make: Any) -> None:
    server.override(repl_diskless_sync_delay=0)
    server.manager.enable_root(m.RootRequest(password=Secret(ROOT)))
    fill(server, ROOT)
    one, two = account("one"), account("two")
    for _ in range(2):
        accounts(server, add=one)
    assert accounts(server, one, add=two) == [one.name, two.name]
    replicas = [make(name) for name in ("r1", "r2")]
    for replica, user in zip(replicas, (one, two), strict=True):
        replica.prepare(replica=True)
        # nobody knows yet who may come in
        with pytest.raises(redis.AuthenticationError):
            replica.login().set("a", "1")
        for _ in range(2):
            follow(replica, server, user)
        arrives(replica, server)
        with pytest.raises(redis.ReadOnlyError):
            replica.login(ROOT).set("a", "1")
        with pytest.raises(redis.ResponseError):
            replica.login(ROOT).execute_command("CONFIG", "GET", "masterauth")
        assert replica.manager.examine().reason == ""
    # an account is for nothing else
    assert one.password is not None
    with redis.Redis(port=server.paths.port, username=one.name,
                     password=one.password.reveal()) as client, pytest.raises(
                         redis.exceptions.NoPermissionError):
        client.get("a")
    assert not any(user.password.reveal() in place.process.recent_log(())
                   for place in (server, *replicas) for user in (one, two) if user.password)
    # all of it outlives restarts, and a lost root disk
    replica, other = replicas
    for again in (server, replica):
        again.restart()
    server.login(ROOT).set("b", "2")
    arrives(other, server)
    replica.manager.stop_db()
    folder = pathlib.Path(replica.paths.config).parent
    shutil.rmtree(folder)
    folder.mkdir()
    shutil.chown(folder, "redis", "redis")
    fresh = RedisManager(replica.ctx, replica.paths)
    fresh.restore_settings(None, sm.PostUpgrade(
        operation_id="o", step="post", memory_mb=512,
        config=datastores.get("redis").config(512),
        volume=m.VolumeSpec(device="/dev/vdb", mount_point=replica.paths.mount)))
    fresh.start_db()
    arrives(replica, server)
    # who may come in at the source, may at its replicas
    server.manager.disable_root(m.Empty())
    wait_for(lambda: other.manager.examine().reason == "")
    assert other.login().get("b") == "2"
    # on its own
    for _ in range(2):
        replica.manager.detach_replica(m.StepRequest(operation_id="o", step="detach"))
    assert accounts(server, two) == [two.name]
    replica.login(ROOT).set("c", "3")
    server.login().set("d", "4")
    wait_for(lambda: other.login().get("d") == "4")
    replica.restart()
    assert (replica.login(ROOT).get("c"), replica.login(ROOT).get("d")) == ("3", None)
    # an account that is gone is no way in any more
    assert accounts(server) == []
    wait_for(lambda: "does not get changes" in other.manager.examine().reason)
    with pytest.raises(ServiceUnavailable, match="does not get changes"):
        follow(other, server, two)
    # a source that would begin empty is none
    server.override(save="")
    with pytest.raises(UnprocessableEntity, match="save or appendonly"):
        accounts(server, add=one)
