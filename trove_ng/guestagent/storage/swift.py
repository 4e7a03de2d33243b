"""Streams to and from Swift, in segments, by signed URLs.

Wire format: Object Store API v1 with the TempURL middleware.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import time
from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlsplit

from trove_ng.common.errors import GuestError
from trove_ng.common.secret import Secret
from trove_ng.rpc.messages import ObjectStoreGrant, Segment, StoredBackup

LOG = logging.getLogger(__name__)

_TIMEOUT = 120
_PIECE = 256 * 1024
_TRIES = 5


class StorageError(GuestError):
    """The object store did not do what it must; the message names no secret."""


def checksum(segments: Sequence[Segment]) -> str:
    """Return the checksum of a whole: SHA-256 over the segments' SHA-256, in hex."""
    return hashlib.sha256("".join(one.sha256 for one in segments).encode()).hexdigest()


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = (http.client.HTTPSConnection if parts.scheme == "https"
            else http.client.HTTPConnection)
    return kind(parts.hostname or "", parts.port, timeout=_TIMEOUT)


def _target(url: str, name: str, query: Secret) -> str:
    return f"{urlsplit(url).path}/{quote(name)}?{query.reveal()}"


class SegmentWriter:
    """A sink that stores what is written as objects of a fixed size.

    Nothing is kept but a part of a megabyte: what was sent cannot be sent again, so a
    connection that breaks ends the backup.

    :param grant: leave to write
    :param segment_size: bytes of all objects but the last
    """

    def __init__(self, grant: ObjectStoreGrant, segment_size: int) -> None:
        if grant.put_query is None:
            raise StorageError("The grant does not allow to write.")
        if segment_size < 1:
            raise StorageError("A segment has at least one byte.")
        self._grant = grant
        self._query = grant.put_query
        self._size = segment_size
        self._open: _Upload | None = None
        self.segments: list[Segment] = []

    def write(self, data: bytes) -> None:
        """Store data.

        :raises StorageError: the object store refuses, or the connection broke
        """
        view = memoryview(data)
        while view:
            if self._open is None:
                name = f"{self._grant.prefix}{len(self.segments) + 1:08d}"
                self._open = _Upload(self._grant.container_url, name, self._query)
            part = view[:min(self._size - self._open.size, _PIECE)]
            self._open.send(part)
            view = view[len(part):]
            if self._open.size >= self._size:
                self._finish()

    def close(self) -> None:
        """Finish the last object; without data there is none.

        :raises StorageError: the object store did not take it
        """
        if self._open is not None:
            self._finish()

    def abort(self) -> None:
        """Leave an unfinished object; the object store forgets it."""
        if self._open is not None:
            self._open.abort()
            self._open = None

    def _finish(self) -> None:
        assert self._open is not None
        upload, self._open = self._open, None
        self.segments.append(upload.finish())

    @property
    def stored(self) -> int:
        """Bytes of finished objects."""
        return sum(one.size for one in self.segments)


class _Upload:
    """One object on its way, in chunks."""

    def __init__(self, url: str, name: str, query: Secret) -> None:
        self.name = name
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._connection = _connect(url)
        try:
            self._connection.putrequest("PUT", _target(url, name, query))
            self._connection.putheader("Transfer-Encoding", "chunked")
            self._connection.putheader("Content-Type", "application/octet-stream")
            self._connection.endheaders()
        except OSError as err:
            raise self._broken(err) from err

    def _broken(self, err: Exception) -> StorageError:
        """Return the error; an answer that came before the end says more."""
        status = None
        try:
            if self._connection.sock is not None:
                status = self._connection.getresponse().status
        except (OSError, http.client.HTTPException):
            LOG.debug("there is no answer either")
        self.abort()
        if status is not None:
            return StorageError(f"The object store answered {status} to {self.name}.")
        return StorageError(f"The connection to the object store broke at {self.name}: "
                            f"{type(err).__name__}.")

    def send(self, data: memoryview) -> None:
        try:
            self._connection.send(b"%x\r\n" % len(data) + bytes(data) + b"\r\n")
        except OSError as err:
            raise self._broken(err) from err
        self._md5.update(data)
        self._sha256.update(data)
        self.size += len(data)

    def finish(self) -> Segment:
        try:
            self._connection.send(b"0\r\n\r\n")
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as err:
            raise self._broken(err) from err
        self._connection.close()
        if response.status != 201:
            raise StorageError(f"The object store answered {response.status} to {self.name}.")
        etag = (response.getheader("ETag") or "").strip('"')
        if etag != self._md5.hexdigest():
            raise StorageError(f"The object store holds other data than sent in {self.name}.")
        return Segment(name=self.name, size=self.size, md5=etag,
                       sha256=self._sha256.hexdigest())

    def abort(self) -> None:
        self._connection.close()


def read(backup: StoredBackup, grant: ObjectStoreGrant) -> Iterator[bytes]:
    """Give the data of a backup piece by piece, checking every segment at its end.

    A connection that breaks is continued where it broke.  Nothing may be done for good
    with the data before the iteration ended.

    :raises StorageError: a segment is missing, or is not what was stored
    """
    if checksum(backup.segments) != backup.checksum:
        raise StorageError("The list of segments is not the one that was stored.")
    for segment in backup.segments:
        digest, size = hashlib.sha256(), 0
        for piece in _read_segment(segment, grant):
            digest.update(piece)
            size += len(piece)
            yield piece
        if size != segment.size or digest.hexdigest() != segment.sha256:
            raise StorageError(f"The checksum of {segment.name} is wrong: the backup is damaged.")


def _read_segment(segment: Segment, grant: ObjectStoreGrant) -> Iterator[bytes]:
    done = tries = 0
    while done < segment.size:
        before = done
        try:
            for piece in _get(segment, grant, done):
                done += len(piece)
                yield piece
        except (OSError, http.client.HTTPException) as err:
            LOG.warning("%s broke after %s bytes: %s", segment.name, done, err)
        if done >= segment.size:
            return
        tries = 1 if done > before else tries + 1
        if tries >= _TRIES:
            raise StorageError(f"The object store does not give {segment.name}.")
        time.sleep(min(2 ** tries, 10) / 4)


def _get(segment: Segment, grant: ObjectStoreGrant, start: int) -> Iterator[bytes]:
    connection = _connect(grant.container_url)
    try:
        headers = {"Range": f"bytes={start}-"} if start else {}
        connection.request(
            "GET", _target(grant.container_url, segment.name, grant.get_query),
            headers=headers)
        response = connection.getresponse()
        if response.status in (401, 403, 404):
            raise StorageError(f"The object store answered {response.status} to "
                               f"{segment.name}.")
        if response.status != (206 if start else 200):
            raise ConnectionError(f"status {response.status}")
        while piece := response.read(_PIECE):
            yield piece
    finally:
        connection.close()
