"""What guests last said of the steps they were asked for."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trove_ng.common.states import ReportState
from trove_ng.db.models import Operation, OperationReport
from trove_ng.db.session import add_if_new

#: steps of one operation that a guest may report; no run-book asks for as many
_MOST = 50


def latest(session: Session, operation_id: str, step: str,
           instance_id: str | None = None) -> OperationReport | None:
    """Return the newest report of a step; of one instance, or of the only one."""
    statement = select(OperationReport).where(
        OperationReport.operation_id == operation_id, OperationReport.step == step)
    if instance_id is not None:
        statement = statement.where(OperationReport.instance_id == instance_id)
    return session.scalars(statement.execution_options(populate_existing=True)).first()


def record(session: Session, instance_id: str, *, operation_id: str, step: str,
           state: ReportState, sequence: int, percent: int, result: dict[str, Any],
           error: str, now: datetime.datetime) -> bool:
    """Write a report unless a newer or final one is there; return whether it counted.

    A report of an operation that does not exist, or has ended, is passed over.
    """
    live = session.scalar(select(Operation.id).where(
        Operation.id == operation_id, Operation.live_key.is_not(None)))
    if live is None:
        return False
    values: dict[str, Any] = {
        "state": str(state), "sequence": sequence, "percent": percent, "result": result,
        "error": error, "updated_at": now}
    changed = session.connection().execute(update(OperationReport).where(
        OperationReport.operation_id == operation_id, OperationReport.step == step,
        OperationReport.instance_id == instance_id,
        OperationReport.sequence < sequence,
        OperationReport.state == str(ReportState.RUNNING)).values(values))
    if changed.rowcount:
        return True
    known = select(OperationReport.step).where(
        OperationReport.operation_id == operation_id,
        OperationReport.instance_id == instance_id).limit(_MOST)
    steps = session.scalars(known).all()
    if step in steps or len(steps) == _MOST:
        return False
    return add_if_new(session, OperationReport(
        operation_id=operation_id, step=step, instance_id=instance_id, **values))
