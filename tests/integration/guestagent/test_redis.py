"""The Redis datastore with a real server, and backups in a real object store."""

from __future__ import annotations

import contextlib
import json
import pathlib
import pwd
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import redis
from oslo_config import cfg

from tests.integration.guestagent.conftest import wait_for
from tests.integration.guestagent.processes import Nothing, Process
from tests.integration.guestagent.store import grant, progress
from tests.servers.mariadb import free_port
from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import (
    BadRequest,
    Conflict,
    GuestError,
    NotFound,
    NotSupported,
    UnprocessableEntity,
    UnsavedChanges,
)
from trove_ng.common.secret import Secret
from trove_ng.common.states import ServiceStatus
from trove_ng.conf import guestagent as options
from trove_ng.datastores import base as datastores
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.datastores.experimental.redis.manager import RedisManager
from trove_ng.guestagent.datastores.experimental.redis.paths import Paths
from trove_ng.guestagent.datastores.experimental.redis.server import Session
from trove_ng.guestagent.os.volumes import VolumeManager, filesystem_stats
from trove_ng.guestagent.storage.http import StorageError
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m
from trove_ng.rpc import server_messages as sm
from trove_ng.standalone.minicloud.swift import Swift

#: what the file says of each limit of a class of clients, and what the server tells
NORMAL = "client-output-buffer-limit normal"


class Server:
    """A server with its manager, in a directory of its own."""

    def __init__(self, home: pathlib.Path) -> None:
        home.mkdir(mode=0o755)
        for name in ("run", "mount", "etc", "state"):
            (home / name).mkdir()
            shutil.chown(home / name, "redis", "redis")
        self.paths = Paths(
            mount=str(home / "mount"), config=str(home / "etc/redis.conf"),
            changes=str(home / "etc/changes"), socket=str(home / "run/s"),
            pid_file=str(home / "run/pid"), error_log=str(home / "run/log"), port=free_port(),
            tls_port=free_port())
        user = pwd.getpwnam("redis")
        self.process = Process(["redis-server", self.paths.config], home / "log",
                               user=user.pw_uid, group=user.pw_gid)
        conf = cfg.ConfigOpts()
        options.register(conf)
        conf([], project="trove")
        conf.set_override("state_change_wait_time", 20, group="guest_agent")
        conf.set_override("object_store_tries", 2, group="guest_agent")
        self.ctx = AgentContext(conf=conf, instance_id="i", clock=SystemClock(),
                                services=self.process, reporter=Nothing(),
                                volumes=VolumeManager(conf, home / "state", SystemClock()),
                                state_dir=home / "state")
        self.manager = RedisManager(self.ctx, self.paths)

    def prepare(self, **more: Any) -> None:
        self.manager.do_prepare(m.PrepareRequest(
            operation_id="o", step="prepare", datastore="redis", datastore_version="7.0",
            memory_mb=512, config=datastores.get("redis").config(512), **more), progress())

    def login(self, password: str | None = None) -> redis.Redis:
        """Return a client as the owner has it."""
        return redis.Redis(port=self.paths.port, password=password, decode_responses=True,
                           protocol=2)

    def setting(self, name: str) -> str:
        """Return a setting in force."""
        with self.manager.server.session() as session:
            return session.config_get(name)[name]

    def override(self, restart: tuple[str, ...] = (), **values: Any) -> bool:
        return self.manager.apply_overrides(m.OverridesRequest(
            operation_id="o", step="overrides", restart=list(restart),
            values={name.replace("_", "-"): value for name, value in values.items()}))

    def restart(self) -> None:
        self.manager.restart_db()

    def close(self) -> None:
        self.process.kill(())


@pytest.fixture
def server(make: Any) -> Server:
    """A prepared server."""
    one: Server = make("one")
    one.prepare()
    return one


# ---- life ----------------------------------------------------------------------------


