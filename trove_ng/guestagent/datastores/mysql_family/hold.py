"""Holding the data while a snapshot of the volume is made.

A connection of its own blocks commits and changes of tables.  The end of that connection,
whoever ends it, ends the hold: the agent's own end, a timer here, and a timeout of the server.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pymysql

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.datastores.mysql_family.dialect import Dialect

LOG = logging.getLogger(__name__)

#: seconds that statements which run already may keep the hold from beginning
LOCK_SECONDS = 10
#: seconds after the agent's own timer at which the server ends the connection
_GRACE = 5


class DataHold:
    """One hold at a time.

    :param sync: writes to the disk what is not there yet
    """

    def __init__(self, server: sql.Server, sync: Callable[[], None],
                 dialect: Dialect) -> None:
        self._server = server
        self._sync = sync
        self._dialect = dialect
        self._lock = threading.Lock()
        self._token: str | None = None
        self._connection: Any = None
        self._timer: threading.Timer | None = None
        self._until = 0.0

    def take(self, token: str, seconds: float) -> str:
        """Hold the data; return the version of the server.

        What is held already by the same token is held anew; what another token holds is
        released: who took it is not there any more.

        :param seconds: after which the hold ends by itself
        :raises GuestError: the server refuses, or statements that run take too long
        """
        with self._lock:
            self._drop()
            try:
                self._connection = self._server.connect(answer_timeout=3 * LOCK_SECONDS)
                version = self._stop_writing(seconds)
                self._sync()
            except (pymysql.MySQLError, OSError) as err:
                self._drop()
                raise _refused(err) from None
            except BaseException:
                self._drop()
                raise
            self._token = token
            self._until = time.monotonic() + seconds
            self._timer = threading.Timer(seconds, self._expire, [token])
            self._timer.daemon = True
            self._timer.start()
            return version

    def _stop_writing(self, seconds: float) -> str:
        with self._connection.cursor() as cursor:
            cursor.execute("SET SESSION lock_wait_timeout = %s, wait_timeout = %s",
                           (LOCK_SECONDS, math.ceil(seconds) + _GRACE))
            for statement in self._dialect.hold:
                cursor.execute(statement)
            cursor.execute("SELECT VERSION()")
            ((version,),) = cursor.fetchall()
        return str(version)

    def release(self, token: str) -> bool:
        """Let the data change again; return whether they were held until now.

        Asking again, or for another token, changes nothing and answers no.
        """
        with self._lock:
            if token != self._token:
                return False
            held = time.monotonic() < self._until
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute(self._dialect.release)
            except (pymysql.MySQLError, OSError) as err:
                LOG.warning("the data were not held until now: %s", type(err).__name__)
                held = False
            self._drop()
            return held

    def _expire(self, token: str) -> None:
        with self._lock:
            if token == self._token:
                LOG.warning("nobody released the data in time")
                self._drop()

    def _drop(self) -> None:
        """End the connection, and with it what it blocks."""
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            with contextlib.suppress(pymysql.MySQLError, OSError):
                self._connection.close()
        self._token, self._connection, self._timer = None, None, None


def _refused(err: Exception) -> GuestError:
    if isinstance(err, pymysql.MySQLError):
        return GuestError(f"The data cannot be held: {sql.translate(err)}")
    return GuestError("The data cannot be held: the database server cannot be reached.")
