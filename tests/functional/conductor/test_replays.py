"""A message that one process took comes to another one, whose memory does not have it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from tests.functional.rpc.forgeries import ME, Ring, request, sealed
from tests.scrape import Scrape
from tests.stores import add_version
from trove_ng.common import metrics as m
from trove_ng.common.clock import SystemClock
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.common.states import ReportState, ServiceStatus
from trove_ng.conductor.manager import Conductor
from trove_ng.db.models import Instance, Operation, ServiceStatusRow
from trove_ng.db.repositories import operation_reports, service_statuses
from trove_ng.db.session import Database
from trove_ng.rpc import keys, messages
from trove_ng.rpc.endpoint import Endpoint


class Process:
    """A conductor with a memory and counts of its own."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        recorder = PrometheusRecorder(self.registry, m.CONDUCTOR)
        self.conductor = Conductor(database, SystemClock(), 100, 0.0, recorder)
        self.endpoint = Endpoint(self.conductor.table(), keys.CONDUCTOR, Ring(), 300,
                                 recorder=recorder)
        self.conductor.start()

    def receive(self, envelope: Any) -> None:
        self.endpoint.receive({"method": "invoke", "args": {"envelope": envelope}})

    def counted(self, metric: m.Definition, **labels: str) -> float:
        return Scrape.of(self.registry).get(metric.name, **labels) or 0.0


@pytest.fixture
def processes(database: Database) -> Iterator[tuple[Process, Process]]:
    with database.writer() as session:
        add_version(session)
        session.add(Instance(id=ME, name="one", tenant_id="t", flavor_id="1",
                             datastore_version_id="v"))
        session.flush()
        session.add(ServiceStatusRow(instance_id=ME, status=ServiceStatus.NEW))
        session.add(Operation(id="op", action="instance.create", resource_type="instance",
                              resource_id=ME, live_key=ME, tenant_id="t"))
    made = Process(database), Process(database)
    yield made
    for one in made:
        one.conductor.stop()


def wait_for(metric: m.Definition, process: Process, **labels: str) -> None:
    end = time.monotonic() + 10
    while not process.counted(metric, **labels):
        assert time.monotonic() < end, f"{metric.name} {labels} was not counted"
        time.sleep(0.01)


def beat(status: ServiceStatus, sequence: int) -> Any:
    return sealed(body=request(args=_raw(messages.Heartbeat(
        status=status, sequence=sequence, sent_at=1.0))))


def report(state: ReportState, sequence: int) -> Any:
    return sealed(body=request(method="report_step", args=_raw(messages.StepReport(
        operation_id="op", step="prepare", state=state, sequence=sequence))))


def _raw(message: messages.Message) -> Any:
    return msgspec.Raw(messages.encode(message))


def test_a_heartbeat_counts_once(database: Database,
                                 processes: tuple[Process, Process]) -> None:
    one, two = processes
    old, new = beat(ServiceStatus.BUILDING, 1), beat(ServiceStatus.HEALTHY, 2)
    one.receive(old)
    wait_for(m.BEATS, one, outcome="written")
    one.receive(old)
    assert one.counted(m.REFUSED, message="request", reason="replayed") == 1
    two.receive(new)
    wait_for(m.BEATS, two, outcome="written")
    two.receive(old)
    wait_for(m.BEATS, two, outcome="stale")
    with database.reader() as session:
        row = service_statuses.get(session, ME)
        assert row is not None
        assert (row.status, row.sequence) == (ServiceStatus.HEALTHY, 2)


def test_a_report_counts_once(database: Database,
                              processes: tuple[Process, Process]) -> None:
    one, two = processes
    old, new = report(ReportState.RUNNING, 1), report(ReportState.SUCCEEDED, 2)
    one.receive(old)
    one.receive(new)
    for again in (old, new):
        two.receive(again)
    assert one.counted(m.REPORTS, outcome="counted") == 2
    assert two.counted(m.REPORTS, outcome="passed_over") == 2
    with database.reader() as session:
        found = operation_reports.latest(session, "op", "prepare", ME)
        assert found is not None
        assert (found.state, found.sequence) == (ReportState.SUCCEEDED, 2)
