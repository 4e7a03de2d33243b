"""What the API tells the taskmanagers."""

from __future__ import annotations

from typing import Any

from trove_ng.rpc import keys
from trove_ng.rpc.lines import Lines
from trove_ng.rpc.messages import Wake
from trove_ng.rpc.transport import SecureClient

TOPIC = "taskmanager"


class TaskManagerClient:
    """Wakes one of the taskmanagers."""

    def __init__(self, transport: Any, provider: keys.Keys, me: str = keys.API,
                 lines: Lines | None = None) -> None:
        self._client = SecureClient(
            transport, TOPIC, provider, me, keys.TASKMANAGER, lines=lines)

    def wake(self, operation_id: str) -> None:
        """Tell that an operation waits; losing it only costs time.

        :raises BusAway: the bus is away
        """
        self._client.cast("wake", Wake(operation_id=operation_id))
