"""Accepting that the log of a database is archived, and restores to a time from it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept, effective_versions
from trove_ng.api.call import Call
from trove_ng.common.errors import BadRequest, NotSupported, UnprocessableEntity
from trove_ng.datastores.base import Datastore as Engine
from trove_ng.db.models import Backup, Instance, LogArchive
from trove_ng.db.repositories import backup_strategies, backups, log_archives
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.capabilities import reasons
from trove_ng.domain.log_archive import needed, refuse
from trove_ng.operations.log_archives import base, parts

_GB = 1024 ** 3
_TIME = "Validation error: instance.restorePoint.time"
#: days that archived log is kept where nothing is said
RETENTION_DAYS = 7


def begin(session: Session, call: Call, engine: Engine, instance: Instance,
          wanted: Mapping[str, Any] | None) -> None:
    """Switch the archive of an instance on or off, in the caller's transaction.

    :param instance: locked, or new
    :raises NotSupported: the datastore has none
    :raises UnprocessableEntity: the instance is a replica
    """
    if wanted is None:
        return
    if not engine.capabilities.log_archiving:
        raise NotSupported("The datastore does not archive its log. "
                           f"{reasons(engine)['log_archiving']}")
    on, found = wanted["enabled"], log_archives.get(session, instance.id, lock=True)
    if on and instance.slave_of_id:
        raise UnprocessableEntity(f"Instance {instance.id} is a replica: the log of its source "
                                  "is archived.")
    now = call.services.clock.now()
    if found is None:
        if not on:
            return
        found = LogArchive(
            instance_id=instance.id, tenant_id=instance.tenant_id,
            retention_days=RETENTION_DAYS, region_id=instance.region_id,
            container=backup_strategies.container(session, instance.tenant_id, instance.id)
            or call.services.conf.backup_swift_container, created=now)
        session.add(found)
    if found.enabled is not on:
        # nothing is archived since then
        found.shipped_at = None
    if not on:
        found.base_since = None
    found.enabled = on
    found.retention_days = wanted.get("retention_days", found.retention_days)
    # the agent is told that nothing is to be kept any more, too
    found.next_at, found.updated = now, now
    session.flush()


@retry_on_db_error
def update(call: Call, wanted: Mapping[str, Any], also: Callable[[Instance], None]) -> None:
    """Switch the archive of the path's instance on or off.

    :param also: changes what else the same request asks for
    """
    with call.services.db.writer() as session:
        loaded = accept.load(session, call, call.params["id"])
        instance = loaded.instance
        begin(session, call, effective_versions.engine(
            session, instance.datastore_version_id, loaded.manager), instance, wanted)
        also(instance)
        call.services.notices.both(
            session, "instance_update", call.context, instance.tenant_id,
            {"instance_id": instance.id, "name": instance.name}, call.services.clock.now())


def restore_time(session: Session, engine: Engine, backup: Backup | None,
                 point: Mapping[str, Any] | None, volume_size: int | None) -> str | None:
    """Return to which time a backup is to be brought, as operations have it.

    :param volume_size: GB that the new instance has for its data
    :raises BadRequest: it cannot be
    """
    if backup is None or not point or point.get("time") is None:
        return None
    wanted = _parsed(point["time"])
    if not engine.capabilities.log_archiving:
        raise BadRequest(f"{_TIME}: the datastore is restored to the time of a backup only. "
                         f"{reasons(engine)['log_archiving']}")
    known = base(backup)
    if known is None:
        raise BadRequest(f"{_TIME}: backup {backup.id} does not tell where the log continues "
                         "it.")
    # so that nothing is removed until the operation is there
    log_archives.get(session, backup.instance_id or "", lock=True)
    found = parts(session, backup.instance_id or "")
    why = refuse(known, found, wanted)
    if why is not None:
        raise BadRequest(f"{_TIME} {why}.")
    log = log_archives.pieces(session, [one.id for one in needed(known, found, wanted)])
    size = sum(one.data_size for one in log) + sum(
        one.data_size_bytes or 0 for one in backups.chain(session, backup.id))
    if volume_size is not None and size > volume_size * _GB:
        raise BadRequest("Validation error: instance.volume.size must be at least "
                         f"{-(-size // _GB)} GB for the backup and the log up to that time.")
    return wanted.isoformat()


def _parsed(text: str) -> datetime.datetime:
    """Return a time as the store keeps times; one without a zone is UTC."""
    try:
        found = datetime.datetime.fromisoformat(text)
        if found.tzinfo is not None:
            found = found.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise BadRequest(f"{_TIME} is no time in ISO 8601.") from None
    return found
