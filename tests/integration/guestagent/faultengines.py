"""Engines under :mod:`faultworld`: how each is run and used, and what breaks it."""

from __future__ import annotations

import abc
import contextlib
import pathlib
import random
from collections.abc import Iterator
from typing import Any, ClassVar

import psycopg
import pymysql
import redis

from tests.integration.guestagent.conftest import wait_for
from tests.servers.mariadb import free_port
from trove_ng.common.secret import Secret
from trove_ng.guestagent.datastores.experimental.postgresql.paths import installed_version
from trove_ng.rpc import messages as m
from trove_ng.rpc.guest import GuestClient

USER, PASSWORD, DATABASE = "app", "pw", "shop"
#: a line that no server takes, and what must not be told of it
WRONG = "no_such_setting = secret-of-the-customer\n"

_PLUGIN = '''\
from {package}.manager import {manager}
from {paths} import Paths


class LocalManager({manager}):
    """The engine in a directory of the test."""

    def __init__(self, ctx):
        super().__init__(ctx, Paths(**{places!r}))
'''


class Engine(abc.ABC):
    """An engine with one instance, below a directory.

    :ivar data: the data directory
    :cvar program: what its service is called
    :cvar user: whom the server runs as
    :cvar maker: program of the agent that makes an empty database; empty: it needs none
    :cvar backup_program: program of the agent that makes a backup; empty: the server does
    :cvar fstype: what its volume holds
    :cvar needs_room: it does not start on a full volume
    :cvar backup_needs_room: a backup may not be possible on one
    :cvar setting: one that takes effect at once, a value of it, and what is in force then
    :cvar refusal: what its client raises when a change is refused
    """

    name = ""
    version = ""
    strategy = ""
    program = ""
    user = ""
    maker = ""
    backup_program = ""
    fstype = "ext4"
    needs_room = True
    backup_needs_room = True
    setting: ClassVar[tuple[str, Any, Any]]
    refusal: type[Exception]
    _manager = ""
    _paths = ""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.port = free_port()
        self.data = home / "mount" / "data"

    # ---- how it is run -------------------------------------------------------------

    @abc.abstractmethod
    def places(self) -> dict[str, Any]:
        """Return where the agent has it keep what."""

    @abc.abstractmethod
    def service(self) -> dict[str, str]:
        """Return its settings for supervisord."""

    def plugin(self) -> str:
        """Return the text of a module with a manager for it."""
        package = f"trove_ng.guestagent.datastores.experimental.{self.name}"
        return _PLUGIN.format(package=package, manager=self._manager, places=self.places(),
                              paths=self._paths or f"{package}.paths")

    def wanted(self) -> dict[str, Any]:
        """Return what is asked for of an instance that is made of nothing."""
        return {"databases": [m.DatabaseSpec(name=DATABASE)],
                "users": [m.UserSpec(name=USER, password=Secret(PASSWORD),
                                     databases=[DATABASE])]}

    def wanted_of_restored(self) -> dict[str, Any]:
        """Return what is asked for of one that is made of a backup: its users are in there."""
        return {}

    # ---- how it is used ------------------------------------------------------------

    @abc.abstractmethod
    def begin(self) -> None:
        """Make what rows are written to."""

    @abc.abstractmethod
    def write(self, rows: int = 1) -> None:
        """Write rows of 1000 bytes that cannot be compressed."""

    def settle(self) -> None:  # noqa: B027 - what is committed does at once
        """Wait until what was written outlives the death of the server."""

    @abc.abstractmethod
    def count(self) -> int:
        """Return how many rows there are."""

    @abc.abstractmethod
    def in_force(self) -> Any:
        """Return what a user sees of :attr:`setting`."""

    @abc.abstractmethod
    def lets_in(self, password: str = PASSWORD) -> bool:
        """Return whether the user can log in with a password."""

    @abc.abstractmethod
    def change_password(self, guest: GuestClient, password: str) -> None:
        """Have the agent change the user's password."""

    # ---- what breaks it ------------------------------------------------------------

    @abc.abstractmethod
    def vital(self) -> pathlib.Path:
        """Return a file that it cannot start without, while it is stopped."""

    @abc.abstractmethod
    def settings_file(self) -> tuple[pathlib.Path, str]:
        """Return a file that it reads settings of, and what stands before one in it."""

    @contextlib.contextmanager
    def misconfigured(self) -> Iterator[None]:
        """Have it refuse its configuration while the block runs."""
        path, before = self.settings_file()
        old = path.read_text() if path.exists() else None
        path.write_text(f"{old or before}{WRONG}")
        try:
            yield
        finally:
            if old is None:
                path.unlink()
            else:
                path.write_text(old)


