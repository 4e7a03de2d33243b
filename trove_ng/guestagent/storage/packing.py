"""The form that backups are stored in: compressed with zstd, encrypted if there is a key."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import IO, Protocol, cast

import zstandard

from trove_ng.common.cipher import LONGEST, DecryptError, Encryptor, decrypt
from trove_ng.common.secret import Secret
from trove_ng.guestagent.storage import swift
from trove_ng.guestagent.storage.ahead import ahead
from trove_ng.guestagent.storage.http import DamagedBackup, Patience
from trove_ng.guestagent.storage.upload import SegmentWriter
from trove_ng.rpc import messages as m

#: memory that unpacking may take; what is written here needs a quarter of it
_WINDOW = 8 * 1024 * 1024
_LEVEL = 3
#: bytes that are compressed at a time, while what is compressed already is stored: larger ones
#: take more memory, smaller ones less well compressed
_JOB = 2 * 1024 * 1024
#: pieces that are read at a time, while those before are decompressed
_AHEAD = 8
#: bytes that are read at most until it is noticed that an earlier one is wrong
_BEHIND = 2 * _AHEAD * swift.PIECE + LONGEST


class Sink(Protocol):
    """What takes the data of a backup."""

    def write(self, data: bytes) -> int:
        """Take some of it.

        :raises BrokenPipeError: nobody reads it any more
        """


class Packer:
    """Packs a stream and stores it.

    :param key: 32 bytes in URL-safe base64; None does not encrypt
    """

    def __init__(self, writer: SegmentWriter, key: Secret | None) -> None:
        self._writer = writer
        # one thread beside this one, which encrypts, sums and stores meanwhile
        self._compressor = zstandard.ZstdCompressor(
            compression_params=zstandard.ZstdCompressionParameters.from_level(
                _LEVEL, threads=1, job_size=_JOB)).compressobj()
        self._encryptor = Encryptor(key) if key is not None else None
        self.read = 0

    def write(self, data: bytes) -> None:
        """Store data; raises as :meth:`SegmentWriter.write`."""
        self.read += len(data)
        self._store(self._compressor.compress(data))

    def finish(self) -> None:
        """Store what is left; raises as :meth:`SegmentWriter.close`."""
        self._store(self._compressor.flush())
        if self._encryptor is not None:
            self._writer.write(self._encryptor.finish())
        self._writer.close()

    def _store(self, data: bytes) -> None:
        self._writer.write(self._encryptor.update(data) if self._encryptor else data)


def unpack(stored: m.StoredBackup, grant: m.ObjectStoreGrant, key: Secret | None, sink: Sink,
           patience: Patience, *, check: Callable[[], None] = lambda: None,
           passed: Callable[[int], None] = lambda _size: None) -> None:
    """Give the data of a backup to a sink.

    :param check: called while the store is waited for; raises to give up
    :param passed: called with the bytes of each piece that went on, compressed as it was
    :raises DamagedBackup: it is not what was stored
    :raises StorageError: the store does not give it
    :raises BrokenPipeError: the sink takes no more, and the store's data are as recorded
    """
    fetched = 0

    def counted() -> Iterator[bytes]:
        nonlocal fetched
        for piece in swift.read(stored, grant, patience, check):
            fetched += len(piece)
            yield piece

    # what is read is checked and decrypted meanwhile
    pieces = ahead(decrypt(counted(), key) if key is not None else counted(), _AHEAD)
    # a writer, because a small piece may become very much: it passes on in parts
    unpacked = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_writer(
        cast("IO[bytes]", _Bounded(sink, stored.data_size)), closefd=False)
    failure: BaseException
    try:
        with contextlib.closing(pieces):
            for some in pieces:
                for piece in some:
                    unpacked.write(piece)
                    passed(len(piece))
        return
    except zstandard.ZstdError:
        failure = DamagedBackup("The backup is damaged: it cannot be decompressed.")
    except BrokenPipeError as err:
        failure = err
    except DecryptError as err:
        failure = DamagedBackup(err.message)
    except _TooMuch:
        failure = DamagedBackup("The backup is damaged: it holds more than was recorded.")
    # the data may be wrong although the end of their segment was not reached
    swift.check_segments_between(stored, grant, max(0, fetched - _BEHIND), fetched, patience,
                                 check)
    raise failure


class _TooMuch(Exception):
    """A backup holds more than was recorded."""


class _Bounded:
    """A sink that takes no more than a backup is known to hold; 0 means any amount."""

    def __init__(self, sink: Sink, limit: int) -> None:
        self._sink = sink
        self._left = limit or sys.maxsize

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise _TooMuch
        return self._sink.write(data)

    def flush(self) -> None:
        """Nothing is kept back here."""
