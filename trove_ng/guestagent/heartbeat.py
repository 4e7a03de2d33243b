"""Heartbeats: telling the control plane, steadily, what the database is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.sequence import Sequence
from trove_ng.rpc.messages import FilesystemStats, Heartbeat

LOG = logging.getLogger(__name__)

#: longest wait between two attempts while the bus is away, seconds
LONGEST_WAIT = 4.0


class HeartbeatReporter(Protocol):
    """The part of the conductor's client that is used here."""

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send; raises when the bus does not take it."""


class StatusSource(Protocol):
    """What is reported; :class:`~trove_ng.guestagent.status.DatabaseStatus`."""

    @property
    def current(self) -> ServiceStatus:
        """The present status."""

    @property
    def reason(self) -> str:
        """A sentence on what is wrong, or nothing."""

    @property
    def restart_required(self) -> bool:
        """True if settings wait for a restart."""


class Heart:
    """Sends a heartbeat every ``interval`` seconds, and at once when nudged.

    While the bus is away it tries again, sooner at first; only the present state is
    worth sending, so that nothing piles up.

    :param volume_path: path on the data volume; called, because it may be absent
    :param details: more to tell, for example capabilities; called for each heartbeat
    """

    def __init__(self, reporter: HeartbeatReporter, status: StatusSource,
                 sequence: Sequence, *, interval: float, version: str,
                 volume_path: Callable[[], str | None],
                 details: Callable[[], dict[str, Any]] | None = None,
                 first_wait: float = 0.5) -> None:
        self._reporter = reporter
        self._status = status
        self._sequence = sequence
        self._interval = interval
        self._version = version
        self._volume_path = volume_path
        self._details = details
        self._first_wait = first_wait
        self._nudged = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to send; the first heartbeat goes out at once."""
        self._nudged.set()
        self._thread.start()

    def nudge(self) -> None:
        """Have a heartbeat sent now, because something changed."""
        self._nudged.set()

    def stop(self, timeout: float) -> None:
        """End, after at most ``timeout`` seconds."""
        self._stopping = True
        self._nudged.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def make(self) -> Heartbeat:
        """Return the heartbeat of this moment."""
        details: dict[str, Any] = {"restart_required": self._status.restart_required}
        if self._details is not None:
            details |= self._details()
        return Heartbeat(
            status=self._status.current, sequence=self._sequence.next(),
            sent_at=time.time(), description=self._status.reason,
            agent_version=self._version, volume=self._volume(),
            details=details)

    def _run(self) -> None:
        wait, failures = self._interval, 0
        while True:
            self._nudged.wait(wait)
            if self._stopping:
                return
            self._nudged.clear()
            try:
                self._reporter.heartbeat(self.make())
            except Exception as err:  # noqa: BLE001  the agent outlives any trouble of the bus
                failures += 1
                wait = min(self._first_wait * 2 ** (failures - 1), LONGEST_WAIT,
                           self._interval)
                LOG.warning("a heartbeat was not sent, %.1f s until the next: %s", wait,
                            type(err).__name__)
            else:
                wait, failures = self._interval, 0

    def _volume(self) -> FilesystemStats | None:
        path = self._volume_path()
        if path is None:
            return None
        try:
            return filesystem_stats(path)
        except OSError as err:
            LOG.warning("the space below %s cannot be read: %s", path, err)
            return None


class StatusWatch:
    """Looks at the database every ``interval`` seconds.

    :param look: determines the status and tells of a change itself
    """

    def __init__(self, look: Callable[[], object], interval: float) -> None:
        self._look = look
        self._interval = interval
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End, after at most ``timeout`` seconds."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                self._look()
            except Exception:  # noqa: BLE001  a look that failed is followed by another
                LOG.exception("the status cannot be determined")