def test_a_prepared_server_serves_and_plans_with_its_memory(server: Server) -> None:
    assert server.manager.probe() is ServiceStatus.HEALTHY
    client = server.login()
    client.set("a", "1")
    assert client.get("a") == "1"
    assert server.setting("maxmemory") == str(256 * 1024 ** 2)
    assert server.setting("maxmemory-policy") == "noeviction"


@pytest.mark.parametrize("command", [
    "CONFIG GET *", "ACL LIST", "ACL SETUSER x on", "SHUTDOWN NOSAVE", "DEBUG SLEEP 0",
    "REPLICAOF NO ONE", "SLAVEOF NO ONE", "MODULE LIST", "SAVE", "BGSAVE", "BGREWRITEAOF",
    "MIGRATE h 1 k 0 1", "SYNC", "PSYNC ? -1", "FAILOVER"])
def test_owners_cannot_take_the_server_over(server: Server, command: str) -> None:
    with pytest.raises(redis.ResponseError):
        server.login().execute_command(*command.split())
    assert server.manager.probe() is ServiceStatus.HEALTHY


def test_the_secret_name_is_of_no_use_to_owners(server: Server) -> None:
    name = server.manager.access.secrets().config_name.reveal()
    with pytest.raises(redis.ResponseError):
        server.login().execute_command(name, "GET", "*")
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=server.paths.port, username="os_admin", password="").ping()


def test_secrets_are_for_root_only_and_in_no_log(server: Server) -> None:
    path = pathlib.Path(server.paths.mount) / ".trove/redis.json"
    assert path.stat().st_mode & 0o777 == 0o600
    password = json.loads(path.read_text())["password"]
    # the server has its digest only
    assert password not in pathlib.Path(server.paths.config).read_text()
    assert password not in server.process.recent_log(())
    assert pathlib.Path(server.paths.config).stat().st_mode & 0o007 == 0


def test_a_volume_with_data_is_left_alone(server: Server) -> None:
    server.login().set("a", "1")
    (server.paths.data / "x").touch()
    with pytest.raises(Conflict):
        server.prepare()
    assert server.login().get("a") == "1"


def test_data_outlive_a_restart(server: Server) -> None:
    server.login().set("a", "1")
    server.restart()
    assert server.login().get("a") == "1"


def test_what_is_wrong_is_told(server: Server) -> None:
    first = server.manager.examine()
    assert (first.status, first.reason) == (ServiceStatus.HEALTHY, "")
    assert first.incarnation
    server.process.kill(())
    server.manager.status.expect_running(True)
    seen = server.manager.examine()
    assert seen.status is ServiceStatus.SHUTDOWN
    assert seen.reason == "The database has ended, and its log does not say why."
    server.manager.start_db()
    assert server.manager.examine().incarnation != first.incarnation
    secrets = pathlib.Path(server.paths.mount) / ".trove/redis.json"
    kept = secrets.read_text()
    secrets.write_text(kept.replace(json.loads(kept)["password"], "another"))
    assert server.manager.examine().reason == "The database refuses the agent's account."
    secrets.unlink()
    assert server.manager.examine().reason == "The agent has no account in the database."


def test_a_server_without_room_for_clients_is_blocked(server: Server) -> None:
    server.override(maxclients=3)
    held = [server.login() for _ in range(5)]
    for one in held:
        with pytest.raises(redis.RedisError) if one in held[3:] else _nothing():
            one.ping()
    seen = server.manager.examine()
    assert (seen.status, seen.reason) == (
        ServiceStatus.BLOCKED, "The database takes no more connections.")


class _nothing:
    def __enter__(self) -> None:
        """Nothing is expected."""

    def __exit__(self, *_raised: object) -> None:
        """Nothing is expected."""


def test_a_server_that_hangs_is_told_and_killed(server: Server) -> None:
    assert server.process.child is not None
    server.process.child.send_signal(19)
    seen = server.manager.examine()
    assert (seen.status, seen.reason) == (
        ServiceStatus.BLOCKED, "The database runs and does not answer.")
    server.process.child.send_signal(18)


