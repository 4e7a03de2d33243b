"""How a call of a client is made: errors translated, repeated when that is safe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tenacity

from trove_ng.cloud.errors import CloudError, CloudNotFound, translated

T = TypeVar("T")

#: is called before each call, and told whether it may be made only once; what it raises
#: forbids the call
Guard = Callable[[bool], None]


def allow(_only_once: bool) -> None:
    """Let every call be made."""


class Calls:
    """Makes the calls to one service.

    :param service: its name, for messages
    :param tries: how often a call that may be repeated is made
    """

    def __init__(self, service: str, tries: int, guard: Guard = allow) -> None:
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
        with translated(self._service):
            return call(*args, **kwargs)

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
