"""The archive of a real MariaDB's binary log, and restores to a time from it."""

from __future__ import annotations

import math
import shutil
import time
from typing import Any

import msgspec
import pymysql
import pytest

from tests.integration.guestagent.archives import KEY, Archive, restored
from tests.integration.guestagent.conftest import wait_for
from tests.integration.guestagent.store import grant, progress
from tests.integration.guestagent.test_mariadb import (  # noqa: F401 - fixtures
    APP,
    Server,
    server,
)
from tests.integration.guestagent.tls import Certificates
from trove_ng.common.errors import BadRequest, Conflict, GuestError
from trove_ng.common.secret import Secret
from trove_ng.datastores import base as datastores
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.guestagent.datastores.experimental.mariadb.manager import MariaDbManager
from trove_ng.guestagent.datastores.mysql_family import archive as binlog_archive
from trove_ng.guestagent.datastores.mysql_family.binlog import name_of
from trove_ng.guestagent.storage.http import DamagedBackup, StorageError
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm
from trove_ng.standalone.minicloud.swift import Swift

REPLICA = f"{REPLICA_USERS}1"


def backup(server: Server, url: str, name: str = "1", key: Secret | None = None,  # noqa: F811
           parent: m.StoredBackup | None = None) -> m.StoredBackup:
    return server.manager.create_backup(m.BackupRequest(
        operation_id="o", step="create_backup", backup_id=name, strategy="mariabackup",
        grant=grant(url, f"backup_{name}/"), segment_size=1024 * 1024, key=key,
        parent=parent), progress())


def now() -> float:
    """Return a whole second that no change is of: after all before, before all after."""
    found = math.ceil(time.time() + 0.01)
    time.sleep(found - time.time() + 0.02)
    return float(found)


def ask(server: Server, *statements: str) -> list[Any]:  # noqa: F811
    """Run statements as the agent; return the rows of the last one."""
    with server.manager.server.session() as session:
        for statement in statements:
            found = session.run(statement)
    return found


def rows(server: Server) -> list[int]:  # noqa: F811
    return [int(row[0]) for row in server.query("SELECT n FROM t ORDER BY n", *APP)]


def insert(server: Server, *numbers: int) -> None:  # noqa: F811
    for number in numbers:
        server.query(f"INSERT INTO t VALUES ({number})", *APP)


def binlogs(server: Server) -> list[int]:  # noqa: F811
    return [int(row[0].rpartition(".")[2]) for row in ask(server, "SHOW BINARY LOGS")]


@pytest.fixture
def filled(server: Server) -> Server:  # noqa: F811
    """A server with a table."""
    server.query("CREATE TABLE t (n INT PRIMARY KEY)", *APP)
    return server


def test_each_moment_after_a_backup_comes_back(filled: Server, make: Any,
                                               store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0], KEY)
    archive.ship()
    insert(filled, 0)
    chain = [backup(filled, store[0], key=KEY)]
    insert(filled, 1)
    archive.ship()
    chain.append(backup(filled, store[0], "2", KEY, chain[0]))
    moments = [now()]
    for number in (2, 3, 4):
        insert(filled, number)
        moments.append(now())
        if number == 3:
            # another agent begins where the one before ended
            filled.manager = MariaDbManager(filled.manager.ctx, filled.paths)
            archive.ship()
    filled.query("DROP TABLE t", *APP)
    archive.ship()
    assert archive.pieces[-1].until is not None
    assert archive.pieces[-1].until > moments[-1]
    for number, (chained, moment, last) in enumerate((
            (1, moments[0], 1), (2, moments[0], 1), (2, moments[1], 2), (1, moments[3], 4),
            (2, moments[2] + 0.5, 3))):
        one = restored(make, store[0], chain[:chained],
                       archive.replay(moment, chain[chained - 1]), f"r{number}", KEY)
        assert rows(one) == list(range(last + 1))
        if (chained, moment) == (2, moments[0]):
            assert one.manager.restored_to is None
        else:
            assert 0 < moment - one.manager.restored_to <= 3
        insert(one, 99)
        one.manager.restart_db()
        assert rows(one)[-1] == 99
        assert not one.paths.increment.exists()
        for name, value in (("skip_networking", 0), ("innodb_flush_log_at_trx_commit", 1)):
            assert ask(one, f"SELECT @@GLOBAL.{name}") == [(value,)]
    # it has a log of its own, which nothing before continues
    own = Archive(one, store[0], folder="own")
    assert own.ship().begin.stream != archive.pieces[0].begin.stream
    ids = [ask(each, "SELECT @@GLOBAL.server_id")[0][0] for each in (one, filled)]
    assert len({1, *ids}) == 3
    full = backup(one, store[0], "own")
    insert(one, 100)
    moment = now()
    insert(one, 101)
    own.ship()
    again = restored(make, store[0], [full], own.replay(moment, full), "again")
    assert rows(again)[-1] == 100
    # the last moment that is told to be there is
    last_one = restored(make, store[0], chain[:1], archive.replay(
        archive.pieces[-1].until, chain[0]), "last", KEY)
    with pytest.raises(pymysql.err.ProgrammingError):
        rows(last_one)


