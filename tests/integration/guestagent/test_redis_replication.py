"""Replicas of Redis, with real servers."""

from __future__ import annotations

import pathlib
import shutil
import threading
from collections.abc import Callable
from typing import Any

import psutil
import pytest
import redis

from tests.integration.guestagent.conftest import wait_for
from tests.integration.guestagent.test_redis import Server, content, fill, server
from trove_ng.common.errors import ServiceUnavailable, UnprocessableEntity
from trove_ng.common.secret import Secret
from trove_ng.datastores import base as datastores
from trove_ng.guestagent.datastores.experimental.redis import replication
from trove_ng.guestagent.datastores.experimental.redis.access import Source
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


def follow(replica: Server, source: Server, user: m.UserSpec, **how: Any) -> None:
    assert user.password is not None
    replica.manager.follow(rm.FollowRequest(
        operation_id="o", step="follow", host="127.0.0.1",
        port=source.paths.tls_port if how.get("authority") else source.paths.port,
        user=user.name, password=user.password, position={}, **how))


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
        state = replica.manager.replication_state()
        assert state.pop("lag") == state.pop("last_lag")
        history, _, offset = server.manager.get_position(m.Empty()).position.partition(":")
        assert state.pop("position") == f"{history}:{state['progress']}"
        # nothing was written, or said, since it got all data
        assert 0 <= state.pop("progress") <= int(offset)
        assert state == {"connected": True, "applies": True, "history": history}
    assert server.manager.replication_state() == {}
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
        replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="detach"))
    assert accounts(server, two) == [two.name]
    replica.login(ROOT).set("c", "3")
    server.login().set("d", "4")
    wait_for(lambda: other.login().get("d") == "4")
    replica.restart()
    assert (replica.login(ROOT).get("c"), replica.login(ROOT).get("d")) == ("3", None)
    # an account that is gone is no way in any more
    assert accounts(server) == []
    wait_for(lambda: "does not get changes" in other.manager.examine().reason)
    state = other.manager.replication_state()
    assert (state["lag"], state["connected"]) == (None, False)
    assert state["last_lag"] >= 0
    assert "unheard" not in state, "it refuses this one"
    with pytest.raises(ServiceUnavailable, match="does not get changes"):
        follow(other, server, two)
    # a source that would begin empty is none
    server.override(save="")
    with pytest.raises(UnprocessableEntity, match="save or appendonly"):
        accounts(server, add=one)


def step(name: str) -> m.StepRequest:
    return m.StepRequest(operation_id="o", step=name)


class Writer(threading.Thread):
    """Writes keys one after another, and remembers those that were acknowledged."""

    def __init__(self, target: Callable[[], Server], first: int) -> None:
        super().__init__(daemon=True)
        self._target, self._next = target, first
        self.written: list[int] = []
        self.refused = 0
        self.ends = False

    def run(self) -> None:
        while not self.ends:
            try:
                self._write()
            except redis.RedisError:
                self.refused += 1

    def _write(self) -> None:
        with self._target().login(ROOT) as client:
            while not self.ends:
                self._next += 1
                client.eval("redis.call('set', KEYS[1], '1')", 1, str(self._next))
                self.written.append(self._next)

    def settled(self) -> int:
        """Return how much was written, once the server refuses more."""
        before = self.refused
        wait_for(lambda: self.refused > before)
        return len(self.written)


def move(follower: Server, source: Server, user: m.UserSpec, *others: m.UserSpec) -> None:
    """Have a server that has data follow another one."""
    accounts(source, *others, add=user)
    assert user.password is not None
    follower.manager.follow(rm.FollowRequest(
        operation_id="o", step="follow", host="127.0.0.1", port=source.paths.port,
        user=user.name, password=user.password))


