"""How long the store is waited for: time limits of drivers, and one try at a time."""

from __future__ import annotations

import dataclasses
import select
import threading
import time
from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from trove_ng.db.trouble import StoreAway


@dataclasses.dataclass(frozen=True)
class Limits:
    """Times in seconds, see :mod:`trove_ng.conf.database`."""

    connect: int
    answer: int
    lock: int
    idle: int

    @classmethod
    def of(cls, conf: cfg.ConfigOpts) -> Limits:
        """Return the configured ones."""
        group = conf.store
        return cls(group.connect_timeout, group.answer_timeout, group.lock_timeout,
                   group.idle_transaction_timeout)


class Gate:
    """Lets one at a time try to connect while the server does not answer.

    Threads that wait for a server that is away would all hang; here they are refused
    at once, and only one of them hangs.

    :param pause: seconds after a failure without any try
    """

    def __init__(self, pause: float = 0.5,
                 now: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._now = now
        self._lock = threading.Lock()
        self._failed = False
        self._trying = False
        self._next_try = 0.0

    def connect(self, make: Callable[[], Any]) -> Any:
        """Return what ``make`` makes.

        :raises StoreAway: somebody else tries already, or tried a moment ago
        """
        with self._lock:
            probing = self._failed
            if probing:
                if self._trying or self._now() < self._next_try:
                    raise StoreAway
                self._trying = True
        try:
            made = make()
        except BaseException:
            with self._lock:
                self._failed, self._next_try = True, self._now() + self._pause
            raise
        else:
            with self._lock:
                self._failed = False
            return made
        finally:
            if probing:
                with self._lock:
                    self._trying = False


def limit(dialect: str, arguments: dict[str, Any], limits: Limits) -> None:
    """Add the limits to a driver's arguments; those of the connection's URL stay.

    :param dialect: ``mysql``, ``postgresql`` or ``sqlite``
    """
    if dialect == "mysql":
        arguments.setdefault("connect_timeout", limits.connect)
        for name in ("read_timeout", "write_timeout"):
            arguments.setdefault(name, limits.answer)
    elif dialect == "postgresql":
        settings = (f"-c lock_timeout={limits.lock}s -c statement_timeout={limits.answer}s "
                    f"-c idle_in_transaction_session_timeout={limits.idle}s")
        arguments["options"] = f"{settings} {arguments.get('options', '')}".strip()
        arguments.setdefault("connect_timeout", limits.connect)
        arguments.setdefault("connection_factory", _limited_psycopg2(limits))


def prepare(dialect: str, connection: Any, limits: Limits) -> None:
    """Set the limits of a new connection that its driver knows nothing of."""
    if dialect != "mysql":
        return
    cursor = connection.cursor()
    # the comment is read by MariaDB only
    cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {limits.lock} "
                   f"/*M!100300 , SESSION idle_transaction_timeout = {limits.idle} */")
    cursor.close()


def _limited_psycopg2(limits: Limits) -> type[Any]:
    """Return a class of connections that give up a server that does not answer.

    libpq waits without end for a server that holds the connection and says nothing;
    only a wait callback can end that, and psycopg2 has one for the process.
    """
    from psycopg2 import extensions

    class Limited(extensions.connection):
        """A connection with a time for each answer."""

        limits: Limits

    Limited.limits = limits
    extensions.set_wait_callback(_wait)
    return Limited


def _wait(connection: Any) -> None:
    """Wait for the server as long as the connection's limits say."""
    import psycopg2
    from psycopg2 import extensions

    limits: Limits | None = getattr(connection, "limits", None)
    seconds: float | None = None
    if limits is not None:
        seconds = (limits.connect if connection.status == extensions.STATUS_SETUP
                   else limits.answer + 1)  # the server's own limit comes first
    end = None if seconds is None else time.monotonic() + seconds
    while (state := connection.poll()) != extensions.POLL_OK:
        descriptor = connection.fileno()
        left = None if end is None else max(0.0, end - time.monotonic())
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN if state == extensions.POLL_READ
                         else select.POLLOUT)
        if not waiting.poll(None if left is None else left * 1000):
            raise psycopg2.OperationalError(
                f"no answer from the server for {seconds} s; closed the connection")
