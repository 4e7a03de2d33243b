"""What the agent writes for PostgreSQL, and reads of what it says; without a server."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from trove_ng.common.errors import BadRequest, Conflict, GuestError, NotFound
from trove_ng.guestagent.datastores.experimental.postgresql import (
    backup,
    causes,
    overrides,
    restore,
    sql,
    wal,
)
from trove_ng.guestagent.datastores.experimental.postgresql import config as pg_config
from trove_ng.guestagent.datastores.experimental.postgresql.config import (
    Configuration,
    as_text,
)
from trove_ng.guestagent.datastores.experimental.postgresql.paths import (
    Paths,
    installed_version,
)
from trove_ng.guestagent.storage.log_archive import LogReused, pack
from trove_ng.guestagent.tls import TlsFiles
from trove_ng.rpc import messages as m

MB = 1024 ** 2


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(etc=str(tmp_path / "etc"), mount="/m", run="/r")


@pytest.fixture
def configuration(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    # the server's user is not on every machine
    for name in ("OWNER", "KEEPER"):
        monkeypatch.setattr(pg_config, name, None)
    made = Configuration(paths)
    made.write({"postgresql": {"work_mem": "4MB", "max_connections": 64}}, {},
               {"logging_collector": "off"})
    return made


@pytest.mark.parametrize(("value", "text"), [
    (True, "on"), (False, "off"), (5, "5"), (1.5, "1.5"), ("a b", "a b"), ("a\\b", "a\\\\b"),
    (["a", 1], "a, 1"), ("", "")])
def test_values_as_the_server_takes_them(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_the_base_includes_the_changes_at_its_end(configuration: Configuration,
                                                  paths: Paths) -> None:
    lines = paths.config.read_text().splitlines()
    assert lines[-1] == f"include_dir = '{paths.changes}'"
    assert "data_directory = '/m/data'" in lines
    assert "external_pid_file = '/r/15-main.pid'" in lines
    assert "listen_addresses = '*'" in lines
    rules = (paths.config_dir / "pg_hba.conf").read_text().split("\n")
    assert rules[0].split() == ["local", "all", "os_admin", "peer", "map=trove"]
    assert rules[-2].split() == ["host", "all", "all", "all", "scram-sha-256"]


@pytest.mark.parametrize(("mode", "clients"), [
    ("basic", ["host", "all", "all", "all", "scram-sha-256"]),
    ("enforced", ["hostssl", "all", "all", "all", "scram-sha-256"]),
    ("mtls", ["hostssl", "all", "all", "all", "scram-sha-256", "clientcert=verify-ca"])])
def test_who_comes_in_with_and_without_tls(configuration: Configuration, paths: Paths,
                                           mode: str, clients: list[str]) -> None:
    configuration.set_tls(TlsFiles(mode, *(Path("/m/tls/live", one)
                                           for one in ("c.pem", "k.pem", "a.pem"))))
    rules = paths.config_dir / "pg_hba.conf"
    assert rules.read_text().split("\n")[-2].split() == clients
    assert (configuration.setting("ssl"), configuration.setting("ssl_key_file")) == (
        "on", "/m/tls/live/k.pem")
    configuration.set_overrides({"ssl": False})
    assert configuration.setting("ssl") == "on"
    configuration.set_overrides({})
    configuration.set_tls(None)
    assert configuration.setting("ssl") is None
    assert rules.read_text().split("\n")[-2].split()[0] == "host"


def test_users_settings_stand_over_the_agents_but_for_what_is_final(
        configuration: Configuration, paths: Paths) -> None:
    configuration.set_overrides({"work_mem": "8MB", "log_statement": "all", "search_path": "a'b"})
    assert configuration.setting("work_mem") == "8MB"
    assert configuration.overrides()["search_path"] == "a'b"
    configuration.set_final("log_statement", "none")
    assert configuration.setting("log_statement") == "none"
    configuration.unset_final("log_statement")
    assert configuration.setting("log_statement") == "all"
    configuration.set_final("log_statement", "none")
    configuration.write_draft({"work_mem": 9000})
    draft = paths.draft.read_text().splitlines()
    assert "work_mem = 9000" in draft
    assert "log_statement = none" in draft
    assert not [line for line in draft if line.startswith(("include_dir", "search_path"))]
    configuration.set_overrides({})
    assert configuration.setting("work_mem") == "4MB"
    # in the order in which the server reads them
    assert [path.name[:9] for path in sorted(paths.changes.iterdir())] == [
        "20-system", "80-system"]


def test_slow_statements_are_logged_by_the_users_threshold_while_it_has_one(
        configuration: Configuration) -> None:
    name = pg_config.THRESHOLD

    def seen(*values: int | None) -> list[str | None]:
        found = []
        for value in values:
            configuration.set_overrides({} if value is None else {name: value})
            found.append(configuration.setting(name))
        return found

    configuration.set_threshold(2500)
    assert seen(None, 100, -1, 200, None, -1) == ["2500", "100", "2500", "200", "2500", "2500"]
    configuration.set_threshold(None)
    assert configuration.setting(name) == "-1"
    assert seen(100, None) == ["100", None]


@pytest.mark.parametrize(("values", "why"), [
    ({"max_connections": 3}, r"max_connections: .* \(3\)"),
    ({"superuser_reserved_connections": 64}, r"max_connections: .* \(64\)"),
    ({"reserved_connections": 61}, r"max_connections: .* \(64\)"),
    ({"min_wal_size": 31}, "min_wal_size"), ({"max_wal_size": 2}, "max_wal_size")])
def test_settings_that_no_server_starts_with_are_refused(values: dict[str, Any],
                                                         why: str) -> None:
    with pytest.raises(GuestError, match=why):
        overrides._check_starts({"max_connections": "64", **values}, values)
    overrides._check_starts({"max_connections": "4"}, {"min_wal_size": 32})


def test_what_fails_leaves_the_files_as_they_were(configuration: Configuration,
                                                  paths: Paths) -> None:
    configuration.set_overrides({"log_line_prefix": "a\\b", "work_mem": "8MB"})
    before = {path: path.read_bytes() for path in paths.changes.iterdir()}
    with pytest.raises(GuestError), configuration.undoing():
        configuration.set_overrides({"work_mem": "9MB"})
        configuration.set_final("log_statement", "all")
        raise GuestError("refused")
    assert {path: path.read_bytes() for path in paths.changes.iterdir()} == before


@pytest.mark.parametrize(("size", "wal", "kept"), [
    (512 * MB, "64MB", "128MB"), (1024 * MB, "128MB", "204MB"),
    (1024 * 1024 * MB, "4096MB", "209715MB")])
def test_the_write_ahead_log_has_its_share_of_the_volume(
        configuration: Configuration, size: int, wal: str, kept: str) -> None:
    configuration.apply_volume(size)
    assert configuration.setting("max_wal_size") == wal
    assert configuration.setting("max_slot_wal_keep_size") == kept


def test_what_a_version_does_not_have_is_not_set(configuration: Configuration,
                                                 paths: Paths) -> None:
    old = Configuration(dataclasses.replace(paths, version="12"))
    old.write({}, {}, {})
    old.apply_volume(1024 * MB)
    assert old.setting("max_slot_wal_keep_size") is None
    # 204 MiB, as later ones keep for slots
    assert old.setting("wal_keep_segments") == "12"
    configuration.apply_volume(1024 * MB)
    assert configuration.setting("wal_keep_segments") is None
    for since_13 in ("idle_session_timeout", "log_min_duration_sample"):
        assert since_13 not in sql.settings(12)
    assert sql.settings(15)["idle_session_timeout"] == "0"
    assert ["transaction_timeout" in sql.settings(one) for one in (16, 17)] == [False, True]


def test_the_newest_installed_version_is_meant(tmp_path: Path) -> None:
    assert installed_version(str(tmp_path)) == "15"
    for version in ("9.6", "13", "17", "common"):
        program = tmp_path / version / "bin/postgres"
        program.parent.mkdir(parents=True)
        program.touch()
    assert installed_version(str(tmp_path)) == "17"


def test_names_and_values_are_quoted_by_the_driver() -> None:
    made = sql.statement("ALTER ROLE {} PASSWORD {secret}", 'a"; DROP', secret="x'y")
    assert made.as_string(None) == "ALTER ROLE \"a\"\"; DROP\" PASSWORD 'x''y'"


def test_pages_begin_after_their_marker() -> None:
    end, values = sql.after("datname", m.PageRequest(limit=5))
    assert (end.as_string(None), values) == ('ORDER BY datname COLLATE "C" LIMIT %s', [6])
    end, values = sql.after("datname", m.PageRequest(limit=5, marker="b", include_marker=True))
    assert end.as_string(None).startswith('AND datname COLLATE "C" >= %s ORDER BY')
    assert values == ["b", 6]


@pytest.mark.parametrize(("raised", "kind", "says"), [
    (psycopg.errors.DuplicateDatabase("x"), Conflict, "exists already"),
    (psycopg.errors.InvalidCatalogName("x"), NotFound, "cannot be found"),
    (psycopg.errors.DuplicateObject("x"), Conflict, "user exists"),
    (psycopg.errors.WrongObjectType("x"), GuestError, "character set"),
    (psycopg.errors.DependentObjectsStillExist("x"), sql.Dependent, "belongs"),
    (psycopg.errors.DiskFull("PASSWORD 'p'"), GuestError, "the disk is full"),
    (psycopg.errors.TooManyColumns("PASSWORD 'p'"), GuestError, "error 54011"),
    (psycopg.OperationalError("PASSWORD 'p'"), GuestError, "unknown")])
def test_errors_of_the_driver_mean_something(raised: psycopg.Error, kind: type[Exception],
                                             says: str) -> None:
    found = sql.translate(raised)
    assert isinstance(found, kind)
    assert says in str(found)
    assert "PASSWORD" not in str(found)


AT = "2026-01-01 00:00:00.000 UTC [7] "
BEGIN = f"{AT}LOG:  starting PostgreSQL 15.20 on x86_64\n"


@pytest.mark.parametrize(("text", "cause"), [
    ("PANIC:  could not write to file: No space left on device", "the disk is full."),
    ("FATAL:  could not open file \"x\": Read-only file system",
     "the file system is read-only."),
    ("FATAL:  could not map anonymous shared memory: Cannot allocate memory",
     "there is not enough memory."),
    ('FATAL:  configuration file "/etc/x" contains errors', "its configuration is refused."),
    ("LOG:  could not bind IPv4 address: Address already in use", "its port is in use."),
    ("FATAL:  database files are incompatible with server",
     "its data are of another version."),
    ("FATAL:  database files are incompatible with server\nDETAIL:  The database cluster was "
     "initialized with PG_CONTROL_VERSION 0, but the server was compiled with "
     "PG_CONTROL_VERSION 1300.", "the files of the database are damaged."),
    ('FATAL:  data directory "/m/data" does not exist', "its directory is missing."),
    ("PANIC:  could not locate a valid checkpoint record",
     "the files of the database are damaged."),
    ("LOG:  server process (PID 9) was terminated by signal 11: Segmentation fault",
     "it crashed."),
    ("LOG:  all is well", ""), ("", "")])
def test_why_it_failed(text: str, cause: str) -> None:
    assert causes.find(f"{BEGIN}{AT}{text}\n{AT}LOG:  database system is shut down") == cause


def test_what_a_program_was_told_by_the_server_is_its_cause() -> None:
    for said, cause in (
            ("pg_basebackup: error: checksum error occurred",
             "the files of the database are damaged."),
            ("pg_basebackup: error: could not get COPY data stream: ERROR:  requested WAL "
             "segment 000000010000000000000002 has already been removed",
             "its write-ahead log grew faster than it was read."),
            ("pg_basebackup: error: can only write single tablespace to stdout, database has 2",
             "it has tablespaces outside of its directory.")):
        assert causes.of_program(f"pg_basebackup: initiating base backup\n{said}\n") == cause


def test_what_clients_said_or_an_earlier_life_is_no_news() -> None:
    full = f"{AT}PANIC:  No space left on device\n"
    assert causes.find(full + BEGIN) == ""
    assert causes.find(f"{full}{AT}LOG:  database system is ready to accept connections\n") == ""
    for said in (f"{AT}app@shop FATAL:  No space left on device\n",
                 f"{AT}ERROR:  permission denied for table t\n",
                 f"{AT}app@shop STATEMENT:  SELECT 'No space left on device'\n"):
        assert causes.find(BEGIN + said) == ""


# ---- backups -------------------------------------------------------------------------

SEGMENTS = wal.Segments(timeline=3, size=16 * MB)


def test_segments_have_the_names_that_the_server_gives_them() -> None:
    # as pg_walfile_name() tells
    assert wal.number_of("1/FF000000") == 0x1FF000000
    assert SEGMENTS.name(SEGMENTS.ending("0/2000100")) == "000000030000000000000002"
    # a position at a border is the end of the segment before it
    assert SEGMENTS.name(SEGMENTS.ending("0/3000000")) == "000000030000000000000002"
    assert SEGMENTS.name(SEGMENTS.ending("1/0") + 1) == "000000030000000100000000"
    assert SEGMENTS.names("0000000300000000000000FE", SEGMENTS.ending("1/1000000")) == [
        "0000000300000000000000FE", "0000000300000000000000FF", "000000030000000100000000"]
    assert SEGMENTS.names("0000000200000000000000FE", 300) == []


def stored(**about: str) -> m.StoredBackup:
    return m.StoredBackup(strategy="pg_basebackup", segments=[], checksum="sum", size=1,
                          metadata={
                              "engine": "postgresql", "version": "15", "to_lsn": "0/5", **about})


NEXT = "0000000100000000000000AB"


@pytest.mark.parametrize(("about", "why"), [
    ({}, "does not tell"), ({"wal_next": "x"}, "does not tell"),
    ({"wal_next": NEXT, "engine": "mariadb"}, "does not tell"),
    ({"wal_next": NEXT, "version": "14"}, "another version"),
    ({"wal_next": NEXT, "lineage": "other"}, "other data")])
def test_a_backup_that_cannot_be_continued_is_refused(about: dict[str, str], why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        backup._since(stored(**{"lineage": "l", **about}), "15", "l")


def test_a_backup_is_continued_where_it_ends() -> None:
    assert backup._since(stored(wal_next=NEXT, lineage="l"), "15", "l") == NEXT


class Reused:
    """Takes what is read, and has the server put a segment to another use at the first of it."""

    def __init__(self, segment: Path, use: Path) -> None:
        self._names: tuple[Path, Path] | None = (segment, use)

    def write(self, data: bytes) -> int:
        if self._names is not None:
            os.rename(*self._names)
            self._names = None
        return len(data)


@pytest.mark.parametrize("number", [0, 1])
def test_log_that_is_put_to_another_use_while_it_is_read_is_not_taken(
        tmp_path: Path, number: int) -> None:
    def read(found: Iterable[Path], sink: Any, **how: Any) -> None:
        pack(sink, found, **{"reused": True, **how})

    names = [tmp_path / one for one in ("1", "2")]
    for one in names:
        one.write_bytes(bytes(100_000))
    with pytest.raises(LogReused, match="not kept until it was read"):
        read(names, Reused(names[number], tmp_path / "3"))
    os.rename(tmp_path / "3", names[number])
    whole = Reused(names[0], names[0])
    read(names, whole)
    with pytest.raises(LogReused, match="not kept until it was read"):
        read([*names, tmp_path / "3"], whole)
    # who wants no more does not need the next one
    read([names[0], tmp_path / "3"], whole, more=lambda: False)


def test_only_a_chain_without_gaps_is_restored() -> None:
    full = stored(wal_next=NEXT)
    second = stored(wal_from=NEXT, wal_next=NEXT[:-1] + "D", parent="sum")
    third = stored(wal_from=NEXT[:-1] + "D", parent="sum")
    restore.check_chain([full, second, third], "15")
    for chain, why in (([second], "not a full one"), ([full, third], "Backup 2 of the chain"),
                       ([full, full], "Backup 2"), ([full, stored(wal_from=NEXT)], "Backup 2"),
                       ([stored(version="14")], "of version 14"),
                       ([stored(to_lsn="0/5'; x")], "where it ends")):
        with pytest.raises(BadRequest, match=why):
            restore.check_chain(chain, "15")


def test_a_replicas_setting_is_as_large_as_it_must_be_and_no_larger(
        configuration: Configuration) -> None:
    configuration.set_overrides({"max_connections": 20, "max_worker_processes": 12})
    configuration.set_least({"max_connections": 150, "max_worker_processes": 8,
                             "max_locks_per_transaction": 64})
    assert [configuration.setting(name) for name in (
        "max_connections", "max_worker_processes", "max_locks_per_transaction")] == [
            "150", "12", "64"]
    configuration.set_overrides({"max_connections": 200})
    configuration.set_least({"max_connections": 150})
    assert [configuration.setting(name) for name in (
        "max_connections", "max_locks_per_transaction")] == ["200", None]