class MariaDb(Engine):
    """MariaDB."""

    name, version, strategy = "mariadb", "10.11", "mariabackup"
    program, user, maker, backup_program = "mariadb", "mysql", "mariadbd", "mariadb-backup"
    backup_needs_room = False
    setting = ("long_query_time", 2.5, 2.5)
    refusal = pymysql.err.MySQLError
    _manager = "MariaDbManager"
    _paths = "trove_ng.guestagent.datastores.mysql_family.paths"

    def places(self) -> dict[str, Any]:
        home = str(self.home)
        return {"mount": f"{home}/mount", "socket": f"{home}/run/s", "pid_file": f"{home}/run/pid",
                "base_config": f"{home}/trove.cnf",
                "include_config": f"{home}/etc/99-trove.cnf", "changes": f"{home}/changes",
                "init_file": f"{home}/run/init.sql", "port": self.port}

    def service(self) -> dict[str, str]:
        # a server removes temporary tables when it starts, those of others too
        (self.home / "my.cnf").write_text(
            f"[mysqld]\ntmpdir = {self.home}/run\n!includedir {self.home}/etc/\n")
        return {"command": f"mariadbd --defaults-file={self.home}/my.cnf"}

    def query(self, statement: str, password: str = PASSWORD) -> list[Any]:
        """Run a statement as the instance's user."""
        with pymysql.connect(
                host="127.0.0.1", port=self.port, user=USER, password=password,
                database=DATABASE, autocommit=True, connect_timeout=5,
                read_timeout=30) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def begin(self) -> None:
        self.query("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB)")

    def write(self, rows: int = 1) -> None:
        self.query(f"INSERT INTO t (b) SELECT RANDOM_BYTES(1000) FROM seq_1_to_{rows}")

    def count(self) -> int:
        return int(self.query("SELECT COUNT(*) FROM t")[0][0])

    def in_force(self) -> Any:
        return self.query("SELECT @@GLOBAL.long_query_time")[0][0]

    def lets_in(self, password: str = PASSWORD) -> bool:
        try:
            return bool(self.query("SELECT 1", password))
        except pymysql.err.MySQLError:
            return False

    def change_password(self, guest: GuestClient, password: str) -> None:
        guest.change_passwords([m.UserSpec(name=USER, password=Secret(password))])

    def vital(self) -> pathlib.Path:
        return self.data / "ibdata1"

    def settings_file(self) -> tuple[pathlib.Path, str]:
        return self.home / "etc" / "99-wrong.cnf", "[mysqld]\n"


