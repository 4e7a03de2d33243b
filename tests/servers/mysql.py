"""MySQL 5.7, 8.0 and 8.4 without MySQL.

A server that listens on a socket and refuses what its release does not know, and programs
that check every argument.  What they agree on is in the data directory.
"""

from __future__ import annotations

import pathlib
import socket
import sys
import threading
from collections.abc import Callable, Sequence

from tests.servers.mysql_binlog import BinaryLog
from tests.servers.mysql_sets import NETWORK
from tests.servers.mysql_wire import Refused, Wire, greet
from tests.servers.mysql_words import NATIVE, SHA2, XTRABACKUP, Session, State, knows
from trove_ng.datastores.mysql import versions
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.os.codecs import NO_VALUE

#: options of the server's file besides the variables that the rules list
_OPTIONS = {
    "user", "datadir", "socket", "pid_file", "port", "bind_address", "default_storage_engine",
    "general_log_file", "slow_query_log_file", "log_output", "log_error", "general_log",
    "log_bin", "log_bin_index", "skip_networking", "server_id", "init_file",
    "persisted_globals_load", "mysqlx",
    "disable_log_bin", "innodb_file_per_table", "performance_schema", NATIVE,
    "innodb_log_file_size", "relay_log", "relay_log_recovery", "relay_log_purge", "gtid_mode",
    "enforce_gtid_consistency", "log_replica_updates", "log_slave_updates", "binlog_format",
    "binlog_error_action", "replica_net_timeout", "slave_net_timeout", "read_only",
    "super_read_only", "event_scheduler", "master_info_repository", "relay_log_info_repository",
    "skip_replica_start", "skip_slave_start", "ssl_cert", "ssl_key", "ssl_ca", "tls_version",
    "require_secure_transport"}


def read_options(paths: Paths, *, etc_first: bool = True) -> dict[str, str | None]:
    """Return the options of the files that a server reads, of which the last one wins.

    :param etc_first: ``/etc/my.cnf`` is read before ``/etc/mysql/my.cnf``; a build for which
        ``/etc`` is the directory of settings moves it to the end
    """
    found: dict[str, str | None] = {}
    for name in sorted((paths.other_config, paths.include_config), reverse=etc_first):
        if pathlib.Path(name).exists():
            _read_file(pathlib.Path(name), found)
    return found


def _read_file(path: pathlib.Path, found: dict[str, str | None]) -> None:
    """Read a file and, where it says so, others: those of a directory by their names."""
    section = ""
    for line in map(str.strip, path.read_text().splitlines()):
        directive, _, place = line.partition(" ")
        if directive == "!include":
            _read_file(pathlib.Path(place), found)
        elif directive == "!includedir":
            for one in sorted(pathlib.Path(place).glob("*.cnf")):
                _read_file(one, found)
        elif line.startswith("["):
            section = line.strip("[]")
        elif section == "mysqld" and line and line[0] not in "#;":
            name, equals, value = line.partition("=")
            name = name.strip().replace("-", "_")
            found[name] = value.strip() if equals else NO_VALUE
            if name == "log_bin":
                # of the two the last one counts
                found.pop("disable_log_bin", None)


#: package → its files below ``/etc``, with what matters here
PACKAGES = {
    # Ubuntu's and Debian's, from MySQL's own sources
    "distribution": {
        "mysql/my.cnf": "!includedir {etc}/mysql/conf.d/\n!includedir {etc}/mysql/mysql.conf.d/\n",
        "mysql/conf.d/mysql.cnf": "[mysql]\n",
        "mysql/mysql.conf.d/mysqld.cnf":
            "[mysqld]\nuser = mysql\nbind-address = 127.0.0.1\nmysqlx-bind-address = 127.0.0.1\n"
            "key_buffer_size = 16M\nlog_error = /var/log/mysql/error.log\n"
            "max_binlog_size = 100M\n"},
    "deb": {
        "mysql/my.cnf": "!includedir {etc}/mysql/conf.d/\n!includedir {etc}/mysql/mysql.conf.d/\n",
        "mysql/conf.d/mysql.cnf": "[mysql]\n",
        "mysql/mysql.conf.d/mysqld.cnf":
            "[mysqld]\npid-file\t= /var/run/mysqld/mysqld.pid\n"
            "socket\t\t= /var/run/mysqld/mysqld.sock\ndatadir\t\t= /var/lib/mysql\n"
            "log-error\t= /var/log/mysql/error.log\n"},
    "rpm": {
        "my.cnf": "[mysqld]\ndatadir=/var/lib/mysql\nsocket=/var/lib/mysql/mysql.sock\n\n"
                  "log-error=/var/log/mysqld.log\npid-file=/var/run/mysqld/mysqld.pid\n"}}


