"""The binary log of MySQL, as far as an agent reads it: events with statements in them."""

from __future__ import annotations

import pathlib
import struct
import time
from collections.abc import Iterator

_MAGIC = b"\xfebin"
_HEADER = struct.Struct("<IBIIIH")
_QUERY, _ROTATE, _FORMAT, _ANONYMOUS, _PREVIOUS = 2, 4, 15, 34, 35
_IN_USE = 1


class BinaryLog:
    """The log that a server writes.

    :param base: what the option ``log_bin`` says
    :param index: the file with the names of all others
    """

    def __init__(self, base: str, index: str) -> None:
        self._base, self._index = base, pathlib.Path(index)
        self._begin()

    def names(self) -> list[pathlib.Path]:
        if not self._index.exists():
            return []
        return [pathlib.Path(line) for line in self._index.read_text().splitlines()]

    def rows(self) -> list[tuple[str, int]]:
        return [(path.name, path.stat().st_size) for path in self.names()]

    def add(self, statement: str) -> None:
        """Write a statement, as a transaction of its own."""
        self._write(_event(_ANONYMOUS, b"\0" * 42) + _event(_QUERY, statement.encode()))

    def close(self) -> None:
        path = self.names()[-1]
        self._write(_event(_ROTATE, path.name.encode()))
        content = bytearray(path.read_bytes())
        struct.pack_into("<H", content, len(_MAGIC) + _HEADER.size - 2, 0)
        path.write_bytes(content)

    def rotate(self) -> None:
        self.close()
        self._begin()

    def purge(self, name: str) -> None:
        found = self.names()
        keep = [one.name for one in found].index(name)
        for path in found[:keep]:
            path.unlink()
        self._index.write_text("".join(f"{one}\n" for one in found[keep:]))

    def reset(self) -> None:
        """Begin the log anew."""
        for path in self.names():
            path.unlink()
        self._index.unlink()
        self._begin()

    def _begin(self) -> None:
        found = self.names()
        number = int(found[-1].suffix[1:]) + 1 if found else 1
        path = pathlib.Path(f"{self._base}.{number:06d}")
        path.write_bytes(_MAGIC + _event(_FORMAT, b"8" * 60, _IN_USE) + _event(_PREVIOUS, b""))
        self._index.write_text("".join(f"{one}\n" for one in [*found, path]))

    def _write(self, events: bytes) -> None:
        with self.names()[-1].open("ab") as log:
            log.write(events)


def _event(kind: int, body: bytes, flags: int = 0) -> bytes:
    return _HEADER.pack(int(time.time()), kind, 1, _HEADER.size + len(body), 0, flags) + body


def statements(path: pathlib.Path, begin: int, end: int) -> Iterator[str]:
    """Give the statements between two places of a file, which have to begin events."""
    content, place, places = path.read_bytes(), len(_MAGIC), set[int]()
    assert content.startswith(_MAGIC)
    while place < len(content):
        places.add(place)
        _, kind, _, size, _, _ = _HEADER.unpack_from(content, place)
        if kind == _QUERY and begin <= place < end:
            yield content[place + _HEADER.size:place + size].decode()
        place += size
    assert {begin, end} <= places | {len(content)}
