"""Steps of an operation that tell what became of one instance of several."""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.db.models import OperationStep
from trove_ng.db.repositories import operations

_PREFIX = "instance "


def name(instance_id: str) -> str:
    """Return the name of an instance's step."""
    return _PREFIX + instance_id


def steps(session: Session, operation_id: str) -> dict[str, OperationStep]:
    """Return instance id → step of those that began, in their order."""
    return {one.step.removeprefix(_PREFIX): one for one in operations.steps(session, operation_id)
            if one.step.startswith(_PREFIX)}
