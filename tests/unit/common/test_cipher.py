"""Encrypted streams."""

from __future__ import annotations

import base64
import os

import pytest

from trove_ng.common.cipher import BEGINNING, DecryptError, Encryptor, decrypt, fits
from trove_ng.common.errors import GuestError
from trove_ng.common.secret import Secret

KEY = Secret(base64.urlsafe_b64encode(bytes(range(32))).decode())
PIECE = 64 * 1024
HEAD, TAG = 11, 16


def seal(*parts: bytes, key: Secret = KEY) -> bytes:
    made = Encryptor(key)
    return b"".join(made.update(part) for part in parts) + made.finish()


def unseal(sealed: bytes, step: int = 1000, key: Secret = KEY) -> bytes:
    return b"".join(decrypt((sealed[at:at + step] for at in range(0, len(sealed), step)), key))


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7])
@pytest.mark.parametrize("step", [1, 7, PIECE + TAG, 10 ** 6])
def test_a_stream_is_what_was_sealed_however_it_is_cut(size: int, step: int) -> None:
    if size > PIECE + 1 and step == 1:
        step = 3
    text = os.urandom(size)
    sealed = seal(*(text[at:at + 5000] for at in range(0, size, 5000)))
    assert len(sealed) == HEAD + size + TAG * max(1, -(-size // PIECE))
    assert unseal(sealed, step) == text


def test_two_streams_of_one_text_differ() -> None:
    assert seal(b"text") != seal(b"text")


def broken(sealed: bytes) -> dict[str, bytes]:
    first, second = HEAD, HEAD + PIECE + TAG
    return {
        "nothing": b"", "no head": sealed[:HEAD - 1], "only a head": sealed[:HEAD],
        "another form": b"TNG2" + sealed[4:], "a changed prefix": sealed[:5] + b"x" + sealed[6:],
        "a changed byte": sealed[:100] + bytes([sealed[100] ^ 1]) + sealed[101:],
        "a cut end": sealed[:-1], "the last piece missing": sealed[:second],
        "the first piece missing": sealed[:HEAD] + sealed[second:],
        "pieces swapped": sealed[:HEAD] + sealed[second:second + PIECE + TAG]
        + sealed[first:second] + sealed[second + PIECE + TAG:],
        "more behind it": sealed + b"x", "the end doubled": sealed + sealed[-100:]}


@pytest.mark.parametrize("how", sorted(broken(bytes(101))))
def test_a_changed_stream_is_noticed(how: str) -> None:
    sealed = seal(bytes(2 * PIECE + 84))
    with pytest.raises(DecryptError, match="cannot be decrypted"):
        unseal(broken(sealed)[how])


def test_another_key_does_not_open_it() -> None:
    other = Secret(base64.urlsafe_b64encode(bytes(32)).decode())
    with pytest.raises(DecryptError):
        unseal(seal(b"text"), key=other)


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "!"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(GuestError, match="not one of 256 bits"):
        Encryptor(Secret(text))


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3 * 64 * 1024])
def test_the_beginning_shows_whether_a_key_fits(size: int) -> None:
    encryptor = Encryptor(KEY)
    sealed = encryptor.update(bytes(size)) + encryptor.finish()
    begin = sealed[:BEGINNING]
    assert fits(KEY, begin, len(sealed))
    assert not fits(Secret(base64.urlsafe_b64encode(bytes(32)).decode()), begin, len(sealed))
    assert not fits(Secret("short"), begin, len(sealed))
    assert not fits(Secret("="), begin, len(sealed))
    assert not fits(KEY, begin[:-1], len(sealed))
    assert not fits(KEY, begin[:11], len(sealed))
    assert not fits(KEY, b"", len(sealed))
    assert not fits(KEY, b"x" + begin[1:], len(sealed))
