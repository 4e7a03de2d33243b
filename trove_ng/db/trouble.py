"""What an error of the store means: try again, come back later, or a mistake of ours."""

from __future__ import annotations

import enum
import sqlite3
from typing import Any

from oslo_db.exception import DBConnectionError, DBDeadlock, DBError
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from trove_ng.common.errors import ServiceUnavailable
from trove_ng.common.metrics import SILENT, Recorder


class StoreAway(ServiceUnavailable):
    """The store does not serve now; nothing of the transaction was written.

    :param recorder: is told when the transaction is begun again
    """

    text = "The database of the service is not available now."

    def __init__(self, recorder: Recorder = SILENT) -> None:
        super().__init__(self.text)
        self.recorder = recorder


class StoreConflict(StoreAway):
    """Another transaction was in the way; the same one may be begun again at once."""


class StoreUnsure(StoreAway):
    """The connection was lost during the commit: the transaction may be written.

    It is not begun again: it might be done twice.
    """

    text = ("The database of the service went away while the request was written; it may "
            "have been accepted.")


class Trouble(enum.Enum):
    """Kinds of errors that pass."""

    CONFLICT = "conflict"
    AWAY = "away"
    #: the connection is to a server that must be left: it will not serve any more
    LEAVE = "leave"


#: deadlock; lock wait timeout; record changed since last read; Galera's certification
_MYSQL_CONFLICT = frozenset({1213, 1205, 1020})
#: --read-only; read-only transaction; super-read-only; shutting down; not in a Galera
#: component that serves
_MYSQL_LEAVE = frozenset({1290, 1792, 1836, 1053, 1047})
#: too many connections, of all and of one user; out of memory, disk full, errors of the
#: engine's files; cannot connect; connection lost or killed; idle or too long
_MYSQL_AWAY = frozenset({
    1040, 1203, 1226, 1037, 1038, 1041, 1021, 1114, 1030, 1026, 1180, 3, 14, 28, 1129, 1135,
    1152, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 1969, 2002, 2003, 2006, 2013, 2014, 2026,
    2055, 3024, 4031, 0})
#: class 40: deadlock, serialization; lock not available
_PG_CONFLICT = ("40", "55P03")
_PG_LEAVE = ("25006", "57P01", "57P02", "57P03")
#: connection exceptions, insufficient resources, operator's intervention, system errors;
#: the idle transaction that the server ended
_PG_AWAY = ("08", "53", "57", "58", "25P03")
_SQLITE_CONFLICT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE_AWAY = frozenset({
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL})


def of(error: BaseException) -> Trouble | None:
    """Return what passes about an error; None if it would come again.

    :param error: of the driver, of SQLAlchemy, or of oslo.db
    """
    if _hides_deadlock(error):
        return Trouble.CONFLICT
    original = _original(error)
    found = _of_driver(original)
    if found is None and isinstance(error, DBConnectionError | PoolTimeout
                                    | PendingRollbackError):
        return Trouble.AWAY
    return found


def _hides_deadlock(error: BaseException) -> bool:
    """Return whether an error is a deadlock, or was caused by one.

    MariaDB ends the whole transaction at a deadlock; going back to a savepoint then fails
    with an error of its own, which nobody would try again.
    """
    cause: BaseException | None = error
    while isinstance(cause, DBError):
        if isinstance(cause, DBDeadlock):
            return True
        cause = cause.cause
    return False


def _original(error: BaseException) -> Any:
    """Return the driver's error below others."""
    inner: Any = error
    if isinstance(inner, DBError) and inner.inner_exception is not None:
        inner = inner.inner_exception
    if isinstance(inner, DBAPIError) and inner.orig is not None:
        inner = inner.orig
    return inner


def _of_driver(error: Any) -> Trouble | None:
    if isinstance(error, sqlite3.Error):
        # extended codes have the general one in their lowest byte
        return _pick(getattr(error, "sqlite_errorcode", 0) & 0xFF, _SQLITE_CONFLICT,
                     frozenset(), _SQLITE_AWAY)
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if "psycopg2" in modules:
        return _of_postgresql(error)
    if "pymysql" in modules:
        code = error.args[0] if error.args else 0
        return _pick(code, _MYSQL_CONFLICT, _MYSQL_LEAVE, _MYSQL_AWAY)
    return None


def _pick(code: object, conflict: frozenset[int], leave: frozenset[int],
          away: frozenset[int]) -> Trouble | None:
    if code in conflict:
        return Trouble.CONFLICT
    if code in leave:
        return Trouble.LEAVE
    return Trouble.AWAY if code in away else None


def _of_postgresql(error: Any) -> Trouble | None:
    code: str | None = error.pgcode
    if code is None:
        # not an answer of the server: it cannot be reached, or the connection is lost
        names = {kind.__name__ for kind in type(error).__mro__}
        return Trouble.AWAY if names & {"OperationalError", "InterfaceError"} else None
    if code.startswith(_PG_CONFLICT):
        return Trouble.CONFLICT
    if code.startswith(_PG_LEAVE):
        return Trouble.LEAVE
    return Trouble.AWAY if code.startswith(_PG_AWAY) else None
