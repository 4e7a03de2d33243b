"""Which names are wrong, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operations.reconcile.test_compare import ONE, TIMES, ago, row
from trove_ng.cloud.dns import Record, description
from trove_ng.operations.reconcile import names
from trove_ng.operations.reconcile.findings import Kind, Repair

NAME = f"{ONE}.db.example.org"


def record(**more: Any) -> Record:
    return Record(**{"id": "r", "name": NAME, "address": "10.0.0.5", "ready": True,
                     "description": description(ONE), **more})


def instance(**more: Any) -> Any:
    return row(**{"hostname": NAME, "addresses": [{"address": "10.0.0.5"},
                                                  {"address": "192.0.2.5"}], **more})


def found(one: Any, *records: Record) -> list[tuple[Kind, Repair | None]]:
    return [(finding.kind, finding.repair)
            for finding in names.judge({ONE: one} if one else {}, records, TIMES)]


@pytest.mark.parametrize(("one", "records", "expected"), [
    (instance(), [record()], []),
    (instance(), [], [(Kind.MISSING, Repair.SET_NAME)]),
    (instance(), [record(address="10.0.0.6")], [(Kind.NAME_ELSEWHERE, Repair.SET_NAME)]),
    (instance(), [record(failed=True)], [(Kind.NAME_ELSEWHERE, Repair.SET_NAME)]),
    (instance(access={"is_public": True}), [record(address="192.0.2.5")], []),
    (instance(access={"is_public": True}), [record()],
     [(Kind.NAME_ELSEWHERE, Repair.SET_NAME)]),
    (row(), [record()], [(Kind.LEFTOVER, Repair.DELETE_NAME)]),
    (instance(deleted=True, deleted_at=ago(3600)), [record()],
     [(Kind.LEFTOVER, Repair.DELETE_NAME)]),
    (instance(error="BUILD"), [record()], [(Kind.LEFTOVER, Repair.DELETE_NAME)]),
    (None, [record()], [(Kind.UNKNOWN_INSTANCE, None)]),
    # who knows what it is for
    (None, [record(description="mine"), record(name="www.db.example.org")], []),
    # something works on it, or did just now, or it has no address yet
    (instance(task="BUILDING"), [], []), (instance(live=True), [], []),
    (instance(worked_at=ago(1)), [record(address="10.0.0.6")], []),
    (instance(deleted=True, deleted_at=ago(1)), [record()], []),
    (instance(error="DELETE"), [record(address="10.0.0.6")], []),
    (instance(error="DELETE"), [], []), (instance(error="BUILD"), [], []),
    (instance(addresses=[]), [record()], []), (instance(addresses=[]), [], [])])
def test_a_name_is_judged(one: Any, records: list[Record],
                          expected: list[tuple[Kind, Repair | None]]) -> None:
    assert found(one, *records) == expected
