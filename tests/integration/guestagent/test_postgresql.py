"""The PostgreSQL datastore with a real server, and backups in a real object store."""

from __future__ import annotations

import base64
import contextlib
import pathlib
import pwd
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from oslo_config import cfg
from psycopg.sql import Composed

from tests.integration.guestagent.archives import Archive
from tests.integration.guestagent.conftest import wait_for
from tests.integration.guestagent.processes import Nothing, Process
from tests.integration.guestagent.store import grant, progress, short_directory
from tests.servers.mariadb import free_port
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
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.datastores.experimental.postgresql import backup as pg_backup
from trove_ng.guestagent.datastores.experimental.postgresql.data import DataDirectory
from trove_ng.guestagent.datastores.experimental.postgresql.manager import PostgreSqlManager
from trove_ng.guestagent.datastores.experimental.postgresql.paths import (
    Paths,
    installed_version,
)
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Session
from trove_ng.guestagent.datastores.experimental.postgresql.wal import Kept
from trove_ng.guestagent.os import files
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import log_archive
from trove_ng.guestagent.storage.http import DamagedBackup, FullBackupNeeded, StorageError
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m
from trove_ng.rpc import server_messages as sm
from trove_ng.standalone.minicloud.swift import Swift

PAGE = m.PageRequest(limit=100)
#: names that need quotes of some kind
ODD = ("a b", 'q"uote', "per%cent", "under_score", "Capital", "ünï", "semi;colon", "it's", "%s")


