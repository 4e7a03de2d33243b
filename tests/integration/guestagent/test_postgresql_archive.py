"""The archive of a real PostgreSQL's write-ahead log, and restores to a time from it."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from tests.integration.guestagent.archives import KEY, Archive, restored
from tests.integration.guestagent.test_postgresql import (  # noqa: F401 - fixtures
    Server,
    _sql,
    alike,
    backup,
    first,
    server,
)
from trove_ng.common.errors import BadRequest, Conflict, GuestError
from trove_ng.guestagent.datastores.experimental.postgresql import archive as pg_archive
from trove_ng.guestagent.datastores.experimental.postgresql.manager import PostgreSqlManager
from trove_ng.guestagent.storage.http import DamagedBackup, StorageError
from trove_ng.rpc import messages as m
from trove_ng.standalone.minicloud.swift import Swift

MB = 1024 ** 2


def now(server: Server) -> float:  # noqa: F811
    """Return a moment that no change has: after all before, before all after."""
    time.sleep(0.02)
    found = time.time()
    time.sleep(0.02)
    return found


def slots(server: Server) -> list[tuple[Any, ...]]:  # noqa: F811
    with server.manager.server.session() as session:
        return session.run(_sql("SELECT slot_name::text FROM pg_replication_slots "
                                "WHERE slot_name = 'trove_archive'"))


def test_each_moment_after_a_backup_comes_back(server: Server, make: Any,  # noqa: F811
                                               store: tuple[str, Swift]) -> None:
    archive = Archive(server, store[0], KEY)
    archive.ship()
    server.ask("CREATE TABLE t (n int)")
    server.ask("INSERT INTO t VALUES (0)")
    chain = [backup(server, store[0], key=KEY)]
    server.ask("INSERT INTO t VALUES (1)")
    archive.ship()
    chain.append(backup(server, store[0], "2", KEY, chain[0]))
    moments = [now(server)]
    for number in (2, 3, 4):
        server.ask(f"INSERT INTO t VALUES ({number})")
        moments.append(now(server))
        if number == 3:
            # another agent begins where the one before ended
            server.manager = PostgreSqlManager(server.ctx, server.paths)
            archive.ship()
    server.ask("DROP TABLE t")
    archive.ship()
    # one that is open meanwhile has not happened yet
    assert archive.pieces[-1].until > moments[-1]
    for number, (chained, moment, rows) in enumerate((
            (1, moments[0], 2), (2, moments[0], 2), (2, moments[1], 3), (1, moments[3], 5))):
        one = restored(make, store[0], chain[:chained], archive.replay(moment, chain[chained - 1]),
                       f"r{number}", KEY)
        assert one.ask("SELECT count(*), max(n) FROM t") == [(rows, rows - 1)]
        if moment != moments[0]:
            assert 0 <= moment - one.manager.restored_to < 2
        one.ask("INSERT INTO t VALUES (99)")
        one.manager.restart_db()
        assert one.ask("SELECT max(n) FROM t") == [(99,)]
        assert one.setting("restore_command") == ""
    # it has a log of its own, which nothing before continues
    own = Archive(one, store[0], folder="own")
    assert own.ship().begin.stream != archive.pieces[0].begin.stream
    full = backup(one, store[0], "own")
    one.ask("INSERT INTO t VALUES (100)")
    moment = now(one)
    one.ask("INSERT INTO t VALUES (101)")
    own.ship()
    again = restored(make, store[0], [full], own.replay(moment, full), "again")
    assert again.ask("SELECT max(n) FROM t") == [(100,)]
    # the last moment that is told to be there is, although nothing happened then
    last = restored(make, store[0], chain[:1], archive.replay(
        archive.pieces[-1].until, chain[0]), "last", KEY)
    assert last.ask("SELECT count(*) FROM pg_tables WHERE tablename = 't'") == [(0,)]


def test_a_time_that_the_log_does_not_reach_ends_in_an_error(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:  # noqa: F811
    archive = Archive(server, store[0])
    archive.ship()
    full = backup(server, store[0])
    archive.ship()
    with pytest.raises(DamagedBackup, match="ends before the time"):
        restored(make, store[0], [full], archive.replay(time.time() + 3600, full))


def test_log_with_a_gap_or_of_other_data_is_refused(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:  # noqa: F811
    archive = Archive(server, store[0])
    archive.ship()
    full = backup(server, store[0])
    for _ in range(3):
        archive.ship()
    until = archive.pieces[-1].until
    for name, pieces in (("a", archive.pieces[2:]),
                         ("b", [archive.pieces[1], archive.pieces[3]])):
        with pytest.raises(BadRequest, match="does not continue"):
            restored(make, store[0], [full], archive.replay(until, full, *pieces), name)
    changed = msgspec.structs.replace(archive.pieces[1], stored=msgspec.structs.replace(
        archive.pieces[1].stored, metadata={
            **archive.pieces[1].stored.metadata, "engine": "mariadb"}))
    with pytest.raises(BadRequest, match="another database engine"):
        restored(make, store[0], [full], archive.replay(until, full, changed), "c")


def test_a_damaged_part_is_named_before_anything_is_made(
        server: Server, make: Any, store: tuple[str, Swift]) -> None:  # noqa: F811
    url, swift = store
    archive = Archive(server, url)
    archive.ship()
    full = backup(server, url)
    part = archive.ship().stored.segments[0].name
    swift._store.delete("AUTH_t", "c", part)
    with pytest.raises(DamagedBackup, match=part):
        restored(make, url, [full], archive.replay(archive.pieces[-1].until, full))


def test_what_is_not_archived_is_kept_until_it_is(
        server: Server, store: tuple[str, Swift]) -> None:  # noqa: F811
    archive = Archive(server, store[0])
    archive.ship()
    server.ask("CREATE TABLE t (n int)")
    # the store is away
    with pytest.raises(StorageError):
        Archive(server, "http://127.0.0.1:1").ship()
    for _ in range(3):
        with server.manager.server.session() as session:
            session.run(_sql("SELECT pg_switch_wal(), txid_current()"))
            session.run(_sql("CHECKPOINT"))
    done = archive.ship()
    assert done.begin.number == archive.pieces[0].end
    assert done.end - done.begin.number >= 4
    archive.lose()
    assert slots(server) == [("trove_archive",)]
    server.manager.end_log_archive(m.Empty())
    server.manager.end_log_archive(m.Empty())
    assert slots(server) == []


def test_what_takes_too_long_is_stored_in_parts(
        server: Server, store: tuple[str, Swift]) -> None:  # noqa: F811
    archive = Archive(server, store[0])
    archive.ship()
    for _ in range(3):
        with server.manager.server.session() as session:
            session.run(_sql("SELECT pg_switch_wal(), txid_current()"))
    part = archive.ship(seconds=0)
    assert (part.end - part.begin.number, part.until) == (1, None)
    rest = archive.ship()
    assert rest.begin.number == part.end
    assert rest.until is not None


def test_log_that_had_to_go_leaves_a_gap_that_shows(
        server: Server, store: tuple[str, Swift],  # noqa: F811
        monkeypatch: pytest.MonkeyPatch) -> None:
    server.manager.configuration.set_final("max_slot_wal_keep_size", "32MB")
    server.override(max_wal_size=32, min_wal_size=32)
    monkeypatch.setattr(pg_archive, "kept_log", lambda *_: 32 * MB)
    archive = Archive(server, store[0])
    before = archive.ship()
    server.ask("CREATE TABLE t (h text)")
    for _ in range(8):
        server.ask("INSERT INTO t SELECT repeat(md5(n::text), 10) "
                   "FROM generate_series(1, 40000) n")
        with server.manager.server.session() as session:
            session.run(_sql("CHECKPOINT"))
    after = archive.ship()
    assert after.begin.stream == before.begin.stream
    assert after.begin.number > before.end
    assert archive.ship().begin.number == after.end


def test_one_at_a_time_and_no_replica(
        server: Server, store: tuple[str, Swift],  # noqa: F811
        monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(server, store[0])
    with server.manager._archive._alone, pytest.raises(Conflict, match="already"):
        archive.ship()
    server.manager.stop_db()
    server.manager.replication.stand_by()
    server.manager.start_db()
    with pytest.raises(GuestError, match="replica"):
        archive.ship()


@pytest.mark.parametrize(("keeps", "gap"), [(128, False), (0, True)])
def test_before_slots_had_bounds_some_log_is_kept_always(
        server: Server, store: tuple[str, Swift],  # noqa: F811
        monkeypatch: pytest.MonkeyPatch, keeps: int, gap: bool) -> None:
    monkeypatch.setattr(pg_archive, "KEEPS_WAL", 99)
    # what this version knows it as
    server.override(wal_keep_size=keeps, max_wal_size=32, min_wal_size=32)
    server.ask("CREATE TABLE t (n int, h text)")
    archive = Archive(server, store[0])
    first_piece = archive.ship()
    for _ in range(3):
        with server.manager.server.session() as session:
            session.run(_sql("SELECT pg_switch_wal()"))
            session.run(_sql("CHECKPOINT"))
        server.ask("INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 40000) n")
    assert (archive.ship().begin.number != first_piece.end) is gap
    server.manager.end_log_archive(m.Empty())
    assert slots(server) == []
