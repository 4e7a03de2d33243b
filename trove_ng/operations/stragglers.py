"""Replicas of a lost source that were not asked when another one was chosen, or did not answer.

They are asked once more when clients write to the new source: who has no more than that had when
it was chosen follows it, too.
"""

from __future__ import annotations

from typing import NamedTuple

from trove_ng.common.errors import Conflict, GuestError, ServiceUnavailable
from trove_ng.db.repositories import instances, operations
from trove_ng.db.trouble import StoreAway
from trove_ng.operations import roles
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc.lines import BusAway

#: what the operation notes: the ids of those that follow, when that is decided
_JOINED = "joined"


class Taken(NamedTuple):
    """How far the new source was when it was chosen: progress, and of which history."""

    progress: int
    history: str


def bring_along(work: Work, source_id: str, taken: Taken, step: str) -> None:
    """Have stragglers follow the new source; the owner of one that does not is told why.

    :param taken: how far the new source was
    :param step: that had replicas get no further, in which they may have answered late
    """
    for one in _joining(work, source_id, taken, step):
        try:
            roles.move(work, one, source_id, "follow")
        except (StoreAway, BusAway):
            raise
        except (GuestError, ServiceUnavailable, Conflict) as err:
            with work.writer() as session:
                ending.note_fault(work, session, "The source was lost, and this replica does not "
                                  f"follow the new one. {err.message}", one)


def _joining(work: Work, source_id: str, taken: Taken, step: str) -> list[str]:
    """Decide once who follows the new source, and write it down; return the ids."""
    noted = _joined(work, step)
    if noted is not None:
        return noted
    stragglers = _stragglers(work)
    roles.end_backups(work, stragglers)
    why = {one: _why_not(work, one, taken, step) for one in stragglers}
    joining = [one for one, found in why.items() if found is None]
    now = work.tools.clock.now()
    with work.writer() as session:
        operations.note_found(session, work.id, step, _JOINED, joining)
        for one, found in why.items():
            row = instances.get(session, one, lock=True)
            if row is not None and found is None:
                instances.follow(session, row, source_id, now)
            elif row is not None:
                ending.note_fault(work, session, f"{roles.BEHIND} {found}", one)
    return joining


def leave_behind(work: Work, step: str) -> None:
    """Tell the owners of stragglers that were not asked: the operation fails."""
    if _joined(work, step) is None:
        behind = _stragglers(work)
        with work.writer() as session:
            operations.note_found(session, work.id, step, _JOINED, [])
            for one in behind:
                ending.note_fault(
                    work, session, f"{roles.BEHIND} The ejection failed before it was asked.", one)


def _joined(work: Work, step: str) -> list[str] | None:
    with work.reader() as session:
        found: list[str] | None = operations.found(session, work.id, step).get(_JOINED)
    return found


def _stragglers(work: Work) -> list[str]:
    """Return the ids of those that belong to the operation and follow the lost source."""
    with work.reader() as session:
        found = instances.replica_ids(session, [work.resource_id]).get(work.resource_id, [])
    return sorted({*found} & {*roles.wanted(work).members})


def _why_not(work: Work, straggler_id: str, taken: Taken, step: str) -> str | None:
    """Ask a straggler how far it is; return why it does not follow the new source."""
    seconds, refused = work.tools.conf.failover_candidate_timeout, ""

    def ask() -> rm.Position | None:
        nonlocal refused
        try:
            return roles.guest(work, straggler_id).stop_receiving(
                roles.step(work, step), seconds)
        except Conflict as err:
            # it works on something else, which may be a backup that ends
            refused = err.message
            return None

    try:
        found = work.wait(f"replica {straggler_id} to say how far it is", ask, seconds)
    except (StoreAway, BusAway):
        raise
    except (GuestError, ServiceUnavailable, StepFailed) as err:
        return f"It did not say how far it is. {refused or err.message}"
    if found.progress < 0:
        return "It has no data of the lost one yet."
    if found.history != taken.history or found.progress > taken.progress:
        return "It has changes that the new source does not have."
    return None
