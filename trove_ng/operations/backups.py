"""Beginning backups, and their deletion: for requests and for schedules."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Sequence

from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common.context import RequestContext
from trove_ng.common.errors import (
    BadRequest,
    Conflict,
    NotFound,
    NotSupported,
    UnprocessableEntity,
)
from trove_ng.common.states import (
    BACKUP_RUNNING,
    BACKUP_USABLE,
    DATA_VOLUME,
    ROOT_VOLUME,
    BackupState,
)
from trove_ng.conf import quota
from trove_ng.datastores.base import Datastore as Engine
from trove_ng.datastores.options import backup_strategy
from trove_ng.db.models import Backup, Instance, Operation
from trove_ng.db.models.base import new_id
from trove_ng.db.repositories import backup_strategies, backups, operations, quotas, volumes
from trove_ng.domain.capabilities import reasons
from trove_ng.operations import payloads, storage
from trove_ng.operations.requests import Requests

#: how a backup was made that is a snapshot
SNAPSHOT = "snapshot"
_ALL_SAID = payloads.CreateBackup()


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A backup that is asked for.

    :param driver: ``swift`` or ``cinder``; None leaves it, and the container, to strategies
        and configuration
    :param parent_id: the backup to continue
    :param incremental: continue the last one, if there is one that can be, also as its agent
        finds
    :param schedule_id: the schedule that asks; only its own backups are continued, so that
        deleting others does not delete them
    :param for_replicas: new replicas begin with it; it goes when they have it
    :param for_archive: archived log begins with it; it goes some time after a later one
    """

    name: str
    description: str | None = None
    driver: str | None = None
    container: str | None = None
    parent_id: str | None = None
    incremental: bool = False
    schedule_id: str | None = None
    for_replicas: bool = False
    for_archive: bool = False


@dataclasses.dataclass(frozen=True)
class Import:
    """A backup that another database service left in the object store.

    :param location: its URL
    :param version_id: the datastore version that restores it
    :param volume_size: GB that it needs
    """

    name: str
    location: str
    version_id: str
    volume_size: int
    description: str | None = None