def test_a_server_without_room_for_its_changes_says_so_and_keeps_them(
        make: Any, home: pathlib.Path) -> None:
    server: Server = make("one")
    with small_volume(server.paths.mount) as grow:
        server.prepare(overrides={"save": "1 1"})
        server.manager.status.expect_running(True)
        assert server.manager.examine().reason == ""
        rows = fill_until_refused(server)
        reason = "The database takes no changes: the disk is full."
        wait_for(lambda: server.manager.examine()[:2] == (ServiceStatus.BLOCKED, reason), 30)
        with pytest.raises(GuestError, match="could not write a snapshot: the disk is full|small"):
            server.manager.create_backup(m.BackupRequest(
                operation_id="o", step="create_backup", backup_id="b", strategy="redis_rdb",
                grant=grant("http://127.0.0.1:1")), progress())
        with pytest.raises(UnsavedChanges, match="if it ended now: the disk is full"):
            server.manager.stop_db()
        assert server.login().llen("t") == rows
        assert server.setting("save") == "1 1"
        # how much it took until it refused depends on how soon it looked
        grow(400)
        server.manager.stop_db()
        server.manager.start_db()
        assert server.login().llen("t") == rows
        # an agent that was killed when it had the server write none
        with server.manager.server.session() as session:
            session.config_set("save", "")
        server.manager.status._prepared = True
        server.manager.resume()
        assert server.setting("save") == "1 1"
        leave_little(grow, server.paths.mount)
        fill_until_refused(server)
        server.manager.fence(m.StepRequest(operation_id="f", step="fence"))
        assert server.manager.probe() is ServiceStatus.SHUTDOWN


