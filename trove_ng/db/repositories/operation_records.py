"""What the workflow engine stores of an operation, at paths."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from trove_ng.db.models import OperationRecord


def read(session: Session, operation_id: str, path: str) -> str | None:
    """Return what the workflow engine stored at a path, None if nothing is there."""
    return session.scalar(select(OperationRecord.data).where(
        OperationRecord.operation_id == operation_id, OperationRecord.path == path))


def children(session: Session, operation_id: str, parent: str) -> Sequence[str]:
    """Return the paths directly below one."""
    return session.scalars(select(OperationRecord.path).where(
        OperationRecord.operation_id == operation_id, OperationRecord.parent == parent,
    ).order_by(OperationRecord.path)).all()


def write(session: Session, operation_id: str, path: str, parent: str,
          data: str | None) -> None:
    """Store something at a path."""
    session.merge(OperationRecord(
        operation_id=operation_id, path=path, parent=parent, data=data))


def erase(session: Session, operation_id: str, below: str = "") -> None:
    """Forget what is stored at and below a path; all by default."""
    statement = delete(OperationRecord).where(OperationRecord.operation_id == operation_id)
    if below:
        statement = statement.where(or_(
            OperationRecord.path == below, OperationRecord.path.startswith(f"{below}/")))
    session.execute(statement)
