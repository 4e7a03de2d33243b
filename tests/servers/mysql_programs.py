"""The programs of MySQL and XtraBackup that an agent runs; each checks its arguments."""

from __future__ import annotations

import argparse
import base64
import configparser
import contextlib
import json
import pathlib
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from tests.servers.mysql_binlog import statements
from tests.servers.mysql_words import State

#: the program's last line
_DONE = "completed OK!"


def main(name: str, version: str, folder: str, *argv: str) -> None:
    """Run a program."""
    with (pathlib.Path(folder) / "calls").open("a") as calls:
        calls.write(json.dumps([name, *argv]) + "\n")
    programs: dict[str, Callable[[str, list[str]], None]] = {
        "mysqld": _mysqld, "xtrabackup": _xtrabackup, "xbstream": _xbstream,
        "mysql_upgrade": _mysql_upgrade, "mysqlbinlog": _mysqlbinlog, "mysql": _mysql}
    programs[name](version, list(argv))


def _parser() -> argparse.ArgumentParser:
    # no abbreviations: what is not declared is refused
    return argparse.ArgumentParser(allow_abbrev=False)


def _mysqld(version: str, argv: list[str]) -> None:
    if not argv[0].startswith("--defaults-file="):
        sys.exit("--defaults-file must be given as the first option")
    parser = _parser()
    parser.add_argument("--defaults-file", type=pathlib.Path)
    parser.add_argument("--initialize-insecure", action="store_true", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--datadir", type=pathlib.Path, required=True)
    parser.add_argument("--log-error-verbosity", choices=["1", "2", "3"])
    parser.add_argument("--console", action="store_true")
    given = parser.parse_args(argv)
    assert given.defaults_file.is_file()
    if any(given.datadir.iterdir()):
        sys.exit("[ERROR] --initialize specified but the data directory has files in it. "
                 "Aborting.")
    State.create(given.datadir, version)
    (given.datadir / "auto.cnf").write_text(f"[auto]\nserver-uuid={uuid.uuid4()}\n")


def _mysql_upgrade(version: str, argv: list[str]) -> None:
    parser = _parser()
    parser.add_argument("--defaults-extra-file", type=pathlib.Path, required=True)
    if not version.startswith("5.7"):
        sys.exit("mysql_upgrade: the server does so itself")
    _connect(parser.parse_args(argv).defaults_extra_file)
    sys.exit(2)


@contextlib.contextmanager
def _session(option_file: pathlib.Path, **how: Any) -> Iterator[Callable[[str], Any]]:
    """Give what runs statements, as who the option file says."""
    import pymysql  # not every program needs it, and it takes long

    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(option_file.read_text())
    client = parser["client"]
    with pymysql.connect(unix_socket=client["socket"], user=client["user"], autocommit=True,
                         password=client["password"], **how) as connection, \
            connection.cursor() as cursor:
        def run(statement: str) -> Any:
            try:
                cursor.execute(statement)
            except pymysql.MySQLError as err:
                sys.exit(f"ERROR {err.args[0]} (HY000) at line 1: {err.args[1]}")
            return cursor.fetchall()

        yield run


def _connect(option_file: pathlib.Path, *more: str) -> list[str]:
    """Ask the server for its version, and more."""
    with _session(option_file) as run:
        return [str(run(f"SELECT {question}")[0][0]) for question in ("VERSION()", *more)]


def _mysqlbinlog(_version: str, argv: list[str]) -> None:
    assert argv[0] == "--no-defaults", "must be the first option"
    parser = _parser()
    for name in ("--no-defaults", "--disable-log-bin", "--verify-binlog-checksum",
                 "--skip-gtids"):
        parser.add_argument(name, action="store_true", required=True)
    for name in ("--start-position", "--stop-position"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("log", type=pathlib.Path)
    given = parser.parse_args(argv)
    print(json.dumps("SET sql_log_bin = 0"))
    for one in statements(given.log, given.start_position, given.stop_position):
        print(json.dumps(one))


def _mysql(_version: str, argv: list[str]) -> None:
    assert argv[0].startswith("--defaults-file="), "must be the first option"
    parser = _parser()
    parser.add_argument("--defaults-file", type=pathlib.Path, required=True)
    for name in ("--binary-mode", "--batch"):
        parser.add_argument(name, action="store_true", required=True)
    parser.add_argument("--max-allowed-packet", choices=["1G"], required=True)
    parser.add_argument("--default-character-set", choices=["binary"], required=True)
    parser.add_argument("--init-command", required=True)
    given = parser.parse_args(argv)
    with _session(given.defaults_file, init_command=given.init_command) as run:
        for line in sys.stdin:
            run(json.loads(line))


def _xtrabackup(_version: str, argv: list[str]) -> None:
    parser = _parser()
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--backup", action="store_true")
    kind.add_argument("--prepare", action="store_true")
    parser.add_argument("--defaults-extra-file", type=pathlib.Path)
    parser.add_argument("--no-defaults", action="store_true")
    parser.add_argument("--stream", choices=["xbstream"])
    for name in ("--target-dir", "--datadir", "--extra-lsndir", "--incremental-dir"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--incremental-lsn", type=int)
    parser.add_argument("--apply-log-only", action="store_true")
    given = parser.parse_args(argv)
    first = argv[0].split("=")[0]
    assert first in ("--defaults-extra-file", "--no-defaults"), "must be the first option"
    (_backup if given.backup else _prepare)(given)
    print(_DONE, file=sys.stderr)


def _checkpoints(kind: str, begin: int, end: int) -> str:
    return (f"backup_type = {kind}\nfrom_lsn = {begin}\nto_lsn = {end}\nlast_lsn = {end}\n"
            "flushed_lsn = 0\nredo_memory = 0\nredo_frames = 0\n")


def _read(folder: pathlib.Path) -> dict[str, str]:
    lines = (folder / "xtrabackup_checkpoints").read_text().splitlines()
    return dict(line.split(" = ") for line in lines)


def _backup(given: argparse.Namespace) -> None:
    assert given.stream and not (given.apply_log_only or given.incremental_dir)
    running, log, mode, executed = _connect(given.defaults_extra_file, *(
        f"@@GLOBAL.{name}" for name in ("log_bin", "gtid_mode", "gtid_executed")))
    state = json.loads((given.datadir / "state.json").read_text())
    assert state["version"] == running
    begin = given.incremental_lsn or 0
    notes = _checkpoints("incremental" if begin else "full-backuped", begin, state["lsn"])
    (given.extra_lsndir / "xtrabackup_checkpoints").write_text(notes)
    # the program of 8.0 and later leaves an empty set out
    numbered = mode == "ON" and (executed or running.startswith("5.7"))
    last = f", GTID of the last change '{executed}'" if numbered else ""
    place = ""
    if log == "1":
        with _session(given.defaults_extra_file) as run:
            name, size = run("SHOW BINARY LOGS")[-1][:2]
        place = f"binlog_pos = filename '{name}', position '{size}'{last}\n"
    (given.extra_lsndir / "xtrabackup_info").write_text(
        f"tool_name = xtrabackup\n{place}innodb_from_lsn = {begin}\n")
    files = {"xtrabackup_checkpoints": notes.encode(), "backup-my.cnf": b"[mysqld]\n",
             "binlog.000007": b"the last one", "binlog.index": b"./binlog.000007\n",
             "state.json.delta" if begin else "state.json": json.dumps(state).encode()}
    json.dump({name: base64.b64encode(content).decode() for name, content in files.items()},
              sys.stdout)


def _prepare(given: argparse.Namespace) -> None:
    assert given.no_defaults and not (given.stream or given.datadir or given.extra_lsndir)
    target = _read(given.target_dir)
    assert target["backup_type"] in ("full-backuped", "log-applied"), "prepared for good already"
    end = int(target["to_lsn"])
    if given.incremental_dir is not None:
        assert target["backup_type"] == "log-applied", "it was not kept open"
        more = _read(given.incremental_dir)
        assert int(more["from_lsn"]) == end, "does not continue"
        end = int(more["to_lsn"])
        (given.target_dir / "state.json").write_bytes(
            (given.incremental_dir / "state.json.delta").read_bytes())
    # applied, and left behind
    (given.target_dir / "xtrabackup_logfile").write_text("redo log")
    (given.target_dir / "xtrabackup_checkpoints").write_text(_checkpoints(
        "log-applied" if given.apply_log_only else "full-prepared", 0, end))


def _xbstream(_version: str, argv: list[str]) -> None:
    parser = _parser()
    parser.add_argument("-x", action="store_true", required=True)
    parser.add_argument("-C", type=pathlib.Path, required=True)
    given = parser.parse_args(argv)
    for name, content in json.load(sys.stdin).items():
        (given.C / name).write_bytes(base64.b64decode(content))


if __name__ == "__main__":
    main(*sys.argv[1:])