def test_changes_of_the_source_lose_nothing_that_its_replicas_have(
        server: Server, make: Any) -> None:
    server.override(repl_diskless_sync_delay=0)
    server.manager.enable_root(m.RootRequest(password=Secret(ROOT)))
    users = {name: account(name) for name in ("old", "one", "two")}
    one, two = make("one-r"), make("two-r")
    for name, replica in (("one", one), ("two", two)):
        replica.prepare(replica=True)
        replica.override(repl_diskless_sync_delay=0)
        accounts(server, users["one"], add=users[name])
        follow(replica, server, users[name])
        arrives(replica, server)
    source = server
    writers = [Writer(lambda: source, 1_000_000 * number) for number in (1, 2)]
    for writer in writers:
        writer.start()
    wait_for(lambda: all(len(writer.written) > 50 for writer in writers))

    def freeze() -> list[int]:
        position = server.manager.stop_writes(step("freeze")).position
        frozen = [writer.settled() for writer in writers]
        assert server.manager.stop_writes(step("freeze")).progress >= int(
            position.partition(":")[2])
        for replica in (one, two):
            assert replica.manager.wait_for_position(
                rm.PositionRequest(position=position, seconds=20)).value
        return frozen

    frozen = freeze()
    far = f"{server.manager.get_position(m.Empty()).position}000"
    assert not one.manager.wait_for_position(rm.PositionRequest(position=far, seconds=0.3)).value
    with pytest.raises(redis.exceptions.NoPermissionError):
        server.login(ROOT).set("a", "1")
    for _ in range(2):
        one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take", hold=True))
    # also after a start it is what it was
    one.restart()
    assert "may not write" in one.manager.examine().reason
    with pytest.raises(redis.exceptions.NoPermissionError):
        one.login(ROOT).set("a", "1")
    move(two, one, users["two"], users["old"])
    move(server, one, users["old"], users["two"])
    assert [len(writer.written) for writer in writers] == frozen
    # it is taken back
    server.manager.detach_replica(rm.DetachRequest(operation_id="o", step="go", hold=True))
    for _ in range(2):
        server.manager.allow_writes(step("thaw"))
    move(two, server, users["two"], users["one"])
    move(one, server, users["one"], users["two"])
    wait_for(lambda: all(len(writer.written) > before + 20 for writer, before in zip(
        writers, frozen, strict=True)))
    # and once more, to the end
    frozen = freeze()
    one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take", hold=True))
    move(two, one, users["two"], users["old"])
    move(server, one, users["old"], users["two"])
    for _ in range(2):
        one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="writable"))
    source = one
    assert accounts(server) == []
    wait_for(lambda: all(len(writer.written) > before + 20 for writer, before in zip(
        writers, frozen, strict=True)))
    for writer in writers:
        writer.ends = True
        writer.join(30)
    kept = {int(key) for key in one.login(ROOT).scan_iter(count=10000) if key.isdigit()}
    assert {value for writer in writers for value in writer.written} <= kept
    for follower in (two, server):
        arrives(follower, one)
        assert follower.manager.examine().reason == ""
        with pytest.raises(redis.ReadOnlyError):
            follower.login(ROOT).set("a", "1")
    # the source is lost: the one that has more takes its place
    behind = server.manager.stop_receiving(step("halt"))
    one.login(ROOT).set("late", "1")
    wait_for(lambda: two.login(ROOT).get("late") == "1")
    one.manager.fence(step("fence"))
    ahead = two.manager.stop_receiving(step("halt"))
    assert ahead.progress > behind.progress
    assert server.login(ROOT).get("late") is None
    for halted in (two, server):
        halted.restart()
        with pytest.raises(redis.exceptions.NoPermissionError):
            halted.login(ROOT).set("a", "1")
    server.manager.receive_again(step("go on"))
    two.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take over"))
    move(server, two, users["old"])
    two.login(ROOT).set("later", "1")
    arrives(server, two)
    assert server.login(ROOT).get("late") == "1"