class Server:
    """A server with its manager, in a directory of its own."""

    def __init__(self, home: pathlib.Path) -> None:
        home.mkdir(mode=0o755)
        for name in ("run", "mount", "etc", "state", "log"):
            (home / name).mkdir()
            shutil.chown(home / name, "postgres", "postgres")
        self.paths = Paths(
            mount=str(home / "mount"), version=installed_version(), etc=str(home / "etc"),
            run=str(home / "run"), log=str(home / "log"), port=free_port())
        user = pwd.getpwnam("postgres")
        self.process = Process(
            # no test cuts the power
            [self.paths.program("postgres"), "-D", str(self.paths.config_dir), "-c", "fsync=off"],
            home / "out",
            stop_signal=signal.SIGINT, user=user.pw_uid, group=user.pw_gid, cwd="/")
        conf = cfg.ConfigOpts()
        options.register(conf)
        conf([], project="trove")
        conf.set_override("state_change_wait_time", 20, group="guest_agent")
        conf.set_override("object_store_tries", 2, group="guest_agent")
        self.ctx = AgentContext(conf=conf, instance_id="i", clock=SystemClock(),
                                services=self.process, volumes=None, reporter=Nothing(),
                                state_dir=home / "state")
        self.manager = PostgreSqlManager(self.ctx, self.paths)

    def close(self) -> None:
        self.process.kill(())

    def prepare(self, **more: Any) -> None:
        self.manager.do_prepare(m.PrepareRequest(
            operation_id="o", step="prepare", datastore="postgresql", datastore_version="15",
            memory_mb=512, config=datastores.get("postgresql").config(512), **more), progress())

    def login(self, user: str, password: str, database: str) -> psycopg.Connection[Any]:
        """Return a connection as an owner has it."""
        return psycopg.connect(host="127.0.0.1", port=self.paths.port, user=user,
                               password=password, dbname=database, autocommit=True,
                               connect_timeout=10)

    def ask(self, statement: str, user: str = "app", password: str = "app-Pw1",
            database: str = "shop") -> list[tuple[Any, ...]]:
        with self.login(user, password, database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def setting(self, name: str) -> str:
        """Return a setting in force for the owner."""
        return str(self.ask(f"SHOW {name}")[0][0])

    def override(self, **values: Any) -> bool:
        return self.manager.apply_overrides(m.OverridesRequest(
            operation_id="o", step="overrides", values=values))

    def fill(self) -> None:
        """Make a database and a user that may use it."""
        self.manager.create_databases(m.DatabasesRequest(
            databases=[m.DatabaseSpec(name="shop")]))
        self.manager.create_users(m.UsersRequest(users=[user("app", "shop")]))

    def clear(self) -> None:
        """Leave nothing of what a test made."""
        for name in ("general", "slow_query"):
            self.manager.set_log(lm.LogSwitch(name=name, enabled=False))
        if self.override():
            self.manager.restart_db()
        self.manager.disable_root(m.Empty())
        for database in self.manager.list_databases(PAGE).databases:
            self.manager.delete_database(m.NameRequest(name=database.name))
        for one in self.manager.list_users(PAGE).users:
            self.manager.delete_user(m.UserRequest(name=one.name))


def user(name: str, *databases: str, password: str = "app-Pw1") -> m.UserSpec:
    return m.UserSpec(name=name, password=Secret(password), databases=list(databases))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where the first data directory that is made is kept: they are alike."""
    return tmp_path_factory.mktemp("first") / "data"


@pytest.fixture(scope="module", autouse=True)
def alike(first: pathlib.Path) -> Iterator[None]:
    """Copy the first data directory instead of making another one like it."""
    really_make = DataDirectory.make

    def make_or_copy(directory: DataDirectory) -> None:
        if not first.exists():
            really_make(directory)
            files.copy_tree(directory._paths.data, first)
        files.copy_tree(first, directory._paths.data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DataDirectory, "make", make_or_copy)
        yield


@pytest.fixture
def server(make: Any) -> Server:
    """A prepared server of the test's own."""
    one: Server = make("one")
    one.prepare()
    one.fill()
    return one


@pytest.fixture(scope="module")
def lasting(alike: None) -> Iterator[Server]:
    """A prepared server of all tests that need no other."""
    with contextlib.contextmanager(short_directory)() as home:
        one = Server(home / "lasting")
        one.prepare()
        yield one
        one.close()


@pytest.fixture
def shared(lasting: Server) -> Iterator[Server]:
    """That server, as if it had just been prepared."""
    lasting.fill()
    yield lasting
    lasting.clear()


# ---- life ----------------------------------------------------------------------------


def test_a_prepared_server_serves_and_plans_with_its_memory(shared: Server) -> None:
    assert shared.manager.probe() is ServiceStatus.HEALTHY
    shared.ask("CREATE TABLE t AS SELECT generate_series(1, 10) AS n")
    assert shared.ask("SELECT sum(n) FROM t") == [(55,)]
    assert (shared.setting("shared_buffers"), shared.setting("max_connections")) == (
        "128MB", "64")
    assert shared.setting("data_checksums") == "on"
    with pytest.raises(Conflict):
        shared.prepare()
    shared.manager.restart_db()
    assert shared.ask("SELECT sum(n) FROM t") == [(55,)]


def test_only_the_machines_root_is_the_agent(shared: Server) -> None:
    for database in ("postgres", "shop"):
        with pytest.raises(psycopg.OperationalError, match="pg_hba.conf rejects"):
            shared.login("os_admin", "", database)
    done = shared.manager.server
    with done.session() as session:
        session.run(_sql("ALTER ROLE app SUPERUSER"))
    # neither another role over the socket, nor a superuser for what backups read
    with pytest.raises(psycopg.OperationalError, match="pg_hba.conf rejects"):
        psycopg.connect(host=shared.paths.run, port=shared.paths.port, user="app",
                        dbname="shop")
    with pytest.raises(psycopg.OperationalError, match="pg_hba.conf rejects"):
        psycopg.connect(host="127.0.0.1", port=shared.paths.port, user="app",
                        password="app-Pw1", replication="true")
    assert shared.paths.config_dir.joinpath("pg_hba.conf").stat().st_mode & 0o007 == 0
    # nor may what runs as the server's user change what the agent reads and writes as root
    shared.override(work_mem=6000)
    etc = pathlib.Path(shared.paths.etc)
    for path in (etc, *etc.rglob("*")):
        assert (path.owner(), path.stat().st_mode & 0o022) == ("root", 0)


def _sql(text: str) -> Any:
    from psycopg.sql import SQL

    return SQL(text)  # type: ignore[arg-type]


def test_what_is_wrong_is_told(server: Server) -> None:
    first = server.manager.examine()
    assert (first.status, first.reason) == (ServiceStatus.HEALTHY, "")
    server.process.kill(())
    server.manager.status.expect_running(True)
    seen = server.manager.examine()
    assert seen.status is ServiceStatus.SHUTDOWN
    assert seen.reason == "The database has ended, and its log does not say why."
    server.manager.start_db()
    assert server.manager.examine().incarnation != first.incarnation
    server.ask("SELECT 1")
    with server.manager.server.session() as session:
        session.run(_sql("CREATE ROLE other SUPERUSER"))
        session.run(_sql("ALTER ROLE os_admin NOLOGIN"))
    assert server.manager.examine().reason == "The database refuses the agent's account."
    server.manager.stop_db()
    server.manager.directory.take_over()
    server.manager.start_db()
    assert server.manager.examine().status is ServiceStatus.HEALTHY


def test_a_server_that_is_full_or_hangs_is_blocked(server: Server) -> None:
    with server.manager.server.session() as session:
        session.run(_sql("ALTER ROLE app SUPERUSER"))
    held = [server.login("app", "app-Pw1", "shop") for _ in range(64)]
    seen = server.manager.examine()
    assert (seen.status, seen.reason) == (
        ServiceStatus.BLOCKED, "The database takes no more connections.")
    for one in held:
        one.close()
    wait_for(lambda: server.manager.examine().status is ServiceStatus.HEALTHY)
    assert server.process.child is not None
    server.process.child.send_signal(signal.SIGSTOP)
    seen = server.manager.examine()
    assert (seen.status, seen.reason) == (
        ServiceStatus.BLOCKED, "The database runs and does not answer.")
    server.process.child.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(("spoil", "why"), [
    (lambda one: (one.paths.data / "global/pg_control").write_bytes(b"nonsense"), "damaged"),
    (lambda one: one.paths.config.write_text("no_such_thing = 1\n"), "configuration"),
    (lambda one: (one.paths.data / "PG_VERSION").write_text("9\n"), "another version"),
    (lambda one: one.paths.data.rename(one.paths.data.with_name("gone")), "missing")])
def test_why_a_server_does_not_start_is_told(server: Server, spoil: Any, why: str) -> None:
    server.manager.stop_db()
    spoil(server)
    with pytest.raises(GuestError, match=why):
        server.manager.start_db()


# ---- databases and users -------------------------------------------------------------


def test_names_are_taken_as_they_are(shared: Server) -> None:
    shared.manager.create_databases(m.DatabasesRequest(
        databases=[m.DatabaseSpec(name=one) for one in ODD]))
    shared.manager.create_users(m.UsersRequest(
        users=[user(one, one, password=f"{one} '\"%s pw") for one in ODD]))
    for one in ODD:
        assert shared.ask("SELECT current_database()", one, f"{one} '\"%s pw", one) == [(one,)]
    listed = shared.manager.list_databases(PAGE).databases
    assert {one.name for one in listed} == {*ODD, "shop"}
    found = {one.name: one for one in shared.manager.list_users(PAGE).users}
    assert {name: found[name].databases for name in ODD} == {name: [name] for name in ODD}
    assert {(one.host, one.password) for one in found.values()} == {("%", None)}
    for one in ODD:
        shared.manager.delete_database(m.NameRequest(name=one))
        shared.manager.delete_user(m.UserRequest(name=one))
    assert [one.name for one in shared.manager.list_databases(PAGE).databases] == ["shop"]
    assert [one.name for one in shared.manager.list_users(PAGE).users] == ["app"]


def test_pages_give_each_once(shared: Server) -> None:
    shared.manager.create_databases(m.DatabasesRequest(
        databases=[m.DatabaseSpec(name=one) for one in ODD]))
    shared.manager.create_users(m.UsersRequest(users=[user(one) for one in ODD]))
    for call, part, more in ((shared.manager.list_databases, "databases", "shop"),
                             (shared.manager.list_users, "users", "app")):
        names: list[str] = []
        marker = None
        while True:
            page: Any = call(m.PageRequest(limit=4, marker=marker))
            names += [one.name for one in getattr(page, part)]
            marker = page.next_marker
            if marker is None:
                break
        assert sorted(names) == sorted([*ODD, more])


def test_databases_have_the_encoding_and_locale_that_is_asked_for(shared: Server) -> None:
    shared.manager.create_databases(m.DatabasesRequest(databases=[
        m.DatabaseSpec(name="latin", character_set="LATIN1", collate="C"),
        m.DatabaseSpec(name="plain")]))
    found = {one.name: (one.character_set, one.collate)
             for one in shared.manager.list_databases(PAGE).databases}
    assert (found["latin"], found["plain"]) == (("LATIN1", "C"), ("UTF8", "C.UTF-8"))
    for wrong in ({"character_set": "none"}, {"collate": "xx_YY"},
                  {"character_set": "LATIN1", "collate": "C.UTF-8"}):
        with pytest.raises(GuestError, match="character set or collation"):
            shared.manager.create_databases(m.DatabasesRequest(databases=[
                m.DatabaseSpec(name="first"), m.DatabaseSpec(name="wrong", **wrong)]))
    assert "first" not in {one.name for one in shared.manager.list_databases(PAGE).databases}
    with pytest.raises(Conflict, match="plain exists already"):
        shared.manager.create_databases(m.DatabasesRequest(
            databases=[m.DatabaseSpec(name="new"), m.DatabaseSpec(name="plain")]))
    for name in ("none", "postgres", "template1"):
        with pytest.raises(NotFound):
            shared.manager.delete_database(m.NameRequest(name=name))


def test_a_database_that_is_not_made_or_dropped_whole_is_no_hole(
        shared: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Session.run

    def fails_at(part: str) -> None:
        def run(session: Session, query: Any, values: Any = ()) -> Any:
            if part in (query if isinstance(query, Composed) else Composed([query])).as_string():
                raise GuestError("interrupted")
            return real(session, query, values)

        monkeypatch.setattr(Session, "run", run)

    shared.manager.enable_root(m.RootRequest(password=Secret("root's")))
    shared.ask("CREATE DATABASE roots; ", "postgres", "root's")
    for part in ("OWNER TO", "REVOKE ALL"):
        fails_at(part)
        with pytest.raises(GuestError, match="interrupted"):
            shared.manager.grant_access(m.AccessRequest(name="app", databases=["roots"]))
        # it is done from the beginning when it is asked for again
        with shared.manager.server.session() as session:
            assert real(session, _sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE "
                                      "'trove_db_%'")) == [(1,)]
    fails_at("CREATE ROLE")
    with pytest.raises(GuestError, match="interrupted"):
        shared.manager.create_databases(m.DatabasesRequest(
            databases=[m.DatabaseSpec(name="half")]))
    with pytest.raises(psycopg.OperationalError, match="not currently accepting"):
        shared.ask("SELECT 1", database="half")
    fails_at("DROP DATABASE")
    with pytest.raises(GuestError, match="interrupted"):
        shared.manager.delete_database(m.NameRequest(name="shop"))
    monkeypatch.setattr(Session, "run", real)
    assert shared.ask("SELECT 1") == [(1,)]
    shared.manager.delete_database(m.NameRequest(name="half"))
    # what its owner can make of it keeps nobody from dropping it
    shared.override(max_prepared_transactions=2)
    shared.manager.restart_db()
    shared.ask("ALTER DATABASE shop IS_TEMPLATE true")
    shared.ask("BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION 'it''s'")
    assert {one.name for one in shared.manager.list_databases(PAGE).databases} == {
        "shop", "roots"}
    shared.manager.delete_database(m.NameRequest(name="shop"))
    assert [one.name for one in shared.manager.list_databases(PAGE).databases] == ["roots"]


def test_all_who_may_use_a_database_may_use_all_of_it(shared: Server) -> None:
    shared.manager.create_users(m.UsersRequest(users=[user("second", "shop"), user("nobody")]))
    shared.ask("CREATE SCHEMA own CREATE TABLE own.t (n int)")
    shared.ask("CREATE TABLE t (n int)")
    shared.ask("INSERT INTO own.t VALUES (1); INSERT INTO t VALUES (2)", "second")
    shared.ask("ALTER TABLE own.t ADD COLUMN more int; DROP TABLE t", "second")
    assert shared.ask("SELECT n FROM own.t") == [(1,)]
    for database in ("shop", "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            shared.ask("SELECT 1", "nobody", database=database)


def test_grants_come_and_go(shared: Server) -> None:
    shared.manager.create_databases(m.DatabasesRequest(
        databases=[m.DatabaseSpec(name="one"), m.DatabaseSpec(name="two")]))
    shared.manager.grant_access(m.AccessRequest(name="app", databases=["one", "two"]))
    shared.ask("CREATE TABLE t (n int)", database="one")
    shown = shared.manager.list_access(m.UserRequest(name="app")).databases
    assert [one.name for one in shown] == ["one", "shop", "two"]
    inside = shared.login("app", "app-Pw1", "one")
    shared.manager.revoke_access(m.AccessRequest(name="app", databases=["one"]))
    with pytest.raises(psycopg.OperationalError):
        wait_for(lambda: inside.execute("SELECT 1") and False)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        shared.ask("SELECT 1", database="one")
    assert shared.ask("SELECT 1", database="two") == [(1,)]
    # it is out, whatever it gave itself in the name of the database's role
    shared.ask("GRANT ALL ON DATABASE two TO app, PUBLIC;"
               "CREATE TABLE u (n int); GRANT ALL ON u TO app; SET role none;"
               "CREATE TABLE public.own (n int)", database="two")
    inside = shared.login("app", "app-Pw1", "two")
    inside.execute("CREATE TABLE public.mine (n int)")
    shared.manager.revoke_access(m.AccessRequest(name="app", databases=["two"]))
    with pytest.raises(psycopg.OperationalError):
        inside.execute("GRANT CONNECT ON DATABASE two TO app")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        shared.ask("SELECT 1", database="two")
    shared.manager.create_users(m.UsersRequest(users=[user("heir", "two")]))
    assert shared.ask("SELECT n FROM u UNION TABLE mine UNION TABLE own", "heir",
                      database="two") == []
    for call, request in (
            (shared.manager.grant_access, {"name": "app", "databases": ["none"]}),
            (shared.manager.grant_access, {"name": "none", "databases": ["one"]}),
            (shared.manager.grant_access, {"name": "app", "databases": ["postgres"]}),
            (shared.manager.revoke_access, {"name": "app", "databases": ["one"]}),
            (shared.manager.grant_access, {"name": "app", "host": "10.0.0.1",
                                           "databases": ["one"]})):
        with pytest.raises(NotFound):
            call(m.AccessRequest(**request))


def test_a_user_is_changed_and_dropped_with_what_it_made(shared: Server) -> None:
    inside = shared.login("app", "app-Pw1", "shop")
    inside.execute("RESET role")
    inside.execute("SET role none")
    inside.execute("CREATE TABLE public.mine (n int)")
    shared.manager.update_user(m.UserUpdateRequest(name="app", change=m.UserChange(
        name="new name", password=Secret("another"))))
    assert shared.ask("SELECT 1", "new name", "another") == [(1,)]
    with pytest.raises(NotFound):
        shared.manager.get_user(m.UserRequest(name="app"))
    shared.manager.change_passwords(m.UsersRequest(
        users=[user("new name", password="third")]))
    assert shared.ask("SELECT 1", "new name", "third") == [(1,)]
    shared.manager.create_users(m.UsersRequest(users=[user("heir", "shop")]))
    for change, error in ((m.UserChange(name="heir"), Conflict),
                          (m.UserChange(name="postgres"), BadRequest),
                          (m.UserChange(host="10.0.0.1"), BadRequest)):
        with pytest.raises(error):
            shared.manager.update_user(m.UserUpdateRequest(name="new name", change=change))
    shared.manager.delete_user(m.UserRequest(name="new name", host="%"))
    with pytest.raises(psycopg.OperationalError):
        inside.execute("SELECT 1")
    assert shared.ask("SELECT count(*) FROM mine", "heir") == [(0,)]
    for name in ("os_admin", "postgres", "pg_monitor", "none"):
        with pytest.raises(NotFound):
            shared.manager.delete_user(m.UserRequest(name=name))


def test_passwords_are_in_no_log(shared: Server) -> None:
    shared.override(log_min_messages="debug1", log_min_duration_statement=0,
                    log_min_error_statement="debug1", log_min_duration_sample=0,
                    log_transaction_sample_rate=1.0, log_statement_stats=True,
                    debug_print_parse=True, debug_print_plan=True, debug_print_rewritten=True)
    shared.manager.set_log(lm.LogSwitch(name="general", enabled=True))
    shared.manager.create_users(m.UsersRequest(users=[user("logged", password="s3cret-pw")]))
    with pytest.raises(Conflict):
        shared.manager.create_users(m.UsersRequest(users=[user("logged", password="s3cret-2")]))
    shared.manager.enable_root(m.RootRequest(password=Secret("s3cret-root")))
    shared.ask("SELECT 'shown'")
    wait_for(lambda: "'shown'" in shared.process.recent_log(()))
    said = shared.process.recent_log(())
    assert "s3cret" not in said
    assert "SCRAM-SHA-256" not in said


# ---- root ----------------------------------------------------------------------------


def test_root_comes_and_goes(shared: Server) -> None:
    assert shared.manager.is_root_enabled(m.Empty()).value is False
    root = shared.manager.enable_root(m.RootRequest(password=None))
    assert (root.name, root.host) == ("postgres", "%")
    assert shared.manager.is_root_enabled(m.Empty()).value is True
    assert root.password is not None
    inside = shared.login("postgres", root.password.reveal(), "shop")
    assert inside.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
                          ).fetchall() == [(True,)]
    inside.execute("CREATE DATABASE roots")
    shared.manager.grant_access(m.AccessRequest(name="app", databases=["roots"]))
    shared.ask("CREATE TABLE t (n int)", database="roots")
    again = shared.manager.enable_root(m.RootRequest(password=Secret("my 'own\"")))
    assert again.password is not None
    assert shared.ask("SELECT 1", "postgres", "my 'own\"") == [(1,)]
    assert "postgres" not in [one.name for one in shared.manager.list_users(PAGE).users]
    shared.manager.disable_root(m.Empty())
    with pytest.raises(psycopg.OperationalError):
        inside.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        shared.login("postgres", "my 'own\"", "shop")
    shared.manager.disable_root(m.Empty())
    assert shared.manager.is_root_enabled(m.Empty()).value is False
    shared.manager.delete_database(m.NameRequest(name="roots"))


def test_root_can_be_there_from_the_beginning(make: Any) -> None:
    one: Server = make("one")
    with pytest.raises(GuestError, match="max_connections"):
        one.prepare(overrides={"max_connections": 3})
    one.prepare(root_password=Secret("first"))
    assert one.manager.is_root_enabled(m.Empty()).value
    assert one.ask("SELECT 1", "postgres", "first", "postgres") == [(1,)]


# ---- settings ------------------------------------------------------------------------


def test_settings_are_in_force_at_once_and_after_a_restart(shared: Server) -> None:
    wanted: dict[str, Any] = {
        "work_mem": 8192, "random_page_cost": 1.5, "enable_seqscan": False,
        "search_path": "\"$user\", it's\\, public", "log_line_prefix": "%m [%p] %q%u \\' ",
        "default_transaction_isolation": "repeatable read", "statement_timeout": 50000,
        "default_transaction_read_only": True, "exit_on_error": True}
    assert shared.override(**wanted) is False
    for _ in range(2):
        assert (shared.setting("work_mem"), shared.setting("random_page_cost"),
                shared.setting("enable_seqscan")) == ("8MB", "1.5", "off")
        assert shared.setting("search_path") == wanted["search_path"]
        assert shared.setting("default_transaction_isolation") == "repeatable read"
        shared.manager.restart_db()
    # the agent is not held up by them
    shared.manager.create_databases(m.DatabasesRequest(databases=[m.DatabaseSpec(name="x")]))
    shared.override()
    assert (shared.setting("work_mem"), shared.setting("enable_seqscan")) == ("4MB", "on")


def test_what_takes_effect_later_says_so(shared: Server) -> None:
    assert shared.override(max_connections=77, work_mem=8192) is True
    assert (shared.setting("max_connections"), shared.setting("work_mem")) == ("64", "8MB")
    shared.manager.restart_db()
    assert shared.setting("max_connections") == "77"
    assert shared.override(max_connections=77, work_mem=8193) is False
    assert shared.override() is True
    shared.manager.restart_db()
    assert shared.setting("max_connections") == "64"


def test_a_refused_value_changes_nothing(shared: Server) -> None:
    shared.override(work_mem=6000)
    before = {path.name: path.read_text() for path in shared.paths.changes.iterdir()}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"work_mem": "many"}, "the value of work_mem"), ({"wal_sync_method": "x"}, "wal_sync"),
        ({"work_mem": 100000, "not_there": 1}, "not_there"), ({"max_connections": -1}, "max_co"),
        ({"max_connections": 3}, "max_connections"), ({"min_wal_size": 31}, "min_wal_size"),
        ({"timezone": "Nowhere/Else"}, "timezone"), ({"log_line_prefix": "a\nb"}, "one line")]
    for values, why in refused:
        with pytest.raises(GuestError, match=why):
            shared.override(**values)
    assert {path.name: path.read_text() for path in shared.paths.changes.iterdir()} == before
    assert (shared.setting("work_mem"), shared.paths.draft.exists()) == ("6000kB", False)


