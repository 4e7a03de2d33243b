"""Messages that are not taken: why, how many, and one line in the log now and then."""

from __future__ import annotations

import collections
import enum
import logging
import threading
import time

from trove_ng.common.metrics import SILENT, Recorder

LOG = logging.getLogger(__name__)

#: seconds between two log lines about refused messages of one reason
_LOG_EVERY = 10.0
#: characters of what a sender calls itself that are shown
_SHOWN = 60


class Reason(enum.StrEnum):
    """Why a message is refused; a fixed set, so that it may label a metric."""

    #: not JSON, or not what oslo.messaging sends
    UNDECODABLE = "undecodable"
    #: no envelope
    PLAINTEXT = "plaintext"
    #: an envelope of a version that is not known here
    VERSION = "version"
    #: larger than any message is
    OVERSIZED = "oversized"
    #: sealed for somebody else
    MISDIRECTED = "misdirected"
    #: from somebody who has nothing to ask here
    SENDER = "sender"
    #: sealed with a key that sender and receiver do not share, or no longer
    UNKNOWN_KEY = "unknown-key"
    #: changed, or sealed by somebody without the key
    FORGED = "forged"
    #: sealed well, and not a request
    MALFORMED = "malformed"
    #: too old, or from the future
    STALE = "stale"
    #: seen before
    REPLAYED = "replayed"
    #: its sender sends more than is remembered
    FLOODED = "flooded"
    #: an answer that is none to what was asked
    ANSWER = "answer"
    #: the keys could not be read, so that nothing can be checked
    UNAVAILABLE = "unavailable"


class Rejected(Exception):
    """A message that is refused."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Refusals:
    """Counts refused messages and tells of them, without their content.

    :param message: what is refused, ``request`` or ``answer``
    :param recorder: is told of each
    """

    def __init__(self, message: str = "request", recorder: Recorder = SILENT) -> None:
        self._message = message
        self._recorder = recorder
        self._lock = threading.Lock()
        self._told: dict[Reason, float] = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self._fetched: collections.Counter[str] = collections.Counter()

    def fetch(self) -> dict[str, int]:
        """Return how many were refused for each reason since this was last asked."""
        with self._lock:
            found = self.counts - self._fetched
            self._fetched = self.counts.copy()
        return dict(found)

    def count(self, reason: Reason, sender: object) -> None:
        """Count one; log at most one line per reason in ten seconds.

        :param sender: what the sender calls itself, which may be anything
        """
        self._recorder.message_refused(self._message, str(reason))
        now = time.monotonic()
        with self._lock:
            self.counts[str(reason)] += 1
            if now - self._told.get(reason, -_LOG_EVERY) < _LOG_EVERY:
                return
            self._told[reason] = now
            total = self.counts[str(reason)]
        LOG.warning("refused a message: %s, by its word from %s (%d so far)",
                    reason, _harmless(sender), total)


def _harmless(sender: object) -> str:
    """Return a claimed name with nothing in it that could look like a line of the log."""
    if not isinstance(sender, str):
        return "nobody"
    shown = sender[:_SHOWN]
    return "".join(one if one.isascii() and (one.isalnum() or one in ":-_.") else "?"
                   for one in shown) or "nobody"
