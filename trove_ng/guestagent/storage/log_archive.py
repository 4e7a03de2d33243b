"""What the archives of the logs of all engines have in common: parts of it, one at a time.

A part is of the form of a backup: files of the log, whole ones, as a tar archive.
"""

from __future__ import annotations

import abc
import pathlib
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import IO, ClassVar, TypeVar, cast

from trove_ng.common.errors import BadRequest, Conflict, GuestError
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import backups
from trove_ng.guestagent.storage.http import Patience
from trove_ng.guestagent.storage.packing import Packer
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages as m

T = TypeVar("T", int, str)

#: seconds that an answer is kept which may have come too late
_LATE_SECONDS = 3600
#: part of a volume that log is kept on for the archive, or for backups, and the least of it
_KEPT_SHARE = 5
_KEPT_LEAST = 128 * 1024 ** 2


def kept_log(size: int) -> int:
    """Return the bytes of log that are kept at most on a volume that has the data, too.

    :param size: bytes of the volume
    """
    return max(_KEPT_LEAST, size // _KEPT_SHARE)


class LogReused(GuestError):
    """The server has put a file of its log to another use while it was read."""


def pack(packer: Packer, found: Iterable[pathlib.Path],
         more: Callable[[], bool] = lambda: True, *, reused: bool = False) -> None:
    """Store files of a log.

    :param more: called after each; False leaves out the others
    :param reused: the server writes over files that it does not need any more
    :raises LogReused: it did so, or one is not there any more
    :raises GuestError: one cannot be read
    """
    with tarfile.open(fileobj=cast("IO[bytes]", packer), mode="w|") as archive:
        for path in found:
            try:
                one = path.stat().st_ino
                archive.add(path, path.name)
                # it is renamed before
                same = not reused or path.stat().st_ino == one
            except FileNotFoundError:
                same = False
            except OSError as err:
                raise GuestError(f"The log cannot be read: {err.strerror}.") from err
            if not same:
                raise LogReused("The log was not kept until it was read.")
            if not more():
                return


def check_parts(form: backups.Form, log: m.LogReplay, reached: T,
                span: Callable[[m.StoredBackup], tuple[T, T] | None]) -> None:
    """Refuse parts that leave a gap after a backup, or between them.

    :param reached: where the backup ends
    :param span: returns where a part begins and ends, None if it is of another log
    :raises BadRequest: names the part
    """
    for number, stored in enumerate(log.pieces, 1):
        form.check(stored)
        found = span(stored)
        if found is None or not found[0] <= reached <= found[1]:
            raise BadRequest(f"Part {number} of the archived log does not continue what is "
                             "before it.")
        reached = found[1]


class LogArchive(abc.ABC):
    """Stores the log of a database.

    :param strategy: what its parts are called
    :param scratch: directory on the root disk for what is on its way
    """

    #: see :func:`pack`
    reused: ClassVar[bool] = False

    def __init__(self, strategy: str, scratch: Callable[[], pathlib.Path],
                 patience: Patience) -> None:
        self._strategy = strategy
        self._scratch = scratch
        self._patience = patience
        self._alone = threading.Lock()
        #: an answer that may have come too late: when it was given, and after what
        self._late: tuple[float, am.LogPosition | None, am.ArchivedLog] | None = None

    def ship(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        """Store the log after what is archived.

        What is no longer there is left out, which the answer shows.  A part that took longer than
        it was to is answered with again, until one after it is asked for: whoever asked may have
        given up.

        :raises Conflict: it is being stored
        :raises GuestError: the server is a replica, or server or object store failed
        """
        if not self._alone.acquire(blocking=False):
            raise Conflict("The log is being archived already.")
        try:
            return self._answer(request)
        finally:
            self._alone.release()

    def _answer(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        begun, late = time.monotonic(), self._late
        if late is not None and late[1] == request.after and begun - late[0] < _LATE_SECONDS:
            return late[2]
        done, ended = self._ship(request), time.monotonic()
        self._late = (ended, request.after, done) if ended - begun > request.seconds else None
        return done

    @abc.abstractmethod
    def _ship(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        """Store; nobody else does meanwhile."""

    @abc.abstractmethod
    def end(self) -> None:
        """Keep no more log for the archive."""

    def _store(self, request: am.ArchiveRequest, found: Iterable[pathlib.Path], expected: int,
               describe: Callable[[int], Mapping[str, str]]) -> tuple[m.StoredBackup, int]:
        """Store files while there is time; return what is stored, and how many it holds.

        :param expected: bytes of all of them
        :param describe: returns what to record of so many
        """
        ending = time.monotonic() + request.seconds
        done = 0

        def more() -> bool:
            nonlocal done
            done += 1
            return time.monotonic() < ending

        wanted = m.BackupRequest(
            operation_id="", step="", backup_id="", strategy=self._strategy,
            grant=request.grant, key=request.key)
        stored = backups.Way(self._scratch(), self._patience).store(
            wanted, self._strategy, expected,
            Progress(lambda _percent: None, threading.Event()),
            lambda packer: pack(packer, found, more, reused=self.reused),
            lambda: describe(done))
        return stored, done