def install_files(etc: pathlib.Path, package: str) -> None:
    """Put the option files of a package where it puts them."""
    for name, text in PACKAGES[package].items():
        path = etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(etc=etc))


class Server:
    """Takes the place of the services of a machine, and is the server.

    :param version: that is installed, for example ``8.0.36``; may be changed while it is down
    """

    def __init__(self, paths: Paths, log: pathlib.Path, version: str) -> None:
        self._paths, self._log, self.version = paths, log, version
        self._listener: socket.socket | None = None
        self._acceptor = threading.Thread()
        self._lines: dict[int, socket.socket] = {}
        self.state: State | None = None
        #: statements that no release takes; a test that leaves some has failed
        self.unknown: list[str] = []

    # ---- as a service ---------------------------------------------------------

    def start(self, names: Sequence[str], timeout: float = 120) -> None:
        assert names[0] == "mysql"
        if self._listener is not None:
            return
        self._say(f"[System] [MY-010116] [Server] /usr/sbin/mysqld (mysqld {self.version}) "
                  "starting as process 7")
        try:
            self._open()
        except Refused as err:
            self._say(f"[ERROR] [MY-000000] [Server] {err}")
            self._say("[ERROR] [MY-010119] [Server] Aborting")
            self._say("[System] [MY-010910] [Server] /usr/sbin/mysqld: Shutdown complete")
            return
        self._say("[System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections.")

    def stop(self, names: Sequence[str], timeout: float = 120) -> None:
        if self._listener is None:
            return
        NETWORK.pop(self._paths.port, None)
        # whoever waits for a connection would go on with the next socket of that number
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self._listener = None
        for line in list(self._lines.values()):
            line.shutdown(socket.SHUT_RDWR)
        if self.state is not None and self.state.binary is not None:
            self.state.binary.close()
        pathlib.Path(self._paths.socket).unlink()
        self._say("[System] [MY-010910] [Server] /usr/sbin/mysqld: Shutdown complete")

    kill = stop

    def restart(self, names: Sequence[str], timeout: float = 120) -> None:
        self.stop(names)
        self.start(names)

    def is_running(self, names: Sequence[str]) -> bool:
        return self._listener is not None

    def enable(self, names: Sequence[str]) -> None:
        """The test starts it."""

    disable = enable

    def log_path(self, names: Sequence[str]) -> str | None:
        return str(self._log)

    def recent_log(self, names: Sequence[str]) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def _say(self, text: str) -> None:
        with self._log.open("a") as log:
            log.write(f"2026-11-21T00:00:00.000000Z 0 {text}\n")

    # ---- as a server ----------------------------------------------------------

    def _open(self) -> None:
        options = read_options(self._paths)
        if options["datadir"] != str(self._paths.data):
            raise Refused(1, f"Can't open the mysql.user table in {options['datadir']}")
        release = tuple(map(int, self.version.split(".")[:2]))
        listed = {one.name for one in versions.parameters(
            "trove_ng.datastores.mysql", "trove_ng.datastores.percona")(self.version)}
        for name in options:
            plain = name.removeprefix("loose_")
            if plain == name and (name not in _OPTIONS | listed | {"default_time_zone"}
                                  or not knows(name, release)):
                raise Refused(1, f"unknown variable '{name}={options[name]}'")
        state = State(self._paths.data, self.version)
        self._take_data(state)
        state.unknown = self.unknown
        state.begin(options)
        if options.get("init_file"):
            session = Session(begins=True)
            for line in pathlib.Path(str(options["init_file"])).read_text().splitlines():
                state.run(line.removesuffix(";"), session)
        state.binary = _begin_log(options)
        state.globals["log_bin"] = int(state.binary is not None)
        state.end = lambda number: self._lines[number].shutdown(socket.SHUT_RDWR)
        self.state = NETWORK[self._paths.port] = state
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._paths.socket)
        self._listener.listen()
        pathlib.Path(self._paths.pid_file).write_text("7")
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._listener, state), daemon=True)
        self._acceptor.start()

    def _take_data(self, state: State) -> None:
        """Upgrade the data, or refuse them, as the release does."""
        if (self._paths.data / "xtrabackup_checkpoints").exists() and (
                "full-prepared" not in (self._paths.data / "xtrabackup_checkpoints").read_text()):
            raise Refused(1, "Database page corruption: the backup is not prepared")
        before = versions.series(state.data["version"])
        distance = versions.SERIES.index(versions.series(self.version)) - (
            versions.SERIES.index(before))
        if distance < 0:
            raise Refused(1, "Invalid MySQL server downgrade: Cannot downgrade")
        if distance > 1:
            raise Refused(1, "Invalid MySQL server upgrade: Cannot upgrade from "
                             f"{state.data['version']} to {self.version}")
        state.data["version"] = self.version
        state.save()

    def _accept(self, listener: socket.socket, state: State) -> None:
        number = 10
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            number += 1
            self._lines[number] = line
            threading.Thread(target=self._serve, args=(line, number, state),
                             daemon=True).start()

    def _serve(self, line: socket.socket, number: int, state: State) -> None:
        wire, session = Wire(line), Session(sql_mode=str(state.read_global("sql_mode")[0][0]))
        try:
            user = greet(wire, state.version, SHA2 if state.release >= (8, 0) else NATIVE,
                         state.account)
            state.check_connections(user)
            state.connections[number] = user
            while (packet := wire.read())[:1] == b"\x03":
                try:
                    found = state.run(packet[1:].decode(), session)
                except Refused as err:
                    wire.refuse(err)
                    continue
                wire.ok() if found is None else wire.rows(found)
        except Refused as err:
            wire.refuse(err)
        except (EOFError, OSError):
            pass  # the client, or the server, has gone
        finally:
            state.connections.pop(number, None)
            state.backups = [one for one in state.backups if one is not session]
            self._lines.pop(number, None)
            line.close()


