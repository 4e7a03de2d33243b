"""Telling a taskmanager that work was accepted."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from trove_ng.api.call import Call
from trove_ng.common.errors import ServiceUnavailable

LOG = logging.getLogger(__name__)

#: words that wait at most; the sweep finds the rest
_MOST = 1000


class BackgroundWaker:
    """Sends words from a thread of its own: no request waits for the bus.

    A word that the bus does not take is dropped.

    :param send: sends one; raises ServiceUnavailable
    """

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._words: queue.Queue[str] = queue.Queue(_MOST)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self, operation_id: str) -> None:
        """Have the word sent.

        :raises ServiceUnavailable: too many wait already
        """
        if self._thread is None:
            self._start()
        try:
            self._words.put_nowait(operation_id)
        except queue.Full:
            raise ServiceUnavailable("The message bus is not available.") from None

    def _start(self) -> None:
        with self._lock:
            # here, and not before: the process that serves is a fork
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wake", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            operation_id = self._words.get()
            try:
                self._send(operation_id)
            except ServiceUnavailable as err:
                LOG.warning("operation %s waits for the sweep: %s", operation_id, err.message)
            except Exception:
                LOG.exception("operation %s waits for the sweep", operation_id)


def wake(call: Call, operation_id: str) -> None:
    """Send the word after the commit; when it is lost, the sweep finds the operation.

    The answer to the call names the operation, the last one if there are several.
    """
    call.operation_id = operation_id
    try:
        call.services.waker.wake(operation_id)
    except ServiceUnavailable as err:
        LOG.warning("operation %s waits for the sweep: %s", operation_id, err.message)
    except Exception:  # noqa: BLE001 - the request is accepted; an error would deny that
        LOG.exception("operation %s waits for the sweep", operation_id)
