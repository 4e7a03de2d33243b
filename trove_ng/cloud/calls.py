"""How a call of a client is made: errors translated, repeated when that is safe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tenacity

from trove_ng.cloud.errors import CloudError, CloudNotFound, translated

T = TypeVar("T")


class Calls:
    """Makes the calls to one service.

    :param service: its name, for messages
    :param tries: how often a call that may be repeated is made
    :param before: is called before each call; what it raises forbids the call
    """

    def __init__(self, service: str, tries: int,
                 before: Callable[[], None] | None = None) -> None:
        self._service = service
        self._before = before
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
        if self._before is not None:
            self._before()
        with translated(self._service):
            return call(*args, **kwargs)

    def again(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Make a call that may be repeated while the service does not answer.

        :raises CloudError: whatever goes wrong
        """
        found: T = self._retrying.copy()(self.once, call, *args, **kwargs)
        return found

    def found(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T | None:
        """Make a call that may be repeated; None if the resource does not exist.

        :raises CloudError: whatever else goes wrong
        """
        try:
            return self.again(call, *args, **kwargs)
        except CloudNotFound:
            return None
