"""What the conductor makes of reports, in a real store."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from tests.stores import add_version
from trove_ng.common.clock import SystemClock
from trove_ng.common.errors import Forbidden
from trove_ng.common.states import ReportState, ServiceStatus
from trove_ng.conductor.manager import Conductor
from trove_ng.db.models import (
    Instance,
    Operation,
    OperationReport,
    ServiceStatusRow,
)
from trove_ng.db.repositories import operation_reports, service_statuses
from trove_ng.db.session import Database
from trove_ng.rpc import keys, messages
from trove_ng.rpc.endpoint import Caller
from trove_ng.rpc.messages import FilesystemStats, Heartbeat, StepReport


@pytest.fixture
def instance(database: Database) -> str:
    """An instance with a running operation ``op``."""
    with database.writer() as session:
        add_version(session)
        for ident in ("one", "two"):
            session.add(Instance(id=ident, name=ident, tenant_id="t", flavor_id="1",
                                 datastore_version_id="v"))
            session.flush()
            session.add(ServiceStatusRow(instance_id=ident, status="NEW"))
        session.add(Operation(id="op", action="instance.create", resource_type="instance",
                              resource_id="one", live_key="one", tenant_id="t"))
        session.add(Operation(id="ended", action="instance.create", resource_type="instance",
                              resource_id="two", live_key=None, tenant_id="t"))
    return "one"


@pytest.fixture
def conductor(database: Database) -> Iterator[Conductor]:
    made = Conductor(database, SystemClock(), 100, 0.0)
    made.start()
    yield made
    made.stop()


def guest(instance_id: str) -> Caller:
    return Caller(keys.guest(instance_id), None)


def beat(status: ServiceStatus, sequence: int) -> Heartbeat:
    return Heartbeat(status=status, sequence=sequence, sent_at=1.0, agent_version="1",
                     volume=FilesystemStats(total=10, used=4, free=6), details={"a": 1})


def status_of(database: Database, instance_id: str) -> ServiceStatusRow:
    with database.reader() as session:
        row = service_statuses.get(session, instance_id)
        assert row is not None
        session.expunge(row)
        return row


def wait_for(database: Database, instance_id: str, sequence: int) -> ServiceStatusRow:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        row = status_of(database, instance_id)
        if row.sequence == sequence:
            return row
        time.sleep(0.02)
    raise AssertionError(f"heartbeat {sequence} was not written")


def test_a_heartbeat_is_written_with_the_volume_use(
        database: Database, conductor: Conductor, instance: str) -> None:
    conductor.heartbeat(guest(instance), beat(ServiceStatus.HEALTHY, 5))
    row = wait_for(database, instance, 5)
    assert (row.status, row.volume_total, row.volume_used) == ("HEALTHY", 10, 4)
    assert row.details == {"a": 1}
    assert service_statuses.is_fresh(row, SystemClock().now(), 30)
    assert not service_statuses.is_fresh(
        row, SystemClock().now() + datetime.timedelta(seconds=60), 30)
    assert status_of(database, "two").status == "NEW"


def test_it_is_kept_since_when_a_database_serves_nobody(
        database: Database, conductor: Conductor, instance: str) -> None:
    def down_since(sequence: int, status: ServiceStatus) -> datetime.datetime | None:
        conductor.heartbeat(guest(instance), beat(status, sequence))
        return wait_for(database, instance, sequence).down_since

    assert down_since(1, ServiceStatus.HEALTHY) is None
    first = down_since(2, ServiceStatus.CRASHED)
    assert first is not None
    assert down_since(3, ServiceStatus.BLOCKED) == first
    # it is started again, or was stopped
    for sequence, status in enumerate((ServiceStatus.RUNNING, ServiceStatus.SHUTDOWN), 4):
        assert down_since(sequence, status) is None
    again = down_since(6, ServiceStatus.BLOCKED)
    assert again is not None
    assert again > first


def test_it_is_kept_since_when_an_agent_is_heard_without_a_gap(
        database: Database, conductor: Conductor, instance: str) -> None:
    def heard_since(sequence: int, gap: float, **details: Any) -> datetime.datetime | None:
        with database.writer() as session:
            row = service_statuses.get(session, instance)
            if row is not None and row.updated_at is not None:
                row.updated_at -= datetime.timedelta(seconds=gap)
        conductor.heartbeat(guest(instance), msgspec.structs.replace(
            beat(ServiceStatus.HEALTHY, sequence), details=details))
        return wait_for(database, instance, sequence).heard_since

    first = heard_since(1, 0)
    assert first is not None
    assert heard_since(2, 12) == first
    # it was silent, by what is usual and by its own word
    later = heard_since(3, 16)
    assert later is not None
    assert later > first
    assert heard_since(4, 40, interval=30) == later
    newest = heard_since(5, 4, interval=2)
    assert newest != later
    for sequence, wrong in enumerate(("2", True, -1, None), 6):
        assert heard_since(sequence, 12, interval=wrong) == newest
    assert heard_since(10, 100, interval=1e9) != newest


def test_an_older_heartbeat_never_overwrites_a_newer_one(
        database: Database, conductor: Conductor, instance: str) -> None:
    conductor.heartbeat(guest(instance), beat(ServiceStatus.HEALTHY, 5))
    wait_for(database, instance, 5)
    conductor.heartbeat(guest(instance), beat(ServiceStatus.CRASHED, 4))
    conductor.heartbeat(guest("two"), beat(ServiceStatus.RUNNING, 1))
    wait_for(database, "two", 1)
    assert status_of(database, instance).status == "HEALTHY"


def test_a_heartbeat_of_an_unknown_instance_disturbs_nobody(
        database: Database, conductor: Conductor, instance: str) -> None:
    conductor.heartbeat(guest("unknown"), beat(ServiceStatus.HEALTHY, 1))
    conductor.heartbeat(guest(instance), beat(ServiceStatus.HEALTHY, 1))
    wait_for(database, instance, 1)
    with database.reader() as session:
        assert service_statuses.get(session, "unknown") is None


def test_only_a_guest_reports(conductor: Conductor) -> None:
    with pytest.raises(Forbidden):
        conductor.heartbeat(Caller(keys.API, None), beat(ServiceStatus.HEALTHY, 1))


def report(state: ReportState, sequence: int, operation: str = "op") -> StepReport:
    return StepReport(operation_id=operation, step="prepare", state=state, sequence=sequence,
                      percent=50, result={"n": sequence}, error="")


def seen(database: Database, operation: str = "op") -> tuple[str, int] | None:
    with database.reader() as session:
        row = operation_reports.latest(session, operation, "prepare")
        return None if row is None else (row.state, row.sequence)


def test_a_step_is_reported_until_its_end(
        database: Database, conductor: Conductor, instance: str) -> None:
    conductor.report_step(guest(instance), report(ReportState.RUNNING, 1))
    assert seen(database) == ("RUNNING", 1)
    conductor.report_step(guest(instance), report(ReportState.SUCCEEDED, 3))
    assert seen(database) == ("SUCCEEDED", 3)


def test_reports_out_of_order_or_after_the_end_change_nothing(
        database: Database, conductor: Conductor, instance: str) -> None:
    conductor.report_step(guest(instance), report(ReportState.RUNNING, 2))
    conductor.report_step(guest(instance), report(ReportState.RUNNING, 1))
    assert seen(database) == ("RUNNING", 2)
    conductor.report_step(guest(instance), report(ReportState.SUCCEEDED, 3))
    conductor.report_step(guest(instance), report(ReportState.FAILED, 4))
    assert seen(database) == ("SUCCEEDED", 3)
    assert conductor.counts["report passed over"] == 2


@pytest.mark.parametrize("operation", ["ended", "unknown"])
def test_a_report_of_no_live_operation_is_passed_over(
        database: Database, conductor: Conductor, instance: str, operation: str) -> None:
    conductor.report_step(guest(instance), report(ReportState.RUNNING, 1, operation))
    assert seen(database, operation) is None


def test_a_heartbeat_that_the_store_refuses_costs_no_other(
        database: Database, conductor: Conductor, instance: str) -> None:
    rows = [conductor._row("two", beat(ServiceStatus.HEALTHY, 1)),
            conductor._row(instance, beat(ServiceStatus.HEALTHY, 1))]
    rows[0]["details"] = {"not": object()}
    conductor._write(rows)
    assert status_of(database, instance).sequence == 1


@pytest.mark.parametrize("fields", [
    {"sequence": 2 ** 63}, {"sequence": -1}, {"sent_at": 1e300},
    {"volume": {"total": 2 ** 64, "used": 1, "free": 1}}, {"status": "x" * 5000}])
def test_what_the_store_cannot_hold_is_no_heartbeat(fields: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        messages.decode(json.dumps({"status": "HEALTHY", "sequence": 1, "sent_at": 1.0,
                                    **fields}), Heartbeat)


def test_a_guests_words_are_cut_to_what_is_kept(conductor: Conductor) -> None:
    row = conductor._row("x", Heartbeat(
        status=ServiceStatus.HEALTHY, sequence=1, sent_at=1.0, description="\0" * 9999,
        details={"a": "b" * 99999}))
    assert row["description"] == " " * 255
    assert row["details"] == {}


def test_a_guest_cannot_fill_the_store_with_steps(
        database: Database, conductor: Conductor, instance: str) -> None:
    for number in range(80):
        conductor.report_step(guest(instance), StepReport(
            operation_id="op", step=str(number), state=ReportState.RUNNING, sequence=1))
    with database.reader() as session:
        assert session.scalar(select(func.count()).select_from(OperationReport)) == 50