#: what came with later releases of a version that had been released
_BY_UPDATES = {"composite_type_mismatch"}


def test_all_that_owners_may_set_can_be_set(shared: Server) -> None:
    """Each setting is given the value that it has."""
    with shared.manager.server.session() as session:
        known = {row[0].lower(): row for row in session.run(_sql(
            "SELECT name, reset_val, vartype, context = 'postmaster' FROM pg_settings"))}
    declared = {one.name: one for one in datastores.get("postgresql").parameters(
        installed_version())}
    # an older release of the same version refuses what it does not know
    unknown = declared.keys() - known
    assert unknown <= _BY_UPDATES
    for name in unknown:
        with pytest.raises(GuestError, match=name):
            shared.override(**{name: (declared[name].choices or ["1"])[0]})
    names = [name for name in declared if name in known]
    later = {name for name in names if declared[name].restart_required}
    assert {name for name in names if known[name][3]} == later
    kinds: dict[str, Any] = {"integer": int, "real": float, "bool": lambda one: one == "on"}
    values = {name: kinds.get(known[name][2], str)(known[name][1]) for name in names}
    shared.override(**values)
    shared.manager.restart_db()
    with shared.manager.server.session() as session:
        after = dict(session.run(_sql("SELECT lower(name), reset_val FROM pg_settings")))
    assert {name: after[name] for name in names} == {name: known[name][1] for name in names}


