"""A stream on its way to the object store, in segments that can be sent again.

A segment is gathered in a file on the root disk and sent while the next one is gathered.
So a connection that breaks costs an attempt and not the backup, the memory used does not
depend on the size of a segment, and whoever writes waits for the store only when a whole
segment is behind: a database that is locked for the last files of its backup is not
locked for as long as a store hangs.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import http.client
import logging
import os
import pathlib
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO

from trove_ng.common.secret import Secret
from trove_ng.guestagent.storage import http as wire
from trove_ng.guestagent.storage.http import Broken, Patience, StorageError
from trove_ng.rpc.messages import ObjectStoreGrant, Segment

LOG = logging.getLogger(__name__)

_PIECE = 256 * 1024
#: segments of one backup at most: what a manifest of Swift may hold
MOST_SEGMENTS = 1000
#: segments that a backup is meant to have at most; twice as many if it grows meanwhile
_WANTED_SEGMENTS = 500
_SMALLEST = 1024 * 1024
#: a segment is not made smaller than this for the sake of a small backup
_ENOUGH = 64 * 1024 * 1024
#: part of the free space of the disk that one segment may take; two are kept
_SHARE = 4


def segment_size(limit: int, expected: int, free: int) -> int:
    """Return the bytes of a segment.

    :param limit: what the control plane asked for, the most
    :param expected: bytes of the whole backup at most, as far as is known
    :param free: free bytes of the disk that holds segments on their way
    """
    wanted = min(limit, max(_ENOUGH, -(-expected // _WANTED_SEGMENTS)))
    return min(limit, max(_SMALLEST, min(wanted, free // _SHARE)))


class SegmentWriter:
    """A sink that stores what is written as objects of a fixed size.

    :param grant: leave to write
    :param size: bytes of all objects but the last
    :param scratch: directory for segments on their way; two of them at most
    :param check: called while the store is waited for; raises to give up
    """

    def __init__(self, grant: ObjectStoreGrant, size: int, scratch: pathlib.Path, *,
                 patience: Patience | None = None,
                 check: Callable[[], None] = lambda: None) -> None:
        if grant.put_query is None:
            raise StorageError("The grant does not allow to write.")
        if size < 1:
            raise StorageError("A segment has at least one byte.")
        self._prefix = grant.prefix
        self._size = size
        self._check = check
        self._sender = _Sender(grant.container_url, grant.put_query, patience or Patience())
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "upload")
        self._filling, self._spare = _Spool(scratch), _Spool(scratch)
        self._sent: concurrent.futures.Future[Segment] | None = None
        self._begun = 0
        self.segments: list[Segment] = []

    def write(self, data: bytes) -> None:
        """Store data.

        :raises StorageError: the object store refused an earlier segment or did not take
            it in any attempt, or the disk is full
        """
        view = memoryview(data)
        while view:
            part = view[:min(self._size - self._filling.size, _PIECE)]
            self._filling.add(part)
            view = view[len(part):]
            if self._filling.size >= self._size:
                self._send()

    def close(self) -> None:
        """Send the last object and wait for it; without data there is none.

        :raises StorageError: the object store did not take it
        """
        if self._filling.size:
            self._send()
        self._wait()
        self._release()

    def abort(self) -> None:
        """Give up what is on its way; what is stored stays, for the asker to delete."""
        self._sender.end()
        self._release()

    @property
    def stored(self) -> int:
        """Bytes of the objects that are stored."""
        return sum(one.size for one in self.segments)

    def _send(self) -> None:
        self._wait()
        if self._begun >= MOST_SEGMENTS:
            raise StorageError(f"The backup needs more than {MOST_SEGMENTS} segments: a "
                               "larger root disk allows larger ones.")
        self._begun += 1
        full, self._filling = self._filling, self._spare
        self._spare = full
        self._filling.clear()
        self._sent = self._pool.submit(
            self._sender.store, full, f"{self._prefix}{self._begun:08d}")

    def _wait(self) -> None:
        """Wait until the segment on its way is stored."""
        while self._sent is not None:
            with contextlib.suppress(concurrent.futures.TimeoutError):
                self.segments.append(self._sent.result(0.2))
                self._sent = None
                return
            self._check()

    def _release(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._filling.close()
        self._spare.close()


class _Spool:
    """A segment in a file without a name, which no crash leaves behind."""

    def __init__(self, folder: pathlib.Path) -> None:
        try:
            self.file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        except OSError as err:
            raise _no_room(err) from err
        self.clear()

    def clear(self) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self.file.seek(0)
        # the last segment is shorter than the one that was here before
        self.file.truncate()

    def add(self, data: memoryview) -> None:
        try:
            self.file.write(data)
        except OSError as err:
            raise _no_room(err) from err
        self._md5.update(data)
        self._sha256.update(data)
        self.size += len(data)

    def segment(self, name: str) -> Segment:
        return Segment(name=name, size=self.size, md5=self._md5.hexdigest(),
                       sha256=self._sha256.hexdigest())

    def rewind(self) -> None:
        try:
            self.file.flush()
        except OSError as err:
            raise _no_room(err) from err
        self.file.seek(0)

    def close(self) -> None:
        # what could not be written is of no use any more
        with contextlib.suppress(OSError):
            self.file.close()


def _no_room(err: OSError) -> StorageError:
    return StorageError("The root disk of the server cannot hold a segment on its way: "
                        f"{os.strerror(err.errno or 0).lower()}.")


class _Sender:
    """Sends segments, one after the other, each until the store has it."""

    def __init__(self, url: str, query: Secret, patience: Patience) -> None:
        self._url = url
        self._query = query
        self._patience = patience
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None

    def end(self) -> None:
        """Leave what is being sent."""
        with self._lock:
            self._ended.set()
            if self._connection is not None and self._connection.sock is not None:
                # closing alone does not wake the thread that waits
                with contextlib.suppress(OSError):
                    self._connection.sock.shutdown(socket.SHUT_RDWR)

    def store(self, spool: _Spool, name: str) -> Segment:
        """Store a segment under its name, again and again if need be.

        :raises StorageError: it is refused, or no attempt succeeded
        """
        segment = spool.segment(name)
        for attempt in range(1, self._patience.tries + 1):
            try:
                self._put(spool, segment)
                return segment
            except Broken as err:
                if self._ended.is_set():
                    raise StorageError("The upload was given up.") from None
                why = str(err)
                wait = self._patience.pause(attempt, err.wait)
            LOG.warning("%s was not stored, attempt %d of %d: %s", name, attempt,
                        self._patience.tries, why)
            if attempt < self._patience.tries and self._ended.wait(wait):
                raise StorageError("The upload was given up.")
        raise StorageError(f"The object store did not take {name} in "
                           f"{self._patience.tries} attempts: {why}.")

    def _put(self, spool: _Spool, segment: Segment) -> None:
        spool.rewind()
        try:
            connection = wire.connect(self._url, self._patience)
        except OSError as err:
            raise Broken(wire.describe(err)) from err
        try:
            with self._lock:
                self._connection = connection
                if self._ended.is_set():
                    raise Broken("it was given up")
            self._check(self._exchange(connection, spool, segment), segment)
        finally:
            with self._lock:
                self._connection = None
            connection.close()

    def _exchange(self, connection: http.client.HTTPConnection, spool: _Spool,
                  segment: Segment) -> http.client.HTTPResponse:
        deadline = (time.monotonic() + self._patience.silence
                    + segment.size / self._patience.slowest)
        try:
            connection.putrequest("PUT", wire.target(self._url, segment.name, self._query))
            connection.putheader("Content-Length", str(segment.size))
            connection.putheader("Content-Type", "application/octet-stream")
            # the store refuses what arrives otherwise
            connection.putheader("ETag", segment.md5)
            connection.endheaders()
            while piece := spool.file.read(_PIECE):
                connection.send(piece)
                if time.monotonic() > deadline:
                    raise Broken("it takes the data too slowly")
            return self._answer(connection)
        except TimeoutError as err:
            raise Broken(wire.describe(err)) from err
        except (OSError, http.client.HTTPException) as err:
            # an answer that came before the end of the data says more
            early = self._early_answer(connection)
            if early is None:
                raise Broken(wire.describe(err)) from err
            return early

    @staticmethod
    def _answer(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        response = connection.getresponse()
        # a page of text; what is longer is not read
        response.read(_PIECE)
        return response

    def _early_answer(self, connection: http.client.HTTPConnection,
                      ) -> http.client.HTTPResponse | None:
        if connection.sock is None:
            return None
        try:
            connection.sock.settimeout(2)
            return self._answer(connection)
        except (OSError, http.client.HTTPException):
            return None

    @staticmethod
    def _check(response: http.client.HTTPResponse, segment: Segment) -> None:
        if response.status in wire.TRANSIENT:
            raise wire.transient(response)
        if response.status != 201:
            raise wire.refusal(response.status, segment.name)
        if (response.getheader("ETag") or "").strip('"').lower() != segment.md5:
            raise Broken("it holds other data than sent")
