"""One operation works on a resource at a time, and who is refused may go on with others."""

from __future__ import annotations

import datetime

import pytest
from sqlalchemy import select

from tests.functional.operations.conftest import Bench
from trove_ng.common.clock import utcnow
from trove_ng.common.errors import Conflict
from trove_ng.db.models import Event, Operation
from trove_ng.db.repositories import operations


def rows(bench: Bench) -> list[str]:
    with bench.db.reader() as session:
        return sorted(session.scalars(select(Operation.id)))


def test_a_second_operation_is_refused_and_leaves_nothing(bench: Bench) -> None:
    first = bench.submit()
    with pytest.raises(Conflict, match="Another operation is running on instance"):
        bench.submit()
    assert rows(bench) == [first]
    with bench.db.reader() as session:
        assert len(session.scalars(select(Event.id)).all()) == 1


def test_who_goes_on_after_a_refusal_has_a_savepoint(bench: Bench) -> None:
    first = bench.submit()
    present = bench.row(first)

    def another(ident: str, resource_id: str) -> Operation:
        return Operation(
            id=ident, action="test.run", resource_type="instance", resource_id=resource_id,
            live_key=resource_id, tenant_id="tenant", payload={})

    with bench.db.writer() as session:
        with pytest.raises(Conflict), session.begin_nested():
            operations.add(session, another("second", present.resource_id))
        operations.add(session, another("third", "elsewhere"))
    assert rows(bench) == sorted([first, "third"])


def test_all_times_of_an_operation_are_of_one_clock(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = utcnow() + datetime.timedelta(hours=1)
    monkeypatch.setattr(bench.clock, "now", lambda: ahead)
    row = bench.row(bench.submit())
    assert (row.created, row.updated) == (ahead, ahead)
    assert row.deadline_at is not None
    assert row.deadline_at > ahead
