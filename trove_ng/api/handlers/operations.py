"""Operations: what was asked for, and how far it is."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api.call import Call
from trove_ng.api.views import operations as views
from trove_ng.common.errors import Conflict
from trove_ng.db.models import Operation
from trove_ng.db.repositories import operations
from trove_ng.db.session import retry_on_db_error
from trove_ng.operations.runbook import Runbook
from trove_ng.operations.runbooks.registry import runbooks

_LIVE = (operations.PENDING, operations.RUNNING)


def index(call: Call) -> dict[str, Any]:
    """List the operations on the caller's resources, the newest first."""
    return _page(call, call.context.project_id)


def index_all(call: Call) -> dict[str, Any]:
    """List the operations of all projects, or of one."""
    return _page(call, call.query.get("project_id") or None)


def _page(call: Call, tenant_id: str | None) -> dict[str, Any]:
    with call.services.db.reader() as session:
        rows = operations.page(
            session, tenant_id=tenant_id, limit=call.limit(), marker=call.marker(),
            status=call.choice("status"), **{
                name: call.query.get(name) or None for name in ("resource_id", "action")})
        return call.listed("operations", rows, lambda row: views.view(row, _cancellable(row)))


def show(call: Call) -> dict[str, Any]:
    """Show an operation with its steps."""
    with call.services.db.reader() as session:
        found = _load(session, call)
        steps = operations.steps(session, found.id)
        return {"operation": views.with_steps(found, steps, _cancellable(found))}


@retry_on_db_error
def cancel(call: Call) -> None:
    """Ask to cancel an operation; asking again is no error.

    What is accepted here is not done: the operation ends as cancelled, unless it fails.
    """
    with call.services.db.writer() as session:
        found = _load(session, call, lock=True)
        if found.status not in _LIVE:
            raise Conflict(f"Operation {found.id} has ended; it is {found.status}.")
        book = runbooks().get(found.action)
        if not _may_cancel(found, book) or _is_done(session, found, book):
            late = " any more" if book is not None and book.cancellable else ""
            raise Conflict(
                f"Operation {found.id} ({found.action}) cannot be cancelled{late}.")
        found.cancel_requested = True
    call.operation_id = found.id


def _load(session: Session, call: Call, *, lock: bool = False) -> Operation:
    ident = call.params["id"]
    return call.own("Operation", ident, operations.get(session, ident, call.owner, lock=lock))


def _cancellable(row: Operation) -> bool:
    return (row.status in _LIVE and not row.cancel_requested
            and _may_cancel(row, runbooks().get(row.action)))


def _may_cancel(row: Operation, book: Runbook | None) -> bool:
    # what failed is being undone already
    return book is not None and row.error is None and book.may_cancel(row.step)


def _is_done(session: Session, row: Operation, book: Runbook | None) -> bool:
    """Return whether only the end of an operation is still to be written."""
    return book is not None and operations.has_ended_step(
        session, row.id, book.steps[-1].name)
