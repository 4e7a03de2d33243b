"""Heartbeats are gathered for a moment and written together."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from trove_ng.common.errors import ServiceUnavailable
from trove_ng.common.metrics import SILENT, Recorder

LOG = logging.getLogger(__name__)

Beat = dict[str, Any]


class Written(NamedTuple):
    """What became of a list of beats.

    :param newer: how many were newer than what was known
    :param refused: how many the store does not take
    """

    newer: int
    refused: int


class BatchWriter:
    """Writes the newest beat of each instance; one statement for many.

    A beat that comes while its instance's last one still waits takes its place.

    :param write: writes a list of beats
    :param size: beats in one statement at most
    :param wait: seconds that the first beat of a batch waits for others
    :param recorder: is told what becomes of beats
    """

    def __init__(self, write: Callable[[list[Beat]], Written], size: int, wait: float,
                 recorder: Recorder = SILENT) -> None:
        self._recorder = recorder
        self._write = write
        self._size = size
        self._wait = wait
        self._waiting: collections.OrderedDict[str, Beat] = collections.OrderedDict()
        self._condition = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)
        self.written = 0
        self.lost = 0

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, beat: Beat) -> None:
        """Queue a beat; an older one than what waits is passed over."""
        ident = str(beat["instance_id"])
        with self._condition:
            known = self._waiting.get(ident)
            if known is not None:
                stale = known["sequence"] >= beat["sequence"]
                self._recorder.heartbeats_handled("stale" if stale else "superseded", 1)
                if stale:
                    return
            self._waiting[ident] = beat
            self._condition.notify()

    def stop(self, timeout: float = 10.0) -> None:
        """Write what waits, and end."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            batch = self._next()
            if not batch:
                return
            try:
                written, refused = self._write(batch)
                self.written += len(batch) - refused
                self.lost += refused
                for outcome, count in (("written", written), ("lost", refused),
                                       ("stale", len(batch) - written - refused)):
                    self._recorder.heartbeats_handled(outcome, count)
            except ServiceUnavailable as err:
                self.lost += len(batch)
                self._recorder.heartbeats_handled("lost", len(batch))
                LOG.warning("%d heartbeats could not be written: %s", len(batch), err.message)
            except Exception:  # noqa: BLE001  the next beats of these instances say it again
                self.lost += len(batch)
                self._recorder.heartbeats_handled("lost", len(batch))
                LOG.exception("%d heartbeats could not be written", len(batch))

    def _next(self) -> list[Beat]:
        """Return the next batch; an empty one means that it is time to end."""
        with self._condition:
            while not self._waiting and not self._stopping:
                self._condition.wait()
            if len(self._waiting) < self._size and not self._stopping:
                self._condition.wait(self._wait)
            count = min(self._size, len(self._waiting))
            return [self._waiting.popitem(last=False)[1] for _ in range(count)]
