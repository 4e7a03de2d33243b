"""Beginning failovers that sets of replicas want by themselves, whoever looks."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence

from sqlalchemy.orm import Session

from trove_ng.common.context import of_its_own
from trove_ng.common.states import EventKind
from trove_ng.db.models import Failover, Instance, ServiceStatusRow
from trove_ng.db.repositories import events, failovers, instances, operations, service_statuses
from trove_ng.db.session import retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.domain import failover
from trove_ng.domain.failover import FailOver, Refuse, Settings, decide
from trove_ng.domain.instance_status import Task
from trove_ng.operations import payloads, readiness, replication
from trove_ng.operations.unasked import Unasked

LOG = logging.getLogger(__name__)

#: a source that stays is spoken of when it was silent for so many of its times: until then the
#: replicas may not have noticed
_TELL_AFTER = 3
_REFUSED = 512

Rows = Sequence[tuple[Instance, ServiceStatusRow]]


class Failovers(Unasked):
    """Looks for lost sources; any number of them may, in any process.

    A look is one statement when no source is silent or down, else two, however many are.  What
    is to begin, or to be told, is decided again with all of the set locked, so that one does it.
    """

    def run(self) -> None:
        """Look once, and begin what is to begin."""
        now = self._clock.now()
        with self._db.reader() as session:
            watched = failovers.watched(session, failover.AUTOMATIC)
            silent = {wanted.instance_id: wanted for wanted, heard_at, _ in watched
                      if _age(heard_at, now) > wanted.timeout_seconds}
            lost = silent | {wanted.instance_id: wanted for wanted, _, down_since in watched
                             if down_since is not None}
            known = failovers.members(session, lost) if lost else {}
            # where nobody is heard it is the service that is deaf
            deaf = len(silent) == len(watched) and not any(
                _is_heard(silent[ident], status, now)
                for ident in silent for _, status in known[ident])
            news = [ident for ident, wanted in lost.items()
                    if not deaf and _is_news(wanted, known[ident], now)]
            back = [wanted.instance_id for wanted, *_ in watched
                    if wanted.refused and wanted.instance_id not in lost]
        if back:
            self._forget(back)
        for ident in news:
            try:
                begun = self._look(ident)
            except StoreAway:
                raise
            except Exception:
                LOG.exception("source %s is lost, and it cannot be told what to do", ident)
                continue
            if begun is not None:
                self._recorder.failover("begun")
                LOG.warning("source %s is lost; one of its replicas takes its place", ident)
                self._wake(begun)

    @retry_on_db_error
    def _forget(self, back: Sequence[str]) -> None:
        """Forget what was told of sources that are heard again."""
        with self._db.writer() as session:
            failovers.forget_refused(session, back)

    @retry_on_db_error
    def _look(self, source_id: str) -> str | None:
        """Decide on a set; return the id of the operation that begins."""
        with self._db.writer() as session:
            rows = _locked(session, source_id)
            wanted = failovers.get(session, source_id, lock=True)
            if wanted is None or wanted.mode != failover.AUTOMATIC or not rows:
                return None
            now = self._clock.now()
            found = _decide(wanted, rows, now)
            if isinstance(found, FailOver):
                running = operations.count_live(session, payloads.INSTANCE_EJECT)
                if running < self._conf.failover_max_running:
                    return self._begin(session, wanted, rows, found, now)
                found = Refuse("Too many failovers are under way.")
            if isinstance(found, Refuse) and _is_told(wanted, rows, found, now):
                self._tell(session, wanted, rows[0][0], found.why[:_REFUSED], now)
        return None

    def _begin(self, session: Session, wanted: Failover, rows: Rows, found: FailOver,
               now: datetime.datetime) -> str | None:
        source = rows[0][0]
        payload = payloads.ChangeSource(
            source_id=source.id, replica_ids=list(found.replica_ids),
            others=list(found.others), automatic=True, living=found.living)
        accepted = self._attempt(session, f"source {source.id}", lambda: self._requests.submit(
            session, action=payloads.INSTANCE_EJECT, resource_type="instance",
            resource_id=source.id, tenant_id=source.tenant_id,
            context=of_its_own(source.tenant_id, source.user_id), payload=payload, now=now,
            secrets={payloads.member_secret(one): replication.new_password()
                     for one in payload.members}))
        if accepted is None:
            return None
        for one, _ in rows:
            if one.id in payload.members:
                one.task, one.operation_id = Task.EJECTING, accepted.id
        wanted.last_at, wanted.refused = now, ""
        events.add(session, EventKind.FAILOVER_BEGUN,
                   f"{'The database of the source' if found.living else 'The source'} is not "
                   f"heard of, and no replica hears it: one of {len(found.replica_ids)} takes its "
                   "place.", now,
                   tenant_id=source.tenant_id, resource_id=source.id,
                   details={"replicas": list(found.replica_ids)})
        return accepted.id

    def _tell(self, session: Session, wanted: Failover, source: Instance, why: str,
              now: datetime.datetime) -> None:
        wanted.refused = why
        events.add(session, EventKind.FAILOVER_REFUSED, why, now, tenant_id=source.tenant_id,
                   resource_id=source.id)
        self._recorder.failover("refused")
        LOG.warning("source %s is lost, and stays: %s", source.id, why)


def _is_heard(wanted: Failover, status: ServiceStatusRow, now: datetime.datetime) -> bool:
    return (status.updated_at is not None
            and _age(status.updated_at, now) <= wanted.timeout_seconds)


def _is_news(wanted: Failover, rows: Rows, now: datetime.datetime) -> bool:
    """Return whether anything seems to be done, or to be told, about a silent source."""
    if not rows or rows[0][0].id != wanted.instance_id:
        return False
    found = _decide(wanted, rows, now)
    return isinstance(found, FailOver) or (
        isinstance(found, Refuse) and _is_told(wanted, rows, found, now))


def _is_told(wanted: Failover, rows: Rows, found: Refuse, now: datetime.datetime) -> bool:
    """Return whether it is to be told why a lost source stays: once, when it is for some time."""
    source, status = rows[0]
    if status.updated_at is None:
        return False
    lost_at = min(status.updated_at, status.down_since or status.updated_at)
    # a set that is being worked on is no news
    return (wanted.refused != found.why[:_REFUSED] and source.task == Task.NONE
            and _age(lost_at, now) >= _TELL_AFTER * max(
                wanted.timeout_seconds, failover.interval(status.details) or 0))


def _locked(session: Session, source_id: str) -> Rows:
    """Lock a source and its replicas; return it first, nothing if it is none any more."""
    # in the order of the API: whoever adds a replica or a backup locks the source
    source = instances.get(session, source_id, lock=True)
    if source is None or source.slave_of_id is not None:
        return []
    locked = [source]
    for ident in sorted(instances.replica_ids(session, [source_id]).get(source_id, [])):
        one = instances.get(session, ident, lock=True)
        # it may have been detached, or deleted, until it was locked
        if one is not None and one.slave_of_id == source_id:
            locked.append(one)
    # what was locked is not read again: a plain read may be of an older state
    told = service_statuses.lock(session, [one.id for one in locked])
    if source_id not in told:
        return []
    return [(one, told[one.id]) for one in locked if one.id in told]


def _decide(wanted: Failover, rows: Rows, now: datetime.datetime) -> failover.Decision:
    """Ask the rules about a set whose source comes first."""
    known = [failover.member(
        one.id, readiness.facts(one, status, False, now), status.details,
        None if status.heard_since is None else _age(status.heard_since, now),
        None if status.down_since is None else _age(status.down_since, now))
        for one, status in rows]
    last = None if wanted.last_at is None else _age(wanted.last_at, now)
    return decide(Settings(wanted.timeout_seconds, wanted.min_interval_seconds, wanted.max_lag),
                  known[0], known[1:], last)


def _age(moment: datetime.datetime, now: datetime.datetime) -> float:
    return (now - moment).total_seconds()
