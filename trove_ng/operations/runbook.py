"""What a run-book is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from sqlalchemy.orm import Session

from trove_ng.operations.work import Work


@dataclasses.dataclass(frozen=True)
class Step:
    """A small part of the work.

    Both functions may run several times, whole or in part: they look for what an earlier
    attempt did before they do it.

    :param name: stored; never changed once released
    :param do: does it; raises on failure
    :param undo: takes it back when this step, or a later one, failed
    """

    name: str
    do: Callable[[Work], None]
    undo: Callable[[Work], None] | None = None


@dataclasses.dataclass(frozen=True)
class Runbook:
    """How an action is done.

    :param succeed: writes the result, in the transaction that ends the operation
    :param fail: writes the failure, in the transaction that ends the operation, after the
        steps were undone; it is told why
    """

    action: str
    steps: tuple[Step, ...]
    succeed: Callable[[Work, Session], None]
    fail: Callable[[Work, Session, str], None]
