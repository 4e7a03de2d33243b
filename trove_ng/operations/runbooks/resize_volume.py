"""Grow a volume of an instance."""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.common import notifications as told
from trove_ng.common.clock import isoformat
from trove_ng.db.repositories import instances, quotas
from trove_ng.db.repositories import volumes as stored
from trove_ng.operations import database, payloads, usage, volumes
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work


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
            before = stored.total(session, found)
            stored.note_size(session, found, wanted.kind, wanted.size)
            usage.note(work, session, told.NEW_VOLUME, found, old_volume_size=before,
                       modify_at=isoformat(work.tools.clock.now()))


def _has_grown(work: Work, session: Session) -> bool:
    wanted = work.payload(payloads.ResizeVolume)
    known = stored.get(session, work.resource_id, wanted.kind)
    return known is not None and known.size == wanted.size


def _fail(work: Work, session: Session, why: str) -> None:
    """Keep the quota of a volume that did grow: it cannot shrink."""
    if _has_grown(work, session):
        quotas.commit(session, work.id)
    ending.fail_unchanged(work, session, why)


RUNBOOK = Runbook(payloads.INSTANCE_RESIZE_VOLUME, (
    Step("stop", database.stop, database.start_again),
    Step("extend", _extend),
    Step("grow", _grow),
    Step("start", database.start),
), ending.succeed_restarted, _fail)
