"""Beginning failovers that sets of replicas want by themselves, whoever looks."""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Callable, Sequence

from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common.clock import Clock
from trove_ng.common.context import RequestContext
from trove_ng.common.errors import Conflict
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.common.states import EventKind
from trove_ng.db.models import Failover, Instance, ServiceStatusRow
from trove_ng.db.repositories import events, failovers, instances, operations
from trove_ng.db.session import Database, retry_on_db_error
from trove_ng.domain import failover
from trove_ng.domain.failover import FailOver, Refuse, Settings, decide
from trove_ng.domain.instance_status import Task
from trove_ng.operations import payloads, readiness, replication
from trove_ng.operations.requests import Requests

LOG = logging.getLogger(__name__)

#: a source that stays is spoken of when it was silent for so many of its times: until then the
#: replicas may not have noticed
_TELL_AFTER = 3
_REFUSED = 512

Rows = Sequence[tuple[Instance, ServiceStatusRow]]


class Failovers:
    """Looks for lost sources; any number of them may, in any process.

    A look is one statement when no source is silent; else two more, however many are.  What is
    begun is decided again with all of the set locked, so that one begins it.

    :param wake: is told of operations that were begun
    """

    def __init__(self, conf: cfg.ConfigOpts, db: Database, clock: Clock, requests: Requests,
                 wake: Callable[[str], None], recorder: Recorder = SILENT) -> None:
        self._conf = conf
        self._db = db
        self._clock = clock
        self._requests = requests
        self._wake = wake
        self._recorder = recorder

    def run(self) -> None:
        """Look once, and begin what is to begin."""
        now = self._clock.now()
        with self._db.reader() as session:
            silent = {row.instance_id: row for row in failovers.watched(
                session, failover.AUTOMATIC) if _age(row.updated_at, now) > row.timeout_seconds}
            busy = operations.count_live(session, payloads.INSTANCE_EJECT) if silent else 0
        for ident in silent:
            begun = self._look(ident, may=busy < self._conf.failover_max_running)
            if begun is not None:
                busy += 1
                self._recorder.failover("begun")
                LOG.warning("source %s is lost; one of its replicas takes its place", ident)
                self._wake(begun)

    @retry_on_db_error
    def _look(self, source_id: str, *, may: bool) -> str | None:
        """Decide on a set; return the id of the operation that begins.

        :param may: not too many failovers are under way
        """
        now = self._clock.now()
        with self._db.writer() as session:
            rows = _locked(session, source_id)
            wanted = failovers.get(session, source_id, lock=True)
            if wanted is None or wanted.mode != failover.AUTOMATIC or not rows:
                return None
            found = _decide(wanted, rows, now)
            if isinstance(found, FailOver) and not may:
                found = Refuse("Too many failovers are under way.")
            if isinstance(found, FailOver):
                return self._begin(session, wanted, rows, found, now)
            if isinstance(found, Refuse):
                self._tell(session, wanted, rows, found, now)
            elif wanted.refused:
                wanted.refused = ""
        return None

    def _begin(self, session: Session, wanted: Failover, rows: Rows, found: FailOver,
               now: datetime.datetime) -> str | None:
        source = rows[0][0]
        payload = payloads.ChangeSource(
            source_id=source.id, replica_ids=list(found.replica_ids), automatic=True)
        context = RequestContext(project_id=source.tenant_id, user_id=source.user_id or "",
                                 request_id=f"req-{uuid.uuid4()}")
        try:
            with session.begin_nested():
                accepted = self._requests.submit(
                    session, action=payloads.INSTANCE_EJECT, resource_type="instance",
                    resource_id=source.id, tenant_id=source.tenant_id, context=context,
                    payload=payload, now=now, secrets={
                        payloads.member_secret(one): replication.new_password()
                        for one in payload.members})
        except Conflict as err:
            LOG.info("source %s: %s", source.id, err.message)
            return None
        for one, _ in rows:
            if one.id in payload.members:
                one.task, one.operation_id = Task.EJECTING, accepted.id
        wanted.last_at, wanted.refused = now, ""
        events.add(session, EventKind.FAILOVER_BEGUN,
                   "The source is not heard of, and no replica hears it: one of "
                   f"{len(found.replica_ids)} takes its place.", now,
                   tenant_id=source.tenant_id, resource_id=source.id,
                   details={"replicas": list(found.replica_ids)})
        return accepted.id

    def _tell(self, session: Session, wanted: Failover, rows: Rows, found: Refuse,
              now: datetime.datetime) -> None:
        """Tell once why a lost source stays, when that is for some time."""
        source, status = rows[0]
        why = found.why[:_REFUSED]
        # a set that is being worked on is no news
        if (wanted.refused == why or status.updated_at is None or source.task != Task.NONE
                or _age(status.updated_at, now) < _TELL_AFTER * wanted.timeout_seconds):
            return
        wanted.refused = why
        events.add(session, EventKind.FAILOVER_REFUSED, why, now, tenant_id=source.tenant_id,
                   resource_id=source.id)
        self._recorder.failover("refused")
        LOG.warning("source %s is lost, and stays: %s", source.id, why)


def _locked(session: Session, source_id: str) -> Rows:
    """Lock a source and its replicas; return it first, nothing if it is none any more."""
    # in the order of the API: whoever adds a replica or a backup locks the source
    source = instances.get(session, source_id, lock=True)
    if source is None or source.slave_of_id is not None:
        return []
    for one in instances.replica_ids(session, [source_id]).get(source_id, []):
        instances.get(session, one, lock=True)
    found = failovers.members(session, [source_id])[source_id]
    return sorted(found, key=lambda row: row[0].id != source_id)


def _decide(wanted: Failover, rows: Rows, now: datetime.datetime) -> failover.Decision:
    """Ask the rules about a set whose source comes first."""
    known = [failover.member(
        one.id, readiness.facts(one, status, False, now), status.details)
        for one, status in rows]
    last = None if wanted.last_at is None else _age(wanted.last_at, now)
    return decide(Settings(wanted.timeout_seconds, wanted.min_interval_seconds, wanted.max_lag),
                  known[0], known[1:], last)


def _age(moment: datetime.datetime, now: datetime.datetime) -> float:
    return (now - moment).total_seconds()
