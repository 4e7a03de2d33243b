"""The whole life of MySQL and Percona Server, with the agent's real driver and programs.

No server of these can be had here: one that speaks their protocol takes its place, which
refuses every statement, option and argument that its release does not know.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import pathlib
import pwd
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pymysql
import pytest
from oslo_config import cfg

from tests.integration.guestagent.archives import Archive
from tests.integration.guestagent.processes import Nothing
from tests.integration.guestagent.store import grant, progress
from tests.servers.mysql import PACKAGES, Server, install, install_files, read_options
from tests.servers.mysql_wire import Refused
from tests.servers.mysql_words import NATIVE, SHA2, XTRABACKUP
from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import (
    BadRequest,
    Conflict,
    GuestError,
    NotFound,
    UnprocessableEntity,
)
from trove_ng.common.secret import Secret
from trove_ng.common.states import ServiceStatus
from trove_ng.conf import guestagent as options
from trove_ng.datastores import base as datastores
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.datastores.mysql.versions import series
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.datastores.experimental.percona.manager import PerconaManager
from trove_ng.guestagent.datastores.mysql_family import archive as binlog_archive
from trove_ng.guestagent.datastores.mysql_family import backup as family_backup
from trove_ng.guestagent.datastores.mysql_family import manager as family
from trove_ng.guestagent.datastores.mysql_family import restore
from trove_ng.guestagent.datastores.mysql_family.archive import clock
from trove_ng.guestagent.datastores.mysql_family.binlog import PLACE, server_id
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.datastores.mysql_family.replication import Role
from trove_ng.guestagent.datastores.stable.mysql import manager as mysql
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.codecs import NO_VALUE
from trove_ng.guestagent.os.volumes import VolumeManager
from trove_ng.operations.replication import new_password
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm

VERSIONS = ("8.0.36", "8.4.2", "5.7.44")
_PORTS = itertools.count(33060)
ENGINES = [*((mysql.MySqlManager, one) for one in VERSIONS), (PerconaManager, "8.4.2")]


def guest_conf() -> cfg.ConfigOpts:
    """Return the configuration of an agent that says nothing."""
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf([], project="trove")
    return conf


class World:
    """A machine: its programs, its volume, its agent."""

    def __init__(self, home: pathlib.Path, kind: type[mysql.MySqlManager], version: str,
                 package: str = "distribution") -> None:
        self.home, self.kind, self.bin = home, kind, home / "bin"
        self.etc, self.package = home / "etc", package
        for name in ("bin", "run", "mount"):
            (home / name).mkdir(parents=True)
        usual = dataclasses.asdict(mysql.places(guest_conf()))
        self.paths = Paths(**{
            **{name: value.replace("/etc/", f"{self.etc}/") for name, value in usual.items()
               if str(value).startswith("/etc/")},
            "mount": str(home / "mount"), "socket": str(home / "run/s"),
            "pid_file": str(home / "run/pid"), "init_file": str(home / "run/init.sql"),
            "port": next(_PORTS)})
        self.server = Server(self.paths, home / "log", version)
        self.become(version)

    def become(self, version: str) -> None:
        """Have another release on a new root disk, and an agent that begins anew."""
        self.server.version = version
        install(self.bin, version)
        shutil.rmtree(self.etc, ignore_errors=True)
        install_files(self.etc, self.package)
        conf = guest_conf()
        conf.set_override("state_change_wait_time", 5, group="guest_agent")
        self.manager = self.kind(AgentContext(
            conf=conf, instance_id=self.home.name, clock=SystemClock(), services=self.server,
            volumes=VolumeManager(conf, self.home / "state", SystemClock()),
            reporter=Nothing(), state_dir=self.home / "state"), self.paths)

    def config(self, memory_mb: int = 512) -> Any:
        return datastores.get(self.kind.name).config(memory_mb, self.server.version)

    def prepare(self, **more: Any) -> None:
        request = m.PrepareRequest(
            operation_id="o", step="prepare", datastore=self.kind.name,
            datastore_version=series(self.server.version), memory_mb=512,
            config=self.config(), **more)
        self.manager.do_prepare(request, progress())
        if request.databases:
            self.manager.create_databases(m.DatabasesRequest(databases=request.databases))
        if request.users:
            self.manager.create_users(m.UsersRequest(users=request.users))

    def stored(self) -> dict[str, Any]:
        """Return accounts and databases as the server has them."""
        assert self.server.state is not None
        return self.server.state.data

    def said(self) -> list[str]:
        """Return the statements since the server's start."""
        assert self.server.state is not None
        return self.server.state.said

    def calls(self, program: str) -> list[list[str]]:
        lines = (self.bin / "calls").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return [one[1:] for one in found if one[0] == program and one[1:] != ["--version"]]

    def options(self) -> dict[str, str | None]:
        return read_options(self.paths)


Make = Callable[..., World]