def test_no_owner_may_set_what_is_the_agents(shared: Server) -> None:
    declared = {one.name for one in datastores.get("postgresql").parameters(
        installed_version())}
    engine = datastores.get("postgresql")
    assert not [one for one in declared if engine.owns(one)]
    with shared.manager.server.session() as session:
        rows = session.run(_sql("SELECT lower(name) FROM pg_settings WHERE sourcefile LIKE "
                                "'%postgresql.conf'"))
    # what the agent's base says, but for what owners may say otherwise
    assert {row[0] for row in rows} - declared == {
        row[0] for row in rows if engine.owns(row[0])}


def test_another_size_changes_what_follows_from_it(server: Server) -> None:
    server.override(work_mem=6000)
    server.manager.stop_db()
    server.manager.apply_config(m.ResizeRequest(
        operation_id="o", step="start", memory_mb=2048,
        config=datastores.get("postgresql").config(2048)))
    server.manager.start_db()
    assert (server.setting("shared_buffers"), server.setting("work_mem")) == (
        "512MB", "6000kB")
    server.manager.configuration.apply_volume(64 * 1024 ** 3)
    server.manager.restart_db()
    assert server.setting("max_wal_size") == "4GB"


# ---- another root disk, logs ---------------------------------------------------------


def test_another_root_disk_finds_its_data_settings_and_password(server: Server,
                                                                tmp_path: pathlib.Path) -> None:
    server.manager.enable_root(m.RootRequest(password=Secret("root's")))
    server.manager.set_log(lm.LogSwitch(name="slow_query", enabled=True, long_query_time=2.5))
    server.manager.check_upgrade("15.99")
    for version in ("14", "16.1"):
        with pytest.raises(UnprocessableEntity, match=f"none for {version}"):
            server.manager.check_upgrade(version)
    server.manager.save_settings(tmp_path)
    server.manager.stop_db()
    shutil.rmtree(server.paths.etc)
    fresh = PostgreSqlManager(server.ctx, server.paths)
    fresh.restore_settings(tmp_path, sm.PostUpgrade(
        operation_id="o", step="post", memory_mb=512,
        config=datastores.get("postgresql").config(512), overrides={"work_mem": 7000},
        volume=m.VolumeSpec(device="/dev/vdb", mount_point=server.paths.mount)))
    fresh.start_db()
    assert server.ask("SELECT 1", "postgres", "root's") == [(1,)]
    assert (server.setting("work_mem"), server.setting("log_min_duration_statement")) == (
        "7000kB", "2500ms")


