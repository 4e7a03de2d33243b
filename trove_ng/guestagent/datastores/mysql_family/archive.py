"""The archive of the binary log: what follows backups, for a restore to a time.

Parts are files that the server has closed.  It is told to begin a new one each time, so that
a database that rests is archived, too.
"""

from __future__ import annotations

import logging
import math
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.mysql_family.binlog import (
    COMPLETE,
    FIRST,
    NEXT,
    PLACE,
    UNTIL,
    History,
    LogFile,
    Place,
    name_of,
)
from trove_ng.guestagent.datastores.mysql_family.config import Configuration
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.datastores.mysql_family.sql import NoBinaryLog, Server, Session
from trove_ng.guestagent.datastores.mysql_family.tool import Tool
from trove_ng.guestagent.datastores.mysql_family.variables import Variables, as_value
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.storage.http import Patience
from trove_ng.guestagent.storage.log_archive import LogArchive, kept_log
from trove_ng.rpc import archive_messages as am

LOG = logging.getLogger(__name__)

STRATEGY = "binlog"
#: bytes of a file, unless a transaction is larger: a part is stored in short time
_FILE_SIZE = 64 * 1024 ** 2
#: share of a volume of their own that binary logs may take before the oldest go
_OWN_SHARE = 0.8
_IN_VAIN = ("The database server writes no binary log though it was restarted for it. Switch the "
            "archive off and on again to try once more.")


def clock(session: Session) -> float:
    """Return the server's time in Unix seconds, to the millisecond and not later."""
    # else an hour that a zone has twice is one of them
    session.run("SET SESSION time_zone = '+00:00'")
    ((now,),) = session.run("SELECT UNIX_TIMESTAMP(SYSDATE(6))")
    return math.floor(float(now) * 1000) / 1000


class Continued:
    """Tells which log continues a backup that begins now.

    The backup's place is noted long before it is stored: a log that begins anew in between has
    that place, too, and does not continue the backup.
    """

    def __init__(self, server: Server, history: History) -> None:
        self._server = server
        self._history = history
        self._begun, _, _ = self._look()

    def _look(self) -> tuple[str, Sequence[LogFile], float]:
        """Return the log that is written, its files, and the time; no name if there is none."""
        with self._server.session() as session:
            try:
                found = self._history.listing(session)
            except NoBinaryLog:
                return "", (), 0
            return self._history.name(found), found, clock(session)

    def end(self, place: Place) -> dict[str, str]:
        """Return what to record of a backup that has just ended; nothing if no log fits.

        :param place: where the log continues it, as it was noted
        """
        name, found, now = self._look()
        # its file may be gone already, archived
        if not name or name != self._begun or place.number > found[-1].number or any(
                one.number == place.number and one.size < place.begin for one in found):
            LOG.warning("no log continues the backup: it began anew meanwhile")
            return {}
        return {am.STREAM: name, am.NUMBER: str(place.number), am.ENDED: f"{now:.3f}",
                PLACE: str(place.begin)}


