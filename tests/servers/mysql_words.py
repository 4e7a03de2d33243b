"""Statements that releases of MySQL take, and what they do to accounts and databases.

A statement that is not here is a mistake of who sent it: it is refused and remembered.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.servers import mysql_sets as sets
from tests.servers.mysql_binlog import BinaryLog
from tests.servers.mysql_wire import Refused

NATIVE, SHA2 = "mysql_native_password", "caching_sha2_password"
#: release of XtraBackup for a release of the server
XTRABACKUP = {"5.7": "2.4.29", "8.0": "8.0.35-30", "8.4": "8.4.0-1"}
_Q = r"'((?:[^'\\]|\\.|'')*)'"
_WHO = rf"{_Q}@{_Q}"
_DB = r"`((?:[^`]|``)*)`"
_LAST = (r" REQUIRE NONE WITH MAX_USER_CONNECTIONS (\d+) PASSWORD EXPIRE NEVER"
         r"( PASSWORD HISTORY 0 PASSWORD REUSE INTERVAL 0 DAY)? ACCOUNT UNLOCK")
_BEGIN = (r"SET SESSION sql_log_off = 1, long_query_time = 31536000, sql_mode = '', "
          r"completion_type = 'NO_CHAIN', max_sort_length = 1024, "
          r"sql_select_limit = 18446744073709551615")
_USERS = (r"NOT \(account_locked = 'Y' AND password_expired = 'Y' AND "
          r"authentication_string = ''\)")
#: variables that only a start sets
_STATIC = {"back_log", "innodb_purge_threads", "innodb_page_cleaners", "open_files_limit",
           "performance_schema", "innodb_buffer_pool_instances", "port", "datadir"}
_DEFAULTS = {"long_query_time": 10, "max_connections": 151, "back_log": 80, "sort_buffer_size":
             262144, "general_log": 0, "slow_query_log": 0, "innodb_fast_shutdown": 1,
             "table_definition_cache": 2000, "time_zone": "SYSTEM",
             "transaction_isolation": "REPEATABLE-READ", "temptable_max_ram": 1073741824,
             "binlog_format": "ROW", "max_binlog_size": 1073741824, "expire_logs_days": 0,
             "binlog_expire_logs_seconds": 2592000, "slave_net_timeout": 60,
             "replica_net_timeout": 60, "gtid_mode": "OFF",
             "enforce_gtid_consistency": "OFF", "server_id": 1, "event_scheduler": "OFF",
             "ssl_cert": "", "sync_binlog": 1, "binlog_error_action": "ABORT_SERVER",
             "password_history": 0, "max_user_connections": 0, "sql_mode": ""}
#: variables that are on or off
_FLAGS = {"read_only", "super_read_only", "log_bin", "log_slave_updates", "log_replica_updates",
          "relay_log_recovery", "require_secure_transport"}
_WRITES = re.compile(r"(CREATE|ALTER|DROP|RENAME|GRANT|REVOKE) ")
#: what has gone, and the release since when
_GONE = {"query_cache_size": (8, 0), "query_cache_type": (8, 0), "expire_logs_days": (8, 4),
         "default_authentication_plugin": (8, 4), "innodb_file_format": (8, 0),
         "innodb_log_files_in_group": (9, 0), "master_info_repository": (8, 4),
         "relay_log_info_repository": (8, 4), "sync_frm": (8, 0), "tx_isolation": (8, 0)}
_SINCE = {"innodb_redo_log_capacity": (8, 0), "binlog_expire_logs_seconds": (8, 0),
          "persisted_globals_load": (8, 0), "disable_log_bin": (8, 0),
          "log_replica_updates": (8, 0), "replica_net_timeout": (8, 0),
          "skip_replica_start": (8, 0), "mysqlx": (8, 0), NATIVE: (8, 4),
          "temptable_max_ram": (8, 0)}


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text.replace("''", "'"))


def knows(name: str, release: tuple[int, int]) -> bool:
    """Return whether a release has an option."""
    return (release >= _SINCE.get(name, (0, 0)) and release < _GONE.get(name, (99, 0)))


@dataclasses.dataclass
class Session:
    """What a connection has set for itself.

    :param begins: it is the server itself, that begins
    """

    logged: bool = True
    begins: bool = False
    sql_mode: str = ""


class State:
    """Accounts, databases and variables, kept in the data directory.

    :param version: of the server that has it open, for example ``8.0.36``
    """

    def __init__(self, folder: pathlib.Path, version: str) -> None:
        self._path = folder / "state.json"
        self.version = version
        self.release = tuple(map(int, version.split(".")[:2]))
        self.data: dict[str, Any] = json.loads(self._path.read_text())
        self.options: dict[str, str | None] = {}
        self.globals: dict[str, Any] = {}
        self.unknown: list[str] = []
        self.said: list[str] = []
        self.connections: dict[int, str] = {}
        #: those that hold the lock for backups, which ends with them
        self.backups: list[Session] = []
        self.end: Callable[[int], None] = lambda _number: None
        self.binary: BinaryLog | None = None
        #: number of a server, number of its transaction, statement
        self.log: list[tuple[str, int, str]] = []
        self.relay: list[tuple[str, int, str]] = []
        self.retrieved: dict[str, int] = {}
        self.io = self.sql = False
        self.io_error = self.sql_error = 0
        self.data.setdefault("executed", {})
        self.uuid = ""

    def begin(self, options: dict[str, str | None]) -> None:
        """Read what is beside the data: settings, the server's number, its log."""
        self.options = options
        number = self._path.with_name("auto.cnf")
        if not number.exists():
            number.write_text(f"[auto]\nserver-uuid={uuid.uuid4()}\n")
        self.uuid = number.read_text().strip().rpartition("=")[2]
        self.io = self.sql = bool(self.data.get("channel")) and not any(
            name.startswith("skip_") and name.endswith("_start") for name in options)
        if self._log_path is not None and self._log_path.exists():
            self.log = [tuple(one) for one in json.loads(self._log_path.read_text())]

    @property
    def _log_path(self) -> pathlib.Path | None:
        found = self.options.get("log_bin")
        return pathlib.Path(f"{found}.json") if found else None

    def note(self, number: str, transaction: int, statement: str) -> None:
        """Write a transaction to the log."""
        self.data["executed"][number] = transaction
        self.save()
        if self._log_path is not None:
            self.log.append((number, transaction, statement))
            self._log_path.write_text(json.dumps(self.log))

    def replay(self, statement: str) -> None:
        """Do what another server did."""
        self._do(statement)

    @classmethod
    def create(cls, folder: pathlib.Path, version: str) -> None:
        """Make what ``--initialize-insecure`` makes."""
        old = version.startswith("5.7")
        users = {"root@localhost": ["", NATIVE if old else SHA2, "N"]}
        for name in ("mysql.sys", "mysql.session", *([] if old else ["mysql.infoschema"])):
            users[f"{name}@localhost"] = ["*", NATIVE if old else SHA2, "Y"]
        (folder / "state.json").write_text(json.dumps({
            "version": version, "lsn": 100, "users": users, "grants": [], "databases": {
                name: ["utf8mb4", "utf8mb4_0900_ai_ci"]
                for name in ("mysql", "information_schema", "performance_schema", "sys")}}))

    def save(self) -> None:
        self.data["lsn"] += 10
        self._path.write_text(json.dumps(self.data))

    @property
    def native_is_on(self) -> bool:
        return self.release < (8, 4) or any(
            self.options.get(name) == "ON" for name in (NATIVE, f"loose_{NATIVE}"))

    def account(self, name: str) -> tuple[str, str]:
        """Return how a user of this machine logs in."""
        users = self.data["users"]
        password, plugin, locked = users.get(
            f"{name}@localhost", users.get(f"{name}@%", ["", SHA2, "Y"]))
        self.check_plugin(plugin)
        if locked == "Y":
            raise Refused(1045, "Access denied")
        return plugin, password

    def check_plugin(self, plugin: str) -> None:
        if plugin == NATIVE and not self.native_is_on or (
                plugin == SHA2 and self.release < (8, 0)):
            raise Refused(1524, f"Plugin '{plugin}' is not loaded")

    # ---- statements -----------------------------------------------------------

    def run(self, statement: str, session: Session | None = None) -> list[list[Any]] | None:
        """Run a statement; its rows, None for one without.

        :raises Refused: the release refuses it, or does not know it
        """
        session = session or Session()
        sets.pull(self)
        self.said.append(statement)
        if re.fullmatch(r"SET (SESSION )?sql_log_bin = 0", statement):
            session.logged = False
            return None
        if statement == "LOCK INSTANCE FOR BACKUP":
            self.backups.append(session)
        writes = bool(_WRITES.match(statement))
        if writes and self.flag("super_read_only") and not session.begins:
            raise Refused(1290, "The MySQL server is running with the --super-read-only option")
        if re.match(_BEGIN, statement):
            session.sql_mode = ""
        found = self._do(statement)
        if found and "PAD_CHAR_TO_FULL_LENGTH" in session.sql_mode and (
                "FROM mysql.user" in statement):
            # its columns are CHAR; no padded one is what a binary text is
            found = [] if "BINARY User = " in statement else [
                [one.ljust(32) if isinstance(one, str) else one for one in row] for row in found]
        logged = writes and session.logged and self.flag("log_bin")
        if logged and self.binary is not None:
            self.binary.add(statement)
        if logged and self.options.get("gtid_mode") == "ON":
            self.note(self.uuid, self.data["executed"].get(self.uuid, 0) + 1, statement)
        return found

    def flag(self, name: str) -> bool:
        return bool(int(self.read_global(name)[0][0]))

    def _do(self, statement: str) -> list[list[Any]] | None:
        known = [(pattern, work) for pattern, since, work in _STATEMENTS if self.release >= since]
        known += [(pattern, work) for pattern, since, before, work in sets.STATEMENTS
                  if since <= self.release < before]
        for pattern, work in sorted(known, key=lambda one: one[0].startswith("SET GLOBAL `?")):
            found = re.fullmatch(pattern, statement, re.DOTALL)
            if found:
                return work(self, *[None if one is None else _plain(one)
                                    for one in found.groups()])
        self.unknown.append(statement)
        raise Refused(1064, "You have an error in your SQL syntax")

    def ignore(self, *_values: Any) -> None:
        """It changes nothing that is looked at."""

    def find_user(self, name: str, host: str) -> list[Any]:
        key = f"{name}@{host}"
        if key not in self.data["users"]:
            raise Refused(1396, "Operation failed for user")
        return list(self.data["users"][key])

    def put_user(self, verb: str, soft: str | None, name: str, host: str, plugin: str | None,
                 password: str, limit: str | None, forgetful: str | None) -> None:
        if forgetful and self.release < (8, 0):
            raise Refused(1064, "You have an error in your SQL syntax")
        key, exists = f"{name}@{host}", f"{name}@{host}" in self.data["users"]
        self._check_password(key, password, history=not forgetful)
        if exists is (verb == "CREATE"):
            if not soft:
                raise Refused(1396, "Operation failed for user")
            return
        usual = self.data["users"][key][1] if exists else (
            NATIVE if self.release < (8, 0) else SHA2)
        self.check_plugin(plugin or usual)
        self.data["users"][key] = [password, plugin or usual, "N"]
        self.data.setdefault("limits", {})[key] = int(limit or 0)
        self.data.setdefault("passwords", {}).setdefault(key, []).append(password)
        self.save()

    def _check_password(self, key: str, password: str, *, history: bool) -> None:
        if self.data.get("rules") and not all(
                re.search(kind, password) for kind in ("[a-z]", "[A-Z]", "[0-9]", r"[^\w]")):
            raise Refused(1819, "Your password does not satisfy the current policy requirements")
        if history and self.release >= (8, 0):
            kept = int(self.read_global("password_history")[0][0])
            if kept and password in self.data.get("passwords", {}).get(key, [])[-kept:]:
                raise Refused(3638, "Cannot use these credentials for the user because they "
                                    "contradict the password history policy")

    def check_connections(self, user: str) -> None:
        """Refuse a user who has as many as it may."""
        limit = self.data.get("limits", {}).get(f"{user}@localhost") or int(
            self.read_global("max_user_connections")[0][0])
        if limit and list(self.connections.values()).count(user) >= limit:
            raise Refused(1226, "User has exceeded the 'max_user_connections' resource")

    def lock_root(self) -> None:
        if "root@localhost" in self.data["users"]:
            self.data["users"]["root@localhost"][2] = "Y"
            self.save()

    def drop_user(self, soft: str | None, name: str, host: str) -> None:
        if not soft:
            self.find_user(name, host)
        self.data["users"].pop(f"{name}@{host}", None)
        self.data["grants"] = [one for one in self.data["grants"] if one[:2] != [name, host]]
        self.save()

    def rename_user(self, name: str, host: str, new: str, new_host: str) -> None:
        self.data["users"][f"{new}@{new_host}"] = self.find_user(name, host)
        del self.data["users"][f"{name}@{host}"]
        for one in self.data["grants"]:
            if one[:2] == [name, host]:
                one[:2] = [new, new_host]
        self.save()

    def grant(self, database: str | None, name: str, host: str) -> None:
        self.find_user(name, host)
        self.data["grants"].append([name, host, database or "*"])
        self.save()

    def revoke(self, database: str, name: str, host: str) -> None:
        if [name, host, database] not in self.data["grants"]:
            raise Refused(1141, "There is no such grant defined")
        self.data["grants"].remove([name, host, database])
        self.save()

    def granted(self, name: str, host: str) -> list[list[Any]]:
        return [[one[2]] for one in self.data["grants"]
                if one[:2] == [name, host] and one[2] != "*"]

    def list_users(self, hidden: str | None, own: str, marker: str | None,
                   limit: str) -> list[list[Any]]:
        known = set(re.findall(_Q, own))
        found = sorted(key for key in self.data["users"]
                       if key.rpartition("@")[0].lower() not in known
                       and not (hidden and key.lower().startswith(hidden)))
        return [list(key.rpartition("@")[::2]) for key in found
                if marker is None or key > marker][:int(limit)]

    def has_user(self, name: str, host: str) -> list[list[Any]]:
        return [[1]] if f"{name}@{host}" in self.data["users"] else []

    def hosts(self, name: str) -> list[list[Any]]:
        return [[key.rpartition("@")[2]] for key in self.data["users"]
                if key.startswith(f"{name}@") and not key.endswith("@localhost")]

    def named(self, name: str) -> list[list[Any]]:
        return [[name] for key in self.data["users"] if key.startswith(f"{name}@")]

    def nameless_or(self, prefix: str) -> list[list[Any]]:
        return [list(key.rpartition("@")[::2]) for key in self.data["users"]
                if key.startswith(("@", prefix))]

    def named_like(self, prefix: str) -> list[list[Any]]:
        return [one for one in self.nameless_or(prefix) if one[0]]

    def using(self, plugin: str) -> list[list[Any]]:
        return [[1] for one in self.data["users"].values() if one[1:] == [plugin, "N"]][:1]

    def create_database(self, name: str, charset: str | None, collate: str | None) -> None:
        if name in self.data["databases"]:
            raise Refused(1007, "Can't create database; database exists")
        self.data["databases"][name] = [charset or "utf8mb4", collate or "utf8mb4_bin"]
        self.save()

    def drop_database(self, soft: str | None, name: str) -> None:
        if self.data["databases"].pop(name, None) is None and not soft:
            raise Refused(1008, "Can't drop database; database doesn't exist")
        self.save()

    def list_databases(self, own: str, marker: str | None, limit: str) -> list[list[Any]]:
        known = set(re.findall(_Q, own))
        return [[name, *about] for name, about in sorted(self.data["databases"].items())
                if name not in known and (marker is None or name > marker)][:int(limit)]

    def _binary_log(self) -> BinaryLog:
        if self.binary is None:
            raise Refused(1381, "You are not using binary logging")
        return self.binary

    def list_logs(self) -> list[list[Any]]:
        """The third column is of 8.0."""
        return [[name, size, *(["No"] if self.release >= (8, 0) else [])]
                for name, size in self._binary_log().rows()]

    def rotate_log(self) -> None:
        self._binary_log().rotate()

    def purge_logs(self, name: str) -> None:
        if self.backups and tuple(map(int, self.version.split("."))) >= (8, 0, 28):
            raise Refused(4085, "Could not purge binary logs since another session is executing "
                                "LOCK INSTANCE FOR BACKUP")
        self._binary_log().purge(name)

    def connections_of(self, name: str) -> list[list[Any]]:
        return [[number] for number, user in self.connections.items() if user == name]

    def connections_from_afar(self, name: str) -> list[list[Any]]:
        # by the socket one would come in as the account of localhost, if that is open
        own = self.data["users"].get(f"{name}@localhost")
        return [] if own is not None and own[2] == "N" else self.connections_of(name)

    def kill(self, number: str) -> None:
        if int(number) not in self.connections:
            raise Refused(1094, "Unknown thread id")
        self.end(int(number))

    def read_global(self, name: str) -> list[list[Any]]:
        if name == "gtid_executed":
            return [[sets.text(self.data["executed"])]]
        if name in _FLAGS and knows(name, self.release):
            found = self.globals.get(name, self.options.get(name) or "OFF")
            return [[int(str(found) not in ("0", "OFF"))]]
        if not knows(name, self.release) or name not in {
                *self.globals, *self.options, *_DEFAULTS}:
            raise Refused(1193, f"Unknown system variable '{name}'")
        return [[self.globals.get(name, self.options.get(name, _DEFAULTS.get(name)))]]

    def read_globals(self, names: str) -> list[list[Any]]:
        return [[self.read_global(one.removeprefix("@@GLOBAL."))[0][0]
                 for one in names.split(", ")]]

    def set_global(self, name: str, value: str) -> None:
        self.read_global(name)
        if name in _STATIC:
            raise Refused(1238, f"Variable '{name}' is a read only variable")
        if name == "sort_buffer_size" and not value.isdigit() and value != "DEFAULT":
            raise Refused(1232, "Incorrect argument type to variable 'sort_buffer_size'")
        if name == "time_zone" and not re.fullmatch(r"'?(SYSTEM|[+-]\d\d?:\d\d)'?|DEFAULT", value):
            # nobody has loaded the tables
            raise Refused(1298, f"Unknown or incorrect time zone: {value}")
        self.globals[name] = _DEFAULTS[name] if value == "DEFAULT" else value.strip("'")
        # each brings the other with it
        if (name, value) == ("super_read_only", "1"):
            self.globals["read_only"] = "1"
        elif (name, value) == ("read_only", "0"):
            self.globals["super_read_only"] = "0"
        elif name == "event_scheduler":
            self.globals[name] = "ON" if value == "1" else "OFF"