def test_statements_are_logged_when_they_are_to_be(shared: Server) -> None:
    def state(name: str) -> bool:
        return shared.manager.log_files()[name].enabled

    log = shared.manager.log_files()["error"].path
    wait_for(lambda: "ready to accept connections" in log.read_text())
    shared.ask("SELECT 'unseen'")
    assert [state(one) for one in ("error", "general", "slow_query")] == [True, False, False]
    shared.manager.set_log(lm.LogSwitch(name="general", enabled=True))
    shared.ask("SELECT 'seen'")
    shared.manager.set_log(lm.LogSwitch(name="general", enabled=False))
    shared.manager.set_log(lm.LogSwitch(name="slow_query", enabled=True, long_query_time=0.2))
    shared.ask("SELECT 'fast'")
    shared.ask("SELECT 'slow', pg_sleep(0.3)")
    wait_for(lambda: "'slow'" in log.read_text())
    text = log.read_text()
    assert ("'unseen'" in text, "'seen'" in text, "'fast'" in text) == (False, True, False)
    assert (state("general"), state("slow_query")) == (False, True)
    shared.override(log_min_duration_statement=60000, log_statement="ddl")
    shared.manager.set_log(lm.LogSwitch(name="slow_query", enabled=False))
    # the owner's group counts
    assert (shared.setting("log_min_duration_statement"), shared.setting("log_statement")) == (
        "1min", "ddl")
    shared.override()
    assert shared.setting("log_min_duration_statement") == "-1"
    with pytest.raises(BadRequest, match="always written"):
        shared.manager.set_log(lm.LogSwitch(name="error", enabled=False))
    with pytest.raises(NotFound):
        shared.manager.set_log(lm.LogSwitch(name="binlog", enabled=True))


