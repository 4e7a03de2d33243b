"""The protocol between clients and servers of MySQL, as far as an agent uses it."""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

NONCE = b"0123456789abcdefghij"
#: long password, connect with database, 4.1, transactions, secure, multi results, plugins
_CAPABILITIES = 0x00000001 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x20000 | 0x80000
_AUTOCOMMIT = 2
_UTF8MB4, _BINARY = 45, 63
#: types of columns
_LONGLONG, _VAR_STRING = 0x08, 0xfd


class Refused(Exception):
    """What a server answers with an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Table(list[Sequence[Any]]):
    """Rows whose columns have names."""

    def __init__(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        super().__init__(rows)
        self.names = names


class Wire:
    """Packets of one connection."""

    def __init__(self, line: socket.socket) -> None:
        self._file = line.makefile("rwb")
        self._number = 0

    def read(self) -> bytes:
        """Return the next packet.

        :raises EOFError: the client has gone
        """
        head = self._file.read(4)
        if len(head) < 4:
            raise EOFError
        self._number = head[3] + 1
        return self._file.read(int.from_bytes(head[:3], "little"))

    def write(self, payload: bytes) -> None:
        self._file.write(struct.pack("<I", len(payload))[:3] + bytes([self._number % 256]))
        self._file.write(payload)
        self._file.flush()
        self._number += 1

    def ok(self) -> None:
        self.write(b"\0\0\0" + struct.pack("<HH", _AUTOCOMMIT, 0))

    def refuse(self, err: Refused) -> None:
        self.write(b"\xff" + struct.pack("<H", err.code) + b"#HY000" + str(err).encode())

    def rows(self, rows: Sequence[Sequence[Any]]) -> None:
        """Send a result set, of whole numbers and texts."""
        width = max([len(row) for row in rows], default=1)
        names = rows.names if isinstance(rows, Table) else [f"c{one}" for one in range(width)]
        self.write(bytes([len(names)]))
        for number, name in enumerate(names):
            whole = bool(rows) and all(isinstance(row[number], int) for row in rows)
            self.write(b"".join(map(_text, (b"def", b"", b"", b"", name.encode(), b"")))
                       + b"\x0c" + struct.pack("<HIBHBH", _BINARY if whole else _UTF8MB4, 1024,
                                               _LONGLONG if whole else _VAR_STRING, 0, 0, 0))
        self._end()
        for row in rows:
            self.write(b"".join(b"\xfb" if one is None else _text(str(one).encode())
                                for one in row))
        self._end()

    def _end(self) -> None:
        self.write(b"\xfe" + struct.pack("<HH", 0, _AUTOCOMMIT))


def _text(value: bytes) -> bytes:
    if len(value) < 251:
        return bytes([len(value)]) + value
    return b"\xfc" + struct.pack("<H", len(value)) + value


def greet(wire: Wire, version: str, plugin: str,
          account: Callable[[str], tuple[str, str]]) -> str:
    """Let a client in; return its user.

    :param plugin: way to log in that the server offers first
    :param account: returns way and password of a user
    :raises Refused: it is not let in
    """
    wire.write(b"\x0a" + version.encode() + b"\0" + struct.pack("<I", 7) + NONCE[:8] + b"\0"
               + struct.pack("<HBHH", _CAPABILITIES & 0xffff, _UTF8MB4, _AUTOCOMMIT,
                             _CAPABILITIES >> 16)
               + bytes([len(NONCE) + 1]) + bytes(10) + NONCE[8:] + b"\0"
               + plugin.encode() + b"\0")
    answer = wire.read()
    user, _, rest = answer[32:].partition(b"\0")
    proof = rest[1:1 + rest[0]]
    name = user.decode()
    way, password = account(name)
    if way != plugin:
        wire.write(b"\xfe" + way.encode() + b"\0" + NONCE + b"\0")
        proof = wire.read()
    if way == "caching_sha2_password":
        # nothing is cached: the line is a socket of this machine, so in clear
        wire.write(b"\x01\x04")
        good = wire.read() == password.encode() + b"\0"
    else:
        good = proof == _native(password)
    if not good:
        raise Refused(1045, f"Access denied for user '{name}'@'localhost'")
    wire.ok()
    return name


def _native(password: str) -> bytes:
    first = hashlib.sha1(password.encode()).digest()
    second = hashlib.sha1(NONCE + hashlib.sha1(first).digest()).digest()
    return bytes(one ^ other for one, other in zip(first, second, strict=True))
