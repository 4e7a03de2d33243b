"""Faults that tests ask for: slow, failing, lost and stuck calls."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from typing import Any

_KINDS = ("latency", "error", "reply_lost", "stuck")


class FaultRuleError(ValueError):
    """A rule that makes no sense; the text says why."""


@dataclasses.dataclass
class Rule:
    """When something goes wrong, and how.

    :param kind: ``latency`` waits; ``error`` answers with ``status`` and does nothing;
        ``reply_lost`` does the work and drops the connection; ``stuck`` lets the job that
        the name (``nova.boot``) and resource tell never run
    :param service: for example ``compute``, of another region than the first
        ``RegionTwo/compute``; None: all
    :param path: regular expression found in the path below the service, or in a job's name
    :param times: how often it strikes; None: always
    """

    kind: str
    service: str | None = None
    method: str | None = None
    path: str = ""
    resource: str | None = None
    status: int = 500
    seconds: float = 0
    times: int | None = None
    hits: int = 0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise FaultRuleError(f"kind must be one of {', '.join(_KINDS)}")
        if not 400 <= int(self.status) <= 599:
            raise FaultRuleError("status must be from 400 to 599")
        try:
            re.compile(self.path)
        except re.error as err:
            raise FaultRuleError(f"path is not a regular expression: {err}") from None

    def strikes(self, service: str, method: str, path: str) -> bool:
        """Return whether the rule is about a call; counts it."""
        if self.times is not None and self.hits >= self.times:
            return False
        if (self.service not in (None, service) or self.method not in (None, method)
                or not re.search(self.path, path)
                or (self.resource is not None and self.resource not in path)):
            return False
        self.hits += 1
        return True


class FaultInjector:
    """The rules of a minicloud, changed while it runs."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, values: dict[str, Any]) -> Rule:
        """Add a rule.

        :raises FaultRuleError: it makes no sense
        """
        try:
            rule = Rule(**{name: value for name, value in values.items() if name != "hits"})
        except TypeError as err:
            raise FaultRuleError(str(err)) from None
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules with how often they struck."""
        with self._lock:
            return [dataclasses.asdict(rule) for rule in self._rules]

    def on_call(self, service: str, method: str, path: str) -> Rule | None:
        """Wait as the rules say; return the one that spoils the call, if any."""
        spoiled, wait = None, 0.0
        with self._lock:
            for rule in self._rules:
                if rule.kind == "stuck" or spoiled or not rule.strikes(service, method, path):
                    continue
                if rule.kind == "latency":
                    wait += rule.seconds
                else:
                    spoiled = rule
        if wait:
            time.sleep(wait)
        return spoiled

    def is_stuck(self, name: str, resource_id: str) -> bool:
        """Return whether a job must never run."""
        with self._lock:
            return any(rule.strikes(name.partition(".")[0], "JOB", f"{name} {resource_id}")
                       for rule in self._rules if rule.kind == "stuck")
