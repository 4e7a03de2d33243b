"""Views of events."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.common.states import EventKind

#: their details name what the service made in the cloud
_OPERATORS = frozenset({EventKind.MISMATCH_FOUND, EventKind.MISMATCH_REPAIRED})


def view(call: Call, row: Any) -> dict[str, Any]:
    """Return the view of an event, a row of ``repositories.events.page``."""
    shown = {
        "id": row.id,
        "kind": row.kind,
        "message": row.message,
        # finer than elsewhere: events are close together
        "created": row.created.isoformat(timespec="microseconds"),
        "operation_id": row.operation_id,
        "request_id": row.request_id or None,
        "user_id": row.user_id or None,
    }
    if call.context.is_admin or row.kind not in _OPERATORS:
        shown["details"] = row.details
    return shown