def test_a_server_without_a_supervisor_writes_its_own_log(make: Any,
                                                          monkeypatch: Any) -> None:
    monkeypatch.setattr(Process, "log_path", lambda *_: None)
    one: Server = make("one")
    one.prepare()
    log = one.manager.log_files()["error"]
    assert (log.path, log.ours) == (one.paths.error_log, True)
    wait_for(lambda: "ready to accept connections" in log.path.read_text())
    log.path.rename(log.path.with_name("server.log.1"))
    one.manager.reopen_logs()
    wait_for(lambda: log.path.exists())
    one.manager.stop_db()
    one.paths.data.joinpath("global/pg_control").write_bytes(b"")
    with pytest.raises(GuestError, match="damaged"):
        one.manager.start_db()


# ---- backups -------------------------------------------------------------------------


def backup(server: Server, url: str, name: str = "1", key: Secret | None = None,
           parent: m.StoredBackup | None = None) -> m.StoredBackup:
    return server.manager.create_backup(m.BackupRequest(
        operation_id="o", step="create_backup", backup_id=name, strategy="pg_basebackup",
        grant=grant(url, f"backup_{name}/"), segment_size=1024 * 1024, key=key,
        parent=parent), progress())


def restored(make: Any, url: str, *chain: m.StoredBackup, key: Secret | None = None,
             name: str = "two") -> Server:
    one: Server = make(name)
    one.prepare(restore=m.RestoreSpec(
        backup_id="1", chain=list(chain), keys=[key] * len(chain) if key else [],
        grants=[grant(url, stored.segments[0].name.partition("/")[0] + "/")
                for stored in chain]))
    return one


