"""The server's write-ahead log: its segments, and keeping them for backups.

A replication slot keeps what follows the last backups, within bounds; before version 13, which has
no bounds for slots, as much is kept always.  What is beyond that is lost, and a backup can then
continue none.
"""

from __future__ import annotations

import dataclasses
import re

from psycopg.sql import SQL

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Session

SLOT, ARCHIVE_SLOT = "trove_backup", "trove_archive"
#: of one backup of a replica, while it is made
REPLICA_SLOT = "trove_backup_of_replica"
#: name of a segment's file: timeline, and two halves of its number
NAME = re.compile(r"[0-9A-F]{24}")
#: place in the log, as the server writes it
POSITION = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}")
_HALF = 2 ** 32
_MB = 1024 ** 2
#: segments that are begun when one is ended, and it is filled meanwhile
_BEGUN = 2


def is_recovering(session: Session) -> bool:
    """Return whether the server follows another one, or replays a log."""
    ((found,),) = session.run(SQL("SELECT pg_is_in_recovery()"))
    return bool(found)


def number_of(position: str) -> int:
    """Return a position in the log, ``X/Y`` to the server, as a number."""
    high, low = position.split("/")
    return int(high, 16) * _HALF + int(low, 16)


@dataclasses.dataclass(frozen=True)
class Segments:
    """The segments of the log.

    :param size: bytes of each
    """

    timeline: int
    size: int

    @classmethod
    def of(cls, session: Session) -> Segments:
        """Return those of the running server."""
        # the last checkpoint of one that was promoted a moment ago is of its life before
        ((timeline, size),) = session.run(SQL(
            "SELECT CASE WHEN pg_is_in_recovery() THEN timeline_id ELSE "
            "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END, "
            "(SELECT setting::bigint FROM pg_settings "
            "WHERE name = 'wal_segment_size') FROM pg_control_checkpoint()"))
        return cls(timeline, size)

    def name(self, number: int) -> str:
        """Return what a segment's file is called."""
        high, low = divmod(number, _HALF // self.size)
        return f"{self.timeline:08X}{high:08X}{low:08X}"

    def holding(self, position: str) -> int:
        """Return the number of the segment with the first byte after a position."""
        return number_of(position) // self.size

    def position(self, number: int) -> str:
        """Return the position at which a segment begins."""
        high, low = divmod(number * self.size, _HALF)
        return f"{high:X}/{low:X}"

    def ending(self, position: str) -> int:
        """Return the number of the segment with the last byte before a position."""
        return (number_of(position) - 1) // self.size

    def names(self, first: str, last: int) -> list[str]:
        """Return the names from one on to that with a number; none if it is of another life."""
        if int(first[:8], 16) != self.timeline:
            return []
        return [self.name(number) for number in range(self.number(first), last + 1)]

    def number(self, name: str) -> int:
        """Return the number of the segment whose file is called so."""
        return int(name[8:16], 16) * (_HALF // self.size) + int(name[16:], 16)


def check_room(session: Session, segments: Segments, free: int) -> None:
    """Refuse to end a segment of the log: a server without room for the next one ends.

    :param free: bytes of the volume
    :raises GuestError: says what is needed
    """
    # the server keeps old ones to write the next into
    ((ready,),) = session.run(SQL(
        "SELECT count(*) FROM pg_ls_waldir() WHERE length(name) = 24 AND "
        "name > pg_walfile_name(pg_current_wal_lsn())"))
    needed = (_BEGUN - int(ready)) * segments.size
    if needed > free:
        raise GuestError(f"The volume is too full: the write-ahead log needs {needed // _MB} MiB "
                         f"of it, and {free // _MB} MiB are free.")


def stream(lineage: str, segments: Segments) -> str:
    """Return what names the log of some data, which another timeline does not continue."""
    return f"{lineage}-{segments.timeline:08X}"


def clock(session: Session) -> float:
    """Return the server's time: what commits are dated with, in Unix seconds."""
    ((now,),) = session.run(SQL("SELECT extract(epoch FROM clock_timestamp())::float8"))
    return float(now)


class Kept:
    """What is kept for backups, or for the archive.

    :param limit: bytes of it at most
    """

    def __init__(self, session: Session, limit: int, slot: str = SLOT) -> None:
        self._session = session
        self._limit = limit
        self._slot = slot

    def position(self) -> str | None:
        """Return from where on the log is kept; None if it is not."""
        found = self._session.run(SQL(
            "SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = %s"),
            (self._slot,))
        return found[0][0] if found else None

    def advance(self, position: str) -> None:
        """Keep nothing before a position."""
        self._session.run(SQL(
            "SELECT pg_replication_slot_advance(slot_name, %s::pg_lsn) FROM pg_replication_slots "
            "WHERE slot_name = %s AND restart_lsn < %s::pg_lsn"),
            (position, self._slot, position))

    def begin(self) -> None:
        """Keep what is written from now on, and nothing of before."""
        self.end()
        self._session.run(SQL("SELECT pg_create_physical_replication_slot(%s, true)"),
                          (self._slot,))

    def make_room(self, position: str) -> None:
        """Keep less if it is much.

        :param position: before which nothing is needed then
        """
        self._session.run(SQL(
            "SELECT pg_replication_slot_advance(slot_name, %s::pg_lsn) FROM pg_replication_slots "
            "WHERE slot_name = %s AND pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > %s"),
            (position, self._slot, self._limit // 2))

    def end(self) -> None:
        """Keep nothing."""
        self._session.run(SQL("SELECT pg_drop_replication_slot(slot_name) FROM "
                              "pg_replication_slots WHERE slot_name = %s"), (self._slot,))