@pytest.fixture
def make(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes machines; what their servers did not understand fails the test."""
    me = pwd.getpwuid(os.getuid()).pw_name
    # the server's user is not on every machine, and only root may become another one
    for module, owner in ((family, me), (mysql, me), (restore, None)):
        monkeypatch.setattr(module, "OWNER", owner)
    monkeypatch.setattr(mysql.MySqlManager, "server_user", "")
    made: list[World] = []
    path = os.environ["PATH"]

    def new(kind: type[mysql.MySqlManager] = mysql.MySqlManager,
            version: str = "8.0.36", package: str = "distribution") -> World:
        made.append(World(home / f"w{len(made)}", kind, version, package))
        monkeypatch.setenv("PATH", f"{made[-1].bin}:{path}")
        return made[-1]

    yield new
    for one in made:
        one.server.stop(())
        assert one.server.unknown == []


@pytest.fixture(params=ENGINES, ids=lambda one: f"{one[0].name}-{one[1]}")
def world(request: pytest.FixtureRequest, make: Make) -> World:
    """A prepared server with database ``shop`` and user ``app``, of each release."""
    one = make(*request.param)
    one.prepare(databases=[m.DatabaseSpec(name="shop", character_set="utf8mb4")], users=[
        m.UserSpec(name="app", password=Secret("app'Pw\\1"), databases=["shop"])])
    return one


def plugin_of(world: World) -> str:
    return NATIVE if world.server.version.startswith("5.7") else SHA2


def test_a_prepared_server_is_the_agents_alone(world: World) -> None:
    assert world.manager.probe() is ServiceStatus.HEALTHY
    users, options = world.stored()["users"], world.options()
    _, password = world.manager.admin.credentials()
    assert users["os_admin@localhost"] == [password.reveal(), plugin_of(world), "N"]
    assert ["os_admin", "localhost", "*"] in world.stored()["grants"]
    # what was made without a password lets nobody in
    assert users["root@localhost"][2] == "Y"
    assert not pathlib.Path(world.paths.init_file).exists()
    assert "init_file" not in options
    old = world.server.version.startswith("5.7")
    assert options.get("persisted_globals_load") == (None if old else "OFF")
    assert ("disable_log_bin" in options) is not old
    assert ("innodb_log_file_size" in options) is old
    assert options.get("innodb_redo_log_capacity") == (None if old else "128M")
    assert f"loose_{NATIVE}" not in options
    (argv,) = world.calls("mysqld")
    assert argv[0] == f"--defaults-file={world.paths.base_config}"


def test_users_databases_and_grants(world: World) -> None:
    manager = world.manager
    page = manager.list_users(m.PageRequest(limit=10))
    assert [(one.name, one.host, one.databases) for one in page.users] == [
        ("app", "%", ["shop"])]
    assert world.stored()["users"]["app@%"][:2] == ["app'Pw\\1", plugin_of(world)]
    manager.create_databases(m.DatabasesRequest(databases=[
        m.DatabaseSpec(name="a_b", collate="utf8mb4_bin"), m.DatabaseSpec(name="100%")]))
    names = manager.list_databases(m.PageRequest(limit=2))
    assert ([one.name for one in names.databases], names.next_marker) == (
        ["100%", "a_b"], "a_b")
    rest = manager.list_databases(m.PageRequest(limit=2, marker="a_b"))
    assert ([one.name for one in rest.databases], rest.next_marker) == (["shop"], None)
    manager.grant_access(m.AccessRequest(name="app", databases=["a_b"]))
    access = manager.list_access(m.UserRequest(name="app")).databases
    assert [one.name for one in access] == ["a_b", "shop"]
    manager.revoke_access(m.AccessRequest(name="app", databases=["shop"]))
    manager.update_user(m.UserUpdateRequest(name="app", change=m.UserChange(
        name="app2", host="10.%", password=Secret("new"))))
    assert manager.get_user(m.UserRequest(name="app2", host="10.%")).databases == ["a_b"]
    assert world.stored()["users"]["app2@10.%"][0] == "new"
    with pytest.raises(Conflict):
        manager.create_users(m.UsersRequest(users=[
            m.UserSpec(name="app2", host="10.%", password=Secret("x"))]))
    manager.change_passwords(m.UsersRequest(users=[
        m.UserSpec(name="app2", host="10.%", password=Secret("newer"))]))
    assert world.stored()["users"]["app2@10.%"][0] == "newer"
    manager.delete_user(m.UserRequest(name="app2", host="10.%"))
    with pytest.raises(NotFound):
        manager.get_user(m.UserRequest(name="app2", host="10.%"))
    manager.delete_database(m.NameRequest(name="100%"))
    with pytest.raises(NotFound):
        manager.delete_database(m.NameRequest(name="100%"))


def test_a_user_that_is_dropped_is_disconnected(world: World) -> None:
    world.stored()["users"]["app@localhost"] = ["pw", plugin_of(world), "N"]
    with pymysql.connect(unix_socket=world.paths.socket, user="app",
                         password="pw") as connection:
        world.manager.delete_user(m.UserRequest(name="app"))
        # another account of that name is left
        connection.cursor().execute("SELECT 1")
        world.manager.delete_user(m.UserRequest(name="app", host="localhost"))
        with pytest.raises(pymysql.err.OperationalError):
            connection.cursor().execute("SELECT 1")


def test_root_comes_and_goes(world: World) -> None:
    manager = world.manager
    assert not manager.is_root_enabled(m.Empty()).value
    first = manager.enable_root(m.RootRequest())
    assert first.password is not None
    assert world.stored()["users"]["root@%"] == [
        first.password.reveal(), plugin_of(world), "N"]
    assert ["root", "%", "*"] in world.stored()["grants"]
    # again: another password for the same account
    manager.enable_root(m.RootRequest(password=Secret("mine")))
    assert world.stored()["users"]["root@%"][0] == "mine"
    assert manager.is_root_enabled(m.Empty()).value
    manager.disable_root(m.Empty())
    assert "root@%" not in world.stored()["users"]
    assert world.stored()["users"]["root@localhost"][2] == "Y"
    assert not manager.is_root_enabled(m.Empty()).value


def test_who_is_in_as_root_is_out_when_root_is_disabled(world: World) -> None:
    world.manager.enable_root(m.RootRequest(password=Secret("mine")))
    # the stand-in has no other way in than the socket, where this one would come first
    del world.stored()["users"]["root@localhost"]
    with pymysql.connect(unix_socket=world.paths.socket, user="root",
                         password="mine") as connection:
        connection.cursor().execute("SELECT 1")
        world.manager.disable_root(m.Empty())
        with pytest.raises(pymysql.err.OperationalError):
            connection.cursor().execute("SELECT 1")


def overrides(values: dict[str, Any]) -> m.OverridesRequest:
    return m.OverridesRequest(operation_id="o", step="s", values=values, restart=["back_log"])


def test_settings_take_effect_or_wait_for_a_restart(world: World) -> None:
    manager, said = world.manager, world.said()
    assert manager.apply_overrides(overrides({"long_query_time": 2.5})) is False
    assert "SET GLOBAL `long_query_time` = 2.5e0" in said
    assert manager.apply_overrides(overrides({"long_query_time": 2.5, "back_log": 90})) is True
    assert not any("back_log" in one for one in said)
    # a server's own word counts too, whatever the rules say
    request = msgspec.structs.replace(overrides({"back_log": 91}), restart=[])
    assert manager.apply_overrides(request) is True
    with pytest.raises(GuestError, match="sort_buffer_size"):
        manager.apply_overrides(overrides({"long_query_time": 7, "sort_buffer_size": "x"}))
    assert world.options()["back_log"] == "91"
    assert not any("PERSIST" in one for one in said)
    manager.restart_db()
    assert world.options()["back_log"] == "91"
    assert manager.apply_overrides(overrides({})) is True
    assert "back_log" not in world.options()


def test_what_the_sql_mode_says_of_texts_is_not_for_the_agent(world: World) -> None:
    world.manager.apply_overrides(overrides({"sql_mode": "PAD_CHAR_TO_FULL_LENGTH"}))
    assert [one.name for one in world.manager.list_users(m.PageRequest(limit=9)).users] == ["app"]
    assert world.manager.get_user(m.UserRequest(name="app")).databases == ["shop"]


@pytest.mark.parametrize("version", ["8.0.36", "8.4.2"])
def test_passwords_that_were_used_may_be_the_services_again(
        make: Make, version: str) -> None:
    one = make(version=version)
    one.prepare(overrides={"password_history": 1})
    one.manager.enable_root(m.RootRequest(password=Secret("mine")))
    one.manager.enable_root(m.RootRequest(password=Secret("mine")))
    one.manager.upgrade_data()
    for _ in range(2):
        one.manager.set_replica_accounts(rm.ReplicaAccounts(keep=[], add=m.UserSpec(
            name=f"{REPLICA_USERS}one", password=Secret("pw"))))
    # the rule is for others
    one.manager.create_users(m.UsersRequest(users=[
        m.UserSpec(name="app", password=Secret("p"))]))
    with pytest.raises(GuestError, match="3638"):
        one.manager.change_passwords(m.UsersRequest(users=[
            m.UserSpec(name="app", password=Secret("p"))]))


def test_the_limit_of_connections_of_a_user_is_not_the_agents(world: World) -> None:
    world.manager.apply_overrides(overrides({"max_user_connections": 1}))
    with world.manager.server.session(), world.manager.server.session():
        assert world.manager.probe() is ServiceStatus.HEALTHY
    world.manager.enable_root(m.RootRequest())
    # root is the owner's
    assert (world.stored()["limits"]["root@%"], world.stored()["limits"][
        "os_admin@localhost"]) == (0, 1000)


def test_rules_for_passwords_are_kept_by_those_that_the_service_makes(world: World) -> None:
    world.stored()["rules"] = True
    world.manager.enable_root(m.RootRequest())
    world.manager.set_replica_accounts(rm.ReplicaAccounts(keep=[], add=m.UserSpec(
        name=f"{REPLICA_USERS}one", password=new_password())))
    with pytest.raises(GuestError, match="breaks its rules"):
        world.manager.enable_root(m.RootRequest(password=Secret("lettersanddigits1")))
    # the agent's own, at a first start with data that have the rules
    world.manager.stop_db()
    world.manager._take_over()


def test_variables_whose_options_have_other_names(world: World) -> None:
    values = {"transaction_isolation": "SERIALIZABLE", "time_zone": "+02:00"}
    assert world.manager.apply_overrides(overrides(values)) is False
    assert {"SET GLOBAL `transaction_isolation` = 'SERIALIZABLE'",
            "SET GLOBAL `time_zone` = '+02:00'"} <= {*world.said()}
    world.manager.restart_db()
    assert (world.options()["transaction_isolation"], world.options()["default_time_zone"]) == (
        "SERIALIZABLE", "+02:00")


def test_a_time_zone_that_the_server_does_not_know_is_refused(world: World) -> None:
    with pytest.raises(GuestError, match="of time_zone: The server does not know the time zone"):
        world.manager.apply_overrides(overrides({"time_zone": "Europe/Berlin"}))
    assert "default_time_zone" not in world.options()


def test_what_the_server_sizes_itself_waits_for_a_restart(world: World) -> None:
    name = "table_definition_cache"
    assert world.manager.apply_overrides(overrides({name: 1000})) is False
    assert world.manager.apply_overrides(overrides({})) is True


def test_binary_logs_are_written_where_they_have_a_volume(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.manager.volumes, "has", lambda kind: kind == "binlog")
    world.manager._write_configuration(world.config(), {})
    world.manager.restart_db()
    assert world.manager.probe() is ServiceStatus.HEALTHY
    options, old = world.options(), world.server.version.startswith("5.7")
    assert options["log_bin"] == str(world.paths.binlogs / "binlog")
    assert (options["server_id"], "disable_log_bin" in options) == ("1", False)
    assert (options.get("expire_logs_days"), options.get("binlog_expire_logs_seconds")) == (
        ("7", None) if old else (None, "604800"))


def test_settings_of_another_release_stop_the_server_and_the_reason_is_told(
        make: Make) -> None:
    one = make(version="8.4.2")
    with pytest.raises(GuestError, match=r"does not start: its configuration is refused\."):
        one.prepare(overrides={"query_cache_size": 1048576})


def test_another_amount_of_memory(world: World) -> None:
    world.manager.stop_db()
    world.manager.apply_config(m.ResizeRequest(
        operation_id="o", step="s", memory_mb=2048, config=world.config(2048)))
    world.manager.start_db()
    assert world.options()["innodb_buffer_pool_size"] == "1024M"


def test_logs_are_switched(world: World) -> None:
    manager = world.manager
    manager.set_log(lm.LogSwitch(name="slow_query", enabled=True, long_query_time=3))
    assert {"SET GLOBAL long_query_time = 3.0e0", "SET GLOBAL slow_query_log = 1"} <= {
        *world.said()}
    assert world.options()["slow_query_log"] == "ON"
    manager.set_log(lm.LogSwitch(name="general", enabled=True, long_query_time=3))
    manager.reopen_logs()
    assert set(manager.log_files()) == {"error", "general", "guest", "slow_query"}


def test_the_data_are_held_for_a_snapshot(world: World) -> None:
    hold = world.manager._hold
    assert hold.take("t", 30) == world.server.version
    said = [one for one in world.said() if one.startswith((
        "LOCK", "FLUSH TABLES", "FLUSH NO"))]
    # what is in the binary logs only does not come with the copy
    lock = ["FLUSH TABLES WITH READ LOCK", "FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS"]
    old = world.server.version.startswith("5.7")
    assert said == (lock if old else ["LOCK INSTANCE FOR BACKUP", *lock])
    assert hold.release("t")
    assert "UNLOCK TABLES" in world.said()


# ---- backups -----------------------------------------------------------------------


def backup(world: World, url: str, number: int, parent: m.StoredBackup | None = None,
           key: Secret | None = None) -> m.StoredBackup:
    return world.manager.create_backup(m.BackupRequest(
        operation_id="o", step=f"b{number}", backup_id=str(number), strategy="xtrabackup",
        grant=grant(url, f"backup_{number}/"), parent=parent, key=key), progress())


def restore_spec(url: str, *chain: m.StoredBackup) -> m.RestoreSpec:
    return m.RestoreSpec(backup_id="x", chain=list(chain), grants=[
        grant(url, f"backup_{number}/") for number in range(1, len(chain) + 1)])


def test_a_chain_of_backups_is_restored(world: World, make: Make,
                                        store: tuple[str, Any]) -> None:
    url, _ = store
    first = backup(world, url, 1)
    assert first.metadata["version"] == series(world.server.version)
    assert (first.metadata["engine"], first.metadata["form"]) == (
        world.kind.name, "xbstream+zstd")
    chain = [first]
    for number in (2, 3):
        world.manager.create_databases(m.DatabasesRequest(databases=[
            m.DatabaseSpec(name=f"more{number}")]))
        chain.append(backup(world, url, number, chain[-1]))
        assert chain[-1].metadata["from_lsn"] == chain[-2].metadata["to_lsn"]
    world.manager.create_databases(m.DatabasesRequest(databases=[m.DatabaseSpec(name="late")]))
    other = make(world.kind, world.server.version)
    other.prepare(restore=restore_spec(url, *chain))
    assert [one.name for one in other.manager.list_databases(
        m.PageRequest(limit=9)).databases] == ["more2", "more3", "shop"]
    assert other.stored()["users"]["app@%"][0] == "app'Pw\\1"
    # nothing of the program's own stays
    assert {path.name for path in other.paths.data.iterdir()} == {
        "auto.cnf", "state.json", "xtrabackup_checkpoints"}
    # each but the last is kept open for the next
    prepared = [argv for argv in other.calls("xtrabackup") if "--prepare" in argv]
    assert ["--apply-log-only" in argv for argv in prepared] == [True, True, False]
    assert [any(part.startswith("--incremental-dir") for part in argv)
            for argv in prepared] == [False, True, True]
    # the agent's account of here, not that of there
    assert other.stored()["users"]["os_admin@localhost"][0] == (
        other.manager.admin.credentials()[1].reveal())


def listed(world: World) -> list[str]:
    return [one.name for one in world.manager.list_databases(m.PageRequest(limit=9)).databases]


def make_database(world: World, name: str) -> None:
    world.manager.create_databases(m.DatabasesRequest(databases=[m.DatabaseSpec(name=name)]))


def next_second() -> float:
    """Return a whole second that no change is of: after all before, before all after."""
    found = math.ceil(time.time() + 0.01)
    time.sleep(found - time.time() + 0.02)
    return float(found)


def test_a_backup_is_brought_to_a_time(world: World, make: Make,
                                       store: tuple[str, Any]) -> None:
    url, old = store[0], world.server.version.startswith("5.7")
    # neither is what their owner says of it
    world.manager.apply_overrides(m.OverridesRequest(operation_id="o", step="s", values={
        "expire_logs_days" if old else "binlog_expire_logs_seconds": 99}))
    archive = Archive(world, url)
    archive.ship()
    options = world.options()
    assert (options["log_bin"], options["binlog_format"], options["server_id"]) == (
        str(world.paths.binlogs / "binlog"), "ROW", str(server_id(world.manager.ctx.instance_id)))
    assert (options.get("expire_logs_days"), options.get("binlog_expire_logs_seconds")) == (
        ("7", None) if old else (None, "604800"))
    make_database(world, "before")
    chain = [backup(world, url, 1)]
    make_database(world, "between")
    archive.ship()
    chain.append(backup(world, url, 2, chain[0]))
    world.manager.change_passwords(m.UsersRequest(users=[
        m.UserSpec(name="app", password=Secret("new-Pw1"))]))
    make_database(world, "in time")
    moment = next_second()
    make_database(world, "late")
    archive.ship()
    for length in (1, 2):
        other = make(world.kind, world.server.version)
        spec = msgspec.structs.replace(restore_spec(url, *chain[:length]),
                                       log=archive.replay(moment, chain[length - 1]))
        other.prepare(restore=spec)
        assert listed(other) == ["before", "between", "in time", "shop"]
        assert other.stored()["users"]["app@%"][0] == "new-Pw1"
        assert other.stored()["users"]["os_admin@localhost"][0] == (
            other.manager.admin.credentials()[1].reveal())
        assert 0 < moment - other.manager.restored_to <= 3
        assert not {"skip_networking", "innodb_flush_log_at_trx_commit", "log_bin"} & {
            *other.options()}
        (client,) = [one for one in other.calls("mysql")[0] if one.startswith("--init-command=")]
        assert "lock_wait_timeout = 3600" in client
        # one client for all files, and the first of them from the end of the backup on
        assert len(other.calls("mysql")) == 1
        assert f"--start-position={chain[length - 1].metadata[PLACE]}" in (
            other.calls("mysqlbinlog")[0])
    other = make(world.kind, world.server.version)
    with pytest.raises(BadRequest, match="ends before the time"):
        other.prepare(restore=msgspec.structs.replace(
            restore_spec(url, *chain), log=archive.replay(time.time() + 60, chain[1])))
    world.manager.end_log_archive(m.Empty())
    world.manager.restart_db()
    world.manager._trim_logs()
    assert "binlog_format" not in world.options()
    assert not world.paths.binlogs.exists()


def test_what_was_done_while_a_file_was_ended_is_of_before_no_time_but_the_last(
        make: Make, store: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    one, url = make(), store[0]
    one.prepare()
    archive = Archive(one, url)
    archive.ship()
    full = backup(one, url, 1)
    moment = next_second()
    times = iter([moment - 0.01])
    monkeypatch.setattr(binlog_archive, "clock",
                        lambda session: next(times, None) or clock(session))
    make_database(one, "late")
    assert archive.ship().until == moment - 0.01
    archive.ship()
    for until, names in ((moment, []), (moment - 0.01, ["late"])):
        other = make()
        other.prepare(restore=msgspec.structs.replace(
            restore_spec(url, full), log=archive.replay(until, full)))
        assert listed(other) == names


def test_no_log_continues_a_backup_if_it_began_anew_meanwhile(
        make: Make, store: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    one = make()
    one.prepare()
    archive = Archive(one, store[0])
    first = archive.ship()
    assert backup(one, store[0], 1).metadata[am.STREAM] == first.begin.stream
    really = family_backup._info

    def late(folder: pathlib.Path) -> str:
        # files are told from each other by the second in which they begin
        time.sleep(1.1)
        with one.manager.server.session() as session:
            session.run("RESET MASTER")
            for _ in range(3):
                session.run("FLUSH NO_WRITE_TO_BINLOG BINARY LOGS")
        return really(folder)

    monkeypatch.setattr(family_backup, "_info", late)
    assert not {am.STREAM, am.NUMBER, am.ENDED, PLACE} & {*backup(one, store[0], 2).metadata}


def test_log_that_is_written_anyway_is_archived_without_a_restart(
        make: Make, store: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    one = make()
    monkeypatch.setattr(one.manager.volumes, "has", lambda kind: kind == "binlog")
    one.prepare()
    monkeypatch.setattr(one.manager, "restart_db", lambda: pytest.fail("a restart"))
    archive = Archive(one, store[0])
    begun = archive.ship()
    one.manager._trim_logs()
    archive.ship()
    # its owner has them, too
    assert [file.name for file in sorted(one.paths.binlogs.glob("binlog.0*"))][0] == (
        f"binlog.{begun.begin.number:06d}")
    assert "SET GLOBAL `binlog_format` = 'ROW'" in one.said()


def test_no_setting_of_the_owner_lets_a_change_lack_in_the_archive(
        make: Make, store: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    one = make()
    monkeypatch.setattr(one.manager.volumes, "has", lambda kind: kind == "binlog")
    one.prepare(overrides={"sync_binlog": 0})
    assert one.options()["sync_binlog"] == "0"
    Archive(one, store[0]).ship()
    wanted = {"sync_binlog": "1", "binlog_error_action": "ABORT_SERVER"}
    # at once, and after each start
    assert {"SET GLOBAL `sync_binlog` = 1",
            "SET GLOBAL `binlog_error_action` = 'ABORT_SERVER'"} <= {*one.said()}
    one.manager.apply_overrides(m.OverridesRequest(
        operation_id="o", step="s", values={"sync_binlog": 100}))
    assert "SET GLOBAL `sync_binlog` = 100" not in one.said()
    one.manager.restart_db()
    assert {name: one.options()[name] for name in wanted} == wanted
    assert one.options()["loose_binlog_expire_logs_auto_purge"] == "ON"


@pytest.mark.parametrize("noticed", [True, False])
def test_a_server_that_ceased_to_write_its_log_begins_another_one(
        make: Make, store: tuple[str, Any], noticed: bool) -> None:
    one = make(version="5.7.44")
    one.prepare()
    archive = Archive(one, store[0])
    before = archive.ship()
    # no room for a new file, with IGNORE_ERROR; log_bin is still on
    assert one.server.state is not None
    one.server.state.binary = None
    if noticed:
        one.manager._trim_logs()
    else:
        with pytest.raises(GuestError, match="writes no binary log"):
            archive.ship()
    make_database(one, "lacks")
    one.manager.restart_db()
    after = archive.ship()
    assert after.begin.stream != before.begin.stream
    assert archive.ship().begin.stream == after.begin.stream


@pytest.mark.parametrize("version", ["8.0.36", "8.0.27"])
def test_log_is_archived_while_a_backup_keeps_the_server_from_removing_it(
        make: Make, store: tuple[str, Any], monkeypatch: pytest.MonkeyPatch,
        version: str) -> None:
    one = make(version=version)
    one.prepare()
    archive = Archive(one, store[0])
    archive.ship()

    def oldest() -> int:
        return min(int(path.suffix[1:]) for path in one.paths.binlogs.glob("binlog.0*"))

    before = oldest()
    with one.manager.server.session() as session:
        # XtraBackup does for all its time
        session.run("LOCK INSTANCE FOR BACKUP")
        for _ in range(2):
            assert archive.ship().until is not None
        assert (oldest() == before) is (version == "8.0.36")
        monkeypatch.setattr(binlog_archive, "kept_log", lambda _size: 1)
        one.manager._trim_logs()
    archive.ship()
    # when it has ended they go
    assert oldest() > before
    streams = {piece.begin.stream for piece in archive.pieces}
    assert len(streams) == 1
    assert [piece.begin.number for piece in archive.pieces[1:]] == [
        piece.end for piece in archive.pieces[:-1]]


def test_a_server_that_writes_no_log_in_spite_of_a_restart_is_left_alone(
        make: Make, store: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    one = make()
    one.prepare()
    restarts: list[str] = []
    really = one.manager.archive._restart

    def in_vain() -> None:
        # another file of the image says otherwise
        restarts.append("")
        one.manager.configuration.set_final("disable_log_bin", NO_VALUE)
        really()

    monkeypatch.setattr(one.manager.archive, "_restart", in_vain)
    archive = Archive(one, store[0])
    for _ in range(3):
        with pytest.raises(GuestError, match="though it was restarted for it"):
            archive.ship()
        assert not one.manager.configuration.archives
    assert len(restarts) == 1
    one.manager.archive.configure_again()
    assert not one.manager.configuration.archives
    one.manager.end_log_archive(m.Empty())
    monkeypatch.setattr(one.manager.archive, "_restart", really)
    one.manager.configuration._manager.remove_system("option_disable_log_bin", final=True)
    assert archive.ship().until is not None


@pytest.mark.parametrize(("name", "value"), [("max_binlog_size", 4096), ("sync_binlog", 0)])
def test_what_root_sets_on_the_server_is_set_back(
        make: Make, store: tuple[str, Any], monkeypatch: pytest.MonkeyPatch, name: str,
        value: int) -> None:
    one = make()
    one.prepare()
    archive = Archive(one, store[0])
    archive.ship()
    monkeypatch.setattr(one.manager, "restart_db", lambda: pytest.fail("a restart"))
    assert one.manager.writes_log()
    with one.manager.server.session() as session:
        session.run(f"SET GLOBAL {name} = {value}")
    archive.ship()
    with one.manager.server.session() as session:
        ((found,),) = session.run(f"SELECT @@GLOBAL.{name}")
    assert int(found) == one.manager.configuration.archived(64 * 1024 ** 2)[name]


def test_nothing_is_removed_while_a_log_begins(
        make: Make, store: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    one = make()
    one.prepare()
    archive = Archive(one, store[0])
    archive.ship()
    one.manager.end_log_archive(m.Empty())
    one.manager.restart_db()
    really, log = one.manager.archive._logs, one.manager.archive

    def begun() -> bool:
        # between the look and the removal
        found = really()
        one.manager.configuration.set_replication({"server_id": 7})
        return found

    monkeypatch.setattr(log, "_logs", begun)
    log.trim()
    assert one.paths.binlogs.is_dir()
    monkeypatch.undo()
    one.manager.configuration._manager.remove_system("replication", final=True)
    trimmer = threading.Thread(target=log.trim)
    with log._settling:
        trimmer.start()
        trimmer.join(10)
    assert one.paths.binlogs.is_dir()
    log.trim()
    assert not one.paths.binlogs.exists()


def test_the_place_of_the_log_is_not_removed_before_it_is_named(
        make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes a role while the agent looks for log that is left."""
    one = make()
    one.prepare()
    really, found = files.make_directory, list[bool]()
    trimmer = threading.Thread(target=one.manager.archive.trim)

    def made(path: pathlib.Path, **how: Any) -> None:
        really(path, **how)
        if path == one.paths.binlogs and not trimmer.ident:
            trimmer.start()
            trimmer.join(1)
            found.append(path.is_dir())

    monkeypatch.setattr(files, "make_directory", made)
    one.manager.replication.configure(Role.SOURCE)
    trimmer.join(10)
    assert not trimmer.is_alive()
    assert (found, one.paths.binlogs.is_dir()) == ([True], True)


def test_a_source_of_replicas_does_not_go_on_without_its_log(world: World) -> None:
    world.manager.enable_as_source(m.StepRequest(operation_id="o", step="s"))
    assert world.options()["binlog_error_action"] == "ABORT_SERVER"


def test_a_backup_of_another_release_or_engine_is_refused(make: Make,
                                                          store: tuple[str, Any]) -> None:
    url, _ = store
    one = make(version="8.0.36")
    one.prepare()
    stored = backup(one, url, 1)
    for kind, version, why in ((mysql.MySqlManager, "8.4.2", "of version 8.0, and the server"),
                               (mysql.MySqlManager, "5.7.44", "of version 8.0, and the server"),
                               (PerconaManager, "8.0.36", "another database engine")):
        other = make(kind, version)
        with pytest.raises(BadRequest, match=why):
            other.prepare(restore=restore_spec(url, stored))


def test_a_program_that_does_not_fit_the_server_is_refused(
        make: Make, store: tuple[str, Any]) -> None:
    one = make(version="8.0.36")
    one.prepare()
    program = one.bin / "xtrabackup"
    program.write_text(program.read_text().replace(XTRABACKUP["8.0"], XTRABACKUP["5.7"]))
    with pytest.raises(GuestError, match=r"XtraBackup 8\.0 is needed .* and 2\.4 is installed"):
        backup(one, store[0], 1)


# ---- upgrades ----------------------------------------------------------------------


def upgrade(world: World, version: str) -> None:
    """Replace the root disk, as the control plane does."""
    manager, kept = world.manager, world.home / "kept"
    manager.check_upgrade(series(version))
    kept.mkdir()
    manager.save_settings(kept)
    manager.stop_db()
    world.become(version)
    manager = world.manager
    manager.restore_settings(kept, sm.PostUpgrade(
        operation_id="o", step="after", memory_mb=512, config=world.config(),
        volume=None))
    manager.start_db()
    manager.upgrade_data()


@pytest.mark.parametrize(("kind", "before", "after"), [
    (mysql.MySqlManager, "5.7.44", "8.0.36"), (mysql.MySqlManager, "8.0.36", "8.4.2"),
    (mysql.MySqlManager, "8.0.34", "8.0.36"), (PerconaManager, "5.7.40", "5.7.44"),
    (PerconaManager, "8.0.36", "8.4.2")])
def test_data_and_users_outlive_an_upgrade(make: Make, kind: type[mysql.MySqlManager],
                                           before: str, after: str) -> None:
    one = make(kind, before)
    one.prepare(databases=[m.DatabaseSpec(name="shop")], users=[
        m.UserSpec(name="app", password=Secret("p"), databases=["shop"])])
    upgrade(one, after)
    assert one.stored()["version"] == after
    assert one.manager.probe() is ServiceStatus.HEALTHY
    assert one.stored()["users"]["os_admin@localhost"][1] == plugin_of(one)
    assert one.manager.get_user(m.UserRequest(name="app")).databases == ["shop"]
    assert bool((one.bin / "calls").read_text().count('["mysql_upgrade"')) is (
        series(after) == "5.7")


def test_users_of_the_former_way_to_log_in_stay_until_there_are_none(make: Make) -> None:
    one = make(version="5.7.44")
    one.prepare()
    one.manager.create_users(m.UsersRequest(users=[
        m.UserSpec(name="old", host="localhost", password=Secret("pw"))]))
    upgrade(one, "8.0.36")
    shutil.rmtree(one.home / "kept")
    upgrade(one, "8.4.2")
    assert one.stored()["users"]["old@localhost"][1] == NATIVE
    with pymysql.connect(unix_socket=one.paths.socket, user="old", password="pw"):
        assert one.options()[f"loose_{NATIVE}"] == "ON"
    one.manager.delete_user(m.UserRequest(name="old", host="localhost"))
    one.manager.upgrade_data()
    assert f"loose_{NATIVE}" not in one.options()
    one.manager.restart_db()
    assert one.server.state is not None
    with pytest.raises(Refused, match="not loaded"):
        one.server.state.run(f"CREATE USER 'x'@'%' IDENTIFIED WITH {NATIVE} BY 'p'")


@pytest.mark.parametrize(("before", "after", "why"), [
    ("5.7.44", "8.4", "has to go to 8.0 before"), ("8.4.2", "8.0", "cannot go back"),
    ("8.0.36", "5.7", "cannot go back"), ("8.0.36", "newest", "is not one of")])
def test_a_jump_is_refused_before_anything_is_changed(make: Make, before: str, after: str,
                                                      why: str) -> None:
    one = make(version=before)
    one.prepare()
    with pytest.raises(UnprocessableEntity, match=why):
        one.manager.check_upgrade(after)


def test_prepared_transactions_of_the_owner_are_in_the_way(make: Make) -> None:
    one = make(version="5.7.44")
    one.prepare()
    one.stored()["xa"] = [[1, 1, 0, "x"]]
    with pytest.raises(UnprocessableEntity, match="XA"):
        one.manager.check_upgrade("8.0")


# ---- copies of volumes --------------------------------------------------------------


def number(world: World) -> str:
    """Return what a server is told from others by."""
    return (world.paths.data / "auto.cnf").read_text()


def copy_of(world: World, other: World) -> None:
    world.manager.stop_db()
    other.paths.data.mkdir()
    for path in world.paths.data.iterdir():
        (other.paths.data / path.name).write_bytes(path.read_bytes())


@pytest.mark.parametrize(("before", "after"), [("8.0.36", "8.0.36"), ("5.7.44", "8.0.36"),
                                               ("8.0.36", "8.4.2")])
def test_a_copy_of_a_volume_becomes_an_instance(make: Make, before: str, after: str) -> None:
    one = make(version=before)
    one.prepare(databases=[m.DatabaseSpec(name="shop")])
    other = make(version=after)
    keys = ("ca-key.pem", "server-key.pem", "private_key.pem")
    for name in keys:
        (one.paths.data / name).write_text("the key of the first server")
    copy_of(one, other)
    other.prepare(existing=m.ExistingData(version=before))
    assert not any((other.paths.data / name).exists() for name in keys)
    assert [row.name for row in other.manager.list_databases(
        m.PageRequest(limit=9)).databases] == ["shop"]
    assert number(other) != number(one)
    assert other.stored()["users"]["os_admin@localhost"][1] == plugin_of(other)


@pytest.mark.parametrize(("before", "after", "why"), [
    ("5.7.44", "8.4.2", "8.0 before"), ("8.4.2", "8.0.36", "of version 8.0")])
def test_a_copy_that_the_server_cannot_read_is_refused(make: Make, before: str, after: str,
                                                       why: str) -> None:
    one, other = make(version=before), None
    one.prepare()
    other = make(version=after)
    copy_of(one, other)
    with pytest.raises(GuestError, match=why):
        other.prepare(existing=m.ExistingData(version=before))


@pytest.mark.parametrize("etc_first", [True, False])
@pytest.mark.parametrize("package", PACKAGES)
def test_our_options_are_in_force_whatever_the_package_brings(
        make: Make, package: str, etc_first: bool) -> None:
    one = make(package=package)
    one.prepare(overrides={"key_buffer_size": 4194304})
    found = read_options(one.paths, etc_first=etc_first)
    assert {name: found[name] for name in (
        "datadir", "socket", "pid_file", "bind_address", "key_buffer_size")} == {
        "datadir": str(one.paths.data), "socket": one.paths.socket, "bind_address": "*",
        "pid_file": one.paths.pid_file, "key_buffer_size": "4194304"}
    assert "max_binlog_size" not in found
    # no file is made that the package did not have
    assert (one.etc / "my.cnf").exists() is (package == "rpm")


def test_the_files_are_those_that_every_package_reads(make: Make) -> None:
    paths = PerconaManager(make(PerconaManager).manager.ctx).paths
    assert (paths.include_config, paths.other_config) == ("/etc/mysql/my.cnf", "/etc/my.cnf")
    assert {str(pathlib.Path(one).parent) for one in (paths.base_config, paths.changes)} == {
        "/etc/mysql"}
    assert paths.init_file.startswith("/var/lib/mysql/")