@contextlib.contextmanager
def small_volume(path: str) -> Iterator[Callable[[int], None]]:
    """Have a directory be a volume of 12 MiB; give what has it have another size, in MiB."""
    def mount(*options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", path],
                       check=True)

    mount("size=12m")
    try:
        yield lambda size: mount("remount", f"size={size}m")
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def leave_little(resize: Callable[[int], None], path: str) -> None:
    """Leave a few MiB of a volume, to which the server may write just then."""
    def done() -> bool:
        try:
            resize(filesystem_stats(path).used // 2**20 + 8)
        except subprocess.CalledProcessError:
            # it grew meanwhile
            return False
        return True

    wait_for(done, 60)


def fill_until_refused(server: Server) -> int:
    """Write until that is refused; return how many values there are."""
    def refused() -> bool:
        try:
            server.login().rpush("t", *(random.randbytes(1000) for _ in range(1000)))
        except redis.ResponseError as err:
            return "MISCONF" in str(err)
        return False

    wait_for(refused, 60)
    return int(server.login().llen("t"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("spoil", "why"), [
    (lambda one: one.paths.snapshot.write_bytes(b"REDIS0010nonsense" * 10), "damaged"),
    (lambda one: pathlib.Path(one.paths.config).write_text("no-such-thing 1\n"),
     "configuration"),
    (lambda one: one.paths.data.rename(one.paths.data.with_name("gone")), "missing")])
def test_why_a_server_does_not_start_is_told(server: Server, spoil: Any, why: str) -> None:
    server.manager.stop_db()
    spoil(server)
    with pytest.raises(GuestError, match=why):
        server.manager.start_db()


# ---- root ----------------------------------------------------------------------------


def test_root_is_the_password_of_the_user_without_a_name(server: Server) -> None:
    assert server.manager.is_root_enabled(m.Empty()).value is False
    before = server.login()
    before.ping()
    root = server.manager.enable_root(m.RootRequest(password=None))
    assert (root.name, server.manager.is_root_enabled(m.Empty()).value) == ("-", True)
    assert root.password is not None
    for client in (before, server.login(), server.login("wrong")):
        with pytest.raises(redis.RedisError):
            client.ping()
    assert server.login(root.password.reveal()).ping()
    server.restart()
    assert server.login(root.password.reveal()).ping()
    with pytest.raises(redis.AuthenticationError):
        server.login().ping()
    chosen = server.manager.enable_root(m.RootRequest(password=Secret("my own 'pass\"word")))
    assert chosen.password is not None
    assert server.login("my own 'pass\"word").ping()
    server.restart()
    assert server.login("my own 'pass\"word").ping()
    server.manager.disable_root(m.Empty())
    assert server.login().ping()


def test_root_can_be_there_from_the_beginning(make: Any) -> None:
    one: Server = make("one")
    one.prepare(root_password=Secret("first"))
    assert one.manager.is_root_enabled(m.Empty()).value
    assert one.login("first").ping()
    # more rights than without the password it does not have
    with pytest.raises(redis.ResponseError):
        one.login("first").execute_command("CONFIG", "GET", "*")


def test_a_server_that_is_down_keeps_its_password(server: Server) -> None:
    server.manager.enable_root(m.RootRequest(password=Secret("first")))
    server.process.kill(())
    with pytest.raises(GuestError):
        server.manager.enable_root(m.RootRequest(password=Secret("second")))
    server.manager.start_db()
    assert server.login("first").ping()


def test_a_password_that_was_taken_without_an_answer_is_taken_back(
        server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.manager.enable_root(m.RootRequest(password=Secret("first")))
    let_in = Session.let_in

    def lost(session: Session) -> None:
        monkeypatch.setattr(Session, "let_in", let_in)
        let_in(session)
        raise GuestError("The answer is lost.")

    monkeypatch.setattr(Session, "let_in", lost)
    with pytest.raises(GuestError, match="lost"):
        server.manager.enable_root(m.RootRequest(password=Secret("second")))
    for _ in range(2):
        assert server.login("first").ping()
        with pytest.raises(redis.AuthenticationError):
            server.login("second").ping()
        server.restart()
    monkeypatch.setattr(Session, "let_in", lost)
    with pytest.raises(GuestError, match="lost"):
        server.manager.disable_root(m.Empty())
    assert server.manager.is_root_enabled(m.Empty()).value
    with pytest.raises(redis.AuthenticationError):
        server.login().ping()


@pytest.mark.parametrize("call", ["create_databases", "list_users", "create_users"])
def test_it_has_no_databases_and_users_to_make(server: Server, call: str) -> None:
    with pytest.raises(NotSupported, match="redis does not support"):
        getattr(server.manager, call)(None)


# ---- settings ------------------------------------------------------------------------


def test_settings_are_in_force_at_once_and_after_a_restart(server: Server) -> None:
    wanted: dict[str, Any] = {
        "maxmemory-policy": "allkeys-lru", "maxmemory": 2 * 1024 ** 2, "timeout": 300,
        "rdbcompression": False, "save": "900 1 60 5000", "notify-keyspace-events": "KEA",
        NORMAL: "1000000 500000 60"}
    assert server.manager.apply_overrides(m.OverridesRequest(
        operation_id="o", step="overrides", values=wanted)) is False
    for _ in range(2):
        assert server.setting("maxmemory-policy") == "allkeys-lru"
        assert server.setting("maxmemory") == str(2 * 1024 ** 2)
        assert server.setting("rdbcompression") == "no"
        assert server.setting("save") == "900 1 60 5000"
        assert set(server.setting("notify-keyspace-events")) == set("AKE")
        assert "normal 1000000 500000 60" in server.setting("client-output-buffer-limit")
        assert "pubsub 33554432 8388608 60" in server.setting("client-output-buffer-limit")
        server.restart()


def test_what_is_taken_away_is_as_it_was(server: Server) -> None:
    names = ("maxmemory", "maxmemory-policy", "timeout", "hz", "save",
             "client-output-buffer-limit", "notify-keyspace-events")
    before = {name: server.setting(name) for name in names}
    server.manager.apply_overrides(m.OverridesRequest(
        operation_id="o", step="overrides", values={
            "maxmemory": 3 * 1024 ** 2, "maxmemory-policy": "allkeys-lfu", "timeout": 9,
            "hz": 50, "save": "", NORMAL: "1000000 500000 60",
            "notify-keyspace-events": "Kx"}))
    changed = {name: server.setting(name) for name in names}
    assert not {name for name in names if changed[name] == before[name]}
    server.override()
    assert {name: server.setting(name) for name in names} == before
    server.restart()
    assert {name: server.setting(name) for name in names} == before


def test_what_takes_effect_later_says_so(server: Server) -> None:
    assert server.override(restart=("databases",), databases=3, timeout=7) is True
    assert (server.setting("databases"), server.setting("timeout")) == ("16", "7")
    server.restart()
    assert server.setting("databases") == "3"


@pytest.mark.parametrize(("values", "why"), [
    ({"maxmemory-policy": "no such"}, "must be one of"),
    ({"maxmemory_policy": "allkeys-lru", "hz": "many"}, "hz"),
    ({"timeout": 5, "not-there": 1}, "no setting not-there")])
def test_a_refused_value_changes_nothing(server: Server, values: dict[str, Any],
                                         why: str) -> None:
    server.override(timeout=60)
    file = pathlib.Path(server.paths.config).read_text()
    with pytest.raises(GuestError, match=why) as caught:
        server.override(**values)
    assert server.manager.access.secrets().config_name.reveal() not in str(caught.value)
    assert (server.setting("timeout"), server.setting("maxmemory-policy")) == (
        "60", "noeviction")
    assert pathlib.Path(server.paths.config).read_text() == file


def test_what_the_server_would_not_start_with_is_refused_before(server: Server,
                                                                make: Any) -> None:
    for values in ({"hash_max_none_entries": 1}, {"maxmemory_policy": "never", "timeout": 5}):
        (name, *_) = (one.replace("_", "-") for one in values)
        other: Server = make(name)
        with pytest.raises(GuestError, match=f"refuses the value of {name}[.]"):
            other.prepare(overrides={one.replace("_", "-"): value
                                     for one, value in values.items()})
        assert other.process.child is None
    server.override(timeout=7)
    server.manager.stop_db()
    with pytest.raises(GuestError, match="the value of hash-max-none-entries"):
        server.override(hash_max_none_entries=1)
    server.override(timeout=8, save="900 1 60 5000", appendonly=True)
    server.manager.start_db()
    assert (server.setting("timeout"), server.setting("save")) == ("8", "900 1 60 5000")


def test_all_that_owners_may_set_can_be_set(server: Server) -> None:
    """Each setting is given the value that it has."""
    parameters = datastores.get("redis").parameters("7.0")
    with server.manager.server.session() as session:
        known = session.config_get()
    values = {one.name: known[one.name] for one in parameters if " " not in one.name}
    later = [one.name for one in parameters if one.restart_required]
    assert len(values) > 100
    server.manager.apply_overrides(m.OverridesRequest(
        operation_id="o", step="overrides", values=values, restart=later))
    server.restart()
    with server.manager.server.session() as session:
        after = session.config_get()
    assert {name: after[name] for name in values} == values


def test_no_owner_may_set_what_is_the_agents(server: Server) -> None:
    with server.manager.server.session() as session:
        known = session.config_get()
    declared = {one.name for one in datastores.get("redis").parameters("7.0")}
    owned = {name for name in known if datastores.get("redis").owns(name)}
    assert not owned & declared
    assert {"bind", "port", "dir", "requirepass", "masterauth", "replicaof", "aclfile",
            "unixsocket", "tls-port", "dbfilename", "logfile"} <= owned


def test_an_append_only_file_begins_with_the_data(server: Server) -> None:
    server.login().set("a", "1")
    server.override(appendonly=True)
    server.login().set("b", "2")
    server.process.kill(())
    server.manager.start_db()
    assert (server.login().get("a"), server.login().get("b")) == ("1", "2")


def test_an_append_only_file_that_is_asked_for_while_the_server_is_down_too(
        server: Server) -> None:
    server.login().set("a", "1")
    server.manager.stop_db()
    server.override(appendonly=True)
    server.manager.start_db()
    assert (server.login().get("a"), server.setting("appendonly")) == ("1", "yes")
    server.process.kill(())
    server.manager.start_db()
    assert server.login().get("a") == "1"


def test_another_memory_changes_what_follows_from_it(server: Server) -> None:
    server.override(timeout=60)
    server.manager.stop_db()
    server.manager.apply_config(m.ResizeRequest(
        operation_id="o", step="start", memory_mb=2048,
        config=datastores.get("redis").config(2048)))
    server.manager.start_db()
    assert int(server.setting("maxmemory")) > 1024 ** 3
    assert server.setting("timeout") == "60"


# ---- backups -------------------------------------------------------------------------


def fill(server: Server, password: str | None = None) -> dict[str, Any]:
    client = server.login(password)
    with client.pipeline() as pipe:
        for number in range(3000):
            # what cannot be compressed, so that there are several segments
            pipe.set(f"text {number}", f"ü€{number}" + random.randbytes(60).hex())
        pipe.hset("hash", mapping={"a": "1", "b": "2"})
        pipe.rpush("list", *range(500))
        pipe.zadd("sorted", {"x": 1.5, "y": 2})
        pipe.xadd("stream", {"field": "value"}, id="5-1")
        pipe.set("ends", "soon", ex=100000)
        pipe.execute()
    other = redis.Redis(port=server.paths.port, db=5, password=password, protocol=2)
    other.set(b"\x00\xff", b"\xfe")
    return content(server, password)


def content(server: Server, password: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number in (0, 5):
        client = redis.Redis(port=server.paths.port, db=number, password=password, protocol=2)
        for key in client.scan_iter(count=1000):
            found[f"{number} {key!r}"] = client.dump(key)
        found[f"{number} ends"] = client.ttl("ends") > 0
    return found


def backup(server: Server, url: str, key: Secret | None = None,
           **more: Any) -> m.StoredBackup:
    return server.manager.create_backup(m.BackupRequest(
        operation_id="o", step="create_backup", backup_id="1", strategy="redis_rdb",
        grant=grant(url), segment_size=1024 * 64, key=key, **more), progress())


def restored(make: Any, url: str, stored: m.StoredBackup, key: Secret | None = None,
             **more: Any) -> Server:
    other: Server = make("two")
    other.prepare(restore=m.RestoreSpec(
        backup_id="1", chain=[stored], grants=[grant(url)],
        keys=[key] if key else []), **more)
    return other


@pytest.mark.parametrize("append_only", [False, True])
@pytest.mark.parametrize("key", [None, Secret("k" * 43 + "=")])
def test_a_restored_server_is_equal_key_for_key(
        server: Server, make: Any, store: tuple[str, Swift], key: Secret | None,
        append_only: bool) -> None:
    url, _ = store
    server.override(appendonly=append_only)
    before = fill(server)
    stored = backup(server, url, key)
    assert len(stored.segments) > 1
    assert not list(server.paths.data.glob("backup*"))
    overrides = {"appendonly": True} if append_only else {}
    other = restored(make, url, stored, key, overrides=overrides)
    assert content(other) == before
    other.login().set("more", "1")
    if append_only:
        other.process.kill(())
        other.manager.start_db()
        assert other.login().get("more") == "1"
        assert other.setting("appendonly") == "yes"


def test_a_backup_needs_no_snapshots_of_the_owner(server: Server, make: Any,
                                                  store: tuple[str, Swift]) -> None:
    server.override(save="")
    before = fill(server)
    stored = backup(server, store[0])
    # a later start must not bring it back
    assert not server.paths.snapshot.exists()
    assert content(restored(make, store[0], stored)) == before


def test_a_backup_is_of_one_moment_while_others_write(server: Server,
                                                      store: tuple[str, Swift]) -> None:
    fill(server)
    first = backup(server, store[0])
    assert first.metadata["version"] == "7.0"
    assert first.data_size > 0
    with pytest.raises(BadRequest, match="do not continue"):
        backup(server, store[0], parent=first)


@pytest.mark.parametrize("other", ["BGSAVE", "BGREWRITEAOF"])
def test_a_backup_waits_for_what_the_server_begins_by_itself(
        server: Server, make: Any, store: tuple[str, Swift], monkeypatch: pytest.MonkeyPatch,
        other: str) -> None:
    before, really_run, begun = fill(server), Session.run, list[str]()

    def run(session: Session, *words: str | int) -> Any:
        if words[0] == "BGSAVE" and not begun:
            # each key takes its time, so that it is still at it
            session.config_set("rdb-key-save-delay", "500")
            begun.append(str(really_run(session, other)))
            session.config_set("rdb-key-save-delay", "0")
        return really_run(session, *words)

    server.override(save="")
    monkeypatch.setattr(Session, "run", run)
    stored = backup(server, store[0])
    assert begun == ["True"], "the server did not begin the other"
    assert content(restored(make, store[0], stored)) == before


def test_a_snapshot_that_is_not_written_is_no_backup(server: Server,
                                                     store: tuple[str, Swift]) -> None:
    fill(server)
    backup(server, store[0])
    # the file of the last one is there
    server.paths.data.chmod(0o550)
    with pytest.raises(GuestError, match="could not write a snapshot"):
        backup(server, store[0])


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_backup_is_refused(server: Server, make: Any, store: tuple[str, Swift],
                                     damage: str) -> None:
    url, swift = store
    fill(server)
    stored = backup(server, url)
    held = swift._store.objects("AUTH_t", "c")[1]
    path = swift._store.path(held)
    data = path.read_bytes()
    if damage == "gone":
        swift._store.delete("AUTH_t", "c", held.name)
    else:
        path.write_bytes(data[:-10] if damage == "cut" else
                         bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises((GuestError, StorageError)):
        restored(make, url, stored)


@pytest.mark.parametrize(("change", "why"), [
    ({"engine": "mariadb"}, "another database engine"), ({"form": "x"}, "form"),
    ({"version": "99.0"}, "is of version 99.0"), ({"version": "x"}, "cannot be read"),
    ({"form": "rdb+zstd+aes256gcm"}, "encrypted")])
def test_a_backup_for_another_server_is_refused(
        server: Server, make: Any, store: tuple[str, Swift], change: dict[str, str],
        why: str) -> None:
    stored = backup(server, store[0])
    other = msgspec.structs.replace(stored, metadata={**stored.metadata, **change})
    with pytest.raises(BadRequest, match=why):
        restored(make, store[0], other)


# ---- another root disk, logs ---------------------------------------------------------


def test_another_root_disk_finds_its_data_settings_and_password(server: Server) -> None:
    server.manager.enable_root(m.RootRequest(password=Secret("root's")))
    before = fill(server, "root's")
    server.manager.check_upgrade("7.2")
    with pytest.raises(UnprocessableEntity, match="cannot go back to 6.2"):
        server.manager.check_upgrade("6.2")
    server.manager.stop_db()
    shutil.rmtree(pathlib.Path(server.paths.config).parent)
    pathlib.Path(server.paths.config).parent.mkdir()
    shutil.chown(pathlib.Path(server.paths.config).parent, "redis", "redis")
    fresh = RedisManager(server.ctx, server.paths)
    fresh.restore_settings(None, sm.PostUpgrade(
        operation_id="o", step="post", memory_mb=512,
        config=datastores.get("redis").config(512), overrides={"timeout": 77},
        volume=m.VolumeSpec(device="/dev/vdb", mount_point=server.paths.mount)))
    fresh.start_db()
    assert content(server, "root's") == before
    assert server.setting("timeout") == "77"


def test_the_servers_log_can_be_had(server: Server) -> None:
    log = server.manager.log_files()["error"]
    wait_for(lambda: "Ready to accept connections" in log.path.read_text())
    with pytest.raises(BadRequest, match="always written"):
        server.manager.set_log(lm.LogSwitch(name="error", enabled=False))
    with pytest.raises(NotFound):
        server.manager.set_log(lm.LogSwitch(name="general", enabled=True))