class PostgreSql(Engine):
    """PostgreSQL."""

    name, version, strategy = "postgresql", installed_version(), "pg_basebackup"
    program, user, maker, backup_program = (
        "postgresql", "postgres", "initdb", "pg_basebackup")
    setting = ("geqo_threshold", 20, "20")
    refusal = psycopg.Error
    _manager = "PostgreSqlManager"

    def places(self) -> dict[str, Any]:
        home = str(self.home)
        return {"mount": f"{home}/mount", "version": self.version, "etc": f"{home}/etc",
                "run": f"{home}/run", "log": f"{home}/log", "port": self.port}

    def service(self) -> dict[str, str]:
        # Debian's unit does not start it again: the agent has to
        return {"command": f"/usr/lib/postgresql/{self.version}/bin/postgres "
                           f"-D {self.home}/etc/{self.version}/main",
                "user": self.user, "stopsignal": "INT", "autorestart": "false"}

    def query(self, statement: str, password: str = PASSWORD) -> list[Any]:
        """Run a statement as the instance's user."""
        with psycopg.connect(
                host="127.0.0.1", port=self.port, user=USER, password=password,
                dbname=DATABASE, autocommit=True, connect_timeout=5,
                options="-c statement_timeout=30s") as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def begin(self) -> None:
        self.query("CREATE TABLE t (id serial PRIMARY KEY, b bytea)")
        # it is not to be compressed, nor moved elsewhere
        self.query("ALTER TABLE t ALTER b SET STORAGE PLAIN")

    def write(self, rows: int = 1) -> None:
        self.query(f"INSERT INTO t (b) SELECT decode(string_agg(md5(random()::text), ''), 'hex')"
                   f" FROM generate_series(1, {rows}) AS r, generate_series(1, 63) GROUP BY r")

    def count(self) -> int:
        return int(self.query("SELECT COUNT(*) FROM t")[0][0])

    def in_force(self) -> Any:
        return self.query("SHOW geqo_threshold")[0][0]

    def lets_in(self, password: str = PASSWORD) -> bool:
        try:
            return bool(self.query("SELECT 1", password))
        except psycopg.Error:
            return False

    def change_password(self, guest: GuestClient, password: str) -> None:
        guest.change_passwords([m.UserSpec(name=USER, password=Secret(password))])

    def vital(self) -> pathlib.Path:
        return self.data / "global" / "pg_control"

    def settings_file(self) -> tuple[pathlib.Path, str]:
        return self.home / "etc" / self.version / "main" / "postgresql.conf", ""


class Redis(Engine):
    """Redis, whose snapshot is written each second in which something changed."""

    name, version, strategy = "redis", "7.0", "redis_rdb"
    program, user = "redis", "redis"
    # one that is full stays up; ext4 may only grow while it is mounted where the kernel lets it
    fstype = "xfs"
    needs_room = False
    # users see what they may store
    setting = ("maxmemory", 100 * 1024 ** 2, 100 * 1024 ** 2)
    refusal = redis.RedisError
    _manager = "RedisManager"

    def places(self) -> dict[str, Any]:
        home = str(self.home)
        return {"mount": f"{home}/mount", "config": f"{home}/etc/redis.conf",
                "changes": f"{home}/etc/changes", "socket": f"{home}/run/s",
                "pid_file": f"{home}/run/pid", "error_log": f"{home}/log/redis.log",
                "port": self.port, "tls_port": free_port()}

    def service(self) -> dict[str, str]:
        return {"command": f"redis-server {self.home}/etc/redis.conf", "user": self.user}

    def wanted(self) -> dict[str, Any]:
        return {"root_password": Secret(PASSWORD), "overrides": {"save": "1 1"}}

    def wanted_of_restored(self) -> dict[str, Any]:
        # who may come in is not in a backup
        return self.wanted()

    def client(self, password: str = PASSWORD) -> redis.Redis:
        """Return a client as the owner has it."""
        return redis.Redis(port=self.port, password=password, protocol=2, socket_timeout=10)

    def begin(self) -> None:
        """Nothing has to be made before it is written to."""
        assert self.count() == 0

    def write(self, rows: int = 1) -> None:
        with self.client() as client, client.pipeline(transaction=False) as pipe:
            for _ in range(rows):
                pipe.rpush("t", random.randbytes(1000))
            pipe.execute()

    def settle(self) -> None:
        """Wait for the snapshot."""
        def saved() -> bool:
            with self.client() as client:
                told: dict[str, Any] = client.info("persistence")  # type: ignore[assignment]
            return not told["rdb_changes_since_last_save"]

        wait_for(saved, 30)

    def count(self) -> int:
        with self.client() as client:
            return int(client.llen("t"))  # type: ignore[arg-type]

    def in_force(self) -> Any:
        with self.client() as client:
            return client.info("memory")["maxmemory"]  # type: ignore[index]

    def lets_in(self, password: str = PASSWORD) -> bool:
        try:
            with self.client(password) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def change_password(self, guest: GuestClient, password: str) -> None:
        guest.enable_root(m.RootRequest(password=Secret(password)))

    def vital(self) -> pathlib.Path:
        return self.data / "dump.rdb"

    def settings_file(self) -> tuple[pathlib.Path, str]:
        return self.home / "etc" / "redis.conf", ""


ENGINES = (MariaDb, PostgreSql, Redis)
