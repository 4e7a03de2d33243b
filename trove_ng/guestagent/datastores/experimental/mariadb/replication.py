"""Replication of MariaDB, whose positions count the changes of each domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trove_ng.guestagent.datastores.experimental.mariadb import locks
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.datastores.mysql_family.replication import Replication


class MariaDbReplication(Replication):
    """Replication in the words of MariaDB."""

    current = "@@GLOBAL.gtid_current_pos"
    shows = "SHOW ALL {}S STATUS"
    link = "master_use_gtid = slave_pos"

    def options(self, *, writable: bool) -> dict[str, Any]:
        """Return the options of strict positions."""
        return {"gtid_strict_mode": "ON", "read_only": "OFF" if writable else "ON"}

    def fixed(self) -> dict[str, Any]:
        """Return the variable of strict positions."""
        return {"gtid_strict_mode": 1}

    def close(self, session: sql.Session) -> None:
        """Let no client commit any more, not such either that may write all the same."""
        # only the change to 1 waits for commits under way, of those who are kept out too
        session.run("SET GLOBAL read_only = 0")
        locks.lock(session)
        self.refuse(session)

    def refuse(self, session: sql.Session) -> None:
        """Refuse clients that write."""
        session.run("SET GLOBAL read_only = 1")

    def unlock(self, session: sql.Session) -> None:
        """Let those in again who may write in spite of ``read_only``."""
        locks.unlock(session)

    def progress(self, position: str) -> int:
        """Return how many changes a position counts: the last numbers of all its domains."""
        return sum(int(one.rpartition("-")[2]) for one in position.split(",") if one)

    def applied(self, found: Mapping[str, Any]) -> str:
        """Return the position of what is applied."""
        return str(found["Gtid_Slave_Pos"])

    def received(self, found: Mapping[str, Any]) -> str:
        """Return the position of what was received."""
        return str(found["Gtid_IO_Pos"])

    def waits(self, session: sql.Session, position: str, seconds: float) -> bool:
        """Wait for all changes up to a position; return whether they are applied."""
        ((found,),) = session.run("SELECT MASTER_GTID_WAIT(%s, %s)", (position, seconds))
        return bool(found == 0)

    def begin(self, session: sql.Session, position: str) -> None:
        """Have a server go on from a position."""
        session.run("SET GLOBAL gtid_slave_pos = %s", (position,))

    def go_on(self, session: sql.Session) -> None:
        """Have a server go on from where it is: what it wrote itself is part of that."""
        ((current,),) = session.run(f"SELECT {self.current}")
        self.begin(session, current)