def test_a_chain_of_backups_brings_each_moment_back(server: Server, make: Any,
                                                    store: tuple[str, Swift]) -> None:
    key = Secret(base64.urlsafe_b64encode(bytes(32)).decode())
    server.ask("CREATE TABLE t AS SELECT n, md5(n::text) AS h FROM generate_series(1, 20000) n")
    server.manager.enable_root(m.RootRequest(password=Secret("root's")))
    server.ask("ALTER SYSTEM SET work_mem = '9MB'", "postgres", "root's")
    server.ask("ALTER ROLE os_admin NOLOGIN", "postgres", "root's")
    server.ask("ALTER ROLE os_admin LOGIN", "postgres", "root's")
    chain = [backup(server, store[0], key=key)]
    assert len(chain[0].segments) > 1
    sums = [server.ask("SELECT count(*), sum(n) FROM t")]
    for number in (2, 3):
        server.ask(f"INSERT INTO t SELECT {number}, random()::text FROM generate_series(1, 500)")
        server.ask(f"CREATE TABLE made_{number} (n int)")
        sums.append(server.ask("SELECT count(*), sum(n) FROM t"))
        chain.append(backup(server, store[0], str(number), key, chain[-1]))
    assert chain[2].data_size < chain[0].data_size
    server.ask("DROP TABLE t")
    for length in (1, 3):
        one = restored(make, store[0], *chain[:length], key=key, name=f"r{length}")
        assert one.ask("SELECT count(*), sum(n) FROM t") == sums[length - 1]
        assert one.ask("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'made%'") == [
            (length - 1,)]
        assert (one.setting("work_mem"), one.manager.is_root_enabled(m.Empty()).value) == (
            "4MB", True)
        # its backups are of other data
        with pytest.raises(FullBackupNeeded, match="other data"):
            backup(one, store[0], "x", parent=chain[0])
    assert backup(one, store[0], "y").metadata["lineage"] != chain[0].metadata["lineage"]


#: what owners may set against whoever works with the server
AGAINST: dict[str, Any] = {
    "default_transaction_read_only": True, "timezone": "Europe/Berlin", "statement_timeout": 1,
    "lock_timeout": 1, "idle_session_timeout": 1, "idle_in_transaction_session_timeout": 1,
    "session_replication_role": "replica", "search_path": "nowhere", "exit_on_error": True,
    "extra_float_digits": -15, "datestyle": "german, dmy", "client_min_messages": "error",
    "log_min_messages": "panic", "standard_conforming_strings": False,
    "default_transaction_isolation": "serializable", "default_transaction_deferrable": True,
    "lc_messages": "POSIX", "client_encoding": "latin1", "row_security": False,
    "transform_null_equals": True}


def test_no_setting_of_owners_is_in_the_way_of_backups_and_restores(
        make: Any, store: tuple[str, Swift]) -> None:
    one: Server = make("one")
    one.prepare()
    one.fill()
    one.ask("CREATE TABLE public.t AS SELECT 1 AS n")
    one.override(**AGAINST)
    before = one.manager.examine()
    archive = Archive(one, store[0])
    archive.ship()
    assert one.manager.look_through(60, progress()).problems == []
    full = backup(one, store[0])
    late = time.time()
    assert abs(float(full.metadata[am.ENDED]) - late) < 60
    # clients are hindered
    one.override()
    one.ask("CREATE TABLE public.late AS SELECT 1 AS n")
    one.override(**AGAINST)
    archive.ship()
    until = archive.pieces[-1].until
    assert until is not None
    again: Server = make("two")
    again.prepare(overrides=AGAINST, restore=m.RestoreSpec(
        backup_id="1", chain=[full], grants=[grant(store[0], "backup_1/")],
        log=archive.replay(until, full)))
    assert again.manager.restored_to is not None
    assert late - 1 < again.manager.restored_to <= until
    assert (before.status, before.reason) == (ServiceStatus.HEALTHY, "")
    # it is the same run of the server, whatever time zone owners set
    one.override()
    assert one.manager.examine().incarnation == before.incarnation
    again.override()
    assert again.ask("SELECT n FROM public.late") == [(1,)]