def test_users_and_root_are_as_they_were(filled: Server, make: Any,
                                         store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    archive.ship()
    full = backup(filled, store[0])
    manager = filled.manager
    manager.create_users(m.UsersRequest(users=[
        m.UserSpec(name="late", password=Secret("late-Pw1"), databases=["shop"])]))
    manager.change_passwords(m.UsersRequest(users=[
        m.UserSpec(name="app", password=Secret("new-Pw1"))]))
    before = now()
    root = manager.enable_root(m.RootRequest()).password
    assert root is not None
    # whatever its owner does to the agent's account there
    filled.query("SET PASSWORD FOR os_admin@localhost = PASSWORD('x')", "root", root.reveal())
    _, password = manager.admin.credentials()
    filled.query(f"SET PASSWORD FOR os_admin@localhost = PASSWORD('{password.reveal()}')",
                 "root", root.reveal())
    after = now()
    manager.disable_root(m.Empty())
    archive.ship()
    one = restored(make, store[0], [full], archive.replay(before, full), "before")
    assert not one.manager.is_root_enabled(m.Empty()).value
    assert one.query("SELECT 1", "app", "new-Pw1") == [(1,)]
    assert one.query("SELECT DATABASE()", "late", "late-Pw1", "shop") == [("shop",)]
    with pytest.raises(pymysql.err.OperationalError):
        one.login(*APP)
    two = restored(make, store[0], [full], archive.replay(after, full), "after")
    assert two.manager.is_root_enabled(m.Empty()).value
    assert two.query("SELECT CURRENT_USER()", "root", root.reveal()) == [("root@%",)]
    given = restored(make, store[0], [full], archive.replay(after, full), "given",
                     root_password=Secret("given-Pw1"))
    assert given.query("SELECT CURRENT_USER()", "root", "given-Pw1") == [("root@%",)]


def test_a_time_or_log_that_does_not_fit_is_refused(filled: Server, make: Any,
                                                    store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    archive.ship()
    insert(filled, 1)
    full = backup(filled, store[0])
    for _ in range(3):
        archive.ship()
    until = archive.pieces[-1].until
    assert until is not None
    changed = msgspec.structs.replace(archive.pieces[1], stored=msgspec.structs.replace(
        archive.pieces[1].stored, metadata={
            **archive.pieces[1].stored.metadata, "engine": "postgresql"}))
    old = msgspec.structs.replace(full, metadata={
        name: value for name, value in full.metadata.items() if not name.startswith("binlog")})
    for name, stored, log, why in (
            ("a", full, archive.replay(until, full, *archive.pieces[2:]), "does not continue"),
            ("b", full, archive.replay(until, full, archive.pieces[1], archive.pieces[3]),
             "Part 2 of the archived log does not continue"),
            ("c", full, archive.replay(until, full, changed), "another database engine"),
            ("d", full, archive.replay(time.time() + 3600, full), "ends before the time"),
            ("e", full, archive.replay(float(full.metadata[am.ENDED]) - 1, full),
             "before the end of the backup"),
            ("f", old, archive.replay(until, full), "does not tell")):
        with pytest.raises(BadRequest, match=why):
            restored(make, store[0], [stored], log, name)
    assert not any((one.paths.data / "ibdata1").exists() for one in (make("g"),))


def test_a_damaged_part_is_named_before_anything_is_made(
        filled: Server, make: Any, store: tuple[str, Swift]) -> None:
    url, swift = store
    archive = Archive(filled, url)
    archive.ship()
    full = backup(filled, url)
    part = archive.ship().stored.segments[0].name
    swift._store.delete("AUTH_t", "c", part)
    one = make("two")
    with pytest.raises(DamagedBackup, match=part):
        restored(lambda _name: one, url, [full],
                 archive.replay(archive.pieces[-1].until or 0, full))
    assert not one.paths.data.exists()


def test_what_is_not_archived_is_kept_until_it_is(filled: Server,
                                                  store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    archive.ship()
    # the store is away
    with pytest.raises(StorageError):
        Archive(filled, "http://127.0.0.1:1").ship()
    for number in range(3):
        insert(filled, number)
        ask(filled, "FLUSH BINARY LOGS")
    filled.manager.restart_db()
    done = archive.ship()
    assert done.begin.number == archive.pieces[0].end
    assert done.end - done.begin.number >= 4
    again = archive.lose()

    def gone() -> bool:
        archive.ship()
        return binlogs(filled)[0] >= again.end

    # what is archived goes, as soon as the server needs it for no recovery: nobody else does
    wait_for(gone)
    filled.manager.end_log_archive(m.Empty())
    filled.manager.end_log_archive(m.Empty())

    def one_left() -> bool:
        filled.manager._trim_logs()
        return len(binlogs(filled)) == 1

    wait_for(one_left)
    filled.manager.restart_db()
    assert ask(filled, "SELECT @@GLOBAL.log_bin") == [(0,)]
    filled.manager._trim_logs()
    assert not filled.paths.binlogs.exists()
    # what was not logged meanwhile cannot be continued
    assert archive.ship().begin.stream != again.begin.stream


def test_a_database_that_rests_is_archived_too(filled: Server,
                                               store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    archive.ship()
    time.sleep(0.1)
    before = time.time()
    found = archive.ship()
    assert found.until is not None
    assert found.until >= math.floor(before * 1000) / 1000
    assert (found.begin.number, found.end) == (archive.pieces[0].end, archive.pieces[0].end + 1)


def test_what_takes_too_long_is_stored_in_parts(filled: Server,
                                                store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    archive.ship()
    for _ in range(3):
        ask(filled, "FLUSH BINARY LOGS")
    part = archive.ship(seconds=0)
    assert (part.end - part.begin.number, part.until) == (1, None)
    rest = archive.ship()
    assert rest.begin.number == part.end
    assert rest.until is not None


def test_log_that_had_to_go_leaves_a_gap_that_shows(
        filled: Server, store: tuple[str, Swift], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binlog_archive, "kept_log", lambda _size: 300 * 1024)
    archive = Archive(filled, store[0])
    before = archive.ship()
    filled.query("CREATE TABLE big (b BLOB)", *APP)
    for _ in range(8):
        filled.query("INSERT INTO big SELECT RANDOM_BYTES(1000) FROM seq_1_to_100", *APP)
        ask(filled, "FLUSH BINARY LOGS")
    filled.manager._trim_logs()
    assert sum(one.stat().st_size for one in filled.paths.binlogs.glob("binlog.0*")) < 301 * 1024
    after = archive.ship()
    assert after.begin.stream == before.begin.stream
    assert after.begin.number > before.end
    assert archive.ship().begin.number == after.end


def test_a_log_that_began_anew_is_another_one(filled: Server,
                                              store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    first = archive.ship()
    # files are told from each other by the second in which they begin, too
    time.sleep(1.1)
    ask(filled, "RESET MASTER")
    # the numbers are there again
    for _ in range(3):
        ask(filled, "FLUSH BINARY LOGS")
    second = archive.ship()
    assert second.begin.stream != first.begin.stream
    assert archive.ship().begin == am.LogPosition(
        stream=second.begin.stream, number=second.end)


def test_a_server_that_ceased_to_write_its_log_begins_another_one(
        filled: Server, store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    first = archive.ship()
    folder = filled.paths.binlogs
    owner = folder.owner()
    # a new file cannot be made
    shutil.chown(folder, "root")
    folder.chmod(0o755)
    with pytest.raises(GuestError):
        ask(filled, "FLUSH BINARY LOGS")
    assert ask(filled, "SELECT @@GLOBAL.log_bin") == [(1,)]
    with pytest.raises(GuestError, match="writes no binary log"):
        archive.ship()
    # in no file
    insert(filled, 1)
    shutil.chown(folder, owner)
    filled.manager.restart_db()
    second = archive.ship()
    assert second.begin.stream != first.begin.stream


def test_clocks_of_sessions_do_not_end_a_restore(filled: Server, make: Any,
                                                 store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    archive.ship()
    full = backup(filled, store[0])
    # later than all, also than the time to restore to
    ask(filled, "SET timestamp = UNIX_TIMESTAMP() + 86400",
        "INSERT INTO shop.t VALUES (1)")
    insert(filled, 2)
    with filled.login(*APP) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO t VALUES (3)")
        cursor.execute("SET timestamp = UNIX_TIMESTAMP() + 86400")
        cursor.execute("INSERT INTO t VALUES (4)")
        cursor.execute("SET timestamp = DEFAULT")
        cursor.execute("COMMIT")
        archive.ship()
        # a transaction is of the time of its end
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO t VALUES (5)")
        moment = now()
        cursor.execute("COMMIT")
    archive.ship()
    one = restored(make, store[0], [full], archive.replay(moment, full))
    assert rows(one) == [1, 2, 3, 4]
    assert 0 < moment - one.manager.restored_to <= 3


def test_time_zones_do_not_matter(make: Any, store: tuple[str, Swift]) -> None:
    source = make("one")
    source.prepare(
        overrides={"time_zone": "+05:00", "expire_logs_days": 1, "event_scheduler": True,
                   "autocommit": False, "max_statement_time": 1},
        databases=[m.DatabaseSpec(name="shop")], users=[
            m.UserSpec(name="app", password=Secret(APP[1]), databases=["shop"])])
    source.query("CREATE TABLE t (n INT PRIMARY KEY, d TIMESTAMP(6) DEFAULT NOW(6))", *APP)
    archive = Archive(source, store[0])
    archive.ship()
    # what its owner sets is not in force for the archive
    assert ask(source, "SELECT @@GLOBAL.expire_logs_days, @@GLOBAL.binlog_format, "
                       "@@GLOBAL.time_zone") == [(7, "ROW", "+05:00")]
    assert not source.manager.apply_overrides(m.OverridesRequest(
        operation_id="o", step="s", values={"expire_logs_days": 2, "time_zone": "+05:00"}))
    assert ask(source, "SELECT @@GLOBAL.expire_logs_days") == [(7,)]
    full = backup(source, store[0])
    for number in (1, 2):
        source.query(f"INSERT INTO t (n) VALUES ({number})", *APP)
        moment = now()
    source.query("INSERT INTO t (n) VALUES (3)", *APP)
    archive.ship()
    one = restored(make, store[0], [full], archive.replay(moment, full), overrides={
        "time_zone": "-03:00", "autocommit": False, "max_statement_time": 1})
    times = "SELECT n, UNIX_TIMESTAMP(d) FROM t WHERE n < 3 ORDER BY n"
    assert one.query(times, *APP) == source.query(times, *APP)
    assert rows(one) == [1, 2]


def test_a_server_that_crashes_is_archived_on(filled: Server, make: Any,
                                              store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    archive.ship()
    full = backup(filled, store[0])
    insert(filled, 1)
    number = binlogs(filled)[-1]
    assert filled.process.child is not None
    filled.process.child.kill()
    filled.process.child.wait()
    # half of an event
    with (filled.paths.binlogs / name_of(number)).open("ab") as log:
        log.write(b"\1\2\3\4\xa2\1\0\0\0\x2a\0\0\0")
    filled.manager.start_db()
    insert(filled, 2)
    done = archive.ship()
    assert done.begin.number == archive.pieces[0].end
    assert done.end > number + 1
    one = restored(make, store[0], [full], archive.replay(done.until or 0, full))
    assert rows(one) == [1, 2]


def test_a_file_that_is_damaged_on_the_volume_is_not_applied(
        filled: Server, make: Any, store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    archive.ship()
    full = backup(filled, store[0])
    insert(filled, 1, 2)
    number = binlogs(filled)[-1]
    ask(filled, "FLUSH BINARY LOGS")
    path = filled.paths.binlogs / name_of(number)
    content = bytearray(path.read_bytes())
    # a byte of a row
    content[-80] ^= 0xff
    path.write_bytes(content)
    archive.ship()
    with pytest.raises(DamagedBackup, match=f"damaged: {path.name} cannot be read"):
        restored(make, store[0], [full], archive.replay(archive.pieces[-1].until or 0, full))


def test_a_change_that_the_server_refuses_is_told_without_its_data(
        filled: Server, make: Any, store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    archive.ship()
    full = backup(filled, store[0])
    ask(filled, "SET SESSION sql_log_bin = 0", "CREATE TABLE shop.secret (s VARCHAR(9))")
    ask(filled, "INSERT INTO shop.secret VALUES ('s3cret')")
    archive.ship()
    with pytest.raises(GuestError, match=r"refused a change \(error 1146\)") as caught:
        restored(make, store[0], [full], archive.replay(archive.pieces[-1].until or 0, full))
    assert not isinstance(caught.value, DamagedBackup)


def test_one_at_a_time_and_no_replica(filled: Server, make: Any,
                                      store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    manager = filled.manager
    manager.enable_as_source(m.StepRequest(operation_id="o", step="s"))
    archive.ship()
    with manager.archive._alone, pytest.raises(Conflict, match="already"):
        archive.ship()
    # replicas may need what is archived
    oldest = binlogs(filled)[0]
    for _ in range(3):
        archive.ship()
    assert binlogs(filled)[0] == oldest
    manager.set_replica_accounts(rm.ReplicaAccounts(add=m.UserSpec(
        name=REPLICA, password=Secret("r-Pw1"))))
    full = backup(filled, store[0])
    replica = make("replica")
    replica.prepare(replica=True, restore=m.RestoreSpec(
        backup_id="1", chain=[full], grants=[grant(store[0])]))
    replica.manager.follow(rm.FollowRequest(
        operation_id="o", step="f", host="127.0.0.1", port=filled.paths.port, user=REPLICA,
        password=Secret("r-Pw1"), position=full.metadata))
    own = Archive(replica, store[0], folder="own")
    with pytest.raises(GuestError, match="replica"):
        own.ship()
    insert(filled, 1)
    archive.ship()
    # it becomes the source, and begins an archive of its own
    replica.manager.detach_replica(rm.DetachRequest(operation_id="o", step="d"))
    found = own.ship()
    assert found.begin.stream != archive.pieces[-1].begin.stream
    assert ask(replica, "SELECT @@GLOBAL.binlog_format") == [("ROW",)]
    base = backup(replica, store[0], "base")
    insert(replica, 7)
    moment = now()
    insert(replica, 8)
    own.ship()
    one = restored(make, store[0], [base], own.replay(moment, base), "restored")
    assert rows(one) == [1, 7]


def test_a_new_root_disk_goes_on_with_the_archive(filled: Server,
                                                  store: tuple[str, Swift]) -> None:
    archive = Archive(filled, store[0])
    first = archive.ship()
    filled.manager.stop_db()
    shutil.rmtree(filled.paths.changes)
    filled.manager.restore_settings(None, sm.PostUpgrade(
        operation_id="o", step="s", memory_mb=512, volume=m.VolumeSpec(
            device="/dev/none", mount_point=filled.paths.mount),
        config=datastores.get("mariadb").config(512)))
    filled.manager.start_db()
    assert filled.manager.writes_log()
    assert archive.ship().begin == am.LogPosition(stream=first.begin.stream, number=first.end)


def test_a_server_that_speaks_nothing_but_tls_is_archived(
        filled: Server, make: Any, store: tuple[str, Swift],
        certificates: Certificates) -> None:
    filled.manager.set_tls(certificates.request("one", "enforced"))
    archive = Archive(filled, store[0])
    # the restart is the one that TLS waits for, too
    archive.ship()
    with pytest.raises(pymysql.err.OperationalError, match="Access denied|insecure transport"):
        pymysql.connect(host="127.0.0.1", port=filled.paths.port, user=APP[0], password=APP[1],
                        ssl_disabled=True)
    full = backup(filled, store[0])
    ask(filled, "INSERT INTO shop.t VALUES (1)")
    moment = now()
    ask(filled, "INSERT INTO shop.t VALUES (2)")
    archive.ship()
    one = make("two")
    one.manager.set_tls(certificates.request("two", "enforced"))
    restored(lambda _name: one, store[0], [full], archive.replay(moment, full))
    assert ask(one, "SELECT n FROM shop.t") == [(1,)]
