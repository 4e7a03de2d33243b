"""Engines as their users see them: how to write data, and what to look for.

A further engine is one more entry of :data:`ENGINES`; the scenarios that its declaration
allows run for it.  One that is installed and has none must be named in :data:`WITHOUT_SERVER`.
"""

from __future__ import annotations

import abc
from typing import Any

import psycopg
import pymysql
import redis

from tests.integration.cloud import connect, rows

USER, DATABASE = "app", "shop"
#: seconds of a statement that stands in the log of slow ones
SLOW = 1.05


class Engine(abc.ABC):
    """What one engine's users do.

    :param name: of datastore and manager
    """

    name = ""
    version = ""
    #: of the user that reads and writes, until root is enabled; empty: there is none
    password = ""
    #: a setting that takes effect at once, and two values of it
    dynamic: tuple[str, Any, Any] = ("", None, None)
    #: a setting that takes effect at the next start, and a value of it
    static: tuple[str, Any] = ("", None)
    #: a setting that follows from the memory, and what it is with flavors 1 and 2
    by_memory: tuple[str, Any, Any] = ("", None, None)
    #: what the log of errors holds after a start
    started = ""
    #: what a replica says to whom wants to write
    read_only = ""
    #: what the server says to whom it does not let in
    refused = ""

    def body(self) -> dict[str, Any]:
        """Return what the request for an instance has besides."""
        return {}

    @abc.abstractmethod
    def write(self, address: str, password: str, count: int) -> Any:
        """Write data and return all there are, to be compared."""

    @abc.abstractmethod
    def read(self, address: str, password: str) -> Any:
        """Return all data.

        :raises Exception: whatever the engine's client raises when it is not let in
        """

    @abc.abstractmethod
    def setting(self, address: str, password: str, name: str) -> str:
        """Return a setting as a user can see it in force."""

    @abc.abstractmethod
    def log_in(self, address: str, user: str, password: str, database: str | None = None) -> None:
        """Log in and ask for something.

        :param database: what the user is to make a table in; None: any login will do
        :raises Exception: whatever the engine's client raises when it is not let in
        """

    def say_slowly(self, address: str, password: str, word: str) -> None:
        """Run a statement that has a word and takes longer than statements should.

        Engines with logs of statements have it.
        """
        raise AssertionError(f"{self.name} logs no statements")

    def encrypted(self, address: str, password: str, trusted: str | None) -> bool:
        """Return whether a user's connection is encrypted.

        :param trusted: file of what its client verifies the server with; None: it wants no
            encryption
        """
        return False


def sql_body(engine: Engine) -> dict[str, Any]:
    """Return a database and who may use it."""
    return {"databases": [{"name": DATABASE}], "users": [
        {"name": USER, "password": engine.password, "databases": [{"name": DATABASE}]}]}


class MariaDb(Engine):
    name = "mariadb"
    password = "app-Pw1"
    version = "10.11"
    dynamic = ("long_query_time", 2.5, 3.5)
    static = ("back_log", 90)
    by_memory = ("innodb_buffer_pool_size", 256 * 1024 ** 2, 512 * 1024 ** 2)
    started = "ready for connections"
    read_only = "read-only"
    refused = "Access denied"

    def body(self) -> dict[str, Any]:
        return sql_body(self)

    def _connect(self, address: str, password: str) -> pymysql.Connection[Any]:
        return connect(address, USER, password, DATABASE)

    def encrypted(self, address: str, password: str, trusted: str | None) -> bool:
        how: dict[str, Any] = {"ssl_disabled": True} if trusted is None else {
            "ssl_ca": trusted, "ssl_verify_cert": True, "ssl_verify_identity": True}
        with pymysql.connect(host=address, user=USER, password=password, **how) as connection:
            return bool(rows(connection, "SHOW STATUS LIKE 'Ssl_cipher'")[0][1])

    def write(self, address: str, password: str, count: int) -> Any:
        with self._connect(address, password) as connection:
            with connection.cursor() as cursor:
                cursor.execute("CREATE TABLE IF NOT EXISTS t (id INT AUTO_INCREMENT PRIMARY KEY,"
                               " b VARBINARY(64), d DATETIME(6))")
                cursor.executemany("INSERT INTO t (b, d) VALUES (RANDOM_BYTES(%s), NOW(6))",
                                   [(number % 64 + 1,) for number in range(count)])
            connection.commit()
        return self.read(address, password)

    def read(self, address: str, password: str) -> Any:
        with self._connect(address, password) as connection:
            return rows(connection, "SELECT * FROM t ORDER BY id")

    def say_slowly(self, address: str, password: str, word: str) -> None:
        with self._connect(address, password) as connection:
            rows(connection, f"SELECT '{word}', SLEEP({SLOW})")

    def log_in(self, address: str, user: str, password: str, database: str | None = None) -> None:
        with connect(address, user, password, database) as connection:
            rows(connection, "SELECT 1" if database is None else
                 "CREATE OR REPLACE TABLE visited (id INT)")

    def setting(self, address: str, password: str, name: str) -> str:
        with self._connect(address, password) as connection:
            return str(rows(connection, f"SELECT @@GLOBAL.{name}")[0][0])


