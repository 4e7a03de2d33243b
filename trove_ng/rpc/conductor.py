"""What an agent tells the conductor."""

from __future__ import annotations

from typing import Any

from trove_ng.rpc import keys
from trove_ng.rpc.messages import Heartbeat, StepReport
from trove_ng.rpc.transport import SecureClient

TOPIC = "trove-conductor"


class ConductorClient:
    """Reports of one instance's agent; raises ServiceUnavailable when the bus is away."""

    def __init__(self, transport: Any, provider: keys.Keys, instance_id: str) -> None:
        self._client = SecureClient(
            transport, TOPIC, provider, keys.guest(instance_id), keys.CONDUCTOR)

    def heartbeat(self, beat: Heartbeat) -> None:
        """Tell the instance's state."""
        self._client.cast("heartbeat", beat)

    def report_step(self, report: StepReport) -> None:
        """Tell how far a step is."""
        self._client.cast("report_step", report)