def test_a_backup_may_take_longer_than_a_session(server: Server,
                                                 store: tuple[str, Swift]) -> None:
    seen: list[int] = []

    def look(_percent: int) -> None:
        with server.manager.server.session() as session:
            ((others,),) = session.run(_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND application_name = 'trove-guestagent'"))
        seen.append(others)

    server.override(statement_timeout=1)
    for parent in (None, backup(server, store[0])):
        server.manager.create_backup(m.BackupRequest(
            operation_id="o", step="create_backup", backup_id="2", strategy="pg_basebackup",
            grant=grant(store[0], "backup_2/"), parent=parent),
            Progress(look, threading.Event()))
        assert set(seen) == {0}
        seen.clear()


def test_what_was_begun_before_a_backup_is_not_in_it(server: Server, make: Any,
                                                     store: tuple[str, Swift]) -> None:
    server.ask("CREATE TABLE t (n int)")
    open_one = server.login("app", "app-Pw1", "shop")
    open_one.autocommit = False
    open_one.execute("INSERT INTO t VALUES (1)")
    full = backup(server, store[0])
    open_one.commit()
    later = backup(server, store[0], "2", parent=full)
    assert restored(make, store[0], full, name="r1").ask("SELECT count(*) FROM t") == [(0,)]
    assert restored(make, store[0], full, later, name="r2").ask(
        "SELECT count(*) FROM t") == [(1,)]


def test_a_log_that_is_not_kept_any_more_needs_a_full_backup(
        server: Server, store: tuple[str, Swift], monkeypatch: pytest.MonkeyPatch) -> None:
    server.manager.configuration.set_final("max_slot_wal_keep_size", "32MB")
    server.override(max_wal_size=32, min_wal_size=32)
    monkeypatch.setattr(pg_backup, "kept_log", lambda *_: 32 * 1024 ** 2)
    full = backup(server, store[0])
    server.ask("CREATE TABLE t (h text)")
    for _ in range(8):
        server.ask("INSERT INTO t SELECT repeat(md5(n::text), 10) "
                   "FROM generate_series(1, 40000) n")
        with server.manager.server.session() as session:
            session.run(_sql("CHECKPOINT"))
    with pytest.raises(FullBackupNeeded, match="not kept any more"):
        backup(server, store[0], "2", parent=full)
    again = backup(server, store[0], "3")
    assert backup(server, store[0], "4", parent=again).metadata["wal_from"] == (
        again.metadata["wal_next"])


def test_before_slots_had_bounds_a_backup_is_continued_by_what_is_kept_always(
        server: Server, make: Any, store: tuple[str, Swift],
        monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        server.ask("INSERT INTO t SELECT n, repeat(md5(n::text), 10) "
                   "FROM generate_series(1, 40000) n")
        with server.manager.server.session() as session:
            session.run(_sql("CHECKPOINT"))

    monkeypatch.setattr(pg_backup, "KEEPS_WAL", 99)
    # what this version knows it as
    server.override(wal_keep_size=64, max_wal_size=32, min_wal_size=32)
    server.ask("CREATE TABLE t (n int, h text)")
    full = backup(server, store[0])
    write()
    later = backup(server, store[0], "2", parent=full)
    with server.manager.server.session() as session:
        assert session.run(_sql("SELECT 1 FROM pg_replication_slots")) == []
    one = restored(make, store[0], full, later)
    assert one.ask("SELECT count(*) FROM t") == [(40000,)]
    for _ in range(8):
        write()
    with pytest.raises(FullBackupNeeded, match="not kept any more"):
        backup(server, store[0], "3", parent=later)


def test_log_that_goes_while_it_is_read_makes_a_full_backup_needed(
        server: Server, store: tuple[str, Swift], monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(packer: Any, found: Any, *args: Any, **how: Any) -> None:
        log_archive.pack(packer, [*found, found[0].with_name("gone")], *args, **how)

    full = backup(server, store[0])
    server.ask("CREATE TABLE t (n int)")
    monkeypatch.setattr(pg_backup, "pack", lose)
    with pytest.raises(FullBackupNeeded, match="not kept any more"):
        backup(server, store[0], "2", parent=full)


def test_a_damaged_backup_is_refused(server: Server, make: Any,
                                     store: tuple[str, Swift]) -> None:
    url, swift = store
    stored = backup(server, url)
    path = swift._store.path(swift._store.objects("AUTH_t", "c")[1])
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises((GuestError, StorageError)):
        restored(make, url, stored)
    path.write_bytes(data)
    # by less than the agent itself writes
    high, low = stored.metadata["to_lsn"].split("/")
    segment = 16 * 1024 ** 2
    just = f"{high}/{(int(low, 16) // segment + 1) * segment + 64:X}"
    short = msgspec.structs.replace(stored, metadata={**stored.metadata, "to_lsn": just})
    with pytest.raises(DamagedBackup, match="ends too early"):
        restored(make, url, short, name="short")


@pytest.mark.parametrize(("change", "why"), [
    ({"engine": "mariadb"}, "another database engine"), ({"form": "x"}, "form"),
    ({"version": "14"}, "is of version 14"), ({"wal_from": "0" * 24}, "not a full one"),
    ({"form": "tar+zstd+aes256gcm"}, "encrypted")])
def test_a_backup_for_another_server_is_refused(make: Any, change: dict[str, str],
                                                why: str) -> None:
    about = {"engine": "postgresql", "version": installed_version(), "form": "tar+zstd"}
    stored = m.StoredBackup(strategy="pg_basebackup", checksum="", size=0, segments=[
        m.Segment(name="a/b", size=0, md5="", sha256="")], metadata={**about, **change})
    with pytest.raises(BadRequest, match=why):
        restored(make, "http://127.0.0.1:1", stored)
    with pytest.raises(BadRequest, match="strategy pgdump is not known"):
        restored(make, "http://127.0.0.1:1",
                 msgspec.structs.replace(stored, strategy="pgdump"), name="three")


def test_log_is_kept_from_a_full_backup_on_and_for_no_failed_one_without_bound(
        server: Server, store: tuple[str, Swift], monkeypatch: pytest.MonkeyPatch) -> None:
    def slots() -> int:
        with server.manager.server.session() as session:
            return len(session.run(_sql("SELECT 1 FROM pg_replication_slots")))

    backup(server, store[0])
    with server.manager.server.session() as session:
        ((position,),) = session.run(_sql("SELECT pg_current_wal_lsn()"))
        server.ask("CREATE TABLE t (n int)")
        session.run(_sql("CHECKPOINT"))
    backup(server, store[0])
    with server.manager.server.session() as session:
        assert session.run(_sql("SELECT restart_lsn > %s::pg_lsn FROM pg_replication_slots"),
                           (position,)) == [(True,)]
    monkeypatch.setattr(pg_backup, "KEEPS_WAL", 99)
    with pytest.raises(StorageError):
        backup(server, "http://127.0.0.1:1")
    assert slots() == 0
    with server.manager.server.session() as session:
        Kept(session, 0).begin()
    server.manager.clean()
    assert slots() == 0


def test_damaged_pages_are_found(server: Server) -> None:
    server.ask("CREATE TABLE t AS SELECT n, md5(n::text) AS h FROM generate_series(1, 5000) n")
    whole = server.manager.look_through(60, progress())
    assert (whole.counts, whole.problems) == ({"databases": 1}, [])
    ((place,),) = server.ask("SELECT pg_relation_filepath('t')")
    server.manager.restart_db()
    with (server.paths.data / place).open("r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"damage")
    found = server.manager.look_through(60, progress())
    assert found.problems == [
        "Pages of the data are damaged; the log of errors names their files."]
    with pytest.raises(GuestError, match="in 0 seconds"):
        server.manager.look_through(0, progress())
