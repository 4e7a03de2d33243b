"""Schedules as periodic work of a taskmanager."""

from __future__ import annotations

from trove_ng.operations.duty import Duty
from trove_ng.operations.schedules import Runner

#: what one taskmanager does at a time; ticks need no such turns
DUTY = "schedule_retention"


class ScheduleRetention:
    """Deletes what schedules keep no longer, when it is this taskmanager's turn.

    :param interval: seconds between two times, whoever does it
    """

    def __init__(self, runner: Runner, duty: Duty, interval: float) -> None:
        self._runner = runner
        self._duty = duty
        # the clocks of the processes' turns differ by little
        self._pause = interval * 0.9

    def run(self) -> None:
        """Delete once, unless another taskmanager does, or just did."""
        if not self._duty.take(self._pause):
            return
        try:
            self._runner.clean()
        finally:
            self._duty.end()
