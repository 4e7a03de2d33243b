"""The archive of the write-ahead log: what follows backups, for a restore to any time.

What is stored at a time is of the form of a backup that continues another one.  It ends with
the commit of an empty transaction, so that a restore to a time before that finds an end.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable

from psycopg.sql import SQL

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.experimental.postgresql.config import KEEPS_WAL
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.guestagent.datastores.experimental.postgresql.restore import FORM
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Server, Session
from trove_ng.guestagent.datastores.experimental.postgresql.wal import (
    ARCHIVE_SLOT,
    Kept,
    Segments,
    check_room,
    clock,
    is_recovering,
    stream,
)
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.storage import backups
from trove_ng.guestagent.storage.http import Patience
from trove_ng.guestagent.storage.log_archive import LogArchive, kept_log
from trove_ng.rpc import archive_messages as am

STRATEGY = "wal"


class WalArchive(LogArchive):
    """Stores the write-ahead log.

    :param lineage: file on the volume that names the data
    :param scratch: directory on the root disk for what is on its way
    """

    reused = True

    def __init__(self, paths: Paths, server: Server, lineage: Callable[[], pathlib.Path],
                 scratch: Callable[[], pathlib.Path], patience: Patience) -> None:
        super().__init__(STRATEGY, scratch, patience)
        self._paths = paths
        self._server = server
        self._lineage = lineage

    def end(self) -> None:
        """Keep no more log for the archive."""
        if self._slots:
            with self._server.session() as session:
                Kept(session, 0, ARCHIVE_SLOT).end()

    @property
    def _slots(self) -> bool:
        return int(self._paths.version) >= KEEPS_WAL

    def _limit(self) -> int:
        return kept_log(filesystem_stats(self._paths.mount).total)

    def _ship(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        files.make_directory(self._lineage().parent, mode=0o700)
        lineage = backups.lineage(self._lineage())
        with self._server.session() as session:
            if is_recovering(session):
                raise GuestError("The log of a replica is not archived.")
            segments = Segments.of(session)
            named = stream(lineage, segments)
            after = (request.after.number
                     if request.after is not None and request.after.stream == named else None)
            check_room(session, segments, filesystem_stats(self._paths.mount).free)
            kept = self._keep(session, segments, after)
            until = math.floor(clock(session) * 1000) / 1000
            # a record with a time after that one
            session.run(SQL("SELECT txid_current()"))
            ((position,),) = session.run(SQL("SELECT pg_switch_wal()::text"))
        last = segments.ending(str(position))
        first = self._first(segments, after, kept, last)
        stored, count = self._store(
            request, [self._file(segments, one) for one in range(first, last + 1)],
            (last + 1 - first) * segments.size, lambda done: {
                "version": self._paths.version, "lineage": lineage,
                **FORM.describe(request.key), "wal_from": segments.name(first),
                "wal_next": segments.name(first + done)})
        end = first + count
        return am.ArchivedLog(
            stored=stored, begin=am.LogPosition(stream=named, number=first), end=end,
            until=until if end > last else None)

    def _keep(self, session: Session, segments: Segments, after: int | None) -> int:
        """Have the server keep what is not archived; return the first segment it keeps."""
        if not self._slots:
            # some is kept always, see Configuration.apply_volume
            ((position,),) = session.run(SQL("SELECT pg_current_wal_lsn()::text"))
            return segments.ending(str(position))
        slot = Kept(session, self._limit(), ARCHIVE_SLOT)
        begin = slot.position()
        if begin is None:
            slot.begin()
            begin = slot.position()
            if begin is None:
                raise GuestError("The database keeps no log for the archive.")
        if after is not None:
            slot.advance(segments.position(after))
        return segments.holding(begin)

    def _first(self, segments: Segments, after: int | None, kept: int, last: int) -> int:
        """Return the segment to begin with.

        :param kept: the first one that is kept for sure
        :raises GuestError: one between them is gone
        """
        for number in (kept if after is None else after, kept):
            if all(self._file(segments, one).is_file() for one in range(number, last + 1)):
                return number
        raise GuestError("The write-ahead log to archive is not there.")

    def _file(self, segments: Segments, number: int) -> pathlib.Path:
        return self._paths.data / "pg_wal" / segments.name(number)