def test_a_new_source_that_begins_again_with_older_data_is_known(
        server: Server, make: Any) -> None:
    server.override(repl_diskless_sync_delay=0)
    server.manager.enable_root(m.RootRequest(password=Secret(ROOT)))
    user, other = account("one"), account("two")
    one, two = make("one-r"), make("two-r")
    for replica, its in ((one, user), (two, other)):
        replica.prepare(replica=True)
        accounts(server, user, add=its)
        follow(replica, server, its)
        arrives(replica, server)
    server.login(ROOT).set("late", "1")
    wanted = rm.PositionRequest(
        position=server.manager.stop_writes(step("freeze")).position, seconds=20)
    for replica in (one, two):
        assert replica.manager.wait_for_position(wanted).value
    history = wanted.position.partition(":")[0]
    halted = two.manager.stop_receiving(step("halt"))
    assert (halted.history, halted.silent) in {(history, 0), (history, 1)}
    # also when it is asked once more
    assert two.manager.stop_receiving(step("again")).history == history
    one.manager.detach_replica(rm.DetachRequest(operation_id="o", step="take", hold=True))
    wanted = rm.PositionRequest(position=wanted.position, seconds=0)
    assert one.manager.wait_for_position(wanted).value
    one.process.kill(())
    one.manager.start_db()
    assert one.login(ROOT).get("late") is None
    assert not one.manager.wait_for_position(wanted).value


def test_a_replica_tells_since_when_it_does_not_hear_its_source(server: Server, make: Any) -> None:
    server.override(repl_diskless_sync_delay=0)
    user = account("one")
    accounts(server, add=user)
    replica = make("r1")
    replica.prepare(replica=True)
    follow(replica, server, user)
    with server.manager.server.session() as session:
        process = psutil.Process(session.info("server")["process_id"])

    def tell() -> dict[str, Any]:
        replica.manager.examine()
        return dict(replica.manager.replication_state())

    assert tell()["connected"]
    # it hangs: its machine takes connections, and what it has sent does not end
    process.suspend()
    try:
        wait_for(lambda: "unheard" in tell())
        with replica.manager.server.session() as session:
            assert session.info("replication")["master_link_status"] == "up"
        before = tell()["unheard"]
        wait_for(lambda: tell()["unheard"] > before)
        assert not tell()["connected"]
    finally:
        process.resume()
    wait_for(lambda: tell()["connected"])
    assert "unheard" not in tell()
    server.login().set("a", "1")
    history, _, offset = server.manager.get_position(m.Empty()).position.partition(":")
    wait_for(lambda: replica.login().get("a") == "1")
    server.process.kill(())
    wait_for(lambda: "unheard" in tell())
    found = tell()
    assert (found["connected"], found["applies"], found["history"]) == (False, True, history)
    assert found["progress"] >= int(offset) > 0
    # as another agent does, which never heard it
    later = RedisManager(replica.ctx, replica.paths)
    later.examine()
    assert later.replication_state()["unheard"] >= found["unheard"]
    # it begins again, with a history of its own
    server.manager.start_db()
    wait_for(lambda: tell()["connected"])
    assert tell()["history"] != history
    # one who is halted tells what it had
    before = tell()
    replica.manager.stop_receiving(step("halt"))
    assert tell() == {name: before[name] for name in ("position", "progress", "history")}


def test_a_replica_that_is_told_of_root_keeps_it(
        server: Server, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    user = account("one")
    accounts(server, add=user)
    replica = make("r1")
    replica.prepare(replica=True)
    follow(replica, server, user)
    ask, told = replication._ask_root, m.RootRequest(password=Secret(ROOT))

    def meanwhile(source: Source, trusted: pathlib.Path | None, seconds: float) -> str | None:
        # the source is asked, and then both are told
        before = ask(source, trusted, seconds)
        for each in (server, replica):
            each.manager.enable_root(told)
        return before

    monkeypatch.setattr(replication, "_ask_root", meanwhile)
    assert replica.manager.examine().reason == ""
    with pytest.raises(redis.AuthenticationError):
        replica.login().ping()
    monkeypatch.setattr(replication, "_ask_root", ask)
    assert replica.manager.examine().reason == ""
    for each in (server, replica):
        assert each.login(ROOT).ping()
    # one that is told of another one takes over that of its source
    replica.manager.enable_root(m.RootRequest(password=Secret("another")))
    assert replica.manager.examine().reason == ""
    assert replica.login(ROOT).ping()
