"""The reconciliation as a periodic task."""

from __future__ import annotations

from trove_ng.operations.duty import Duty
from trove_ng.operations.reconcile.reconciler import DUTY, Reconciler
from trove_ng.operations.work import Tools

__all__ = ["Reconciler", "Turns"]


class Turns:
    """Reconciles when it is this taskmanager's turn: one of all does it in an interval.

    :param owner: unique name of this process
    :param interval: seconds between two reconciliations, whoever does them
    """

    def __init__(self, tools: Tools, owner: str, interval: float) -> None:
        self._duty = Duty(tools.db, tools.clock, DUTY, owner)
        self._reconciler = Reconciler(
            tools, tools.conf.reconcile_objects_interval or None, tools.recorder)
        self._recorder = tools.recorder
        self._lost = False
        # the clocks of the processes' turns differ by little
        self._pause = interval * 0.9

    def run(self) -> None:
        """Reconcile once, unless another taskmanager does, or just did."""
        if not self._duty.take(self._pause):
            return
        self._lost, done = False, False
        try:
            with self._duty.kept():
                self._reconciler.run(self._hold)
            done = not self._lost
        finally:
            self._recorder.reconciled("done" if done else "incomplete")

    def _hold(self) -> bool:
        self._lost = not self._duty.hold()
        return not self._lost