def _begin_log(options: dict[str, str | None]) -> BinaryLog | None:
    """Return the binary log, if the options say that one is written; the last one counts."""
    names = [one for one in options if one in ("log_bin", "disable_log_bin")]
    if names[-1:] != ["log_bin"]:
        return None
    return BinaryLog(str(options["log_bin"]), str(options["log_bin_index"]))


def _xtrabackup(version: str) -> str:
    return (f"xtrabackup version {XTRABACKUP[versions.series(version)]} based on MySQL server "
            f"{version} Linux (x86_64) (revision id: 1)")


_VERSIONS: dict[str, Callable[[str], str]] = {
    "mysqld": lambda version: (
        f"/usr/sbin/mysqld  Ver {version} for Linux on x86_64 (MySQL Community Server - GPL)"),
    "xtrabackup": _xtrabackup, "xbstream": _xtrabackup,
    "mysqlbinlog": lambda version: f"mysqlbinlog  Ver {version} for Linux on x86_64",
    "mysql": lambda version: f"mysql  Ver {version} for Linux on x86_64",
    "mysql_upgrade": lambda version: f"mysql_upgrade  Ver 5.2.0, for Linux (x86_64) {version}"}


def install(folder: pathlib.Path, version: str) -> None:
    """Make the programs of a release, to be put into PATH."""
    root = pathlib.Path(__file__).parents[2]
    for name, told in _VERSIONS.items():
        path = folder / name
        # a version is asked for often, and Python takes its time to begin
        path.write_text(
            f"#!/bin/sh\n[ \"$*\" = --version ] && {{ echo '{told(version)}'; exit; }}\n"
            f"cd {root} && exec {sys.executable} -m tests.servers.mysql_programs {name} "
            f"{version} {folder} \"$@\"\n")
        path.chmod(0o755)
