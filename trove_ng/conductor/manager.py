"""What guests may tell, and what becomes of it."""

from __future__ import annotations

import collections
import logging
from typing import Any

from oslo_db.exception import DBError

from trove_ng.common.clock import Clock
from trove_ng.common.errors import Forbidden
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.conductor.writer import BatchWriter, Beat, Written
from trove_ng.db.repositories import operation_reports, service_statuses
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.rpc import messages as m
from trove_ng.rpc.endpoint import Caller, Method
from trove_ng.rpc.machine_messages import REFUSED
from trove_ng.rpc.refusals import Reason
from trove_ng.rpc.replication_messages import INTERVAL, LONGEST

LOG = logging.getLogger(__name__)

#: characters of a guest's free texts that are kept
_DESCRIPTION = 255
_ERROR = 4000
#: an agent was silent when it was not heard of for so many of its intervals, and the seconds of
#: one where it does not say
_STEADY, _INTERVAL = 1.5, 10.0
#: messages that a guest may say it refused for one reason since its last heartbeat
_REFUSED_MOST = 1000
#: bytes of a heartbeat's details that are kept
_DETAILS = 16 * 1024


class Conductor:
    """Acts on the authenticated sender's instance, whatever a message says.

    :param batch_size: heartbeats written in one statement at most
    :param batch_wait: seconds that a heartbeat waits for others
    :param recorder: is told what comes in and what becomes of it
    """

    def __init__(self, database: Database, clock: Clock, batch_size: int,
                 batch_wait: float, recorder: Recorder = SILENT) -> None:
        self._database = database
        self._clock = clock
        self._recorder = recorder
        self._writer = BatchWriter(self._write, batch_size, batch_wait, recorder)
        self.counts: collections.Counter[str] = collections.Counter()

    def start(self) -> None:
        """Begin to write heartbeats."""
        self._writer.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._writer.stop()

    def table(self) -> dict[str, Method]:
        """Return the methods for :class:`trove_ng.rpc.endpoint.Endpoint`."""
        return {
            "heartbeat": Method(m.Heartbeat, m.Empty, self.heartbeat),
            "report_step": Method(m.StepReport, m.Empty, self.report_step),
        }

    def heartbeat(self, caller: Caller, beat: m.Heartbeat) -> m.Empty:
        """Take a guest's state."""
        self._recorder.heartbeat_received()
        self._note_refused(beat.details)
        self._writer.put(self._row(self._instance(caller), beat))
        self.counts["heartbeat"] += 1
        return m.Empty()

    def _note_refused(self, details: dict[str, Any]) -> None:
        """Count what a guest refused; it may say anything."""
        told = details.get(REFUSED)
        for reason, count in told.items() if isinstance(told, dict) else ():
            if reason in set(Reason) and type(count) is int and count > 0:
                self._recorder.guest_refused(str(reason), min(count, _REFUSED_MOST))

    def report_step(self, caller: Caller, report: m.StepReport) -> m.Empty:
        """Take what a guest says of a step of an operation."""
        counted = self._report(self._instance(caller), report)
        self.counts["report" if counted else "report passed over"] += 1
        self._recorder.step_reported("counted" if counted else "passed_over")
        return m.Empty()

    @staticmethod
    def _instance(caller: Caller) -> str:
        if caller.instance_id is None:
            raise Forbidden("Only a guest agent reports.")
        return caller.instance_id

    def _row(self, instance_id: str, beat: m.Heartbeat) -> Beat:
        volume = beat.volume
        row: dict[str, Any] = {
            "instance_id": instance_id, "status": str(beat.status),
            "description": _text(beat.description, _DESCRIPTION), "sequence": beat.sequence,
            "sent_at": beat.sent_at, "updated_at": self._clock.now(),
            "agent_version": _text(beat.agent_version, 64), "details": _small(beat.details),
            "volume_total": volume.total if volume else None,
            "volume_used": volume.used if volume else None,
            "steady": _STEADY * _interval(beat.details)}
        return row

    def _write(self, beats: list[Beat]) -> Written:
        """Write beats together; one that the store refuses does not cost the others."""
        try:
            return Written(self._write_once(beats), 0)
        except StoreAway:
            raise
        except Exception as err:
            if len(beats) == 1:
                raise
            LOG.warning("heartbeats are written one by one: %s", type(err).__name__)
        each = [self._write_alone(beat) for beat in beats]
        return Written(*map(sum, zip(*each, strict=True)))

    def _write_alone(self, beat: Beat) -> Written:
        try:
            return Written(self._write_once([beat]), 0)
        except DBError as err:
            self.counts["heartbeat refused"] += 1
            LOG.warning("the heartbeat of %s cannot be written: %s", beat["instance_id"],
                        type(err).__name__)
            return Written(0, 1)

    @retry_on_db_error
    def _write_once(self, beats: list[Beat]) -> int:
        with self._database.writer() as session:
            return service_statuses.record(session, beats)

    @retry_on_db_error
    def _report(self, instance_id: str, report: m.StepReport) -> bool:
        with self._database.writer() as session:
            return operation_reports.record(
                session, instance_id, operation_id=report.operation_id, step=report.step,
                state=report.state, sequence=report.sequence,
                percent=max(0, min(100, report.percent)), result=report.result,
                error=_text(report.error, _ERROR), now=self._clock.now())


def _text(text: str, length: int) -> str:
    """Return what of a guest's text is kept; PostgreSQL keeps no NUL."""
    return text[:length].replace("\0", " ")


def _interval(details: dict[str, Any]) -> float:
    """Return the seconds between two heartbeats, which a guest's details are to say."""
    told = details.get(INTERVAL)
    if isinstance(told, int | float) and not isinstance(told, bool) and 0 < told <= LONGEST:
        return told
    return _INTERVAL


def _small(details: dict[str, Any]) -> dict[str, Any]:
    """Return a guest's details, or none when they are too many to be kept."""
    encoded = m.encode(details)
    return {} if len(encoded) > _DETAILS or b"\\u0000" in encoded else details
