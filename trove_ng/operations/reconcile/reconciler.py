"""Comparing again and again: look, repair, tell what is new."""

from __future__ import annotations

import logging
from collections.abc import Callable

from trove_ng.common.states import EventKind
from trove_ng.db.repositories import events
from trove_ng.db.session import retry_on_db_error
from trove_ng.operations.reconcile.findings import Finding, Kind, Outcome
from trove_ng.operations.reconcile.look import Parts, look
from trove_ng.operations.reconcile.repair import Repairer

LOG = logging.getLogger(__name__)

#: name of the duty that one process has at a time
DUTY = "reconciliation"

#: told on timelines in other ways: by the status itself, by the watch for heartbeats
_TOLD_ELSEWHERE = frozenset({Kind.SERVER_STATUS, Kind.HEARTBEAT_OLD})


class Reconciler:
    """Compares the store with the cloud and repairs what is safe.

    A finding that stays is logged and told once, as long as this object lives.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._repairer = Repairer(parts)
        self._known: set[tuple[str, ...]] = set()

    def run(self, may_go_on: Callable[[], bool] = lambda: True) -> list[Outcome]:
        """Compare and repair once; return all findings.

        :param may_go_on: asked before each repair; False ends the run
        :raises trove_ng.cloud.errors.CloudError: a service does not answer
        """
        cloud, findings = look(self._parts)
        outcomes: list[Outcome] = []
        for finding in findings:
            if finding.repair is not None and not may_go_on():
                LOG.warning("the reconciliation is left to another process")
                return outcomes
            outcome = self._repairer.repair(finding, cloud)
            self._tell(outcome)
            outcomes.append(outcome)
        self._known = {finding.key for finding in findings}
        return outcomes

    def _tell(self, outcome: Outcome) -> None:
        finding = outcome.finding
        if not outcome.repaired and finding.key in self._known:
            return
        words = ("repaired" if outcome.repaired else
                 f"not repaired: {outcome.problem}" if outcome.problem else "needs a person")
        LOG.warning("%s: %s (instance %s, %s; %s)", finding.kind, finding.what,
                    finding.instance_id or "-", finding.details(), words)
        if finding.kind not in _TOLD_ELSEWHERE and finding.instance_id is not None:
            self._add_event(finding, outcome.repaired)

    @retry_on_db_error
    def _add_event(self, finding: Finding, repaired: bool) -> None:
        kind = EventKind.MISMATCH_REPAIRED if repaired else EventKind.MISMATCH_FOUND
        message = f"{finding.what} It is repaired." if repaired else finding.what
        with self._parts.db.writer() as session:
            events.add_for_instance(session, kind, finding.instance_id or "", message,
                                    self._parts.clock.now(), finding.details())