class Backups:
    """Begins work on backups, in the transaction of the caller.

    :param conf: with the options of conf.object_store and conf.quota
    """

    def __init__(self, conf: cfg.ConfigOpts, requests: Requests) -> None:
        self._conf = conf
        self._requests = requests

    def begin(self, session: Session, instance: Instance, engine: Engine, wanted: Wanted,
              context: RequestContext, now: datetime.datetime) -> tuple[Backup, Operation]:
        """Write a backup and the operation that makes it.

        :param instance: locked, and ready for it
        :raises BadRequest: the datastore has no backups, or cannot continue that one
        :raises NotFound: there is no such parent
        :raises Conflict: the parent cannot be continued
        :raises QuotaExceeded: there are too many
        """
        if not engine.capabilities.backups:
            raise BadRequest("Validation error: backup.instance: the datastore does not offer "
                             "backups.")
        driver = wanted.driver or self.driver(session, instance)
        if driver == backups.CINDER:
            return self._begin_snapshot(session, instance, engine, wanted, context, now)
        parent = self._parent(session, instance, engine, wanted)
        ident = new_id()
        container = (wanted.container or backup_strategies.container(
            session, instance.tenant_id, instance.id) or self._conf.backup_swift_container)
        backup = backups.add(session, Backup(
            id=ident, name=wanted.name, description=wanted.description,
            tenant_id=instance.tenant_id, instance_id=instance.id,
            datastore_version_id=instance.datastore_version_id, state=BackupState.NEW,
            container=container, prefix=storage.prefix(ident), region_id=instance.region_id,
            volume_size=instance.volume_size, schedule_id=wanted.schedule_id,
            for_replicas=wanted.for_replicas, for_archive=wanted.for_archive,
            parent_id=parent.id if parent is not None else None))
        return backup, self._submit_create(
            session, payloads.BACKUP_SEED_REPLICAS if wanted.for_replicas else
            payloads.BACKUP_CREATE, backup, context, now,
            payloads.CreateBackup(parent_implied=wanted.parent_id is None and parent is not None))

    def driver(self, session: Session, instance: Instance) -> str:
        """Return where backups of an instance go when nothing else is said."""
        return backup_strategies.backend(session, instance.tenant_id, instance.id) or str(
            self._conf.backup_storage_driver)

    def _begin_snapshot(self, session: Session, instance: Instance, engine: Engine,
                        wanted: Wanted, context: RequestContext, now: datetime.datetime,
                        ) -> tuple[Backup, Operation]:
        rule = "Validation error: backup"
        if not engine.capabilities.snapshots:
            raise BadRequest(f"{rule}.storage_driver: the datastore does not offer snapshots.")
        if instance.volume_id is None:
            raise BadRequest(f"{rule}.storage_driver: the instance has no volume.")
        # one at a time, snapshots of several volumes would be of several moments
        also = [one.volume_kind for one in volumes.of(session, instance)
                if one.volume_kind not in (DATA_VOLUME, ROOT_VOLUME, *engine.begun_anew)]
        if also:
            raise BadRequest(f"{rule}.storage_driver: a snapshot is of one volume, and the "
                             f"instance has data on others: {', '.join(also)}.")
        if wanted.parent_id or wanted.incremental:
            raise BadRequest(f"{rule}.incremental: a snapshot continues no other backup.")
        if wanted.container:
            raise BadRequest(f"{rule}.swift_container: a snapshot is in no container.")
        backup = backups.add(session, Backup(
            name=wanted.name, description=wanted.description, tenant_id=instance.tenant_id,
            instance_id=instance.id, datastore_version_id=instance.datastore_version_id,
            state=BackupState.NEW, region_id=instance.region_id,
            storage_driver=backups.CINDER, backup_type=SNAPSHOT,
            volume_size=instance.volume_size, schedule_id=wanted.schedule_id))
        return backup, self._submit_create(
            session, payloads.BACKUP_SNAPSHOT, backup, context, now)

    def _submit_create(self, session: Session, action: str, backup: Backup,
                       context: RequestContext, now: datetime.datetime,
                       payload: payloads.CreateBackup = _ALL_SAID) -> Operation:
        accepted = self._requests.submit(
            session, action=action, resource_type="backup", resource_id=backup.id,
            tenant_id=backup.tenant_id, context=context, payload=payload, now=now, told=lambda: {
                "name": backup.name, "instance_id": backup.instance_id,
                "description": backup.description, "parent_id": backup.parent_id})
        quotas.reserve(session, backup.tenant_id, accepted.id, {"backups": 1},
                       quota.defaults(self._conf))
        return accepted

    def begin_import(self, session: Session, wanted: Import, context: RequestContext,
                     now: datetime.datetime) -> tuple[Backup, Operation]:
        """Write a backup of the caller's project that is somewhere else, and the operation
        that looks at it.

        :raises QuotaExceeded: there are too many
        """
        tenant_id = context.project_id
        backup = backups.add(session, Backup(
            name=wanted.name, description=wanted.description, tenant_id=tenant_id,
            datastore_version_id=wanted.version_id, state=BackupState.NEW,
            location=wanted.location, volume_size=wanted.volume_size))
        accepted = self._requests.submit(
            session, action=payloads.BACKUP_IMPORT, resource_type="backup",
            resource_id=backup.id, tenant_id=tenant_id, context=context,
            payload=payloads.ImportBackup(remote_location=wanted.location), now=now,
            told=lambda: {"name": backup.name, "instance_id": None,
                          "description": backup.description, "parent_id": None})
        quotas.reserve(session, tenant_id, accepted.id, {"backups": 1},
                       quota.defaults(self._conf))
        return backup, accepted

    def _parent(self, session: Session, instance: Instance, engine: Engine,
                wanted: Wanted) -> Backup | None:
        """Return the locked backup to continue, None for a full one."""
        if not (wanted.parent_id or wanted.incremental):
            return None
        if not engine.capabilities.incremental_backups:
            raise NotSupported("The datastore does not offer incremental backups. "
                               f"{reasons(engine)['incremental_backups']}")
        if wanted.parent_id:
            parent = backups.get(session, wanted.parent_id, instance.tenant_id, lock=True)
            if parent is None:
                raise NotFound.of("Backup", wanted.parent_id)
            self._check_parent(parent, instance, engine)
            self._check_chain(session, parent)
            return parent
        found = backups.newest(session, instance.id, instance.datastore_version_id,
                               backup_strategy(self._conf, engine), wanted.schedule_id)
        found = backups.get(session, found.id, lock=True) if found is not None else None
        if found is None or found.state != BackupState.COMPLETED:
            return None
        try:
            self._check_chain(session, found)
        except Conflict:
            return None  # what nobody named need not be continued
        return found

    def _check_parent(self, parent: Backup, instance: Instance, engine: Engine) -> None:
        rule = "Validation error: backup.parent_id"
        if parent.instance_id != instance.id:
            raise BadRequest(f"{rule} {parent.id} is of another instance.")
        if parent.storage_driver != backups.SWIFT:
            raise BadRequest(f"{rule} {parent.id} is no backup in the object store.")
        if parent.for_replicas:
            raise Conflict(f"Backup {parent.id} cannot be continued: it is there for new "
                           "replicas only.")
        if parent.state != BackupState.COMPLETED:
            raise Conflict(f"Backup {parent.id} cannot be continued: it is {parent.state}.")
        if parent.datastore_version_id != instance.datastore_version_id:
            raise Conflict(f"Backup {parent.id} cannot be continued: it is of another datastore "
                           "version.")
        if parent.backup_type != backup_strategy(self._conf, engine):
            raise Conflict(f"Backup {parent.id} cannot be continued: backups are made in "
                           "another way now.")

    def _check_chain(self, session: Session, parent: Backup) -> None:
        chain = backups.chain(session, parent.id)
        if len(chain) >= self._conf.backup_chain_limit:
            raise Conflict(f"Backup {parent.id} cannot be continued: there are {len(chain)} in a "
                           "row already. Make a full one.")
        broken = find_broken(chain)
        if broken is not None:
            raise Conflict(f"Backup {parent.id} cannot be continued: backup {broken.id}, which "
                           "it continues, cannot be used.")

    def begin_delete(self, session: Session, backup: Backup, context: RequestContext,
                     now: datetime.datetime) -> list[str]:
        """Begin to delete a backup, and those that continue it; return the operations.

        :param backup: locked
        :raises UnprocessableEntity: one of them is being made, or restored
        """
        tree = self._tree(session, backup)
        # read when all of them are locked: whoever restores one locks it first
        in_use = {str(one.get("backup_id")) for action in (
            payloads.INSTANCE_CREATE, payloads.INSTANCE_CREATE_REPLICA)
            for one in operations.live_payloads(session, backup.tenant_id, action)}
        for one in tree:
            if one.state in BACKUP_RUNNING:
                raise UnprocessableEntity(f"Backup {one.id} cannot be deleted now: it is "
                                          f"{one.state}.")
            if one.id in in_use:
                raise UnprocessableEntity(f"Backup {one.id} cannot be deleted now: an instance "
                                          "is restored from it.")
        return [self._submit_delete(session, one, context, now).id for one in tree]

    def _tree(self, session: Session, backup: Backup) -> list[Backup]:
        """Return a backup and all that continue it, locked, unless they are being deleted; what
        continues another one comes before it."""
        if backup.state == BackupState.DELETING:
            return []
        below = [self._tree(session, one) for one in backups.children(session, backup.id)]
        return [*itertools.chain.from_iterable(below), backup]

    def _submit_delete(self, session: Session, backup: Backup, context: RequestContext,
                       now: datetime.datetime) -> Operation:
        backup.state, backup.updated = BackupState.DELETING, now
        return self._requests.submit(
            session, action=(payloads.BACKUP_DELETE_SNAPSHOT
                             if backup.storage_driver == backups.CINDER
                             else payloads.BACKUP_DELETE), resource_type="backup",
            resource_id=backup.id, tenant_id=backup.tenant_id, context=context,
            payload=payloads.DeleteBackup(), now=now)


def release(backup: Backup) -> str:
    """Return the release of the server that a backup is of; empty if it does not tell."""
    record = backup.manifest
    if backup.storage_driver != backups.CINDER:
        record = record.get("metadata", {})
    return str(record.get("version", ""))


def find_broken(chain: Sequence[Backup]) -> Backup | None:
    """Return the first of some backups that cannot be used, None if all can."""
    return next((one for one in chain if not is_whole(one)), None)


def is_restorable(backup: Backup, action: str) -> bool:
    """Return whether an operation may restore a backup, or what continues it.

    One that was found to be damaged is verified again: what found it may have been wrong.
    """
    return is_whole(backup) or (action == payloads.BACKUP_VERIFY and not backup.deleted
                                and backup.state == BackupState.CORRUPT)


def is_whole(backup: Backup) -> bool:
    """Return whether a backup can be restored, or continued, as far as is known."""
    return not backup.deleted and backup.state in BACKUP_USABLE
