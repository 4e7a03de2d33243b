"""Statements on the local server.

Values and names go through the driver, which quotes them.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import errors
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from trove_ng.common.errors import Conflict, GuestError, NotFound
from trove_ng.common.secret import Secret
from trove_ng.datastores.postgresql.rules import ADMIN
from trove_ng.rpc import messages as m

Row = tuple[Any, ...]

#: database that the agent talks to when it is about the server
MAINTENANCE = "postgres"
#: what owners may set must not keep the agent from its work, nor change what it reads; what it
#: does stands in no log
_SETTINGS = {
    "client_min_messages": "error", "datestyle": "ISO", "debug_print_parse": "off",
    "debug_print_plan": "off", "debug_print_rewritten": "off",
    "default_transaction_read_only": "off", "exit_on_error": "off", "extra_float_digits": "1",
    "idle_in_transaction_session_timeout": "0", "idle_session_timeout": "0",
    "lc_messages": "C", "lock_timeout": "60000", "log_duration": "off",
    "log_min_duration_sample": "-1", "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic", "log_statement": "none",
    "log_transaction_sample_rate": "0", "search_path": "pg_catalog",
    "session_replication_role": "origin", "standard_conforming_strings": "on",
    "statement_timeout": "0", "timezone": "UTC", "transaction_timeout": "0"}
#: first version that has it
_SINCE = {"idle_session_timeout": 14, "log_min_duration_sample": 13, "transaction_timeout": 17}
#: the server takes no more connections
FULL = re.compile("too many (clients|connections)|remaining connection slots")
#: it is there, and begins or ends
NOT_YET = re.compile("the database system is|No such file|Connection refused")


def settings(version: int) -> dict[str, str]:
    """Return the settings of all that the agent does, whatever owners set.

    :param version: of the server, the major one
    """
    return {name: value for name, value in _SETTINGS.items()
            if version >= _SINCE.get(name, 0)}


def options(values: Mapping[str, str]) -> str:
    """Return settings as a connection is told of them."""
    return " ".join(f"-c {name}={value}" for name, value in values.items())


def statement(text: LiteralString, *names: str, **values: Any) -> Composed:
    """Return a statement with names in the places ``{}``, and values in those with names."""
    return SQL(text).format(*(Identifier(one) for one in names),
                            **{key: value if isinstance(value, Composable) else Literal(value)
                               for key, value in values.items()})


def after(key: LiteralString, request: m.PageRequest) -> tuple[Composed, list[Any]]:
    """Return the end of a statement that gives a page's rows and one more, and its values.

    The order is that of the bytes: that of the database may be another one after an upgrade.

    :param key: expression that the marker is a value of
    """
    order = SQL('{} COLLATE "C"').format(SQL(key))
    if request.marker is None:
        return SQL("ORDER BY {} LIMIT %s").format(order), [request.limit + 1]
    sign = SQL(">=") if request.include_marker else SQL(">")
    return (SQL("AND {} {} %s ORDER BY {} LIMIT %s").format(order, sign, order),
            [request.marker, request.limit + 1])


class Session:
    """A connection, for some statements."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def run(self, query: SQL | Composed, values: Sequence[Any] = ()) -> list[Row]:
        """Run a statement; its rows.

        :raises GuestError: the server refuses; the message holds no values
        """
        try:
            cursor = self._connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as err:
            # without its cause: the server's words quote the statement
            raise translate(err) from None

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Have all statements of the block take effect, or none."""
        with self._connection.transaction():
            yield

    def verifier(self, user: str, password: Secret) -> str:
        """Return what the server keeps of a password, which it is not told."""
        made = self._connection.pgconn.encrypt_password(
            password.reveal().encode(), user.encode(), b"scram-sha-256")
        return made.decode()


class Dependent(GuestError):
    """Something in the databases belongs to it."""


def translate(err: psycopg.Error) -> GuestError | NotFound | Conflict:
    """Return what an error of the driver means."""
    if isinstance(err, errors.DuplicateDatabase):
        return Conflict("The database exists already.")
    if isinstance(err, errors.InvalidCatalogName):
        return NotFound("The database cannot be found.")
    if isinstance(err, errors.DuplicateObject):
        return Conflict("The user exists already.")
    if isinstance(err, errors.DependentObjectsStillExist):
        return Dependent("Something in the databases belongs to it.")
    if isinstance(err, errors.UndefinedObject | errors.WrongObjectType
                  | errors.InvalidParameterValue):
        return GuestError("The server does not know the character set or collation, or they "
                          "do not fit.")
    if isinstance(err, errors.DiskFull):
        return GuestError("The database server refused: the disk is full.")
    return GuestError(f"The database server refused (error {err.sqlstate or 'unknown'}).")


class Server:
    """The server of this instance, reached over its socket.

    :param folder: directory of the socket
    :param version: of the server, the major one
    """

    def __init__(self, folder: str, port: int, version: int) -> None:
        self._folder = folder
        self._port = port
        self._options = options(settings(version))

    @contextlib.contextmanager
    def connect(self, timeout: int = 10, answer_timeout: float = 3600,
                database: str = MAINTENANCE) -> Iterator[psycopg.Connection[Row]]:
        """Give a connection of the driver.

        :param timeout: seconds for connecting
        :param answer_timeout: seconds for all answers
        :raises psycopg.Error: the server is not there, or refuses
        """
        with psycopg.connect(
                host=self._folder, port=self._port, user=ADMIN, dbname=database,
                connect_timeout=timeout, options=self._options, client_encoding="utf8",
                application_name="trove-guestagent", autocommit=True, prepare_threshold=None,
                ) as connection, socket.socket(fileno=os.dup(connection.fileno())) as line:
            # a server that hangs answers nothing, not that it hangs either
            timer = threading.Timer(answer_timeout, _cut, [line])
            timer.daemon = True
            timer.start()
            try:
                yield connection
            finally:
                timer.cancel()

    @contextlib.contextmanager
    def session(self, database: str = MAINTENANCE) -> Iterator[Session]:
        """Give a session.

        :raises GuestError: the server cannot be reached
        """
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(self.connect(database=database))
            except (psycopg.Error, OSError) as err:
                raise GuestError("The database server cannot be reached.") from err
            yield Session(connection)


def _cut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
