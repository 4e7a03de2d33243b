"""The logs of this server: how large they are, publishing them, keeping them small."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import pathlib
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

import msgspec

from trove_ng.common.clock import Clock
from trove_ng.common.errors import Conflict, GuestError, NotFound
from trove_ng.datastores import guest_logs
from trove_ng.guestagent.storage import objects
from trove_ng.guestagent.storage.http import Patience
from trove_ng.rpc import log_messages as m

LOG = logging.getLogger(__name__)

#: bytes at the beginning, and before the position, that a file is known again by
_EDGE = 4096
#: longest end of a text that may be the beginning of a character, bytes
_CHARACTER = 3


@dataclasses.dataclass(frozen=True)
class LogFile:
    """A log on this server.

    :param enabled: it is written
    :param ours: the agent keeps it small
    :param restart_required: whether it is written changes at the next start
    """

    path: pathlib.Path
    enabled: bool = True
    ours: bool = True
    restart_required: bool = False


def _open(path: pathlib.Path) -> IO[bytes] | None:
    """Open a log; None if there is none.

    The database's user may write into the directory: what it puts there instead of a log
    is not followed.

    :raises GuestError: it cannot be read, or is no file
    """
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except FileNotFoundError:
        return None
    except OSError as err:
        raise GuestError(f"The log {path} cannot be read: {err.strerror}.") from err
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise GuestError(f"The log {path} is not a file.")
    return file


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def digest(file: IO[bytes], position: int) -> str:
    """Return what a file is known again by, whose bytes before a position are published.

    The first line, or the first bytes, are not enough: a database begins each file with the
    same ones.
    """
    found = hashlib.sha256()
    for start in (0, max(0, position - _EDGE)):
        file.seek(start)
        found.update(file.read(min(position, _EDGE)))
    return found.hexdigest()


def continues(file: IO[bytes] | None, mark: m.LogMark) -> bool:
    """Return whether a file begins with what was published."""
    if file is None or not mark.position:
        return not mark.position
    return _size(file) >= mark.position and digest(file, mark.position) == mark.digest


def cut(data: bytes, limit: int, *, whole: bool) -> tuple[bytes, bytes]:
    """Return what of the data becomes a part, and the part.

    A part is UTF-8, as those who read it expect, and ends with a line if it can.  What is
    not UTF-8 is shown as ``\\xNN``.

    :param limit: bytes of the part at most
    :param whole: no more data are there: a line without an end waits for it
    """
    while True:
        taken = _lines(data, whole=whole)
        part = taken.decode(errors="backslashreplace").encode()
        if len(part) <= limit or len(taken) <= 1:
            return taken, part
        data, whole = data[:len(taken) // 2], False


def _lines(data: bytes, *, whole: bool) -> bytes:
    end = data.rfind(b"\n") + 1
    if end or whole:
        return data[:end]
    for less in range(min(_CHARACTER, len(data) - 1) + 1):
        taken = data[:len(data) - less]
        try:
            taken.decode()
        except UnicodeDecodeError as err:
            if err.end < len(taken):
                return data
            continue
        return taken
    return data


class Logs:
    """The logs.

    :param find: returns them by name, as they are now
    :param patience: with the object store; someone waits for the answer
    """

    def __init__(self, find: Callable[[], Mapping[str, LogFile]], clock: Clock,
                 patience: Patience) -> None:
        self._find = find
        self._clock = clock
        self._patience = patience
        self._busy = threading.Lock()

    def states(self, marks: Sequence[m.LogMark]) -> list[m.LogState]:
        """Return what is known of each log.

        :param marks: how far those are published that are
        """
        known = {mark.name: mark for mark in marks}
        return [self._state(name, log, known.get(name))
                for name, log in sorted(self._find().items())]

    @staticmethod
    def _state(name: str, log: LogFile, mark: m.LogMark | None) -> m.LogState:
        file = _open(log.path)
        try:
            return m.LogState(
                name=name, enabled=log.enabled, size=_size(file) if file is not None else 0,
                continues=mark is None or continues(file, mark),
                restart_required=log.restart_required)
        finally:
            if file is not None:
                file.close()

    def publish(self, request: m.LogPublishRequest) -> m.LogPublished:
        """Store what a log holds beyond what is published.

        :raises NotFound: there is no such log
        :raises Conflict: a log is being published
        :raises StorageError: the object store did not take it; what it took is marked
        """
        log = self._find().get(request.name)
        if log is None:
            raise NotFound.of("Log", request.name)
        if not self._busy.acquire(blocking=False):
            raise Conflict("A log of the instance is being published already.")
        try:
            file = _open(log.path)
            if request.mark is not None and not continues(file, request.mark):
                if file is not None:
                    file.close()
                return m.LogPublished(mark=request.mark, rotated=True)
            if file is None:
                return m.LogPublished(mark=request.mark)
            with file:
                return m.LogPublished(mark=self._store(request, log.path, file))
        finally:
            self._busy.release()

    def _store(self, request: m.LogPublishRequest, path: pathlib.Path,
               file: IO[bytes]) -> m.LogMark | None:
        """Store part after part; return how far that came.

        The name of a part is written into the metafile before the part: should nobody write
        that it is stored, it is stored again under the same name.
        """
        end = self._clock.monotonic() + request.seconds
        mark, size = request.mark or m.LogMark(name=request.name), _size(file)
        changed = False
        while not changed or self._clock.monotonic() < end:
            file.seek(mark.position)
            data = file.read(min(request.chunk_size, size - mark.position))
            taken, part = cut(data, request.chunk_size,
                              whole=mark.position + len(data) >= size)
            if not taken:
                break
            if changed or not mark.next_object:
                mark = msgspec.structs.replace(mark, next_object=guest_logs.object_name(
                    self._clock.now(), mark.last_object))
                self._write_metafile(request, path, mark)
            lines = len(part.decode().splitlines())
            self._put(request, request.folder + mark.next_object, part, {
                "Content-Type": "text/plain; charset=utf-8", "X-Object-Meta-Lines": str(lines)})
            position = mark.position + len(taken)
            mark = m.LogMark(
                name=mark.name, position=position, lines=mark.lines + lines,
                digest=digest(file, position), last_object=mark.next_object)
            changed = True
        if not changed:
            return request.mark
        self._write_metafile(request, path, mark)
        return mark

    def _write_metafile(self, request: m.LogPublishRequest, path: pathlib.Path,
                        mark: m.LogMark) -> None:
        self._put(request, request.metafile, guest_logs.render(mark, request.kind, str(path)),
                  {"Content-Type": "application/json"})

    def _put(self, request: m.LogPublishRequest, name: str, content: bytes,
             headers: dict[str, str]) -> None:
        if request.expire_after:
            headers["X-Delete-After"] = str(request.expire_after)
        objects.put(request.grant, name, content, headers, self._patience)

    def trim(self, limit: int, reopen: Callable[[], None]) -> None:
        """Put files aside that have grown beyond a size, in the place of the last ones.

        :param limit: bytes
        :param reopen: makes the database write new files
        """
        moved = []
        for log in self._find().values():
            if log.ours and _length(log.path) > limit:
                aside = log.path.with_name(f"{log.path.name}.1")
                log.path.replace(aside)
                moved.append((aside, log.path))
        if not moved:
            return
        try:
            reopen()
        except GuestError:
            # it goes on with the old files, which would grow unseen
            for aside, path in moved:
                if not path.exists():
                    aside.replace(path)
            raise


def tail(path: pathlib.Path, limit: int) -> str:
    """Return the end of a log; nothing if there is none.

    :param limit: bytes
    """
    file = _open(path)
    if file is None:
        return ""
    with file:
        file.seek(max(0, _size(file) - limit))
        return file.read(limit).decode(errors="replace")


def _length(path: pathlib.Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
