"""Verifying the backups of schedules that say so: each once, whoever looks."""

from __future__ import annotations

import functools

from trove_ng.common.context import of_its_own
from trove_ng.common.states import ExecutionState, VerificationState
from trove_ng.db.models import ScheduleExecution
from trove_ng.db.repositories import backups, schedules
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain import cron
from trove_ng.operations import verification
from trove_ng.operations.backups import find_broken
from trove_ng.operations.unasked import Unasked, work_on


class Drills(Unasked):
    """Begins the verifications that schedules want; any number of them may, in any process.

    The options are those of conf.object_store.
    """

    def run(self) -> None:
        """Choose what patterns want to be verified now, and begin what may begin."""
        with self._db.reader() as session:
            due = schedules.due_verifications(session, self._clock.now())
        for schedule_id in due:
            work_on(f"the verification of schedule {schedule_id}",
                    functools.partial(self._choose, schedule_id), self._wake)
        with self._db.reader() as session:
            waiting = schedules.waiting_verifications(session)
        for row in waiting:
            work_on(f"the verification of schedule {row.schedule_id}",
                    functools.partial(self._begin, row.schedule_id, row.id), self._wake)

    @retry_on_db_error
    def _choose(self, schedule_id: str) -> list[str]:
        """Let the newest good backup of a schedule wait to be verified; nothing is begun yet."""
        now = self._clock.now()
        with self._db.writer() as session:
            schedule = schedules.get(session, schedule_id, lock=True)
            # another one may have been faster
            if (schedule is None or schedule.paused or schedule.next_verify_at is None
                    or schedule.next_verify_at > now or not schedule.verify):
                return []
            schedule.next_verify_at = cron.following(
                schedule.verify["pattern"], schedule.time_zone, now)
            newest = schedules.newest_success(session, schedule_id)
            if newest is not None and newest.verification != VerificationState.RUNNING:
                newest.verification = VerificationState.WAITING
        return []

    @retry_on_db_error
    def _begin(self, schedule_id: str, execution_id: str) -> list[str]:
        """Begin a verification, if that may begin now; return the operation's id."""
        with self._db.writer() as session:
            schedule = schedules.get(session, schedule_id, lock=True)
            execution = session.get(ScheduleExecution, execution_id)
            if (schedule is None or execution is None
                    or execution.verification != VerificationState.WAITING):
                return []
            backup = (backups.get(session, execution.backup_id, lock=True)
                      if execution.backup_id else None)
            if (execution.state != ExecutionState.SUCCESS or backup is None
                    or find_broken(backups.chain(session, backup.id)) is not None):
                execution.verification = VerificationState.FAILED
                return []
            begun = self._attempt(session, f"schedule {schedule_id}", lambda: verification.begin(
                session, self._conf, self._requests, backup,
                of_its_own(schedule.tenant_id, schedule.user_id), self._clock.now()))
            if begun is None:
                return []
            execution.verification = VerificationState.RUNNING
            return [begun.id]