class BinlogArchive(LogArchive):
    """Stores the binary log.

    :param marker: file on the volume that tells that the log is archived
    :param own_volume: returns whether binary logs have a volume, and are the owner's
    :param restart: restarts the server
    """

    def __init__(self, paths: Paths, server: Server, configuration: Configuration, tool: Tool,
                 number: int, marker: Callable[[], pathlib.Path],
                 own_volume: Callable[[], bool], scratch: Callable[[], pathlib.Path],
                 patience: Patience, restart: Callable[[], None]) -> None:
        super().__init__(STRATEGY, scratch, patience)
        self._paths = paths
        self._server = server
        self._configuration = configuration
        self._tool = tool
        self._number = number
        self._marker = marker
        self._own_volume = own_volume
        self._restart = restart
        #: the server was restarted for its log and writes none
        self._in_vain = False
        #: held while it is settled whether a log is written, and which files stay
        self._settling = threading.RLock()
        self.history = History(paths.binlogs)

    # ---- settings -------------------------------------------------------------

    def ready(self) -> bool:
        """Return whether the server writes what is archived."""
        if not self._configuration.archives or not self._marker().exists():
            return False
        wanted = self._configuration.archived(_FILE_SIZE)
        with self._server.session() as session:
            (found,) = session.run("SELECT " + ", ".join(
                f"@@GLOBAL.{name}" for name in ("log_bin", *wanted)))
        return [as_value(one) for one in found] == [1, *wanted.values()]

    def _logs(self) -> bool:
        with self._server.session() as session:
            ((on,),) = session.run("SELECT @@GLOBAL.log_bin")
        return bool(int(on))

    def begin(self) -> None:
        """Have the server write what is archived; one that wrote no log is restarted.

        :raises GuestError: it writes none after that, either; it is not restarted again
        """
        with self._settling:
            written = self._logs()
            if self._in_vain and not written:
                raise GuestError(_IN_VAIN)
            dynamic = self._configure()
            if written:
                Variables(self._server).set(dynamic.items())
            else:
                self._begin_to_write()
            files.make_directory(self._marker().parent, mode=0o700)
            files.write_text(self._marker(), "", mode=0o600)

    def _begin_to_write(self) -> None:
        written = False
        try:
            self._restart()
            written = self._logs()
        finally:
            if not written:
                self._in_vain = True
                self._configuration.unset_archive()
        if not written:
            raise GuestError(_IN_VAIN)

    def configure_again(self) -> None:
        """Write the settings if the volume tells that the log is archived."""
        if self._marker().exists():
            self._configure()

    def _configure(self) -> dict[str, Any]:
        """Write the settings; return those that a running server takes."""
        return self._configuration.set_archive(self._number, _FILE_SIZE)

    def end(self) -> None:
        """Keep no more log for the archive; the server writes some until its next start."""
        with self._settling:
            self._in_vain = False
            self.history.forget()
            files.remove(self._marker())
            self._configuration.unset_archive()

    # ---- parts ----------------------------------------------------------------

    def _ship(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        with self._settling, self._server.session() as session:
            before = self.history.listing(session)
            stream = self.history.name(before)
            after = (request.after.number
                     if request.after is not None and request.after.stream == stream else None)
            if after is not None and self._only_reason:
                self._purge(session, before, after)
            until = clock(session)
            # no replica is to do it, too
            session.run("FLUSH NO_WRITE_TO_BINLOG BINARY LOGS")
            complete, found = clock(session), self.history.listing(session)
        first = before[-1].number if after is None else max(after, found[0].number)
        closed = [one for one in found[:-1] if one.number >= first]
        last = found[-1].number

        def describe(count: int) -> dict[str, str]:
            end = first + count
            return {"version": self._tool.version(), **self._tool.log.describe(request.key),
                    am.STREAM: stream, FIRST: str(first), NEXT: str(end),
                    COMPLETE: f"{complete:.3f}",
                    **({UNTIL: f"{until:.3f}"} if end == last else {})}

        stored, count = self._store(
            request, [self._paths.binlogs / name_of(one.number) for one in closed],
            sum(one.size for one in closed), describe)
        end = first + count
        with self._settling:
            self.history.keep(end)
        return am.ArchivedLog(
            stored=stored, begin=am.LogPosition(stream=stream, number=first), end=end,
            until=until if end == last else None)

    # ---- room -----------------------------------------------------------------

    @property
    def _only_reason(self) -> bool:
        """Whether the log is written for nobody but the archive."""
        return not self._own_volume() and not self._configuration.replicates

    def trim(self) -> None:
        """Let the oldest files go when all take too much room.

        The server does not stop for what could not be archived.
        """
        # who restarts the server for its log is not waited for
        if self._settling.acquire(blocking=False):
            try:
                self._trim()
            finally:
                self._settling.release()

    def _trim(self) -> None:
        folder = self._paths.binlogs
        if not folder.is_dir():
            return
        if self._configuration.option("log_bin") is None:
            self._leave()
            return
        if self._configuration.archives:
            # soon after a server ceased to write it: at its next start nothing shows that
            with self._server.session() as session:
                self.history.listing(session)
        if self._configuration.archives and (self._only_reason or self._own_volume()):
            size = filesystem_stats(str(folder)).total
            limit = int(size * _OWN_SHARE) if self._own_volume() else kept_log(size)
            if sum(path.stat().st_size for path in folder.glob("binlog.*")) > limit:
                self._shrink(limit)

    def _shrink(self, limit: int) -> None:
        with self._server.session() as session:
            found = self.history.listing(session)
            left, number = 0, found[-1].number
            for one in reversed(found):
                left += one.size
                if left > limit:
                    break
                number = one.number
            self._purge(session, found, number)

    def _leave(self) -> None:
        """Remove the log of a server that writes it until its next start only."""
        if not self._logs():
            # unless a server that takes a role meanwhile has its log there
            self._configuration.remove_log()
            return
        with self._server.session() as session:
            found = self.history.listing(session)
            if found[-1].size > _FILE_SIZE:
                session.run("FLUSH NO_WRITE_TO_BINLOG BINARY LOGS")
            self._purge(session, found, found[-1].number)

    def _purge(self, session: Session, found: list[LogFile], number: int) -> None:
        """Remove all files before one, unless the server keeps them for now.

        MySQL does while a backup is made.
        """
        if found[0].number < number <= found[-1].number:
            self.history.keep(number)
            try:
                session.run("PURGE BINARY LOGS TO %s", (name_of(number),))
            except GuestError as err:
                LOG.warning("binary logs cannot be removed: %s", err.message)
