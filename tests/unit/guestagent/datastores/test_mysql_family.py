"""Names, option files and errors of the MySQL family, without a server."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import threading
import tracemalloc

import msgspec
import pymysql
import pytest
import zstandard
from pymysql.constants import ER

from trove_ng.common.errors import BadRequest, Conflict, GuestError, NotFound
from trove_ng.common.secret import Secret
from trove_ng.guestagent.causes import DAMAGED
from trove_ng.guestagent.datastores.experimental.mariadb.backup import MariaBackup
from trove_ng.guestagent.datastores.experimental.mariadb.dialect import MariaDbDialect
from trove_ng.guestagent.datastores.mysql_family import backup, causes, restore, sql
from trove_ng.guestagent.datastores.mysql_family.admin import AdminAccount
from trove_ng.guestagent.datastores.mysql_family.config import Configuration, as_options
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.os.streaming import Program
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import backups, swift
from trove_ng.guestagent.storage.http import DamagedBackup, Patience, SeemsDamaged
from trove_ng.guestagent.versions import is_older
from trove_ng.rpc import messages as m


@pytest.mark.parametrize(("text", "quoted"), [
    ("shop", "`shop`"), ("a`b", "`a``b`"), ("`", "````"), ("a'b\"c", "`a'b\"c`"),
    ("x`; DROP DATABASE y; --", "`x``; DROP DATABASE y; --`")])
def test_a_name_does_not_leave_its_quotes(text: str, quoted: str) -> None:
    assert sql.name(text) == quoted


def test_a_zero_byte_is_no_part_of_a_name() -> None:
    with pytest.raises(ValueError, match="zero byte"):
        sql.name("a\0b")


@pytest.mark.parametrize("text", ["shop", "a_b", "100%", "a%_b", "_"])
def test_wildcards_of_a_grant_mean_themselves(text: str) -> None:
    stored = sql.pattern(text)[1:-1]
    assert sql.unescape(stored) == text
    assert stored.count("\\") == text.count("_") + text.count("%")


@pytest.mark.parametrize(("code", "kind"), [
    (ER.DB_CREATE_EXISTS, Conflict), (ER.DB_DROP_EXISTS, NotFound),
    (ER.CANNOT_USER, Conflict), (ER.UNKNOWN_COLLATION, GuestError), (ER.PARSE_ERROR, GuestError)])
def test_an_error_is_told_without_the_statement(code: int, kind: type[Exception]) -> None:
    err = sql.translate(pymysql.err.OperationalError(code, "near 'IDENTIFIED BY s3cret'"))
    assert isinstance(err, kind)
    assert "s3cret" not in str(err)


def test_a_server_that_is_not_there_is_told(tmp_path: pathlib.Path) -> None:
    server = sql.Server(str(tmp_path / "none"), lambda: ("os_admin", Secret("s3cret")))
    with pytest.raises(GuestError, match="cannot be reached") as caught, server.session():
        pytest.fail("there is no session")
    assert "s3cret" not in str(caught.value)


# ---- the agent's account -----------------------------------------------------------


def test_the_account_is_kept_for_root_and_set_by_the_server(tmp_path: pathlib.Path) -> None:
    path, init_file = tmp_path / "volume/.trove/admin.cnf", tmp_path / "init.sql"
    account = AdminAccount(lambda: path, "root", MariaDbDialect())
    account.renew("/run/s", init_file)
    user, password = account.credentials()
    assert user == "os_admin"
    assert len(password.reveal()) == 40
    for secret in (path, init_file):
        assert secret.stat().st_mode & 0o777 == 0o600
        assert password.reveal() in secret.read_text()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    # another agent, after the root disk was lost
    assert AdminAccount(lambda: path, "root", MariaDbDialect()).credentials() == (user, password)
    account.renew("/run/s", init_file)
    assert account.credentials()[1] != password


@pytest.mark.parametrize("content", [None, "", "[client]\nuser = x\n", "no section"])
def test_an_account_that_is_not_there_is_an_error(tmp_path: pathlib.Path,
                                                  content: str | None) -> None:
    path = tmp_path / "admin.cnf"
    if content is not None:
        path.write_text(content)
    with pytest.raises(GuestError, match="no account"):
        AdminAccount(lambda: path, "root", MariaDbDialect()).credentials()


# ---- settings ----------------------------------------------------------------------


@pytest.mark.parametrize(("variables", "options"), [
    ({"max_connections": 5}, {"max_connections": 5}),
    ({"autocommit": False, "event_scheduler": True},
     {"autocommit": "OFF", "event_scheduler": "ON"}),
    ({"time_zone": "+02:00"}, {"default_time_zone": "+02:00"}),
    ({"tx_isolation": "SERIALIZABLE"}, {"transaction_isolation": "SERIALIZABLE"}),
    ({"collation_server": "latin1_bin"},
     {"collation_server": "latin1_bin", "character_set_server": "latin1"}),
    ({"collation_server": "binary"},
     {"collation_server": "binary", "character_set_server": "binary"}),
    ({"collation_server": "uca1400_ai_ci"}, {"collation_server": "uca1400_ai_ci"}),
    ({"collation_server": "utf8mb3_bin", "character_set_server": "utf8"},
     {"collation_server": "utf8mb3_bin", "character_set_server": "utf8"})])
def test_variables_become_options(variables: dict[str, object],
                                  options: dict[str, object]) -> None:
    assert as_options(variables, MariaDbDialect()) == options


@pytest.fixture
def paths(tmp_path: pathlib.Path) -> Paths:
    return Paths(mount=str(tmp_path / "mount"), base_config=str(tmp_path / "90.cnf"),
                 include_config=str(tmp_path / "99.cnf"), changes=str(tmp_path / "changes"))


def test_the_owners_settings_come_after_ours(paths: Paths) -> None:
    Configuration(paths, MariaDbDialect(), "mysql").write(
        {"mysqld": {"max_connections": 50}}, {"max_connections": 70})
    files = sorted(pathlib.Path(paths.changes).iterdir())
    assert [one.read_text().split("\n")[1] for one in files] == [
        "max_connections = 50", "max_connections = 70"]
    assert pathlib.Path(paths.include_config).read_text().splitlines() == [
        f"!include {paths.base_config}", f"!includedir {paths.changes}/"]
    base = pathlib.Path(paths.base_config).read_text()
    assert f"datadir = {paths.data}" in base
    assert paths.data.parent == pathlib.Path(paths.mount)


def test_the_init_file_is_told_for_one_start(paths: Paths) -> None:
    configuration = Configuration(paths, MariaDbDialect(), "mysql")
    configuration.write({}, {"init_file": "/owner"})
    configuration.set_init_file("/ours")
    last = sorted(pathlib.Path(paths.changes).iterdir())[-1]
    assert "init_file = /ours" in last.read_text()
    configuration.set_init_file(None)
    assert not last.exists()


# ---- the backup strategy -----------------------------------------------------------


GRANT = m.ObjectStoreGrant(container_url="http://127.0.0.1:9/c", prefix="p",
                           get_query=Secret("g"), put_query=Secret("p"), expires_at=0)
STORED = m.StoredBackup(strategy="mariabackup", segments=[], checksum="", size=0)


def strategy(paths: Paths) -> MariaBackup:
    nowhere = pathlib.Path("/none")
    admin = AdminAccount(lambda: nowhere, "root", MariaDbDialect())
    return MariaBackup(paths, sql.Server("/none", admin.credentials), admin, nowhere,
                       lambda _place: {})


#: with a server of a version that is known
TOOL = dataclasses.replace(MariaBackup.tool, version=lambda: "10.11")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MariaBackup, "tool", TOOL)


def progress() -> Progress:
    return Progress(lambda _percent: None, threading.Event())


PARENT = {"engine": "mariadb", "version": "10.11", "to_lsn": "48", "lineage": "l"}


@pytest.mark.parametrize(("about", "why"), [
    ({}, "does not tell where it ends"),
    ({"engine": "postgresql"}, "does not tell"),
    ({"to_lsn": "48; rm"}, "does not tell"),
    ({"to_lsn": ""}, "does not tell"),
    ({"version": "10.6"}, "another version"),
    ({"version": "11.4"}, "another version"),
    ({"lineage": "other"}, "of other data")])
def test_a_backup_that_cannot_be_continued_is_refused(
        paths: Paths, about: dict[str, str], why: str, installed: None) -> None:
    paths.data.mkdir(parents=True)
    paths.lineage.write_text("l")
    parent = msgspec.structs.replace(STORED, metadata=about and PARENT | about)
    request = m.BackupRequest(operation_id="o", step="s", backup_id="1",
                              strategy="mariabackup", grant=GRANT, parent=parent)
    with pytest.raises(BadRequest, match=why):
        strategy(paths).create(request, progress())


def test_a_backup_of_the_same_data_is_continued_where_it_ends() -> None:
    parent = msgspec.structs.replace(STORED, metadata=PARENT)
    assert backup._since(parent, "mariadb", "10.11", "l") == "48"


def link(begin: str, end: str) -> m.StoredBackup:
    return msgspec.structs.replace(STORED, metadata={"from_lsn": begin, "to_lsn": end})


@pytest.mark.parametrize(("chain", "why"), [
    ([link("48", "50")], "not a full one"),
    ([link("0", "48"), link("47", "50")], "Backup 2 of the chain does not continue"),
    ([link("0", "48"), link("0", "50")], "Backup 2 of the chain"),
    ([link("0", "48"), msgspec.structs.replace(link("0", "50"), metadata={
        "from_lsn": "48", "to_lsn": "50", "parent": "of another"})], "Backup 2 of the chain"),
    ([link("0", "48"), link("48", "50"), STORED], "Backup 3 of the chain")])
def test_backups_that_do_not_continue_each_other_are_refused(
        chain: list[m.StoredBackup], why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        restore.check_chain(chain, TOOL)


def test_backups_that_continue_each_other_fit() -> None:
    restore.check_chain([link("0", "48"), link("48", "48"), link("48", "60")], TOOL)


@pytest.mark.parametrize(("length", "grants", "keys"), [
    (0, 0, []), (2, 1, []), (1, 2, []), (2, 2, [None])])
def test_a_restore_without_what_it_needs_is_refused(
        paths: Paths, length: int, grants: int, keys: list[Secret | None]) -> None:
    spec = m.RestoreSpec(backup_id="1", chain=[STORED] * length, grants=[GRANT] * grants,
                         keys=keys)
    with pytest.raises(BadRequest, match="leave to read each of"):
        strategy(paths).restore(spec, progress())
    assert not paths.staging.exists()


def test_an_encrypted_backup_needs_its_key(paths: Paths) -> None:
    sealed = msgspec.structs.replace(STORED, metadata={"form": "mbstream+zstd+aes256gcm"})
    spec = m.RestoreSpec(backup_id="1", chain=[sealed], grants=[GRANT])
    with pytest.raises(BadRequest, match="its key is not known"):
        strategy(paths).restore(spec, progress())


@pytest.mark.parametrize("name", ["mariadb_backup_checkpoints", "xtrabackup_checkpoints"])
def test_positions_are_read_from_what_the_program_noted(tmp_path: pathlib.Path,
                                                        name: str) -> None:
    (tmp_path / name).write_text(
        "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 48\nlast_lsn = 51\nx = 1\n")
    assert backup._position(tmp_path, None) == {
        "backup_type": "full-backuped", "from_lsn": "0", "to_lsn": "48", "last_lsn": "51"}


def test_a_backup_without_positions_is_none(tmp_path: pathlib.Path) -> None:
    with pytest.raises(GuestError, match="position"):
        backup._position(tmp_path, None)


def test_a_backup_that_did_not_begin_where_it_was_to_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "xtrabackup_checkpoints").write_text("from_lsn = 12\nto_lsn = 48\n")
    assert backup._position(tmp_path, "12")["to_lsn"] == "48"
    for since in (None, "11"):
        with pytest.raises(GuestError, match="did not begin where"):
            backup._position(tmp_path, since)


def test_a_program_that_says_why_fails_without_its_words_in_the_error() -> None:
    with Program(["sh", "-c", "echo secret-detail >&2; exit 3"]) as program, \
            pytest.raises(GuestError, match="ended with status 3") as caught:
        program.wait()
    assert "secret-detail" not in str(caught.value)
    assert program.said("secret-detail")


def test_a_program_does_not_outlive_its_block() -> None:
    with pytest.raises(RuntimeError), Program(["sleep", "600"]) as program:
        raise RuntimeError("the upload failed")
    assert program.process.returncode is not None


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(GuestError, match="cannot be run"):
        Program(["no-such-program-here"])


def test_a_piece_that_becomes_very_much_does_not_fill_the_memory(
        paths: Paths, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 300 * 1024 * 1024
    packed = zstandard.ZstdCompressor().compress(bytes(size))
    monkeypatch.setattr(swift, "read", lambda *_: iter([packed]))
    monkeypatch.setattr(restore, "OWNER", None)
    made = restore.FamilyRestore(TOOL, paths, Patience(), progress())
    count = tmp_path / "mbstream"
    count.write_text(f"#!/bin/sh\nwc -c > {tmp_path}/count\n")
    count.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    tracemalloc.start()
    try:
        made.extract(["mbstream"], backups.Link(STORED, GRANT, None))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert int((tmp_path / "count").read_text()) == size
    assert peak < 16 * 1024 * 1024
    more = msgspec.structs.replace(STORED, data_size=size - 1)
    with pytest.raises(GuestError, match="holds more than was recorded"):
        made.extract(["mbstream"], backups.Link(more, GRANT, None))


@pytest.mark.parametrize("found", ["looked at", "applied"])
def test_damage_is_told_of_the_backup_that_has_it(
        paths: Paths, monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    chain = [backups.Link(msgspec.structs.replace(STORED, checksum=one), GRANT, None)
             for one in "abc"]

    def verify(stored: m.StoredBackup, *_: object) -> None:
        if found == "looked at" and stored.checksum == "b":
            raise SeemsDamaged("The backup is damaged: 000 is missing (404).")

    def prepare(_self: object, _staging: object, increment: object, *, last: bool) -> None:
        if increment is not None:
            raise GuestError(f"The program p ended with status 1: {DAMAGED}")

    monkeypatch.setattr(swift, "verify", verify)
    monkeypatch.setattr(restore, "OWNER", None)
    for name, instead in (("check", lambda *_: None), ("extract", lambda *_: None),
                          ("_prepare", prepare)):
        monkeypatch.setattr(restore.FamilyRestore, name, instead)
    paths.data.parent.mkdir(parents=True)
    made = restore.FamilyRestore(TOOL, paths, Patience(), progress())
    with pytest.raises(DamagedBackup) as caught:
        made.run(m.RestoreSpec(backup_id="c", chain=[one.stored for one in chain],
                               grants=[GRANT] * 3))
    assert caught.value.checksum == "b"


def test_a_program_that_writes_without_end_does_not_fill_the_memory() -> None:
    tracemalloc.start()
    try:
        with Program(["sh", "-c", "head -c 200000000 /dev/zero >&2; echo >&2; echo end >&2"],
                     ) as program:
            program.wait()
            assert program.said("end")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 1024 * 1024


def test_the_cause_that_a_program_names_is_told_in_our_words() -> None:
    with Program(["sh", "-c", "echo \"secret: No space left on device\" >&2; exit 1"],
                 explain=causes.find) as program, \
            pytest.raises(GuestError, match=r"status 1: the disk is full\.$"):
        program.wait()


@pytest.mark.parametrize(("about", "why"), [
    ({"engine": "postgresql"}, "another database engine"),
    ({"form": "tar+gzip"}, "form"),
    ({"form": "mbstream+zstd+aes"}, "form"),
    ({"version": "11.4"}, r"version 11\.4, and the server has 10\.11"),
    ({"version": "10.12"}, r"version 10\.12"),
    ({"version": "9" * 5000}, "cannot be read")])
def test_a_backup_that_this_server_cannot_read_is_refused_before_anything_is_touched(
        paths: Paths, about: dict[str, str], why: str, installed: None) -> None:
    stored = msgspec.structs.replace(STORED, metadata=about)
    with pytest.raises(BadRequest, match=why):
        strategy(paths).restore(
            m.RestoreSpec(backup_id="1", chain=[stored], grants=[GRANT]), progress())
    assert not paths.staging.exists()


@pytest.mark.parametrize("about", [
    {}, {"engine": "mariadb", "form": "mbstream+zstd", "version": "10.11"},
    {"version": "10.6"}, {"version": "9.11"}])
def test_a_backup_of_this_or_an_older_version_fits(about: dict[str, str]) -> None:
    restore.check_fits(msgspec.structs.replace(STORED, metadata=about), TOOL, "10.11")


def test_a_backup_that_is_larger_than_the_volume_is_refused() -> None:
    with pytest.raises(GuestError, match="needs 3 MiB, and 1 MiB are free"):
        backups.check_room(2 ** 21 + 1, 2 ** 20)
    backups.check_room(2 ** 21, 2 ** 21)


def test_a_chain_needs_room_for_the_full_backup_and_the_largest_of_the_others() -> None:
    chain = [msgspec.structs.replace(STORED, data_size=size * 2 ** 20) for size in (5, 1, 3, 2)]
    assert restore.needed(chain) == 8 * 2 ** 20


INNODB = ["2026-11-21 [ERROR] Plugin 'InnoDB' registration as a STORAGE ENGINE failed.",
          "2026-11-21 [ERROR] Unknown/unsupported storage engine: InnoDB",
          "2026-11-21 [ERROR] Aborting"]
START = "2026-11-21 [Note] Starting MariaDB 10.11.19-MariaDB as process 18761"
READY = "2026-11-21 [Note] mariadbd: ready for connections."
MY_START = ("[System] [MY-010116] [Server] /usr/sbin/mysqld (mysqld 8.0.36) starting as process "
            "7")
MY_ABORT = "[ERROR] [MY-010119] [Server] Aborting"
MY_READY = "[System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections."
MY_END = "[System] [MY-010910] [Server] /usr/sbin/mysqld: Shutdown complete (mysqld 8.0.36)"
NO_SPACE = "[ERROR] InnoDB: Error number 28 means 'No space left on device'"


@pytest.mark.parametrize(("lines", "cause"), [
    ([START, "[ERROR] mariadbd: unknown variable 'nosuch-option=1'", "x [ERROR] Aborting"],
     "its configuration is refused."),
    ([START, NO_SPACE, *INNODB, "[ERROR] mariadbd: Error while setting value 'K' to 'sql_mode'"],
     "its configuration is refused."),
    ([START, NO_SPACE, *INNODB], "the disk is full."),
    ([START, "[ERROR] InnoDB: preallocating 12582912 bytes for file ./ibtmp1 failed with "
      "error 28", *INNODB], "the disk is full."),
    ([START, "[ERROR] InnoDB: Could not set the file size of './ibtmp1'. Probably out of "
      "disk space", *INNODB], "the disk is full."),
    ([START, NO_SPACE, *INNODB, START, "[ERROR] InnoDB: Invalid log header checksum", *INNODB],
     "the files of the database are damaged."),
    ([START, "[ERROR] InnoDB: The data file './ibdata1' has the wrong space ID.", *INNODB],
     "the files of the database are damaged."),
    ([START, *INNODB], "InnoDB does not start."),
    ([START, NO_SPACE, *INNODB, START, READY], ""),
    # the supervisor has begun the next attempt, which says nothing yet
    ([START, NO_SPACE, *INNODB, START, "[Note] InnoDB: Using io_uring"], "the disk is full."),
    ([START, NO_SPACE, *INNODB, START, READY, "[Note] mariadbd: Shutdown complete", START], ""),
    ([START, READY, "mysqld got signal 11 ;", "libraries is corrupt, improperly built, or"],
     "it crashed."),
    ([START, READY, "[ERROR] [FATAL] InnoDB: Database page corruption", "got signal 6 ;"],
     "the files of the database are damaged."),
    ([START, "[ERROR] something 'of the customer'", "x [ERROR] Aborting"], ""),
    # MySQL 8 says of a start that failed that it is complete
    ([MY_START, "[ERROR] [MY-000067] [Server] unknown variable 'query_cache_size=1M'.",
      MY_ABORT, MY_END], "its configuration is refused."),
    ([MY_START, "[ERROR] [MY-014060] [Server] Invalid MySQL server upgrade: Cannot upgrade from "
      "50744 to 80400.", MY_ABORT, MY_END],
     "its data are of a version that it cannot take over."),
    ([MY_START, "[ERROR] [MY-013171] [InnoDB] Cannot boot server version 80036 on data directory "
      "built by version 80402. Downgrade is not supported", MY_ABORT, MY_END],
     "its data are of a version that it cannot take over."),
    ([MY_START, "[ERROR] [MY-010334] [Server] Failed to initialize DD Storage Engine",
      "[ERROR] [MY-010020] [Server] Data Dictionary initialization failed.", MY_ABORT, MY_END],
     "InnoDB does not start."),
    ([MY_START, "[ERROR] [MY-012592] [InnoDB] Operating system error number 28: 'No space left "
      "on device'", "[ERROR] [MY-010020] [Server] Data Dictionary initialization failed.",
      MY_ABORT, MY_END], "the disk is full."),
    ([MY_START, "[ERROR] unknown variable", MY_ABORT, MY_END, MY_START, MY_READY, MY_END], ""),
    ([MY_START, "[ERROR] said 'disk full'", MY_END], ""),
    (["[ERROR] said 'disk full'", MY_END], ""),
    ([MY_START, "[ERROR] unknown variable", MY_ABORT, MY_END, MY_START],
     "its configuration is refused."),
    ([], ""), ([""], ""), (["\0" * 100_000 + "disk full"], "")])
def test_the_cause_of_the_last_failure_is_found_in_the_servers_log(
        lines: list[str], cause: str) -> None:
    assert causes.find("\n".join(lines)) == cause


def test_a_log_that_is_made_to_take_long_does_not() -> None:
    assert causes.find("table 'mysql." * 1_000_000 + "\n" + "option " * 1_000_000) == ""


@pytest.mark.parametrize(("version", "than", "older"), [
    ("10.6", "10.11.6-MariaDB-0+deb12u1", True), ("10.11", "10.11.6-MariaDB", False),
    ("11.4", "10.11.6-MariaDB", False), ("9.9", "10.0.1", True), ("latest", "10.0.1", False),
    ("5", "10.0.1", False)])
def test_series_of_versions_are_compared(version: str, than: str, older: bool) -> None:
    assert is_older(version, than) is older
