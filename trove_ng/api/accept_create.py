"""Accepting a new instance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import (
    accept_access,
    accept_failover,
    accept_log_archives,
    accept_modules,
    accept_networks,
    accept_volumes,
    effective_versions,
    regions,
)
from trove_ng.api.accept_configurations import for_instance
from trove_ng.api.call import Call
from trove_ng.api.handlers import statements
from trove_ng.api.handlers.instances import render
from trove_ng.api.wake import wake
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.common.secret import Secret, generate_password
from trove_ng.common.states import BACKUP_USABLE
from trove_ng.conf import quota
from trove_ng.conf.cloud import own_region
from trove_ng.datastores.base import Datastore as Engine
from trove_ng.db.models import Backup, Datastore, DatastoreVersion, Instance, InstanceVolume
from trove_ng.db.models.base import new_id
from trove_ng.db.repositories import backups, datastores, instances, quotas
from trove_ng.db.repositories import volumes as stored_volumes
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.catalog import Flavor, VolumeType
from trove_ng.domain.instance_status import Task
from trove_ng.domain.versions import is_same_release
from trove_ng.domain.volumes import CINDER, DATA, ROOT, Volume, check_kinds, check_room
from trove_ng.operations import payloads
from trove_ng.operations.backups import find_broken, release
from trove_ng.rpc.messages import DatabaseSpec, UserSpec


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is asked for, checked as far as that needs no store.

    :param volume_types: those of the cloud
    """

    flavor: Flavor
    volumes: list[Volume]
    volume_types: Sequence[VolumeType]
    nics: list[dict[str, Any]]
    zone: str | None
    access: dict[str, Any]
    region: str

    @property
    def data(self) -> Volume | None:
        """The data volume."""
        return next((one for one in self.volumes if one.kind == DATA), None)

    @property
    def volume_size(self) -> int | None:
        """GB of the data volume."""
        return self.data.size if self.data is not None else None

    @property
    def total(self) -> int:
        """GB of all volumes together, without the root disk."""
        return sum(one.size for one in self.volumes if one.kind != ROOT)

    @property
    def volume_type(self) -> str | None:
        """Type of the data volume; None: the default one."""
        return self.data.volume_type if self.data is not None else None


@retry_on_db_error
def create_instance(call: Call) -> dict[str, Any]:
    """Write an instance and the operation that builds it; return its view."""
    body = call.body["instance"]
    if int(body.get("replica_count") or 1) > 1:
        raise BadRequest("Validation error: instance.replica_count is for replicas: "
                         "instance.replica_of is required.")
    wanted = check(call, body, regions.wanted(call, body), accept_volumes.wanted)
    if wanted.region != own_region(call.services.conf):
        _check_image(call, body, wanted.region)
    root: Secret | None = None
    with call.services.db.writer() as session:
        version = effective_versions.wanted(
            session, call, _datastore(session, call, body), "instance.datastore")
        engine = effective_versions.engine(session, version.id, version.manager)
        check_kinds(wanted.volumes, engine.volume_kinds)
        wanted = limited(session, call, version, wanted)
        databases, users = _statements(call, engine, body)
        backup = _backup(session, call, body, version, wanted)
        until = accept_log_archives.restore_time(
            session, engine, backup, body.get("restorePoint"), wanted.volume_size)
        if version.manager in call.services.conf.root_on_create and engine.capabilities.root:
            root = Secret(generate_password())
        instance = new_row(call, body, version, wanted)
        if body.get("configuration"):
            instance.configuration_id = configuration(
                session, call, engine, body["configuration"], version)
        modules = wanted_modules(session, call, body, version)
        operation_id = _begin(session, call, instance, wanted, databases, users, backup, until,
                              root, modules)
        accept_log_archives.begin(session, call, engine, instance, body.get("log_archiving"))
        if body.get("failover"):
            call.authorize("instance:update_failover")
            accept_failover.write(session, call, instance, body["failover"], engine)
            session.flush()
        view = render(session, call, instance.id)
        if root is not None:
            view["password"] = root.reveal()
        call.keep(session, {"instance": view}, operation_id)
    wake(call, operation_id)
    return view


def _check_image(call: Call, body: dict[str, Any], region: str) -> None:
    # the cloud is not asked while the store is written to
    with call.services.db.reader() as session:
        version = effective_versions.wanted(
            session, call, _datastore(session, call, body), "instance.datastore", lock=False)
    regions.check_image(call, version, region)


