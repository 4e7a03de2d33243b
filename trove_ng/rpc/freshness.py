"""Requests that are too old, or were seen before."""

from __future__ import annotations

import collections
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import NamedTuple, Protocol

from trove_ng.rpc import keys
from trove_ng.rpc.refusals import Reason, Rejected

LOG = logging.getLogger(__name__)

_NONCE = 16


class Seen(NamedTuple):
    """A request that was taken.

    :param at: receiver's clock, Unix time in seconds
    """

    at: float
    sender: str
    nonce: bytes


class Journal(Protocol):
    """Remembers requests over a restart of the receiver."""

    def load(self) -> Iterable[Seen]:
        """Return what is remembered, oldest first."""

    def add(self, seen: Seen) -> None:
        """Remember one."""


class Freshness:
    """Refuse requests that are too old, or were seen before.

    :param max_age: seconds; requests are remembered for twice as long, so that one
        cannot be stale for the clock and forgotten by the memory
    :param now: the wall clock, Unix time in seconds
    :param capacity: requests remembered at most; beyond it they are refused, since
        forgetting one would open the door to its replay
    :param share: of these, how many one guest may use, so that it cannot lock others out
    :param journal: memory that outlasts the process; without one, what a request does
        has to be harmless when it is done again
    :param steady: a clock that nobody sets, seconds: a request is not forgotten because
        the wall clock was set forward, as it may be set back
    """

    def __init__(self, max_age: float, now: Callable[[], float], capacity: int = 500_000,
                 share: int = 5_000, journal: Journal | None = None,
                 steady: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._now = now
        self._capacity = capacity
        self._share = share
        self._journal = journal
        self._steady = steady
        # when, by both clocks
        self._seen: OrderedDict[tuple[str, bytes], tuple[float, float]] = OrderedDict()
        self._of: collections.Counter[str] = collections.Counter()
        self._lock = Lock()
        for one in journal.load() if journal is not None else ():
            self._remember(one)

    def check(self, sender: str, sent_at: float, nonce: str) -> None:
        """Remember a request.

        :param sender: proven sender
        :raises Rejected: ``malformed``, ``stale``, ``replayed`` or ``flooded``
        """
        now = self._now()
        # written so that a number that compares with nothing is stale, too
        if not abs(now - sent_at) <= self._max_age:
            raise Rejected(Reason.STALE)
        with self._lock:
            self._forget(now)
            seen = Seen(now, sender, _decoded(nonce))
            if (sender, seen.nonce) in self._seen:
                raise Rejected(Reason.REPLAYED)
            if len(self._seen) >= self._capacity or (
                    keys.instance_of(sender) is not None
                    and self._of[sender] >= self._share):
                raise Rejected(Reason.FLOODED)
            self._remember(seen)
            if self._journal is not None:
                self._journal.add(seen)

    def _remember(self, seen: Seen) -> None:
        self._seen[seen.sender, seen.nonce] = seen.at, self._steady()
        self._of[seen.sender] += 1

    def _forget(self, now: float) -> None:
        kept = 2 * self._max_age
        steady = self._steady()
        while self._seen:
            at, steadily = next(iter(self._seen.values()))
            if at >= now - kept or steadily >= steady - kept:
                return
            (sender, _nonce), _at = self._seen.popitem(last=False)
            self._of[sender] -= 1
            if not self._of[sender]:
                del self._of[sender]


def _decoded(nonce: str) -> bytes:
    try:
        found = bytes.fromhex(nonce)
    except ValueError as err:
        raise Rejected(Reason.MALFORMED) from err
    if len(found) != _NONCE or len(nonce) != 2 * _NONCE:
        raise Rejected(Reason.MALFORMED)
    return found
