"""Which calls an operation makes of the cloud, and spoiling one of them.

A call is named by service, method and path without ids.  Calls that are made again and
again while something is waited for are one; ``run`` counts how often it came back after
others.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from trove_ng.operations.runbooks.registry import runbooks
from trove_ng.operations.work import StepFailed, Work
from trove_ng.standalone.minicloud.app import MiniCloud
from trove_ng.standalone.minicloud.faults import Rule

_IDS = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")


class CloudCall(NamedTuple):
    """A call, or several of the same in a row."""

    service: str
    method: str
    path: str
    run: int

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.path} #{self.run}"


class Fault(NamedTuple):
    """What becomes of a call.

    :param times: None: of all calls from this one on
    """

    name: str
    rule: Rule
    times: int | None = 1


#: seconds that clients wait in these tests, and a latency that is longer
PATIENCE = 2.0

FAULTS = (
    Fault("500", Rule("error", status=500)),
    Fault("503 three times", Rule("error", status=503), 3),
    Fault("too slow", Rule("latency", seconds=PATIENCE + 0.7)),
    Fault("reply lost", Rule("reply_lost")),
    Fault("401", Rule("error", status=401)),
    Fault("403", Rule("error", status=403)),
    Fault("404", Rule("error", status=404)),
    Fault("409", Rule("error", status=409)),
    Fault("413", Rule("error", status=413)),
    Fault("500 for good", Rule("error", status=500), None),
    Fault("403 for good", Rule("error", status=403), None),
)


class Remembers(Protocol):
    """Remembers what was seen; ``turn`` is how much of it before the operation turned back."""

    seen: list[Any]
    turn: int


def failing(action: str, fails: bool, seen: Remembers) -> Callable[[Work | None, str], bool]:
    """Return what a worker is watched with: it notes the turn when the last step fails.

    :param fails: that step fails
    """
    last = f"before {runbooks()[action].steps[-1].name}"

    def fail(_work: Work | None, point: str) -> bool:
        if fails and point == last:
            seen.turn = len(seen.seen)
            raise StepFailed("The database fails.")
        return False

    return fail


class Wire:
    """Sits before a minicloud: remembers calls, and spoils one.

    Calls of guests are left alone.  ``turn`` is how many calls were made before the operation
    began to take back what it did.
    """

    def __init__(self, ask: Callable[[str, str, str], Rule | None]) -> None:
        self._ask = ask
        self.begin()

    @classmethod
    @contextlib.contextmanager
    def before(cls, minicloud: MiniCloud) -> Iterator[Wire]:
        """Sit before a minicloud."""
        asked = minicloud.faults.on_call
        made = cls(asked)
        minicloud.faults.on_call = made._on_call  # type: ignore[method-assign]
        try:
            yield made
        finally:
            minicloud.faults.on_call = asked  # type: ignore[method-assign]

    def begin(self, target: CloudCall | None = None, fault: Fault | None = None) -> None:
        """Remember from now on, and spoil the target."""
        self.seen: list[CloudCall] = []
        self.turn = 0
        #: calls that wait
        self.late = 0
        self._runs: Counter[tuple[str, str, str]] = Counter()
        self._target, self._fault = target, fault
        self.hits = 0

    def _on_call(self, service: str, method: str, path: str) -> Rule | None:
        key = (service, method, _IDS.sub("{id}", path))
        # only guests store what a backup consists of; the service reads and deletes it
        if service == "identity" or (service == "object" and method == "PUT"
                                     and "/backup_{id}/" in key[2]):
            return self._ask(service, method, path)
        if not self.seen or self.seen[-1][:3] != key:
            self._runs[key] += 1
            self.seen.append(CloudCall(*key, self._runs[key]))
        fault = self._fault
        if fault is None or not self._hit(self.seen[-1], fault):
            return self._ask(service, method, path)
        self.hits += 1
        if fault.rule.kind == "latency":
            self.late += 1
            try:
                time.sleep(fault.rule.seconds)
            finally:
                self.late -= 1
            return None
        return fault.rule

    def _hit(self, call: CloudCall, fault: Fault) -> bool:
        target = self._target
        return (target is not None and call[:3] == target[:3] and call.run >= target.run
                and (fault.times is None or self.hits < fault.times))