class PostgreSql(Engine):
    name = "postgresql"
    password = "app-Pw1"
    version = "15"
    dynamic = ("geqo_threshold", 20, 30)
    static = ("max_worker_processes", 11)
    by_memory = ("shared_buffers", "128MB", "256MB")
    started = "database system is ready to accept connections"
    read_only = "read-only transaction"
    refused = "authentication failed|permission denied|is not permitted to log in"

    def body(self) -> dict[str, Any]:
        return sql_body(self)

    def encrypted(self, address: str, password: str, trusted: str | None) -> bool:
        with psycopg.connect(host=address, user=USER, password=password, dbname=DATABASE,
                             sslmode="disable" if trusted is None else "verify-full",
                             sslrootcert=trusted, connect_timeout=10) as connection:
            return bool(connection.pgconn.ssl_in_use)

    def _ask(self, address: str, password: str, *statements: str) -> Any:
        with psycopg.connect(host=address, user=USER, password=password, dbname=DATABASE,
                             connect_timeout=10) as connection:
            for one in statements:
                found = connection.execute(one.encode())
            return found.fetchall()

    def write(self, address: str, password: str, count: int) -> Any:
        return self._ask(
            address, password,
            "CREATE TABLE IF NOT EXISTS t (id serial PRIMARY KEY, b text, d timestamptz)",
            f"INSERT INTO t (b, d) SELECT md5(random()::text), clock_timestamp() "
            f"FROM generate_series(1, {count})", self._ALL)

    _ALL = "SELECT * FROM t ORDER BY id"

    def read(self, address: str, password: str) -> Any:
        return self._ask(address, password, self._ALL)

    def say_slowly(self, address: str, password: str, word: str) -> None:
        self._ask(address, password, f"SELECT '{word}', pg_sleep({SLOW})::text")

    def log_in(self, address: str, user: str, password: str, database: str | None = None) -> None:
        with psycopg.connect(host=address, user=user, password=password, connect_timeout=10,
                             dbname=database or DATABASE) as connection:
            connection.execute("SELECT 1" if database is None else
                               "CREATE TABLE IF NOT EXISTS visited (id int)")

    def setting(self, address: str, password: str, name: str) -> str:
        return str(self._ask(address, password, f"SHOW {name}")[0][0])


class Redis(Engine):
    name = "redis"
    version = "7.0"
    # clients are told by what they may do and store: CONFIG is not for them
    dynamic = ("maxmemory", 50 * 1024 ** 2, 60 * 1024 ** 2)
    static = ("databases", 5)
    by_memory = ("maxmemory", 256 * 1024 ** 2, 665 * 1024 ** 2)
    started = "Ready to accept connections"
    read_only = "read only replica"
    refused = "(?i)auth|WRONGPASS"

    def _client(self, address: str, password: str) -> redis.Redis:
        return redis.Redis(host=address, password=password or None, protocol=2,
                           socket_timeout=10)

    def encrypted(self, address: str, password: str, trusted: str | None) -> bool:
        how: dict[str, Any] = {} if trusted is None else {
            "port": 6380, "ssl": True, "ssl_ca_certs": trusted, "ssl_check_hostname": True}
        with redis.Redis(host=address, password=password or None, protocol=2,
                         socket_timeout=10, **how) as client:
            return bool(client.ping()) and trusted is not None

    def write(self, address: str, password: str, count: int) -> Any:
        client = self._client(address, password)
        there = client.dbsize()
        with client.pipeline() as pipe:
            for number in range(count):
                pipe.set(f"key {there + number}", bytes([number % 256]) * 50)
            pipe.hset("hash", mapping={"a": "1"})
            pipe.zadd("sorted", {"x": 1.5})
            pipe.execute()
        return self.read(address, password)

    def read(self, address: str, password: str) -> Any:
        client = self._client(address, password)
        found: dict[bytes, bytes] = {}
        cursor = None
        while cursor != 0:
            cursor, keys = client.scan(cursor or 0, count=5000)
            with client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.dump(key)
                # keys may be told twice
                found.update(zip(keys, pipe.execute(), strict=True))
        return sorted(found.items())

    def log_in(self, address: str, user: str, password: str, database: str | None = None) -> None:
        # passwords alone, as clients of old: the only user has no other name
        self._client(address, password).ping()

    def setting(self, address: str, password: str, name: str) -> str:
        client = self._client(address, password)
        if name == "databases":
            number = 0
            try:
                while True:
                    client.execute_command("SELECT", number + 1)
                    number += 1
            except redis.ResponseError:
                return str(number + 1)
        return str(client.info("memory")[name])


ENGINES = {one.name: one for one in (MariaDb(), PostgreSql(), Redis())}
#: installed engines that no server can be had of here, and what stands in for these scenarios
WITHOUT_SERVER = {
    "mysql": "Debian has no package of it; tests/functional/guestagent/test_mysql*.py run its "
             "driver against a stand-in for each release.",
    "percona": "Debian has no package of it; it is MySQL's driver, with the same tests.",
}
