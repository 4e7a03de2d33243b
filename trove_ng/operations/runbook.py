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
    :param final: once it begins, the operation is not cancelled any more
    """

    name: str
    do: Callable[[Work], None]
    undo: Callable[[Work], None] | None = None
    final: bool = False


@dataclasses.dataclass(frozen=True)
class Runbook:
    """How an action is done.

    :param succeed: writes the result, in the transaction that ends the operation
    :param fail: writes the failure, in the transaction that ends the operation, after the
        steps were undone; it is told why
    :param cancellable: the owner of the resource may cancel it, until a final step begins
    """

    action: str
    steps: tuple[Step, ...]
    succeed: Callable[[Work, Session], None]
    fail: Callable[[Work, Session, str], None]
    cancellable: bool = False

    def may_cancel(self, step: str | None) -> bool:
        """Return whether the operation may be cancelled while it is at a step.

        :param step: name of the step that began last, None if none did
        """
        if not self.cancellable:
            return False
        names = [one.name for one in self.steps]
        begun = self.steps[:names.index(step) + 1] if step in names else ()
        return not any(one.final for one in begun)
