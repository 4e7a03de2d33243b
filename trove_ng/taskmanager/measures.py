"""What is in the store, for Prometheus: counted at a scrape."""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence

from oslo_db.exception import DBError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trove_ng.common import metrics as m
from trove_ng.common.clock import Clock
from trove_ng.common.states import BackupState
from trove_ng.db.repositories import measures
from trove_ng.db.rows import AnyRow
from trove_ng.db.session import Database
from trove_ng.db.trouble import StoreAway
from trove_ng.domain.instance_status import Facts, Status, Task, status

LOG = logging.getLogger(__name__)

#: what is always shown, so that an alert on it sees it rise
_BACKUP_STATES = (BackupState.COMPLETED, BackupState.FAILED, BackupState.CORRUPT)

Values = Mapping[tuple[str, ...], float]


class StoreCollector(Collector):
    """Counts what the store holds.

    What was counted is remembered for a moment, and while another scrape counts: a slow
    store is asked by one thread at a time.

    :param expiry: seconds after which a heartbeat says nothing any more
    :param remember: seconds that a count is good for
    """

    def __init__(self, db: Database, clock: Clock, expiry: float, remember: float) -> None:
        self._db = db
        self._clock = clock
        self._expiry = datetime.timedelta(seconds=expiry)
        self._remember = remember
        self._known: list[GaugeMetricFamily] = []
        self._counted_at: float | None = None
        self._counting = threading.Lock()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return what there may be; registering must not ask the store."""
        return [_family(one, {}) for one in (
            m.STORE_UP, m.OPERATIONS, m.OLDEST_OPERATION, m.INSTANCES, m.SILENT_INSTANCES,
            m.OLDEST_BEAT, m.BACKUPS, m.NEWEST_BACKUP, m.STALEST_SCHEDULE,
            m.NEWEST_VERIFICATION, m.SOONEST_EXPIRY, m.OLDEST_LOG, m.FAILING_LOGS,
            m.DAMAGED_LOGS)]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return what the store holds; without it only that it does not answer."""
        if self._counting.acquire(blocking=False):
            try:
                self._count()
            finally:
                self._counting.release()
        return list(self._known)

    def _count(self) -> None:
        now = self._clock.monotonic()
        if self._counted_at is not None and now - self._counted_at < self._remember:
            return
        try:
            self._known = [_family(m.STORE_UP, {(): 1}), *self._read()]
        except (DBError, StoreAway) as err:
            LOG.warning("the store was not counted: %s", type(err).__name__)
            self._known = [_family(m.STORE_UP, {(): 0})]
        self._counted_at = self._clock.monotonic()

    def _read(self) -> list[GaugeMetricFamily]:
        now = self._clock.now()
        with self._db.reader() as session:
            live = measures.live_operations(session)
            instances = measures.instances(session, now - self._expiry)
            backups = measures.backups(session)
            newest = measures.newest_backups(session)
            stalest = measures.stalest_schedule(session)
            ends = measures.soonest_expiries(session)
            archives = measures.log_archives(session)
        states = dict.fromkeys(((one.value,) for one in _BACKUP_STATES), 0.0)
        return [
            *_operations(live, now), *_instances(instances, now),
            _family(m.BACKUPS, states | {(row.state,): row.number for row in backups}),
            _family(m.NEWEST_BACKUP, {
                (row.datastore,): _age(row.newest, now) for row in newest}),
            _family(m.STALEST_SCHEDULE, {} if stalest is None else {(): _age(stalest, now)}),
            _family(m.NEWEST_VERIFICATION, {
                (row.datastore,): _age(row.verified, now) for row in newest
                if row.verified is not None}),
            _family(m.SOONEST_EXPIRY, {
                ("owner" if row.given else "service",): (row.soonest - now).total_seconds()
                for row in ends}),
            _family(m.OLDEST_LOG, {} if archives.oldest is None else {
                (): _age(archives.oldest, now)}),
            _family(m.FAILING_LOGS, {(): archives.failing}),
            _family(m.DAMAGED_LOGS, {(): archives.damaged})]


def _operations(rows: Sequence[AnyRow], now: datetime.datetime) -> list[GaugeMetricFamily]:
    ages: dict[tuple[str, ...], float] = {}
    for row in rows:
        ages[row.action,] = max(ages.get((row.action,), 0.0), _age(row.oldest, now))
    return [_family(m.OPERATIONS, {(row.action, row.status): row.number for row in rows}),
            _family(m.OLDEST_OPERATION, ages)]


def _instances(rows: Sequence[AnyRow], now: datetime.datetime) -> list[GaugeMetricFamily]:
    counts: dict[tuple[str, ...], float] = {(one.value,): 0.0 for one in Status}
    expired, oldest = 0, None
    for row in rows:
        shown = status(Facts(
            task=row.task, error="x" if row.failed else "", server_status=row.server_status,
            restart_required=row.restart_required, backup_running=bool(row.backup_running)))
        counts[shown.value,] += row.number
        if row.task == Task.NONE and not row.failed:
            expired += int(row.expired)
            oldest = min(oldest or row.oldest, row.oldest) if row.oldest else oldest
    ages: Values = {} if oldest is None else {(): _age(oldest, now)}
    return [_family(m.INSTANCES, counts), _family(m.SILENT_INSTANCES, {(): expired}),
            _family(m.OLDEST_BEAT, ages)]


def _age(moment: datetime.datetime, now: datetime.datetime) -> float:
    return max(0.0, (now - moment).total_seconds())


def _family(definition: m.Definition, values: Values) -> GaugeMetricFamily:
    family = GaugeMetricFamily(definition.name, definition.help,
                               labels=tuple(definition.labels))
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
