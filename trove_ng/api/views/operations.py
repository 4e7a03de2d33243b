"""Views of operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trove_ng.common.clock import isoformat
from trove_ng.db.models import Operation, OperationStep


def _moment(value: Any) -> str | None:
    return None if value is None else isoformat(value)


def view(row: Operation, cancellable: bool) -> dict[str, Any]:
    """Return the view of an operation.

    :param cancellable: whether it can be cancelled now
    """
    return {
        "id": row.id, "action": row.action, "resource_type": row.resource_type,
        "resource_id": row.resource_id, "status": row.status, "percent": row.percent,
        "step": row.step, "error": row.error, "request_id": row.request_id or None,
        "project_id": row.tenant_id, "attempts": row.attempts, "cancellable": cancellable,
        "cancel_requested": row.cancel_requested,
        "created": isoformat(row.created), "started_at": _moment(row.started_at),
        "ended_at": _moment(row.ended_at),
    }


def with_steps(row: Operation, steps: Iterable[OperationStep], cancellable: bool,
               ) -> dict[str, Any]:
    """Return the view of an operation with the steps that began."""
    return {**view(row, cancellable), "steps": [
        {"name": one.step, "status": one.state, "attempts": one.attempts,
         "started_at": _moment(one.started_at), "ended_at": _moment(one.ended_at),
         "error": one.error} for one in steps]}