_PAGE = rf"(?:AND BINARY \S+(?: '@', Host\))? >=? BINARY {_Q} )?ORDER BY BINARY \S+" \
        r"(?: '@', Host\))? LIMIT (\d+)"
_STATEMENTS: tuple[tuple[str, tuple[int, int], Callable[..., Any]], ...] = tuple(
    (pattern, since, work) for pattern, since, work in (
        (_BEGIN + r"(?:, max_execution_time = 0, sql_big_selects = 1)?", (5, 7), State.ignore),
        (r"SET NAMES utf8mb4", (5, 7), State.ignore),
        (r"SET AUTOCOMMIT = [01]", (5, 7), State.ignore),
        (r"SET SESSION lock_wait_timeout = \d+, wait_timeout = \d+", (5, 7), State.ignore),
        (r"SET SESSION lock_wait_timeout = \d+", (5, 7), State.ignore),
        (_BEGIN + r", wait_timeout = \d+, net_read_timeout = \d+, lock_wait_timeout = 3600, "
         r"max_execution_time = 0",
         (5, 7), State.ignore),
        (r"SET SESSION time_zone = '\+00:00'", (5, 7), State.ignore),
        (r"SELECT UNIX_TIMESTAMP\(SYSDATE\(6\)\)", (5, 7),
         lambda _state: [[f"{time.time():.6f}"]]),
        (r"SHOW BINARY LOGS", (5, 7), State.list_logs),
        (r"FLUSH NO_WRITE_TO_BINLOG BINARY LOGS", (5, 7), State.rotate_log),
        (rf"PURGE BINARY LOGS TO {_Q}", (5, 7), State.purge_logs),
        (r"SELECT 1", (5, 7), lambda _state: [[1]]),
        (r"SELECT VERSION\(\)", (5, 7), lambda state: [[state.version]]),
        (r"LOCK INSTANCE FOR BACKUP", (8, 0), State.ignore),
        (r"FLUSH TABLES WITH READ LOCK|UNLOCK TABLES", (5, 7), State.ignore),
        (r"FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS", (5, 7), State.ignore),
        (r"ALTER INSTANCE RELOAD TLS", (8, 0), State.ignore),
        (r"FLUSH LOCAL ERROR LOGS, GENERAL LOGS, SLOW LOGS", (5, 7), State.ignore),
        (r"XA RECOVER", (5, 7), lambda state: state.data.get("xa", [])),
        (r"SHOW DATABASES", (5, 7), lambda state: [[one] for one in state.data["databases"]]),
        (r"SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM "
         r"information_schema.SCHEMATA WHERE BINARY LOWER\(SCHEMA_NAME\) NOT IN \((.*?)\) "
         + _PAGE, (5, 7), State.list_databases),
        (rf"CREATE DATABASE {_DB}(?: CHARACTER SET {_Q})?(?: COLLATE {_Q})?", (5, 7),
         State.create_database),
        (r"DROP DATABASE (IF EXISTS )?`?(\w+|(?:[^`]|``)*)`?", (5, 7), State.drop_database),
        (rf"SELECT User, Host FROM mysql.user WHERE {_USERS} AND User <> '' "
         r"(?:AND LEFT\(LOWER\(User\), \d+\) <> '(\w+)' )?"
         r"AND BINARY LOWER\(User\) NOT IN \((.*?)\) " + _PAGE, (5, 7), State.list_users),
        (rf"SELECT 1 FROM mysql.user WHERE {_USERS} AND BINARY User = BINARY {_Q} "
         rf"AND BINARY Host = BINARY {_Q}", (5, 7), State.has_user),
        (rf"SELECT 1 FROM mysql.user WHERE plugin = {_Q} AND account_locked = 'N' "
         r"LIMIT 1", (5, 7), State.using),
        (rf"SELECT Host FROM mysql.user WHERE User = {_Q}(?: AND Host NOT IN "
         r"\('localhost', '127.0.0.1', '::1'\))?", (5, 7), State.hosts),
        (rf"SELECT User FROM mysql.user WHERE User = {_Q}", (5, 7), State.named),
        (rf"SELECT User, Host FROM mysql.user WHERE User = '' OR LEFT\(User, \d+\) = {_Q}",
         (5, 7), State.nameless_or),
        (rf"SELECT User, Host FROM mysql.user WHERE LEFT\(User, \d+\) = {_Q}", (5, 7),
         State.named_like),
        (rf"SELECT Db FROM mysql.db WHERE User = {_Q} AND Host = {_Q}", (5, 7), State.granted),
        (rf"(CREATE|ALTER) USER (IF NOT EXISTS )?{_WHO} IDENTIFIED (?:WITH (\w+) )?BY {_Q}"
         rf"(?:{_LAST})?", (5, 7), State.put_user),
        (r"ALTER USER IF EXISTS root@localhost ACCOUNT LOCK", (5, 7), State.lock_root),
        (rf"DROP USER (IF EXISTS )?{_WHO}", (5, 7), State.drop_user),
        (rf"DROP USER (IF EXISTS )''@{_Q}",  (5, 7),
         lambda state, soft, host: state.drop_user(soft, "", host)),
        (rf"RENAME USER {_WHO} TO {_WHO}", (5, 7), State.rename_user),
        (rf"GRANT ALL PRIVILEGES ON \*\.\* TO {_WHO} WITH GRANT OPTION", (5, 7),
         lambda state, name, host: state.grant(None, name, host)),
        (rf"GRANT ALL PRIVILEGES ON {_DB}\.\* TO {_WHO}", (5, 7), State.grant),
        (rf"REVOKE ALL PRIVILEGES ON {_DB}\.\* FROM {_WHO}", (5, 7), State.revoke),
        (rf"SELECT ID FROM information_schema.PROCESSLIST WHERE USER = {_Q}", (5, 7),
         State.connections_of),
        (rf"SELECT ID FROM information_schema.PROCESSLIST WHERE USER = {_Q} AND "
         r"HOST <> 'localhost'", (5, 7), State.connections_from_afar),
        (r"KILL (\d+)", (5, 7), State.kill),
        (r"SELECT @@GLOBAL\.`(\w+)`", (5, 7), State.read_global),
        (r"SELECT (@@GLOBAL\.\w+(?:, @@GLOBAL\.\w+)*)", (5, 7), State.read_globals),
        (r"SET GLOBAL `?(\w+)`? = (.*)", (5, 7), State.set_global),
    ))
