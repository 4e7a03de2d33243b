"""Grow a volume of an instance, or of all of a set of replicas.

A source never has a larger volume than a replica: the replica would have no room for what it
gets.  So its replicas grow first, one after the other; what has grown stays so, and is paid for,
when something fails then.

The databases are stopped for it, but for one that has changes and no room to write them: it
ends when its file system has grown.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from trove_ng.common import notifications as told
from trove_ng.common.clock import isoformat
from trove_ng.common.errors import GuestError
from trove_ng.db.repositories import instances, quotas
from trove_ng.db.repositories import volumes as stored
from trove_ng.operations import database, guest, payloads, roles, usage, volumes
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work


def _extend(work: Work) -> None:
    wanted = work.payload(payloads.ResizeVolume)
    volumes.extend(work, wanted.kind, wanted.size)


def _grow(work: Work) -> None:
    wanted = work.payload(payloads.ResizeVolume)
    spec = volumes.spec(work, wanted.kind)
    work.tools.guests(work.resource_id, work.context).resize_fs(spec)
    with work.writer() as session:
        found = instances.get(session, work.resource_id)
        # else an earlier attempt of the step came so far
        if found is not None and not _has_grown(work, session):
            before, volume = stored.total(session, found), stored.get(
                session, found.id, wanted.kind)
            # it cannot shrink, whatever becomes of the operation
            quotas.keep(session, work.id, "volumes", wanted.size - (
                0 if volume is None else volume.size or 0))
            stored.note_size(session, found, wanted.kind, wanted.size)
            usage.note(work, session, told.NEW_VOLUME, found, old_volume_size=before,
                       modify_at=isoformat(work.tools.clock.now()))


def _has_grown(work: Work, session: Session) -> bool:
    wanted = work.payload(payloads.ResizeVolume)
    known = stored.get(session, work.resource_id, wanted.kind)
    return known is not None and known.size == wanted.size


def _grow_replicas(work: Work) -> None:
    """Grow the volume of one replica after the other.

    :raises StepFailed: one cannot; says which, and why
    """
    for ident in work.payload(payloads.GrowSet).replica_ids:
        try:
            _grow_replica(work.on(ident))
        except (StepFailed, GuestError) as err:
            # what ends all of it is no replica's fault
            work.check()
            raise StepFailed(f"Replica {ident}: {err.message}") from err


def _grow_replica(replica: Work) -> None:
    with replica.reader() as session:
        grown = _has_grown(replica, session)
    if not grown:
        database.stop_if_kept(replica)
        _extend(replica)
        _grow(replica)
    _serve(replica, _start)


def _start(work: Work) -> None:
    """Start the database; one that stayed up for want of room can end now."""
    database.stop(work)
    database.start(work)


def _start_again(work: Work) -> None:
    _serve(work, database.start_again)


def _serve_replicas(work: Work) -> None:
    roles.each(work, work.payload(payloads.GrowSet).replica_ids,
               lambda ident: _serve(work.on(ident), database.start_again))


def _serve(work: Work, start: Callable[[Work], None]) -> None:
    """Start the database, unless it runs.

    :raises StepFailed: it does not serve
    """
    try:
        start(work)
    except GuestError:
        # one that runs is not started
        guest.wait_for_database(work, work.resource_id)


def _succeed_set(work: Work, session: Session) -> None:
    for one in ending.release_set(work, session):
        one.restart_required = False
    ending.succeed(work, session)


_GROW = (Step("stop", database.stop_if_kept, _start_again), Step("extend", _extend),
         Step("grow", _grow), Step("start", _start))

RUNBOOKS = (
    Runbook(payloads.INSTANCE_RESIZE_VOLUME, _GROW, ending.succeed_restarted,
            ending.fail_unchanged),
    Runbook(payloads.INSTANCE_GROW_SET, (
        Step("replicas", _grow_replicas, _serve_replicas), *_GROW), _succeed_set,
        ending.fail_set),
)
