"""Requests that were taken, remembered over a restart of the agent."""

from __future__ import annotations

import logging
import pathlib
import time
from collections.abc import Callable

import msgspec

from trove_ng.guestagent.os import files
from trove_ng.rpc.freshness import Seen

LOG = logging.getLogger(__name__)

#: lines after which the file is written anew without the old ones
_LINES = 5_000


class RequestFile:
    """A line for each request of the last minutes.

    Without it, a message that was recorded before a restart could be sent again after it.

    :param keep: seconds that a request is remembered
    """

    def __init__(self, path: pathlib.Path, keep: float,
                 now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._keep = keep
        self._now = now
        self._lines = 0

    def load(self) -> list[Seen]:
        """Return what is remembered, oldest first."""
        found = self._read()
        self._rewrite(found)
        return found

    def add(self, seen: Seen) -> None:
        """Remember one.

        On a full disk it is not remembered: the agent has to be reached then above all.
        """
        try:
            if self._lines >= _LINES:
                self._rewrite(self._read())
            with open(self._path, "ab") as out:
                out.write(_line(seen))
            self._lines += 1
        except OSError as err:
            LOG.warning("a request is not remembered: %s", err)

    def _read(self) -> list[Seen]:
        oldest = self._now() - self._keep
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                at, sender, nonce = msgspec.json.decode(line, type=tuple[float, str, str])
                found.append(Seen(at, sender, bytes.fromhex(nonce)))
            except (msgspec.MsgspecError, ValueError):
                LOG.warning("a line of %s was cut off", self._path)
        return [one for one in found if one.at >= oldest]

    def _rewrite(self, seen: list[Seen]) -> None:
        try:
            files.make_directory(self._path.parent, mode=0o700)
            files.write_bytes(self._path, b"".join(_line(one) for one in seen), mode=0o600)
        except OSError as err:
            LOG.warning("requests are not remembered: %s", err)
        self._lines = len(seen)


def _line(seen: Seen) -> bytes:
    return msgspec.json.encode((seen.at, seen.sender, seen.nonce.hex())) + b"\n"
