"""The MariaDB datastore with a real server, and backups in a real object store."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pymysql
import pytest
from oslo_config import cfg

from tests.integration.guestagent.processes import Nothing, Process
from tests.integration.guestagent.store import Stored, grant, progress
from tests.servers.mariadb import free_port
from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import BadRequest, Conflict, GuestError, NotFound
from trove_ng.common.secret import Secret
from trove_ng.common.states import ServiceStatus
from trove_ng.conf import guestagent as options
from trove_ng.datastores import base as datastores
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.datastores.experimental.mariadb.manager import MariaDbManager
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.os.volumes import VolumeManager
from trove_ng.guestagent.storage import swift as streams
from trove_ng.operations.replication import new_password
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.standalone.minicloud.swift import Swift


class Server:
    """A server with its manager, in a directory of its own."""

    def __init__(self, home: pathlib.Path) -> None:
        home.mkdir(mode=0o755)
        for name in ("run", "conf.d", "mount"):
            (home / name).mkdir()
        shutil.chown(home / "run", "mysql", "mysql")
        self.paths = Paths(
            mount=str(home / "mount"), socket=str(home / "run/s"),
            pid_file=str(home / "run/pid"), base_config=str(home / "trove.cnf"),
            include_config=str(home / "conf.d/99-trove.cnf"), changes=str(home / "changes"),
            init_file=str(home / "run/init.sql"), port=free_port())
        (home / "my.cnf").write_text(f"!includedir {home / 'conf.d'}/\n")
        self.process = Process(["mariadbd", f"--defaults-file={home / 'my.cnf'}"], home / "log")
        conf = cfg.ConfigOpts()
        options.register(conf)
        conf([], project="trove")
        conf.set_override("state_change_wait_time", 60, group="guest_agent")
        conf.set_override("object_store_tries", 3, group="guest_agent")
        self.manager = MariaDbManager(AgentContext(
            conf=conf, instance_id=f"i-{home.name}", clock=SystemClock(), services=self.process,
            volumes=VolumeManager(conf, home / "state", SystemClock()), reporter=Nothing(),
            state_dir=home / "state"), self.paths)

    def prepare(self, **more: Any) -> None:
        request = m.PrepareRequest(
            operation_id="o", step="prepare", datastore="mariadb", datastore_version="10.11",
            memory_mb=512, config=datastores.get("mariadb").config(512), **more)
        self.manager.do_prepare(request, progress())
        if request.databases:
            self.manager.create_databases(m.DatabasesRequest(databases=request.databases))
        if request.users:
            self.manager.create_users(m.UsersRequest(users=request.users))

    def login(self, user: str, password: str, database: str | None = None) -> Any:
        return pymysql.connect(host="127.0.0.1", port=self.paths.port, user=user,
                               password=password, database=database, autocommit=True)

    def query(self, statement: str, *login: str) -> list[Any]:
        with self.login(*login) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def close(self) -> None:
        self.process.stop(())


@pytest.fixture
def server(make: Any) -> Server:
    """A prepared server with database ``shop`` and user ``app``."""
    one: Server = make("one")
    one.prepare(databases=[m.DatabaseSpec(name="shop", character_set="utf8mb4")], users=[
        m.UserSpec(name="app", password=Secret("app'Pw\\1"), databases=["shop"])])
    return one


APP = ("app", "app'Pw\\1", "shop")


def test_a_prepared_server_lets_its_user_in(server: Server) -> None:
    assert server.manager.probe() is ServiceStatus.HEALTHY
    assert server.query("SELECT DATABASE()", *APP) == [("shop",)]
    assert server.query("SELECT @@innodb_buffer_pool_size / 1048576", *APP)[0][0] == 256
    assert server.query("SELECT @@local_infile", *APP)[0][0] == 0


@pytest.mark.parametrize("mode", [
    "PAD_CHAR_TO_FULL_LENGTH", "EMPTY_STRING_IS_NULL", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES"])
def test_what_the_sql_mode_says_of_texts_is_not_for_the_agent(server: Server, mode: str) -> None:
    manager = server.manager
    manager.enable_as_source(m.StepRequest(operation_id="o", step="s"))
    manager.apply_overrides(m.OverridesRequest(
        operation_id="o", step="s", values={"sql_mode": mode}, restart=[]))
    assert [one.name for one in manager.list_users(m.PageRequest(limit=9)).users] == ["app"]
    assert manager.get_user(m.UserRequest(name="app")).databases == ["shop"]
    manager.enable_root(m.RootRequest(password=Secret("mine")))
    assert server.query("SELECT 1", "root", "mine")
    # who may write in spite of read_only is found, and kept out
    manager.replication.stop_writes()
    with pytest.raises(pymysql.err.OperationalError):
        server.query("SELECT 1", "root", "mine")


def test_rules_for_passwords_are_kept_by_those_that_the_service_makes(server: Server) -> None:
    manager = server.manager
    with manager.server.session() as session:
        session.run("INSTALL SONAME 'simple_password_check'")
    made = manager.enable_root(m.RootRequest()).password
    assert made is not None
    assert server.query("SELECT 1", "root", made.reveal())
    manager.set_replica_accounts(rm.ReplicaAccounts(keep=[], add=m.UserSpec(
        name=f"{REPLICA_USERS}one", password=new_password())))
    with pytest.raises(GuestError, match="breaks its rules"):
        manager.enable_root(m.RootRequest(password=Secret("lettersandDigits1")))


def test_nobody_comes_in_without_a_password(server: Server) -> None:
    for user in ("", "root", "app", "os_admin", "mysql"):
        with pytest.raises(pymysql.err.OperationalError):
            server.login(user, "")


def test_the_admins_password_is_for_root_only(server: Server) -> None:
    path = server.manager.admin.option_file
    assert path.stat().st_mode & 0o777 == 0o600
    _, password = server.manager.admin.credentials()
    assert not pathlib.Path(server.paths.init_file).exists()
    for line in pathlib.Path(server.paths.changes).iterdir():
        assert password.reveal() not in line.read_text()


def test_a_volume_with_data_is_left_alone(server: Server) -> None:
    with pytest.raises(Conflict):
        server.prepare()
    assert server.query("SELECT 1", *APP)[0][0] == 1


@pytest.mark.parametrize("name", ["a_b", "100%", "back`tick", "ünï", "select", "with space",
                                  "quote'd"])
def test_strange_names_work_and_grants_are_for_them_alone(server: Server, name: str) -> None:
    manager = server.manager
    other = name.replace("_", "x").replace("%", "x") + "z"
    manager.create_databases(m.DatabasesRequest(databases=[
        m.DatabaseSpec(name=name, character_set="utf8mb4", collate="utf8mb4_bin"),
        m.DatabaseSpec(name=other)]))
    manager.create_users(m.UsersRequest(users=[
        m.UserSpec(name="u", password=Secret("p"), databases=[name])]))
    assert manager.get_user(m.UserRequest(name="u")).databases == [name]
    seen = {row[0] for row in server.query("SHOW DATABASES", "u", "p")}
    assert name in seen
    assert other not in seen
    manager.revoke_access(m.AccessRequest(name="u", databases=[name]))
    assert manager.get_user(m.UserRequest(name="u")).databases == []
    manager.delete_database(m.NameRequest(name=name))
    with pytest.raises(NotFound):
        manager.delete_database(m.NameRequest(name=name))


def test_databases_and_users_are_listed_in_pages(server: Server) -> None:
    manager = server.manager
    manager.create_databases(m.DatabasesRequest(databases=[
        m.DatabaseSpec(name=f"d{number}") for number in range(5)]))
    first = manager.list_databases(m.PageRequest(limit=4))
    assert [one.name for one in first.databases] == ["d0", "d1", "d2", "d3"]
    rest = manager.list_databases(m.PageRequest(limit=4, marker=first.next_marker))
    assert [one.name for one in rest.databases] == ["d4", "shop"]
    assert rest.next_marker is None
    users = manager.list_users(m.PageRequest(limit=10)).users
    assert [(one.name, one.host) for one in users] == [("app", "%")]


def test_pages_have_one_order_and_all_names_whatever_the_servers_collation(
        server: Server) -> None:
    manager = server.manager
    # alike for a collation, and other names all the same
    names = sorted(["sýs", "SHOP", "Sßhop", "zz", "Zz", "ä", "100%"])
    manager.create_databases(m.DatabasesRequest(databases=[
        m.DatabaseSpec(name=name) for name in names]))
    users = sorted([("röot", "%"), ("ROOT2", "%"), ("u", "%"), ("u", "10.%"), ("U", "%"),
                    ("app", "%")], key="@".join)
    manager.create_users(m.UsersRequest(users=[
        m.UserSpec(name=name, host=host, password=Secret("p"))
        for name, host in users if name != "app"]))
    for limit in (1, 2, 100):
        found: list[str] = []
        marker = None
        while True:
            page = manager.list_databases(m.PageRequest(limit=limit, marker=marker))
            found += [one.name for one in page.databases]
            marker = page.next_marker
            if marker is None:
                break
        assert found == sorted([*names, "shop"])
        seen: list[tuple[str, str | None]] = []
        while True:
            more = manager.list_users(m.PageRequest(limit=limit, marker=marker))
            seen += [(one.name, one.host) for one in more.users]
            marker = more.next_marker
            if marker is None:
                break
        assert seen == users
    again = manager.list_databases(m.PageRequest(limit=1, marker="zz", include_marker=True))
    assert [one.name for one in again.databases] == ["zz"]
    with pytest.raises(NotFound):
        manager.get_user(m.UserRequest(name="root2"))


def test_all_or_none_is_created(server: Server) -> None:
    manager = server.manager
    with pytest.raises(Conflict, match="shop"):
        manager.create_databases(m.DatabasesRequest(databases=[
            m.DatabaseSpec(name="new"), m.DatabaseSpec(name="shop")]))
    with pytest.raises(GuestError):
        manager.create_databases(m.DatabasesRequest(databases=[
            m.DatabaseSpec(name="new"), m.DatabaseSpec(name="n2", character_set="klingon")]))
    with pytest.raises(NotFound):
        manager.create_users(m.UsersRequest(users=[
            m.UserSpec(name="a", password=Secret("p")),
            m.UserSpec(name="b", password=Secret("p"), databases=["none"])]))
    assert [one.name for one in manager.list_databases(
        m.PageRequest(limit=9)).databases] == ["shop"]
    assert len(manager.list_users(m.PageRequest(limit=9)).users) == 1


def test_users_change(server: Server) -> None:
    manager = server.manager
    manager.update_user(m.UserUpdateRequest(name="app", change=m.UserChange(
        name="app2", host="127.0.0.1", password=Secret("new"))))
    assert server.query("SELECT 1", "app2", "new", "shop")[0][0] == 1
    assert manager.get_user(m.UserRequest(name="app2", host="127.0.0.1")).databases == ["shop"]
    manager.change_passwords(m.UsersRequest(users=[
        m.UserSpec(name="app2", host="127.0.0.1", password=Secret("newer"))]))
    open_connection = server.login("app2", "newer", "shop")
    manager.delete_user(m.UserRequest(name="app2", host="127.0.0.1"))
    with pytest.raises(pymysql.err.OperationalError):
        server.login("app2", "newer")
    with pytest.raises(pymysql.err.MySQLError):
        open_connection.query("SELECT 1")


@pytest.mark.parametrize("name", ["os_admin", "root", "mariadb.sys"])
def test_the_services_own_users_are_out_of_reach(server: Server, name: str) -> None:
    manager = server.manager
    for call in (lambda: manager.get_user(m.UserRequest(name=name, host="localhost")),
                 lambda: manager.delete_user(m.UserRequest(name=name, host="localhost")),
                 lambda: manager.create_users(m.UsersRequest(users=[
                     m.UserSpec(name=name, password=Secret("p"))]))):
        with pytest.raises((NotFound, BadRequest)):
            call()
    with pytest.raises(NotFound):
        manager.delete_database(m.NameRequest(name="mysql"))


def test_root_comes_and_goes(server: Server) -> None:
    manager = server.manager
    assert not manager.is_root_enabled(m.Empty()).value
    made = manager.enable_root(m.RootRequest())
    assert made.password is not None
    assert server.query("SELECT CURRENT_USER()", "root", made.password.reveal()) == [
        ("root@%",)]
    manager.enable_root(m.RootRequest(password=Secret("chosen")))
    assert server.query("SELECT 1", "root", "chosen")[0][0] == 1
    assert manager.is_root_enabled(m.Empty()).value
    manager.disable_root(m.Empty())
    with pytest.raises(pymysql.err.OperationalError):
        server.login("root", "chosen")


def test_root_leaves_no_way_back(server: Server) -> None:
    made = server.manager.enable_root(m.RootRequest()).password
    assert made is not None
    inside = [server.login("root", made.reveal())]
    server.query("CREATE USER root@'127.0.0.%' IDENTIFIED BY 'p'", "root", made.reveal())
    inside.append(server.login("root", "p"))
    own = pymysql.connect(unix_socket=server.paths.socket, user="root")
    server.manager.disable_root(m.Empty())
    for connection in inside:
        with pytest.raises(pymysql.err.OperationalError):
            connection.cursor().execute("CREATE USER back@'%'")
    own.cursor().execute("SELECT 1")
    assert not server.manager.is_root_enabled(m.Empty()).value
    with pytest.raises(pymysql.err.OperationalError):
        server.login("root", "p")


def test_a_host_is_the_same_in_any_case(server: Server) -> None:
    manager, user = server.manager, m.UserSpec(name="u", host="DB.Example.org",
                                               password=Secret("p"), databases=["shop"])
    manager.create_users(m.UsersRequest(users=[user]))
    assert manager.get_user(m.UserRequest(name="u", host="DB.Example.org")).databases == ["shop"]
    with pytest.raises(Conflict, match="db.example.org exists already"):
        manager.create_users(m.UsersRequest(users=[user]))
    manager.update_user(m.UserUpdateRequest(name="u", host="DB.EXAMPLE.ORG",
                                            change=m.UserChange(host="127.0.0.1")))
    assert server.query("SELECT 1", "u", "p", "shop")[0][0] == 1


def test_grants_on_the_servers_own_databases_are_not_shown(server: Server) -> None:
    made = server.manager.enable_root(m.RootRequest()).password
    assert made is not None
    server.query("GRANT SELECT ON mysql.* TO app@'%'", "root", made.reveal())
    assert [one.name for one in server.manager.list_access(
        m.UserRequest(name="app")).databases] == ["shop"]
    with pytest.raises(NotFound):
        server.manager.revoke_access(m.AccessRequest(name="app", databases=["mysql"]))


@pytest.mark.parametrize(("variables", "charset"), [
    ({"character_set_server": "latin1"}, "latin1_swedish_ci"),
    ({"collation_server": "latin1_bin"}, "latin1_bin"),
    ({"tx_isolation": "READ-COMMITTED", "time_zone": "+02:00"}, "utf8mb4_general_ci")])
def test_the_owners_settings_let_the_server_start(make: Any, variables: dict[str, Any],
                                                  charset: str) -> None:
    one: Server = make("one")
    one.prepare(overrides=variables, users=[m.UserSpec(name="u", password=Secret("p"))])
    assert one.query("SELECT @@global.collation_server", "u", "p") == [(charset,)]
    for name in variables:
        assert one.query(f"SELECT @@global.{name}", "u", "p") == [(variables[name],)]


def test_another_size_takes_effect_at_the_next_start(server: Server) -> None:
    manager = server.manager
    manager.stop_db()
    assert manager.probe() is ServiceStatus.SHUTDOWN
    manager.apply_config(m.ResizeRequest(
        operation_id="o", step="s", memory_mb=1024,
        config=datastores.get("mariadb").config(1024)))
    manager.start_db()
    assert server.query("SELECT @@innodb_buffer_pool_size / 1048576", *APP)[0][0] == 512


def test_a_server_that_takes_no_more_connections_is_blocked(server: Server) -> None:
    password = server.manager.enable_root(m.RootRequest()).password
    assert password is not None
    server.query("SET GLOBAL max_connections = 10", "root", password.reveal())
    held = []
    try:
        with pytest.raises(pymysql.err.OperationalError):
            for _ in range(20):
                held.append(server.login(*APP))
        # the one that is kept for an administrator
        held.append(server.login("root", password.reveal()))
        assert server.manager.probe() is ServiceStatus.BLOCKED
    finally:
        for one in held:
            one.close()


def test_a_look_at_a_hung_server_takes_seconds(server: Server) -> None:
    assert server.process.child is not None
    server.process.child.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert server.manager.probe() is ServiceStatus.BLOCKED
        assert time.monotonic() - begun < 10
    finally:
        server.process.child.send_signal(signal.SIGCONT)
    assert server.manager.probe() is ServiceStatus.HEALTHY


def test_a_killed_server_is_seen(server: Server) -> None:
    assert server.process.child is not None
    server.process.child.kill()
    server.process.child.wait()
    assert server.manager.probe() is ServiceStatus.SHUTDOWN


# ---- backups -------------------------------------------------------------------------


def backup(server: Server, url: str, segment_size: int = 1024 * 1024) -> m.StoredBackup:
    return server.manager.create_backup(m.BackupRequest(
        operation_id="o", step="create_backup", backup_id="1", strategy="mariabackup",
        grant=grant(url), segment_size=segment_size), progress())


@pytest.fixture
def filled(server: Server) -> Server:
    """A server with rows of every kind."""
    server.query("CREATE TABLE t (id INT PRIMARY KEY, b BLOB, s VARCHAR(50), d DATETIME(6), "
                 "j JSON, f DOUBLE)", *APP)
    server.query("INSERT INTO t SELECT seq, RANDOM_BYTES(1000), CONCAT('ü€', seq), NOW(6), "
                 "JSON_OBJECT('a', seq), RAND() FROM seq_1_to_3000", *APP)
    return server


ROWS = "SELECT * FROM t ORDER BY id"


def test_a_restored_server_is_equal_row_for_row(filled: Server, make: Any,
                                                store: tuple[str, Swift]) -> None:
    url, swift = store
    stored = backup(filled, url)
    assert len(stored.segments) > 1
    assert stored.size == sum(one.size for one in swift._store.objects("AUTH_t", "c"))
    assert int(stored.metadata["to_lsn"]) > 0
    before = filled.query(ROWS, *APP)
    _, old = filled.manager.admin.credentials()
    other: Server = make("two")
    other.prepare(restore=m.RestoreSpec(backup_id="1", chain=[stored], grants=[grant(url)]))
    assert other.query(ROWS, *APP) == before
    assert other.manager.admin.credentials()[1] != old
    assert other.manager.get_user(m.UserRequest(name="app")).databases == ["shop"]
    assert not other.paths.staging.exists()


def damages(stored: m.StoredBackup, objects: Stored) -> Iterator[tuple[m.StoredBackup, str]]:
    """Damage a backup in many ways; give what is to be restored and what is to be told."""
    names = objects.names
    for name in names * int(os.environ.get("TROVE_GUESTFAULTS", "1")):
        objects.flip(name)
        yield stored, f"checksum of {name} is wrong"
    for name in (names[0], names[1], names[-1]):
        objects.drop(name)
        yield stored, f"damaged: {name} is missing"
        objects.cut(name)
        yield stored, f"damaged: {name} is not what was stored"
        objects.replace(name, b"")
        yield stored, f"damaged: {name} is not what was stored"
    objects.swap(names[0], names[1])
    yield stored, f"damaged: {names[0]} is not"
    change = msgspec.structs.replace
    yield change(stored, segments=stored.segments[::-1]), "list of segments"
    yield change(stored, segments=stored.segments[1:]), "list of segments"
    yield change(stored, checksum=stored.checksum.translate(
        str.maketrans("01", "10"))), "list of segments"
    for about, why in (({"engine": "postgresql"}, "another database engine"),
                       ({"form": "tar+aes"}, "form"), ({"version": "99.1"}, "version 99.1")):
        yield change(stored, metadata=stored.metadata | about), why
    yield change(stored, data_size=1000), "more than was recorded"
    yield change(stored, data_size=2 ** 60), "volume is too small"
    # sealed well, and no archive: what another program stored
    objects.replace(names[-1], b"no archive")
    segment = change(stored.segments[-1], size=10, md5=hashlib.md5(b"no archive").hexdigest(),
                     sha256=hashlib.sha256(b"no archive").hexdigest())
    yield change(stored, segments=[segment], size=10,
                 checksum=streams.checksum([segment])), "cannot be decompressed"


def test_a_damaged_backup_touches_no_data_and_a_whole_one_can_follow(
        filled: Server, make: Any, store: tuple[str, Swift]) -> None:
    url, swift = store
    stored = backup(filled, url)
    before = filled.query(ROWS, *APP)
    objects = Stored(swift)
    assert len(objects.names) > 2
    other: Server = make("two")
    for damaged, why in damages(stored, objects):
        with pytest.raises((GuestError, BadRequest), match=why):
            other.prepare(restore=m.RestoreSpec(backup_id="1", chain=[damaged],
                                                grants=[grant(url)]))
        assert not other.paths.data.exists(), why
        assert not other.paths.staging.exists(), why
        assert not other.process.is_running(()), why
        objects.mend()
    other.prepare(restore=m.RestoreSpec(backup_id="1", chain=[stored], grants=[grant(url)]))
    assert other.query(ROWS, *APP) == before


CIPHER = Secret(base64.urlsafe_b64encode(bytes(range(32))).decode())


def continued(server: Server, url: str, number: int, parent: m.StoredBackup | None,
              key: Secret | None = None) -> m.StoredBackup:
    """Make a link of a chain, with 500 rows more than the one before."""
    server.query(f"INSERT INTO t SELECT seq, RANDOM_BYTES(1000), 'x', NOW(6), '{{}}', 0 FROM "
                 f"seq_{number * 10000}_to_{number * 10000 + 499}", *APP)
    server.query(f"UPDATE t SET f = {number} WHERE id < 20", *APP)
    return server.manager.create_backup(m.BackupRequest(
        operation_id=f"o{number}", step="create_backup", backup_id=str(number),
        strategy="mariabackup", grant=grant(url, f"backup_{number}/"), parent=parent,
        segment_size=1024 * 1024, key=key), progress())


def test_a_chain_of_three_is_restored_and_one_with_a_damaged_link_is_not(
        filled: Server, make: Any, store: tuple[str, Swift]) -> None:
    url, swift = store
    keys: list[Secret | None] = [None, CIPHER, None]
    chain: list[m.StoredBackup] = []
    for number, key in enumerate(keys, 1):
        chain.append(continued(filled, url, number, chain[-1] if chain else None, key))
    before = filled.query(ROWS, *APP)
    assert len(before) == 4500
    filled.query("DELETE FROM t", *APP)
    for full, following in itertools.pairwise(chain):
        assert following.metadata["from_lsn"] == full.metadata["to_lsn"]
        assert following.metadata["backup_type"] == "incremental"

    other: Server = make("two")

    def spec(links: Sequence[int], **more: Any) -> m.RestoreSpec:
        return m.RestoreSpec(
            backup_id="3", chain=[chain[one - 1] for one in links],
            grants=[grant(url, f"backup_{one}/") for one in links],
            **{"keys": [keys[one - 1] for one in links], **more})

    def refused(wanted: m.RestoreSpec, why: str) -> None:
        with pytest.raises((GuestError, BadRequest), match=why):
            other.prepare(restore=wanted)
        assert not any(folder.exists() for folder in (
            other.paths.data, other.paths.staging, other.paths.increment))

    objects = Stored(swift)
    for prefix in ("backup_1/", "backup_2/"):
        name = next(one for one in objects.names if one.startswith(prefix))
        objects.flip(name)
        refused(spec([1, 2, 3]), f"checksum of {name} is wrong")
        objects.drop(name)
        refused(spec([1, 2, 3]), f"{name} is missing")
        objects.mend()
    refused(spec([1, 3]), "does not continue")
    refused(spec([2, 3]), "not a full one")
    refused(spec([1, 2, 3], keys=[]), "its key is not known")
    refused(spec([1, 2, 3], keys=[None, Secret(CIPHER.reveal()[::-1].replace("=", "A")[:43]
                                               + "="), None]), "cannot be decrypted")
    other.prepare(restore=spec([1, 2, 3]))
    assert other.query(ROWS, *APP) == before
    with pytest.raises(BadRequest, match="other data"):
        continued(other, url, 4, chain[2])
    for full in chain:
        segments = b"".join(swift._store.path(one).read_bytes() for one in (
            swift._store.objects("AUTH_t", "c")) if one.name == full.segments[0].name)
        assert segments.startswith(b"TNG1" if full is chain[1] else b"\x28\xb5\x2f\xfd")


def test_a_volume_without_room_is_named_by_whatever_needs_it(
        filled: Server, make: Any, store: tuple[str, Swift]) -> None:
    url, _ = store
    stored = backup(filled, url)
    small: Server = make("two")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", small.paths.mount],
                   check=True)

    def restored(**change: Any) -> m.RestoreSpec:
        return m.RestoreSpec(backup_id="1", grants=[grant(url)],
                             chain=[msgspec.structs.replace(stored, **change)])

    try:
        with pytest.raises(GuestError, match="volume is too small: the backup needs"):
            small.prepare(restore=restored())
        with pytest.raises(GuestError, match="mbstream .*: the disk is full"):
            small.prepare(restore=restored(data_size=0))
        assert not small.paths.staging.exists()
        with pytest.raises(GuestError, match="the disk is full"):
            small.prepare()
    finally:
        subprocess.run(["umount", small.paths.mount], check=True)


def test_a_grant_is_good_for_its_prefix_only(filled: Server, store: tuple[str, Swift]) -> None:
    url, _ = store
    wrong = grant(url, "backup_2/")
    with pytest.raises(GuestError, match="401"):
        filled.manager.create_backup(m.BackupRequest(
            operation_id="o", step="create_backup", backup_id="1", strategy="mariabackup",
            grant=msgspec.structs.replace(wrong, prefix="backup_1/")), progress())
    assert filled.query("SELECT COUNT(*) FROM t", *APP)[0][0] == 3000


def test_an_object_store_that_goes_away_fails_the_backup_only(
        filled: Server, store: tuple[str, Swift]) -> None:
    with pytest.raises(GuestError, match="did not take .* connection refused"):
        backup(filled, "http://127.0.0.1:9")
    assert filled.manager.probe() is ServiceStatus.HEALTHY


def test_no_password_is_on_a_command_line(filled: Server, store: tuple[str, Swift],
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    popen = subprocess.Popen

    def spy(argv: Sequence[str], *more: Any, **options: Any) -> Any:
        seen.extend(argv)
        return popen(argv, *more, **options)

    monkeypatch.setattr(subprocess, "Popen", spy)
    backup(filled, store[0])
    _, password = filled.manager.admin.credentials()
    assert any("mariadb-backup" in one for one in seen)
    assert not any(password.reveal() in one or "temp_url_sig" in one for one in seen)
