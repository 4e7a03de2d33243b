"""Making the backups of schedules: each tick once, whoever looks, and old ones no longer kept."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping

from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common.clock import Clock
from trove_ng.common.context import RequestContext, of_its_own
from trove_ng.common.errors import (
    Conflict,
    NotFound,
    ServiceUnavailable,
    TroveError,
    UnprocessableEntity,
)
from trove_ng.common.states import ExecutionState, VerificationState
from trove_ng.datastores.base import Datastore
from trove_ng.db.models import Backup, Operation, Schedule, ScheduleExecution
from trove_ng.db.repositories import backups, schedules
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.domain import cron, retention
from trove_ng.operations import readiness
from trove_ng.operations.backups import Backups, Wanted
from trove_ng.operations.capabilities import effective
from trove_ng.operations.requests import Requests
from trove_ng.operations.unasked import work_on

LOG = logging.getLogger(__name__)

_PAGE = 100
#: what ends by itself: it is tried again
_PASSING = (UnprocessableEntity, Conflict, ServiceUnavailable)


class Schedules:
    """Begins the backups of schedules.

    :param conf: with the options of conf.object_store, conf.health and conf.quota
    :param datastores: declarations by manager name
    """

    def __init__(self, conf: cfg.ConfigOpts, requests: Requests,
                 datastores: Mapping[str, Datastore]) -> None:
        self._conf = conf
        self._backups = Backups(conf, requests)
        self._datastores = datastores

    def begin(self, session: Session, schedule: Schedule, context: RequestContext,
              now: datetime.datetime) -> tuple[Backup, Operation]:
        """Begin a backup, full or incremental as the schedule says.

        :param schedule: locked
        :raises TroveError: it cannot begin now, or not at all
        """
        found = readiness.load(session, schedule.instance_id, schedule.tenant_id, now)
        if found is None:
            raise NotFound.of("Instance", schedule.instance_id)
        why = readiness.why_not(found, self._conf.agent_heartbeat_expiry)
        if why is not None:
            raise UnprocessableEntity(why)
        engine = effective(session, found.instance.datastore_version_id,
                           self._datastores[found.manager])
        wanted = Wanted(
            name=schedule.name, description=schedule.description, schedule_id=schedule.id,
            parent_id=schedule.parent_id,
            incremental=engine.capabilities.incremental_backups and (
                self._backups.driver(session, found.instance) == backups.SWIFT) and (
                self._continues(session, schedule)))
        begun = self._backups.begin(
            session, found.instance, engine, wanted, context, now)
        schedule.last_run_at = now
        return begun

    @staticmethod
    def _continues(session: Session, schedule: Schedule) -> bool:
        if not schedule.full_every:
            return True
        since = schedules.since_full(session, schedule.id)
        return since is not None and since < schedule.full_every

    def delete_expendable(self, session: Session, schedule: Schedule, now: datetime.datetime,
                          ) -> list[str]:
        """Begin to delete what a schedule keeps no longer; return the operations.

        :param schedule: locked
        """
        wanted = retention.expendable(
            schedules.kept_backups(session, schedule.id), schedule.keep_count,
            schedule.keep_days, now)
        begun: list[str] = []
        for ident in reversed(wanted):
            backup = backups.get(session, ident, lock=True)
            if backup is None:
                continue
            try:
                with session.begin_nested():
                    begun += self._backups.begin_delete(
                        session, backup, of_its_own(schedule.tenant_id, schedule.user_id), now)
            except StoreAway:
                raise
            except _PASSING as err:
                LOG.info("schedule %s: %s", schedule.id, err.message)
        return begun


class Runner:
    """Runs what is due; any number of them may, in any number of processes.

    :param wake: is told of operations that were begun
    """

    def __init__(self, conf: cfg.ConfigOpts, db: Database, clock: Clock, works: Schedules,
                 wake: Callable[[str], None]) -> None:
        self._conf = conf
        self._db = db
        self._clock = clock
        self._works = works
        self._wake = wake

    def run(self) -> None:
        """Run once all that is due now."""
        now, after = self._clock.now(), None
        while True:
            with self._db.reader() as session:
                found = schedules.due(session, now, _PAGE, after)
            for row in found:
                self._each(self._tick, row.id)
            if len(found) < _PAGE:
                return
            after = (found[-1].next_run_at, found[-1].id)

    def clean(self) -> None:
        """Begin to delete what schedules keep no longer."""
        now = self._clock.now()
        with self._db.reader() as session:
            found = schedules.crowded(session)
        for row in found:
            if row.keep_count is not None and row.count > row.keep_count or (
                    row.keep_days is not None
                    and row.oldest < now - datetime.timedelta(days=row.keep_days)):
                self._each(self._clean, row.id)

    def _each(self, work: Callable[[str], list[str]], schedule_id: str) -> None:
        work_on(f"schedule {schedule_id}", lambda: work(schedule_id), self._wake)

    @retry_on_db_error
    def _clean(self, schedule_id: str) -> list[str]:
        with self._db.writer() as session:
            schedule = schedules.get(session, schedule_id, lock=True)
            if schedule is None:
                return []
            return self._works.delete_expendable(session, schedule, self._clock.now())

    @retry_on_db_error
    def _tick(self, schedule_id: str) -> list[str]:
        now = self._clock.now()
        with self._db.writer() as session:
            schedule = schedules.get(session, schedule_id, lock=True)
            # another one may have been faster
            if (schedule is None or schedule.paused or schedule.next_run_at is None
                    or schedule.next_run_at > now):
                return []
            due = schedule.next_run_at
            tick = cron.last(schedule.pattern, schedule.time_zone, due, now)
            if tick > due:
                self._note_missed(session, schedule, due, tick)
            return self._run(session, schedule, tick, now)

    @staticmethod
    def _note_missed(session: Session, schedule: Schedule, due: datetime.datetime,
                     tick: datetime.datetime) -> None:
        schedules.give_up_waiting(session, schedule.id, tick)
        if schedules.execution(session, schedule.id, due) is None:
            schedules.add_execution(
                session, schedule.id, due, ExecutionState.MISSED,
                f"What was due from then until before {tick.isoformat()} was not run in time.")

    def _run(self, session: Session, schedule: Schedule, tick: datetime.datetime,
             now: datetime.datetime) -> list[str]:
        known = schedules.execution(session, schedule.id, tick)
        following = cron.following(schedule.pattern, schedule.time_zone, tick)
        if known is not None and known.state != ExecutionState.WAITING:
            schedule.next_run_at = following
            return []
        try:
            with session.begin_nested():
                backup, accepted = self._works.begin(
                    session, schedule, of_its_own(schedule.tenant_id, schedule.user_id), now)
        except StoreAway:
            raise
        except TroveError as err:
            late = now - tick > datetime.timedelta(seconds=self._conf.schedule_patience)
            waits = isinstance(err, _PASSING) and not late
            self._note(session, schedule, tick, known, err.message,
                       ExecutionState.WAITING if waits else ExecutionState.ERROR)
            schedule.next_run_at = tick if waits else following
            return []
        self._note(session, schedule, tick, known, None, ExecutionState.RUNNING, backup.id,
                   _wanted_verification(schedule))
        schedule.next_run_at = following
        return [accepted.id]

    @staticmethod
    def _note(session: Session, schedule: Schedule, tick: datetime.datetime,
              known: ScheduleExecution | None, output: str | None, state: ExecutionState,
              backup_id: str | None = None,
              verification: VerificationState | None = None) -> None:
        if known is None:
            known = schedules.add_execution(session, schedule.id, tick, state)
        known.state, known.backup_id, known.verification = state, backup_id, verification
        known.output = output[:512] if output else output


def _wanted_verification(schedule: Schedule) -> VerificationState | None:
    """Count a backup of a schedule; return WAITING if it is one that is to be verified."""
    every = (schedule.verify or {}).get("every")
    if every is None:
        return None
    schedule.unverified += 1
    if schedule.unverified < every:
        return None
    schedule.unverified = 0
    return VerificationState.WAITING
