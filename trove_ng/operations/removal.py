"""Deleting what the volume service may refuse to delete, or be stuck with."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from trove_ng.cloud.errors import CloudConflict, CloudRejected
from trove_ng.cloud.types import Snapshot, Volume
from trove_ng.operations.work import Cancelled, StepFailed, Work

LOG = logging.getLogger(__name__)

T = TypeVar("T", Volume, Snapshot)


def until_gone(work: Work, what: str, find: Callable[[], Sequence[T]],
               delete: Callable[[str], None], force: Callable[[str], None],
               may_go: Callable[[T], bool] = lambda _one: True) -> None:
    """Delete all of something, by force what is stuck, and wait until nothing is found.

    :param what: for people, as in "the snapshot"
    :param delete: asks for one id; it may be refused for a while
    :param force: the same, for what is in error or takes half of the time already
    :param may_go: whether it may be deleted now; asked each time
    :raises StepFailed: it takes too long; with what the service said last
    """
    clock, timeout = work.tools.clock, work.tools.conf.volume_timeout
    stuck_at = clock.monotonic() + timeout / 2
    forced: set[str] = set()
    refused: dict[str, str] = {}

    def gone() -> bool | None:
        found = find()
        for one in found:
            if not may_go(one):
                continue
            try:
                if one.status in ("available", "error"):
                    delete(one.id)
                elif one.id not in forced and (
                        one.status.startswith("error_") or clock.monotonic() > stuck_at):
                    LOG.warning("%s %s is %s; it is deleted by force",
                                type(one).__name__.lower(), one.id, one.status)
                    forced.add(one.id)
                    force(one.id)
            except (CloudConflict, CloudRejected) as err:
                # it may still be detached, or be needed by what is being made of it
                refused[one.id] = err.message
        return None if found else True

    with saying_why(refused):
        work.wait(f"{what} to be deleted", gone, timeout)


@contextlib.contextmanager
def saying_why(refused: Mapping[str, str]) -> Iterator[None]:
    """Add what a service said of something to the error of who waited for it in vain.

    :param refused: id → why it was not done, of what was refused until then
    """
    try:
        yield
    except Cancelled:
        raise
    except StepFailed as err:
        why = next(iter(refused.values()), "")
        raise StepFailed(f"{err.message} {why}".strip()) from err
