"""Statements on the local server.

Values go as parameters; the driver quotes them.  Names go through :func:`name`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pymysql
import pymysql.converters
from pymysql.constants import ER

from trove_ng.common.errors import Conflict, GuestError, NotFound
from trove_ng.common.secret import Secret
from trove_ng.rpc import messages as m

#: the server is there and takes no more connections, at all or of this account
TOO_MANY_CONNECTIONS = frozenset({ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS})
#: begins each session of the agent: what it does stands in no log that the owner reads, its
#: passwords least of all, and no setting of the owner changes what a statement finds or does
BEGIN = ("SET SESSION sql_log_off = 1, long_query_time = 31536000, sql_mode = '', "
         "completion_type = 'NO_CHAIN', max_sort_length = 1024, "
         "sql_select_limit = 18446744073709551615")
#: what is done stands in no binary log: no replica does it too
LOCALLY = "SET SESSION sql_log_bin = 0"
#: the server answers, and does not know the account or its password
ACCOUNT_REFUSED = frozenset({ER.ACCESS_DENIED_ERROR, 1698, ER.HOST_NOT_PRIVILEGED})

#: the owner's root has installed rules for passwords
_BAD_PASSWORD = 1819

LOG = logging.getLogger(__name__)

Row = tuple[Any, ...]


def name(text: str) -> str:
    """Return a name of a database or table, quoted."""
    if "\0" in text:
        raise ValueError("a name holds a zero byte")
    return "`" + text.replace("`", "``") + "`"


def pattern(text: str) -> str:
    """Return a database's name as GRANT takes it, where _ and % are wildcards."""
    for special in ("\\", "_", "%"):
        text = text.replace(special, "\\" + special)
    return name(text)


def literal(value: str | int | Secret) -> str:
    """Return a value inside a statement; a text is quoted."""
    if isinstance(value, int):
        return str(value)
    text = value.reveal() if isinstance(value, Secret) else value
    return f"'{pymysql.converters.escape_string(text)}'"


def unescape(text: str) -> str:
    """Return the name of a database from the pattern that the server stores."""
    for special in ("_", "%", "\\"):
        text = text.replace("\\" + special, special)
    return text


def after(key: str, request: m.PageRequest) -> tuple[str, list[Any]]:
    """Return the end of a statement that gives a page's rows and one more, and its values.

    The order is that of the bytes: the server's own depends on its collation, and a marker
    needs a fixed one.

    :param key: expression that the marker is a value of
    """
    where, values = "", []
    if request.marker is not None:
        where = f"AND BINARY {key} {'>=' if request.include_marker else '>'} BINARY %s "
        values = [request.marker]
    return f"{where}ORDER BY BINARY {key} LIMIT %s", [*values, request.limit + 1]


def is_not_listening(err: Exception) -> bool:
    """Return whether an error says that nobody listens on the socket."""
    inner = getattr(err, "original_exception", err)
    return isinstance(inner, ConnectionRefusedError | FileNotFoundError)


class Session:
    """A connection, for some statements."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run a statement; its rows.

        A percent sign of the statement itself is written twice when there are values.

        :raises GuestError: the server refuses; the message holds no values
        """
        # a Secret is revealed at the last moment
        shown = [value.reveal() if isinstance(value, Secret) else value for value in values]
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, shown or None)
                return list(cursor.fetchall())
        except pymysql.MySQLError as err:
            # without its cause: the server's words quote the statement
            raise translate(err) from None


    def end(self, number: int) -> None:
        """End another connection; one that has ended is none to complain about."""
        try:
            self.run("KILL %s", (number,))
        except NotFound:
            LOG.debug("connection %s has ended already", number)


class ReadOnlyVariable(GuestError):
    """The variable is set at the start of the server only."""


class NoBinaryLog(GuestError):
    """The server writes no binary log, or writes it no more."""


def translate(err: pymysql.MySQLError) -> GuestError | NotFound | Conflict:
    """Return what an error of the driver means."""
    code = err.args[0] if err.args and isinstance(err.args[0], int) else 0
    if code == ER.DB_CREATE_EXISTS:
        return Conflict("The database exists already.")
    if code in (ER.DB_DROP_EXISTS, ER.BAD_DB_ERROR):
        return NotFound("The database cannot be found.")
    if code == ER.NO_SUCH_THREAD:
        return NotFound("The connection has ended.")
    if code == _BAD_PASSWORD:
        return GuestError("The database server refuses the password: it breaks its rules.")
    if code == ER.CANNOT_USER:
        return Conflict("The user exists already, or cannot be found.")
    if code in (ER.UNKNOWN_CHARACTER_SET, ER.UNKNOWN_COLLATION,
                ER.COLLATION_CHARSET_MISMATCH):
        return GuestError("The server does not know the character set or collation, or they "
                          "do not fit.")
    if code == ER.UNKNOWN_TIME_ZONE:
        return GuestError("The server does not know the time zone; offsets it always knows.")
    if code == ER.OPTION_PREVENTS_STATEMENT and "read-only" in str(err.args[1:]):
        return GuestError("The database server takes no changes: it is read only.")
    if code in (ER.INCORRECT_GLOBAL_LOCAL_VAR, ER.OPTION_PREVENTS_STATEMENT):
        return ReadOnlyVariable("The variable is set at the start of the server only.")
    if code == ER.NO_BINARY_LOGGING:
        return NoBinaryLog("The database server writes no binary log.")
    return GuestError(f"The database server refused (error {code}).")


class Server:
    """The server of this instance, reached over its socket.

    :param credentials: returns user name and password; asked for each connection
    :param unlimited: what frees a session of limits that the owner may set, as SET has it
    """

    def __init__(self, socket_path: str, credentials: Any, unlimited: str = "") -> None:
        self._socket = socket_path
        self._credentials = credentials
        self._begin = ", ".join(filter(None, (BEGIN, unlimited)))

    def connect(self, timeout: int = 10, answer_timeout: int = 60) -> Any:
        """Return a connection of the driver.

        :param timeout: seconds for connecting, and for sending a statement
        :param answer_timeout: seconds for each answer, the server's greeting too
        :raises pymysql.MySQLError: the server is not there, or refuses
        """
        user, password = self._credentials()
        # a socket of this machine is not encrypted, and to get ready for that is most of the work
        return pymysql.connect(
            unix_socket=self._socket, user=user, password=password.reveal(),
            charset="utf8mb4", autocommit=True, init_command=self._begin, connect_timeout=timeout,
            read_timeout=answer_timeout, write_timeout=timeout,
            ssl_disabled=True)

    @contextlib.contextmanager
    def session(self, answer_timeout: int = 60) -> Iterator[Session]:
        """Give a session.

        :param answer_timeout: seconds for each answer, the server's greeting too
        :raises GuestError: the server cannot be reached
        """
        try:
            connection = self.connect(answer_timeout=answer_timeout)
        except (pymysql.MySQLError, OSError) as err:
            code = err.args[0] if err.args else ""
            raise GuestError(f"The database server cannot be reached ({code}).") from err
        try:
            yield Session(connection)
        finally:
            connection.close()
