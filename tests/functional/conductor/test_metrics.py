"""What a scrape of a conductor says after real reports."""

from __future__ import annotations

import datetime

import pytest
from oslo_db.exception import DBError
from prometheus_client import CollectorRegistry

from tests.scrape import Scrape
from tests.stores import add_version
from trove_ng.common import metrics as m
from trove_ng.common.clock import SystemClock, utcnow
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.common.states import ReportState, ServiceStatus
from trove_ng.conductor.manager import Conductor
from trove_ng.conductor.writer import Beat
from trove_ng.db.models import (
    Instance,
    Operation,
    ServiceStatusRow,
)
from trove_ng.db.session import Database
from trove_ng.rpc import keys
from trove_ng.rpc.endpoint import Caller
from trove_ng.rpc.messages import Heartbeat, StepReport


@pytest.fixture
def database(database: Database) -> Database:
    """A store with the instances ``one`` and ``two``, and an operation on the first."""
    with database.writer() as session:
        add_version(session)
        for ident in ("one", "two"):
            session.add(Instance(id=ident, name=ident, tenant_id="t", flavor_id="1",
                                 datastore_version_id="v"))
            session.flush()
            session.add(ServiceStatusRow(instance_id=ident, sequence=10,
                                         updated_at=utcnow() - datetime.timedelta(days=1)))
        session.add(Operation(id="op", action="instance.create", resource_type="instance",
                              resource_id="one", live_key="one", tenant_id="t"))
    return database


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def conductor(database: Database, registry: CollectorRegistry) -> Conductor:
    """A conductor that has not begun to write."""
    return Conductor(database, SystemClock(), 100, 0.0,
                     PrometheusRecorder(registry, m.CONDUCTOR))


def beat(conductor: Conductor, instance_id: str, sequence: int) -> None:
    conductor.heartbeat(Caller(keys.guest(instance_id), None), Heartbeat(
        status=ServiceStatus.HEALTHY, sequence=sequence, sent_at=1.0))


def handled(registry: CollectorRegistry) -> dict[str, float | None]:
    found = Scrape.of(registry)
    return {outcome: found.get(m.BEATS.name, outcome=outcome)
            for outcome in m.BEATS.labels["outcome"]}


def test_every_heartbeat_is_counted_once(
        conductor: Conductor, registry: CollectorRegistry) -> None:
    beat(conductor, "one", 11)
    beat(conductor, "one", 12)  # takes the place of the first
    beat(conductor, "one", 11)  # older than what waits
    beat(conductor, "two", 9)  # older than what is stored
    beat(conductor, "gone", 1)
    conductor.start()
    conductor.stop()
    assert Scrape.of(registry).get(m.BEATS_RECEIVED.name) == 5
    assert handled(registry) == {"written": 1, "stale": 3, "superseded": 1, "lost": 0}


def test_heartbeats_that_the_store_does_not_take_are_lost(
        conductor: Conductor, registry: CollectorRegistry,
        monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_session: object, _beats: list[Beat]) -> int:
        raise DBError

    monkeypatch.setattr("trove_ng.db.repositories.service_statuses.record", away)
    beat(conductor, "one", 11)
    beat(conductor, "two", 11)
    conductor.start()
    conductor.stop()
    assert handled(registry) == {"written": 0, "stale": 0, "superseded": 0, "lost": 2}


def test_reports_are_counted(conductor: Conductor, registry: CollectorRegistry) -> None:
    for operation_id, sequence in (("op", 1), ("op", 2), ("op", 1), ("other", 1)):
        conductor.report_step(Caller(keys.guest("one"), None), StepReport(
            operation_id=operation_id, step="prepare", state=ReportState.RUNNING,
            sequence=sequence))
    found = Scrape.of(registry)
    assert found.get(m.REPORTS.name, outcome="counted") == 2
    assert found.get(m.REPORTS.name, outcome="passed_over") == 2
