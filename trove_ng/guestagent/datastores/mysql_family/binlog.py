"""The files of the binary log: their numbers, what they hold, and whose history they are.

The server numbers its files; one that is not the last is never written again.  Each change
is in a transaction, whose first event tells when it was committed: when the statement began
that did it, to the second, by the clock of the session.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import re
import struct
import threading
import uuid
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.mysql_family.sql import NoBinaryLog, Session
from trove_ng.guestagent.os import files
from trove_ng.guestagent.storage.http import DamagedBackup

#: files begin so, and are numbered
BASE = "binlog"
NAME = re.compile(rf"{BASE}\.([0-9]{{6,18}})")
#: in the record of a part: its first file, the one after its last, when all of these were
#: complete, and up to when all changes are there, if they are
FIRST, NEXT, COMPLETE, UNTIL = "binlog_from", "binlog_next", "binlog_complete", "binlog_until"
#: in the record of a backup: where in a file the log continues it
PLACE = "binlog_place"
#: where the first event of a file is
BEGIN = 4
_MAGIC = b"\xfebin"
#: time, kind, server, size, place of the next one, flags
_HEADER = struct.Struct("<IBIIIH")
_FLAGS = struct.Struct("<H")
#: flag of the first event: the file is being written, or the server did not close it
_IN_USE = 1
#: kinds of the events that begin a transaction: those of MySQL, and MariaDB's
_BEGINS = frozenset({33, 34, 42, 162})
#: kind of the event that tells that what follows is encrypted
_ENCRYPTED = 164
_UNREADABLE = "The binary log is encrypted by the server: it cannot be archived."


def server_id(instance_id: str) -> int:
    """Return the number of a server, which no other one of its set has."""
    return zlib.crc32(instance_id.encode()) or 1


def name_of(number: int) -> str:
    """Return what a file is called."""
    return f"{BASE}.{number:06d}"


def number_of(name: str) -> int:
    """Return the number of a file, also by its whole path.

    :raises GuestError: it is called otherwise
    """
    found = NAME.fullmatch(name.rpartition("/")[2])
    if found is None:
        raise GuestError("The database server names its binary logs in a way of its own.")
    return int(found[1])


class Place(NamedTuple):
    """A place in the log: a file's number, and where in that file."""

    number: int
    begin: int


class LogFile(NamedTuple):
    """A file that the server knows."""

    number: int
    size: int


class Event(NamedTuple):
    """One event of a file.

    :param time: when it happened, by the clock of the session
    :param end: where the next one begins
    """

    time: int
    kind: int
    begin: int
    end: int


def events(path: pathlib.Path) -> Iterator[Event]:
    """Give the events of a file that is not written any more.

    What a server that crashed did not complete is left out.

    :raises DamagedBackup: a file that was closed ends within an event
    """
    size = path.stat().st_size
    with path.open("rb") as log:
        in_use, place = _open(log), BEGIN
        while place < size:
            log.seek(place)
            header = log.read(_HEADER.size)
            if len(header) == _HEADER.size:
                time, kind, _, length, _, _ = _HEADER.unpack(header)
            if len(header) < _HEADER.size or length < _HEADER.size or place + length > size:
                if in_use:
                    return
                raise DamagedBackup(f"The archived log is damaged: {path.name} ends too early.")
            yield Event(time, kind, place, place + length)
            place += length


def _open(log: IO[bytes]) -> bool:
    """Return whether a file was not closed.

    :raises GuestError: it is none of a binary log, or encrypted
    """
    if log.read(BEGIN) != _MAGIC:
        raise GuestError(_UNREADABLE)
    header = log.read(_HEADER.size)
    return len(header) < _HEADER.size or bool(_HEADER.unpack(header)[5] & _IN_USE)


class Extent(NamedTuple):
    """What is to be applied of a file.

    :param end: the place before which that is
    :param last: when the last transaction of that was; None if there is none
    :param reached: a later transaction follows
    """

    end: int
    last: int | None
    reached: bool


def extent(path: pathlib.Path, begin: int, until: int | None, latest: float) -> Extent:
    """Return what a file holds of before a time.

    Sessions may set their clock: what is of after ``latest`` does not tell when it was.

    :param begin: place of the first event to apply
    :param until: Unix time in whole seconds; None: all
    :param latest: when the file was complete
    """
    end, last = BEGIN, None
    for event in events(path):
        if event.kind in _BEGINS and event.begin >= begin:
            known = event.time <= latest
            if until is not None and known and event.time >= until:
                return Extent(event.begin, last, True)
            last = event.time if known else last or 0
        end = event.end
    return Extent(end, last, False)


class History:
    """Tells whether the server goes on with the log that it wrote before.

    A log that began anew (``RESET MASTER``) has the same numbers, and other files.

    :param folder: directory of the log; what is known stands there, too
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    @property
    def _known(self) -> pathlib.Path:
        return self._folder / "trove-history"

    def listing(self, session: Session) -> list[LogFile]:
        """Return the server's files, the oldest first; the last one is being written.

        A server that could not write its log goes on without, though ``log_bin`` is on.  After
        its next start the numbers go on as if nothing lacked: that is taken for another log.

        :raises NoBinaryLog: it writes none
        """
        try:
            rows = session.run("SHOW BINARY LOGS")
        except NoBinaryLog:
            self.forget()
            raise
        if not rows:
            raise GuestError("The database server lists no binary logs.")
        return [LogFile(number_of(str(row[0])), int(row[1])) for row in rows]

    def name(self, found: Sequence[LogFile]) -> str:
        """Return what names the log that the server writes.

        :param found: its files
        """
        with self._lock:
            name, number, mark = self._read()
            if name and any(one.number == number for one in found) and (
                    self._mark(number) == mark):
                return name
            name = uuid.uuid4().hex
            self._write(name, found[-1].number)
            return name

    def keep(self, number: int) -> None:
        """Know the log by a file that is kept longer; all before that one may go."""
        with self._lock:
            name, known, _ = self._read()
            if name and number > known:
                self._write(name, number)

    def forget(self) -> None:
        """Take what is written from now on for another log."""
        with self._lock:
            files.remove(self._known)

    def _read(self) -> tuple[str, int, str]:
        try:
            found = json.loads(self._known.read_text())
            return str(found["name"]), int(found["number"]), str(found["mark"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return "", 0, ""

    def _write(self, name: str, number: int) -> None:
        files.write_text(self._known, json.dumps(
            {"name": name, "number": number, "mark": self._mark(number)}), mode=0o600)

    def _mark(self, number: int) -> str:
        """Return what tells a file from another one of its number: how it begins.

        That is when it was begun, and which transactions were before.
        """
        try:
            with (self._folder / name_of(number)).open("rb") as log:
                _open(log)
                log.seek(BEGIN)
                begin = _event(log)
                following = _event(log)
        except OSError as err:
            raise GuestError(f"The binary log cannot be read: {err.strerror}.") from err
        if following[4:5] == bytes([_ENCRYPTED]):
            raise GuestError(_UNREADABLE)
        flags = _HEADER.size - _FLAGS.size
        # that it is being written is told of the last one only
        return hashlib.sha256(begin[:flags] + begin[_HEADER.size:] + following).hexdigest()


def _event(log: IO[bytes]) -> bytes:
    """Return the next event of a file."""
    header = log.read(_HEADER.size)
    size = _HEADER.unpack(header)[3] if len(header) == _HEADER.size else 0
    return header + log.read(max(0, min(size - _HEADER.size, 2 ** 20)))
