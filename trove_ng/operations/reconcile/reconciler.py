"""Comparing again and again: look, repair, tell what is new."""

from __future__ import annotations

import datetime
import logging
import math
from collections.abc import Callable, Iterator

from trove_ng.cloud.errors import CloudError
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.common.states import EventKind
from trove_ng.db.repositories import events
from trove_ng.db.session import retry_on_db_error
from trove_ng.operations.reconcile import compare, objects
from trove_ng.operations.reconcile.findings import Finding, Kind, Outcome
from trove_ng.operations.reconcile.look import (
    Parts,
    look,
    look_at_names,
    look_at_store,
    regions,
)
from trove_ng.operations.reconcile.repair import Repairer

LOG = logging.getLogger(__name__)

#: name of the duty that one process has at a time
DUTY = "reconciliation"

#: not told on timelines: the status itself and the watch for heartbeats tell of them, and
#: no owner is to know machines
_UNTOLD = frozenset({Kind.SERVER_STATUS, Kind.HEARTBEAT_OLD, Kind.SERVER_HOST})
_MISMATCHES = (EventKind.MISMATCH_FOUND, EventKind.MISMATCH_REPAIRED)


class Reconciler:
    """Compares the store with all regions of the cloud and repairs what is safe.

    A finding that stays is logged once, as long as this object lives, and told once to the
    owner of the instance, whichever process finds it.

    :param objects_interval: seconds between two looks at the object store, which has to be
        asked for each project; None: it is not looked at
    :param recorder: is told what is told
    """

    def __init__(self, parts: Parts, objects_interval: float | None = 0.0,
                 recorder: Recorder = SILENT) -> None:
        self._recorder = recorder
        self._parts = parts
        self._objects_interval = objects_interval
        self._objects_at = -math.inf
        self._repairer = Repairer(parts)
        #: keys of what was found the last time in each region, in ``names``, in the store: "",
        #: and when that was
        self._known: dict[str, tuple[set[tuple[str, ...]], datetime.datetime | None]] = {}
        self._away: CloudError | None = None

    def run(self, may_go_on: Callable[[], bool] = lambda: True) -> list[Outcome]:
        """Compare and repair once; return all findings.

        A region that does not answer does not keep the others from being compared.

        :param may_go_on: asked before each repair; False ends the run
        :raises trove_ng.cloud.errors.CloudError: a region does not answer, told in the end
        """
        outcomes: list[Outcome] = []
        self._away = None
        for place, cloud, findings in self._look():
            known, looked = self._known.get(place, (set(), None))
            now = self._parts.clock.now()
            for finding in findings:
                if finding.repair is not None and not may_go_on():
                    LOG.warning("the reconciliation is left to another process")
                    return outcomes
                outcome = self._repairer.repair(finding, cloud)
                self._tell(outcome, known, looked)
                outcomes.append(outcome)
            self._known[place] = {finding.key for finding in findings}, now
        if self._away is not None:
            raise self._away
        return outcomes

    def _look(self) -> Iterator[tuple[str, compare.Cloud | None, list[Finding]]]:
        """Give what is wrong in one region after the other, with names, within the store."""
        for region in regions(self._parts):
            try:
                cloud, findings = look(self._parts, region)
            except CloudError as err:
                LOG.warning("region %s is not compared: %s", region, err.message)
                self._away = self._away or err
            else:
                yield region, cloud, findings
        try:
            yield "names", None, look_at_names(self._parts)
        except CloudError as err:
            LOG.warning("the names of instances are not compared: %s", err.message)
            self._away = self._away or err
        yield "", None, look_at_store(self._parts)
        yield from self._look_at_objects()

    def _look_at_objects(self) -> Iterator[tuple[str, None, list[Finding]]]:
        now = self._parts.clock.monotonic()
        if self._objects_interval is None or now < self._objects_at + self._objects_interval:
            return
        self._objects_at = now
        try:
            yield "objects", None, objects.look(self._parts)
        except CloudError as err:
            LOG.warning("the object store is not compared: %s", err.message)
            self._away = self._away or err

    def _tell(self, outcome: Outcome, known: set[tuple[str, ...]],
              looked: datetime.datetime | None) -> None:
        finding = outcome.finding
        if not outcome.repaired and finding.key in known:
            return
        words = ("repaired" if outcome.repaired else
                 f"not repaired: {outcome.problem}" if outcome.problem else "needs a person")
        self._recorder.finding(finding.kind, "repaired" if outcome.repaired else
                               "not repaired" if outcome.problem else "reported")
        LOG.warning("%s: %s (instance %s, %s; %s)", finding.kind, finding.what,
                    finding.instance_id or "-", finding.details(), words)
        if finding.kind not in _UNTOLD and finding.instance_id is not None:
            self._add_event(finding, outcome.repaired, looked)

    @retry_on_db_error
    def _add_event(self, finding: Finding, repaired: bool,
                   looked: datetime.datetime | None) -> None:
        """Tell a finding on the timeline, unless another process did.

        :param looked: when this one looked the last time and did not find it; None: never
        """
        kind = EventKind.MISMATCH_REPAIRED if repaired else EventKind.MISMATCH_FOUND
        message = f"{finding.what} It is repaired." if repaired else finding.what
        ident, details = finding.instance_id or "", finding.details()
        with self._parts.db.writer() as session:
            if not repaired and events.newest_about(
                    session, ident, _MISMATCHES, details, looked) == kind:
                return
            events.add_for_instance(session, kind, ident, message, self._parts.clock.now(),
                                    details)
