"""Streams from Swift, in segments, by signed URLs; each is checked before and while it is read.

Wire format: Object Store API v1 with the TempURL middleware.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from trove_ng.guestagent.storage import http as wire
from trove_ng.guestagent.storage.http import (
    Broken,
    DamagedBackup,
    Patience,
    SeemsDamaged,
    StorageError,
)
from trove_ng.rpc.messages import ObjectStoreGrant, Segment, StoredBackup

LOG = logging.getLogger(__name__)

T = TypeVar("T")

#: bytes that are read at once
PIECE = 256 * 1024


def checksum(segments: Sequence[Segment]) -> str:
    """Return the checksum of a whole: SHA-256 over the segments' SHA-256, in hex."""
    return hashlib.sha256("".join(one.sha256 for one in segments).encode()).hexdigest()


def verify(backup: StoredBackup, grant: ObjectStoreGrant, patience: Patience | None = None,
           check: Callable[[], None] = lambda: None) -> None:
    """Look whether the store has every segment as it was stored, without reading any.

    :param check: called before each look; raises to give up
    :raises StorageError: the record is damaged, or a segment is missing or another one
    """
    _check_record(backup)
    for segment in backup.segments:
        check()
        _again(functools.partial(_head, segment, grant, patience or Patience()),
               segment.name, patience or Patience())


def read(backup: StoredBackup, grant: ObjectStoreGrant, patience: Patience | None = None,
         check: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """Give the data of a backup piece by piece, checking every segment at its end.

    A connection that breaks is continued where it broke.  Nothing may be done for good
    with the data before the iteration ended.

    :param check: called while the store is waited for; raises to give up
    :raises StorageError: a segment is missing, or is not what was stored
    """
    _check_record(backup)
    for segment in backup.segments:
        digest, size = hashlib.sha256(), 0
        for piece in _read_segment(segment, grant, patience or Patience(), check):
            digest.update(piece)
            size += len(piece)
            if size > segment.size:
                break
            yield piece
        if size != segment.size or digest.hexdigest() != segment.sha256:
            raise DamagedBackup(f"The checksum of {segment.name} is wrong: the backup is damaged.")


def check_segments_between(backup: StoredBackup, grant: ObjectStoreGrant, first: int, last: int,
                           patience: Patience | None = None,
                           check: Callable[[], None] = lambda: None) -> None:
    """Read the segments that hold some bytes of the whole again, and check them.

    For who cannot use the data: they may be damaged before the end of a segment was reached.

    :param first: place of the first of these bytes
    :param last: place of the last one, or the end
    :raises StorageError: one is not what was stored
    """
    begin = 0
    for segment in backup.segments:
        end = begin + segment.size
        if begin <= last and first < end:
            one = msgspec.structs.replace(
                backup, segments=[segment], size=segment.size, checksum=checksum([segment]))
            for _piece in read(one, grant, patience, check):
                continue
        begin = end


def _check_record(backup: StoredBackup) -> None:
    if not backup.segments:
        raise DamagedBackup("The backup is damaged: its record lists no segments.")
    if (checksum(backup.segments) != backup.checksum
            or sum(one.size for one in backup.segments) != backup.size):
        raise DamagedBackup("The backup is damaged: the list of segments is not the one that "
                            "was stored.")


def _again(work: Callable[[], T], name: str, patience: Patience) -> T:
    """Return what an attempt gives; make another one after those that broke."""
    for attempt in range(1, patience.tries + 1):
        try:
            return work()
        except Broken as err:
            LOG.warning("%s, attempt %d of %d: %s", name, attempt, patience.tries, err)
            why, wait = str(err), patience.pause(attempt, err.wait)
        if attempt < patience.tries:
            time.sleep(wait)
    raise StorageError(f"The object store does not give {name}: {why}.")


def _head(segment: Segment, grant: ObjectStoreGrant, patience: Patience) -> None:
    with _Get(segment, grant, patience, "HEAD") as response:
        length = response.getheader("Content-Length") or ""
        etag = (response.getheader("ETag") or "").strip('"').lower()
    if length != str(segment.size) or etag != segment.md5:
        raise SeemsDamaged(f"The backup is damaged: {segment.name} is not what was stored.")


def _read_segment(segment: Segment, grant: ObjectStoreGrant, patience: Patience,
                  check: Callable[[], None]) -> Iterator[bytes]:
    done = attempt = 0
    while done < segment.size:
        check()
        before, wait = done, 0.0
        try:
            with _Get(segment, grant, patience, "GET", done) as response:
                for piece in _pieces(response):
                    done += len(piece)
                    yield piece
            why = "the connection ended early"
        except Broken as err:
            why, wait = str(err), err.wait
        if done >= segment.size:
            return
        LOG.warning("%s broke after %s bytes: %s", segment.name, done, why)
        attempt = 1 if done > before else attempt + 1
        if attempt >= patience.tries:
            raise StorageError(f"The object store does not give {segment.name}: {why}.")
        time.sleep(patience.pause(attempt, wait))


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            piece = response.read(PIECE)
        except (OSError, http.client.HTTPException) as err:
            raise Broken(wire.describe(err)) from err
        if not piece:
            return
        yield piece


class _Get:
    """A GET or HEAD of a segment, from a byte on.

    :raises StorageError: the store refuses
    :raises Broken: another attempt may succeed
    """

    def __init__(self, segment: Segment, grant: ObjectStoreGrant, patience: Patience,
                 method: str, start: int = 0) -> None:
        try:
            self._connection = wire.connect(grant.container_url, patience)
        except OSError as err:
            raise Broken(wire.describe(err)) from err
        try:
            self._response = self._ask(method, wire.target(
                grant.container_url, segment.name, grant.get_query), start)
            self._check(segment, start)
        except BaseException:
            self._connection.close()
            raise

    def _ask(self, method: str, path: str, start: int) -> http.client.HTTPResponse:
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            self._connection.request(method, path, headers=headers)
            return self._connection.getresponse()
        except (OSError, http.client.HTTPException) as err:
            raise Broken(wire.describe(err)) from err

    def _check(self, segment: Segment, start: int) -> None:
        status = self._response.status
        if status == (206 if start else 200):
            return
        if status == 404:
            raise SeemsDamaged(f"The backup is damaged: {segment.name} is missing (404).")
        if status in wire.TRANSIENT:
            raise wire.transient(self._response)
        if start and status == 200:
            raise Broken("it does not continue where it broke")
        raise wire.refusal(status, segment.name)

    def __enter__(self) -> http.client.HTTPResponse:
        return self._response

    def __exit__(self, *_exc: object) -> None:
        self._connection.close()
