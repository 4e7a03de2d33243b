"""How a call of a client is made: errors translated, repeated when that is safe."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity

from trove_ng.cloud.errors import (
    CloudConflict,
    CloudError,
    CloudNotFound,
    CloudOverQuota,
    CloudUnavailable,
    translated,
)
from trove_ng.common.metrics import SILENT, Recorder

T = TypeVar("T")

#: is called before each call, and told whether it may be made only once; what it raises
#: forbids the call
Guard = Callable[[bool], None]


def allow(_only_once: bool) -> None:
    """Let every call be made."""


_OUTCOMES: dict[type[CloudError], str] = {
    CloudNotFound: "not_found", CloudConflict: "conflict", CloudOverQuota: "over_quota",
    CloudUnavailable: "unavailable"}


def operation_of(call: Callable[..., Any]) -> str:
    """Return the name of a function, without what only its call knows.

    A function inside of another one has the name of that one.
    """
    name: str = getattr(call, "__qualname__", type(call).__name__)
    return name.partition(".<locals>")[0]


class Calls:
    """Makes the calls to one service.

    :param service: its name, for messages
    :param tries: how often a call that may be repeated is made
    :param recorder: is told of each try
    :param region: that the service is of
    """

    def __init__(self, service: str, tries: int, guard: Guard = allow,
                 recorder: Recorder = SILENT, region: str = "") -> None:
        self._region = region
        self._recorder = recorder
        self._service = service
        self._guard = guard
        self._retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(tries),
            wait=tenacity.wait_random_exponential(multiplier=0.3, max=5),
            retry=tenacity.retry_if_exception(
                lambda err: isinstance(err, CloudError) and err.retryable),
            reraise=True)

    def once(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Make a call whose repetition could do its work twice.

        :raises CloudError: whatever goes wrong
        """
        self._guard(True)
        return self._make(call, *args, **kwargs)

    def _make(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        begun, outcome = time.monotonic(), "failed"
        try:
            with translated(self._service):
                found = call(*args, **kwargs)
            outcome = "ok"
            return found
        except CloudError as err:
            outcome = _OUTCOMES.get(type(err), "rejected")
            raise
        finally:
            self._recorder.cloud_call(
                self._region, self._service.replace(" ", "_"), operation_of(call), outcome,
                time.monotonic() - begun)

    def again(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Make a call that may be repeated while the service does not answer.

        :raises CloudError: whatever goes wrong
        """
        def attempt() -> T:
            self._guard(False)
            return self._make(call, *args, **kwargs)

        found: T = self._retrying.copy()(attempt)
        return found

    def found(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T | None:
        """Make a call that may be repeated; None if the resource does not exist.

        :raises CloudError: whatever else goes wrong
        """
        try:
            return self.again(call, *args, **kwargs)
        except CloudNotFound:
            return None

    def gone(self, delete: Callable[..., Any], show: Callable[..., Any], ident: str) -> None:
        """Delete a resource; one that is gone is no error.

        A service that says so is asked for it: what is there all the same would be left.

        :raises CloudUnavailable: it is
        :raises CloudError: whatever else goes wrong
        """
        try:
            self.again(delete, ident)
        except CloudNotFound:
            if self.found(show, ident) is not None:
                raise CloudUnavailable(
                    f"The {self._service} service has what it says is gone: {ident}.") from None
