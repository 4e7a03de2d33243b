"""A number that rises with each report of this agent."""

from __future__ import annotations

import logging
import pathlib
import threading
import time

from trove_ng.guestagent.os import files

LOG = logging.getLogger(__name__)


class Sequence:
    """Numbers that rise over restarts and over the loss of the root disk.

    A number is at least the time in milliseconds: when the remembered one is lost
    with the disk, the next is still above all that were sent before.

    :param path: where the last number is remembered
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._last = self._read()

    def next(self) -> int:
        """Return a number above all before, remembered before it is given out.

        On a full disk it is not remembered: reports have to go out then above all.
        """
        with self._lock:
            self._last = max(self._last + 1, int(time.time() * 1000))
            try:
                files.write_text(self._path, str(self._last), mode=0o600, durable=False)
            except OSError as err:
                LOG.warning("the number of the last report is not remembered: %s", err)
            return self._last

    def _read(self) -> int:
        try:
            return int(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return 0
