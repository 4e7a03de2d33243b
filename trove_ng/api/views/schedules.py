"""Views of schedules and their executions."""

from __future__ import annotations

from typing import Any

from trove_ng.common.clock import isoformat
from trove_ng.db.models import Schedule, ScheduleExecution


def view(row: Schedule) -> dict[str, Any]:
    """Return the view of a schedule; times are UTC."""
    return {
        "id": row.id, "name": row.name, "description": row.description,
        "project_id": row.tenant_id, "instance_id": row.instance_id, "pattern": row.pattern,
        "time_zone": row.time_zone, "full_every": row.full_every,
        "keep_count": row.keep_count, "keep_days": row.keep_days, "paused": row.paused,
        "parent_id": row.parent_id, "verify": row.verify,
        "next_verify_at": isoformat(row.next_verify_at), "next_run_at": isoformat(row.next_run_at),
        "last_run_at": isoformat(row.last_run_at), "created": isoformat(row.created),
        "updated": isoformat(row.updated)}


def execution(row: ScheduleExecution) -> dict[str, Any]:
    """Return the view of an execution."""
    return {
        "id": row.id, "schedule_id": row.schedule_id, "tick_at": isoformat(row.tick_at),
        "state": row.state, "output": row.output, "backup_id": row.backup_id,
        "verification": row.verification, "created": isoformat(row.created),
        "updated": isoformat(row.updated)}
