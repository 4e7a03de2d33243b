"""Encrypting a stream, so that it is checked piece by piece while it is read.

Form: ``TNG1``, a random prefix of 7 bytes, and pieces of 64 KiB (the last one may be
smaller), each sealed by AES-256-GCM with its tag behind it.  The nonce of a piece is prefix,
number and whether it is the last: pieces that are changed, swapped, left out or cut off are
noticed before their text is used.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trove_ng.common.errors import GuestError
from trove_ng.common.secret import Secret

_MAGIC = b"TNG1"
_PREFIX = 7
_HEAD = len(_MAGIC) + _PREFIX
_PIECE = 64 * 1024
_TAG = 16
_KEY = 32
#: bytes that may have to be read until a changed one is noticed
LONGEST = _PIECE + _TAG
#: bytes of a beginning that show whether a key is the right one
BEGINNING = _HEAD + LONGEST


class DecryptError(GuestError):
    """A stream is not what was sealed with the key."""


def _aes(key: Secret) -> AESGCM:
    raw = base64.urlsafe_b64decode(key.reveal())
    if len(raw) != _KEY:
        raise GuestError("The key of the backup is not one of 256 bits.")
    return AESGCM(raw)


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


class Encryptor:
    """Seals what it is given.

    :param key: 32 bytes in URL-safe base64, for this stream only
    """

    def __init__(self, key: Secret) -> None:
        self._aes = _aes(key)
        self._prefix = os.urandom(_PREFIX)
        self._number = 0
        self._kept = bytearray()
        self._out = bytearray(_MAGIC + self._prefix)

    def update(self, data: bytes) -> bytes:
        """Take data; return what is sealed by now."""
        self._kept += data
        # a whole piece is kept back: it may be the last
        while len(self._kept) > _PIECE:
            self._seal(bytes(self._kept[:_PIECE]), last=False)
            del self._kept[:_PIECE]
        return self._take()

    def finish(self) -> bytes:
        """Return the rest."""
        self._seal(bytes(self._kept), last=True)
        return self._take()

    def _seal(self, piece: bytes, *, last: bool) -> None:
        self._out += self._aes.encrypt(_nonce(self._prefix, self._number, last), piece, _MAGIC)
        self._number += 1

    def _take(self) -> bytes:
        found = bytes(self._out)
        self._out.clear()
        return found


def decrypt(pieces: Iterable[bytes], key: Secret) -> Iterator[bytes]:
    """Give the text of a stream, each piece after it was checked.

    :raises DecryptError: the stream is not what was sealed with this key
    """
    aes, kept, prefix, number = _aes(key), bytearray(), b"", 0
    for piece in pieces:
        kept += piece
        if not prefix and len(kept) >= _HEAD:
            if kept[:len(_MAGIC)] != _MAGIC:
                raise _damaged()
            prefix = bytes(kept[len(_MAGIC):_HEAD])
            del kept[:_HEAD]
        while prefix and len(kept) > LONGEST:
            yield _open(aes, prefix, number, bytes(kept[:LONGEST]), last=False)
            del kept[:LONGEST]
            number += 1
    if not prefix:
        raise _damaged()
    yield _open(aes, prefix, number, bytes(kept), last=True)


def fits(key: Secret, beginning: bytes, size: int) -> bool:
    """Return whether a stream was sealed with a key, as far as its first piece shows.

    :param beginning: the first :data:`BEGINNING` bytes, or all
    :param size: bytes of the whole stream
    """
    prefix, piece = beginning[len(_MAGIC):_HEAD], beginning[_HEAD:BEGINNING]
    if beginning[:len(_MAGIC)] != _MAGIC or len(prefix) != _PREFIX:
        return False
    try:
        _open(_aes(key), prefix, 0, piece, last=size <= BEGINNING)
    except (GuestError, ValueError):
        return False
    return True


def _open(aes: AESGCM, prefix: bytes, number: int, sealed: bytes, *, last: bool) -> bytes:
    try:
        return aes.decrypt(_nonce(prefix, number, last), sealed, _MAGIC)
    except (InvalidTag, ValueError):
        raise _damaged() from None


def _damaged() -> DecryptError:
    return DecryptError("The backup is damaged, or its key is another one: it cannot be "
                        "decrypted.")
