"""Grow the data volume of an instance."""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.cloud.types import Volume
from trove_ng.common import notifications as told
from trove_ng.common.clock import isoformat
from trove_ng.db.repositories import instances, quotas
from trove_ng.operations import database, payloads, servers, usage
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work


def _mend(work: Work, volume_id: str) -> None:
    """Make a volume usable that could not be extended before: it is as it was."""
    storage = work.tools.clouds.volume
    volume = storage.get_volume(volume_id)
    if volume is not None and volume.status == "error_extending":
        storage.reset_volume(volume_id, "in-use")


def _extend(work: Work) -> None:
    instance = servers.load(work)
    size = work.payload(payloads.ResizeVolume).size
    storage = work.tools.clouds.volume
    if instance.volume_id is None:
        raise StepFailed("The instance has no volume.")
    volume_id = instance.volume_id
    _mend(work, volume_id)
    volume = storage.get_volume(volume_id)
    if volume is not None and volume.size_gb < size and volume.status == "in-use":
        storage.extend_volume(volume_id, size)

    def extended() -> Volume | None:
        found = storage.get_volume(volume_id)
        if found is None or found.status.startswith("error"):
            raise StepFailed("The volume could not be extended.")
        if found.status == "in-use" and found.size_gb >= size:
            return found
        return None

    work.wait("the volume to be extended", extended, work.tools.conf.volume_timeout)


def _grow(work: Work) -> None:
    instance = servers.load(work)
    spec = servers.data_volume(work, instance)
    work.tools.guests(instance.id, work.context).resize_fs(spec)
    with work.writer() as session:
        found = instances.get(session, instance.id)
        size = work.payload(payloads.ResizeVolume).size
        # else an earlier attempt of the step came so far
        if found is not None and found.volume_size != size:
            before, found.volume_size = found.volume_size, size
            usage.note(work, session, told.NEW_VOLUME, found, old_volume_size=before,
                       modify_at=isoformat(work.tools.clock.now()))


def _fail(work: Work, session: Session, why: str) -> None:
    """Keep the quota of a volume that did grow: it cannot shrink."""
    found = instances.get(session, work.resource_id)
    if found is not None and found.volume_size == work.payload(payloads.ResizeVolume).size:
        quotas.commit(session, work.id)
    ending.fail_unchanged(work, session, why)


RUNBOOK = Runbook(payloads.INSTANCE_RESIZE_VOLUME, (
    Step("stop", database.stop, database.start_again),
    Step("extend", _extend),
    Step("grow", _grow),
    Step("start", database.start),
), ending.succeed_restarted, _fail)
