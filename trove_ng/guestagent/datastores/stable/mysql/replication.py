"""Replication of MySQL 5.7, 8.0 and 8.4: each server says which transactions it lacks."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.datastores.mysql_family.replication import (
    LOCK_SECONDS,
    Replication,
    Role,
)
from trove_ng.guestagent.datastores.stable.mysql import gtids
from trove_ng.guestagent.datastores.stable.mysql.dialect import MySqlDialect

LOG = logging.getLogger(__name__)


class MySqlReplication(Replication):
    """Replication in the words of MySQL."""

    _dialect: MySqlDialect

    current = "@@GLOBAL.gtid_executed"
    shows = "SHOW {} STATUS"

    def options(self, *, writable: bool) -> dict[str, Any]:
        """Return options of numbered transactions, and of whom may write: root neither."""
        state = "OFF" if writable else "ON"
        found = {"gtid_mode": "ON", "enforce_gtid_consistency": "ON", "read_only": state,
                 "super_read_only": state}
        if self._dialect.old:
            # later releases have it so: a crash leaves what is applied and its position the same
            found |= {"master_info_repository": "TABLE", "relay_log_info_repository": "TABLE"}
        return found

    def fixed(self) -> dict[str, Any]:
        """Return the variables of numbered transactions."""
        return {"gtid_mode": "ON", "enforce_gtid_consistency": "ON"}

    def close(self, session: sql.Session) -> None:
        """Let no client commit any more: root's statements are refused, too."""
        self.refuse(session)

    def unlock(self, session: sql.Session) -> None:
        """Nothing: nobody is kept out by other means."""

    def refuse(self, session: sql.Session, seconds: int = LOCK_SECONDS) -> None:
        """Refuse clients that write, when what is being committed is.

        :param seconds: that clients are waited for that hold tables
        """
        session.run("SET SESSION lock_wait_timeout = %s", (seconds,))
        session.run("SET GLOBAL super_read_only = 1")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sql.Session]:
        """Give a session; while it lasts those may write who may in spite of ``read_only``."""
        with self._changing:
            try:
                with super().writing() as session:
                    if self._closed():
                        session.run("SET GLOBAL super_read_only = 0")
                    yield session
            finally:
                # the session may be lost
                self._close_again(LOCK_SECONDS)

    def _closed(self) -> bool:
        """Return whether no client may write."""
        return self.role() not in (None, Role.SOURCE)

    def _close_again(self, lock_seconds: int, seconds: int = 60) -> None:
        """Refuse clients that write, if they are to be refused and are not.

        :param lock_seconds: that clients are waited for that hold tables
        :param seconds: how long the server may take to answer
        """
        if not self._closed():
            return
        with self._server.session(seconds) as session:
            ((closed,),) = session.run("SELECT @@GLOBAL.super_read_only")
            if not closed:
                self.refuse(session, lock_seconds)

    def trouble(self, seconds: int) -> str:
        """Return why a replica does not follow its source; empty if it does, or is none.

        An agent that ended while it wrote has left the server open.
        """
        # whoever has the lock does what is to be done
        if self._changing.acquire(blocking=False):
            try:
                self._close_again(1, seconds)
            except (GuestError, OSError) as err:
                LOG.warning("clients may be able to write, and are not to: %s", err)
            finally:
                self._changing.release()
        return super().trouble(seconds)

    def adopt(self, session: sql.Session) -> None:
        """Forget whom another server followed."""
        self.forget(session)

    def progress(self, position: str) -> int:
        """Return how many transactions a position counts."""
        return gtids.count(position)

    def applied(self, found: Mapping[str, Any]) -> str:
        """Return which transactions are applied."""
        return "".join(str(found["Executed_Gtid_Set"]).split())

    def received(self, found: Mapping[str, Any]) -> str:
        """Return which transactions were received since the start, or are applied."""
        got = "".join(str(found["Retrieved_Gtid_Set"]).split())
        return ",".join(filter(None, (self.applied(found), got)))

    def waits(self, session: sql.Session, position: str, seconds: float) -> bool:
        """Wait for transactions; return whether they are applied."""
        # 0 seconds would be for ever
        ((found,),) = session.run("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", (
            position, max(1, math.ceil(seconds))))
        return bool(found == 0)

    def begin(self, session: sql.Session, position: str) -> None:
        """Have a server ask for no transaction that its data have."""
        session.run("SET GLOBAL gtid_purged = %s", (position,))

    def go_on(self, session: sql.Session) -> None:
        """Nothing: a server knows which transactions it has."""

    @property
    def link(self) -> str:
        """Ask for what is lacking, and try again for days."""
        source = self._dialect.words.source
        return f"{source}_auto_position = 1, {source}_retry_count = 86400"