def _datastore(session: Session, call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Return which version is asked for: that of the backup, when nothing is said."""
    asked: dict[str, Any] = body.get("datastore") or {}
    point = body.get("restorePoint")
    if asked or not point:
        return asked
    backup = backups.get(session, point["backupRef"], call.context.project_id)
    found = (datastores.get_version(session, backup.datastore_version_id)
             if backup is not None and backup.datastore_version_id else None)
    return {} if found is None else {"type": found[1].id, "version": found[0].id}


def check(call: Call, body: dict[str, Any], region: str,
          volumes_of: Callable[[Call, dict[str, Any]], list[Volume]]) -> Wanted:
    """Check what the cloud knows.

    :param volumes_of: returns the volumes that the request asks for
    :raises BadRequest: names field and rule
    """
    catalog = call.services.catalog.in_region(region)
    if "flavorRef" not in body:
        raise BadRequest("Validation error: instance.flavorRef is required.")
    flavor_id = str(body["flavorRef"]).rstrip("/").rpartition("/")[2]
    flavor = call.services.catalog.get_flavor(flavor_id)
    if flavor is None:
        raise BadRequest(f"Validation error: instance.flavorRef {flavor_id} does not exist.")
    regions.flavor_there(call, "instance.flavorRef", flavor, region)
    volumes = volumes_of(call, body)
    zone = body.get("availability_zone")
    if zone and not catalog.availability_zone_exists(zone):
        raise BadRequest(f"Validation error: instance.availability_zone {zone} does not exist.")
    return Wanted(flavor, volumes, catalog.list_volume_types() if volumes else (),
                  accept_networks.wanted(call, catalog, body.get("nics") or []), zone,
                  accept_access.checked(call, body.get("access") or {}, region), region)


def limited(session: Session, call: Call, version: DatastoreVersion, wanted: Wanted) -> Wanted:
    """Return what is asked for, within what the version is limited to."""
    limits = effective_versions.limits(session, version.id)
    limits.check_flavor("instance.flavorRef", wanted.flavor)
    check_room(wanted.volumes, wanted.flavor.disk_gb, wanted.flavor.ephemeral_gb)
    default = call.services.conf.cinder_volume_type
    return dataclasses.replace(wanted, volumes=[
        dataclasses.replace(one, volume_type=limits.volume_type(
            "instance.volume.type", one.volume_type, wanted.volume_types, default,
            named=one.named))
        if one.provider == CINDER else one for one in wanted.volumes])


def _statements(call: Call, engine: Engine, body: dict[str, Any],
                ) -> tuple[list[DatabaseSpec], list[UserSpec]]:
    ignored = call.services.conf.ignore_dbs
    wanted = body.get("databases") or [], body.get("users") or []
    for name, bodies, able in (("databases", wanted[0], engine.capabilities.databases),
                               ("users", wanted[1], engine.capabilities.users)):
        if bodies and not able:
            raise BadRequest(f"Validation error: instance.{name}: the datastore does not offer "
                             f"{name}.")
    databases = statements.databases(engine, wanted[0], ignored)
    users = statements.users(engine, wanted[1], ignored)
    made = {one.name for one in databases}
    for number, user in enumerate(users):
        for name in user.databases:
            # those of a backup are known to the guest only
            if name not in made and not body.get("restorePoint"):
                raise BadRequest(f"Validation error: users[{number}].databases: {name} is not "
                                 "among instance.databases.")
    return databases, users


def _backup(session: Session, call: Call, body: dict[str, Any], version: DatastoreVersion,
            wanted: Wanted) -> Backup | None:
    point = body.get("restorePoint")
    if not point:
        return None
    ident = point["backupRef"]
    found = backups.get(session, ident, call.context.project_id, lock=True)
    if found is None:
        raise NotFound.of("Backup", ident)
    if found.state not in BACKUP_USABLE:
        raise BadRequest(f"Validation error: instance.restorePoint.backupRef {ident} is "
                         f"{found.state}, not COMPLETED.")
    if found.for_replicas:
        raise BadRequest(f"Validation error: instance.restorePoint.backupRef {ident} is there for "
                         "new replicas only.")
    broken = find_broken(backups.chain(session, ident))
    if broken is not None:
        raise BadRequest(f"Validation error: instance.restorePoint.backupRef {ident} continues "
                         f"backup {broken.id}, which is "
                         f"{'gone' if broken.deleted else broken.state}.")
    _check_release(session, found, version)
    if found.storage_driver == backups.CINDER:
        _check_snapshot(call, found, wanted)
    if wanted.volume_size is not None and wanted.volume_size < (found.volume_size or 0):
        raise BadRequest("Validation error: instance.volume.size must be at least "
                         f"{found.volume_size} GB for the backup.")
    return found


def _check_release(session: Session, backup: Backup, version: DatastoreVersion) -> None:
    """Check that servers of a version read what one of the backup's version wrote.

    What it wrote is recorded with it; its version may be offered no more.

    :raises BadRequest: they may not
    """
    if backup.datastore_version_id == version.id:
        return
    rule = f"Validation error: instance.restorePoint.backupRef {backup.id}"
    own = session.get(DatastoreVersion, backup.datastore_version_id)
    if own is None or (own.datastore_id, own.manager) != (version.datastore_id, version.manager):
        raise BadRequest(f"{rule} is of another datastore.")
    wrote = release(backup) or own.version
    if not is_same_release(wrote, version.version):
        raise BadRequest(f"{rule} is of release {wrote}, and datastore version "
                         f"{version.name} is {version.version}.")


def _check_snapshot(call: Call, backup: Backup, wanted: Wanted) -> None:
    rule = "Validation error: instance.restorePoint.backupRef"
    own = own_region(call.services.conf)
    if (wanted.region or own) != (backup.region_id or own):
        raise BadRequest(f"{rule} {backup.id} is a snapshot in another region.")
    data = wanted.data
    if data is None or data.provider != CINDER:
        raise BadRequest(f"{rule} {backup.id} is a snapshot; the instance needs a volume.")


def wanted_modules(session: Session, call: Call, body: dict[str, Any],
                   version: DatastoreVersion) -> list[str]:
    """Return the ids of the modules that a new instance gets."""
    wanted = [one["id"] for one in body.get("modules") or []]
    if wanted:
        call.authorize("instance:module_apply")
    return accept_modules.for_new_instance(
        session, call, wanted, version.datastore_id, version.id)


def new_row(call: Call, body: dict[str, Any], version: DatastoreVersion,
            wanted: Wanted) -> Instance:
    """Return the row of a new instance."""
    return Instance(
        id=new_id(), name=body["name"], tenant_id=call.context.project_id,
        user_id=call.context.user_id, task=Task.BUILDING, flavor_id=wanted.flavor.id,
        flavor_ram=wanted.flavor.ram_mb, volume_size=wanted.volume_size,
        volume_type=wanted.volume_type, nics=wanted.nics, availability_zone=wanted.zone,
        locality=body.get("locality"), volume_config=body.get("volume_config"),
        region_id=wanted.region, access=wanted.access,
        datastore_version_id=version.id)


def _volumes(call: Call, instance: Instance, wanted: Wanted) -> list[InstanceVolume]:
    now = call.services.clock.now()
    return [InstanceVolume(
        instance_id=instance.id, volume_kind=one.kind, size=one.size, provider=one.provider,
        provider_type=one.volume_type, device_type=one.device_type, created=now, updated=now)
        for one in wanted.volumes]


def configuration(session: Session, call: Call, engine: Engine, ident: str,
                  version: DatastoreVersion) -> str:
    """Return the id of a configuration group that a new instance may have."""
    call.authorize("instance:update")
    if not engine.capabilities.configuration:
        raise BadRequest("Validation error: instance.configuration: the datastore does not "
                         "offer configuration groups.")
    return for_instance(session, ident, call.context.project_id, version.id).id


def _begin(session: Session, call: Call, instance: Instance, wanted: Wanted,
           databases: list[DatabaseSpec], users: list[UserSpec], backup: Backup | None,
           until: str | None, root: Secret | None, modules: list[str]) -> str:
    secrets = {payloads.user_secret(one.name, one.host): one.password
               for one in users if one.password is not None}
    if root is not None:
        secrets[payloads.ROOT_SECRET] = root
    return begin(session, call, instance, wanted, payloads.INSTANCE_CREATE, secrets,
                 payloads.CreateInstance(
        databases=[payloads.Database(name=one.name, character_set=one.character_set,
                                     collate=one.collate) for one in databases],
        users=[payloads.User(name=one.name, host=one.host, databases=one.databases)
               for one in users],
        backup_id=backup.id if backup is not None else None, restore_time=until,
        enable_root=root is not None, modules=modules))


def begin(session: Session, call: Call, instance: Instance, wanted: Wanted, action: str,
          secrets: Mapping[str, Secret], payload: payloads.CreateInstance, **told: Any) -> str:
    """Write an instance, its volumes, its modules and the operation that builds it.

    :param told: what its notification says besides
    :return: the id of the operation
    """
    now = call.services.clock.now()
    accepted = call.services.requests.submit(
        session, action=action, resource_type="instance",
        resource_id=instance.id, tenant_id=instance.tenant_id, context=call.context,
        payload=payload, now=now, secrets=secrets,
        told=lambda: {**_told(session, instance, payload), **told})
    instance.operation_id = accepted.id
    quotas.reserve(session, instance.tenant_id, accepted.id, {
        "instances": 1, "volumes": wanted.total, "ram": instance.flavor_ram},
        quota.defaults(call.services.conf))
    instances.add(session, instance)
    stored_volumes.add(session, _volumes(call, instance, wanted))
    accept_modules.begin(session, instance.id, payload.modules, now)
    return accepted.id


def _told(session: Session, instance: Instance, payload: payloads.CreateInstance,
          ) -> dict[str, Any]:
    """Return what the notification of the start says."""
    version = session.get_one(DatastoreVersion, instance.datastore_version_id)
    datastore = session.get_one(Datastore, version.datastore_id)
    return {
        "name": instance.name, "flavor": instance.flavor_id, "datastore": datastore.name,
        "datastore_version": version.name, "volume_size": instance.volume_size,
        "databases": ",".join(one.name for one in payload.databases) or None,
        "users": ",".join(one.name for one in payload.users) or None,
        "restore_point": payload.backup_id,
        "availability_zone": instance.availability_zone}
