"""Accepting new replicas of an instance."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept, accept_create, accept_tls, effective_versions, regions
from trove_ng.api.call import Call
from trove_ng.api.handlers.instances import render
from trove_ng.api.schemas.common import TITLE
from trove_ng.api.wake import wake
from trove_ng.common.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    NotSupported,
    UnprocessableEntity,
)
from trove_ng.conf.cloud import own_region
from trove_ng.db.models import Backup, DatastoreVersion, Instance
from trove_ng.db.repositories import backups, datastores, instances, tls
from trove_ng.db.repositories import volumes as stored_volumes
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.volumes import DATA, Volume
from trove_ng.operations import payloads, replication
from trove_ng.operations.backups import Backups
from trove_ng.operations.backups import Wanted as WantedBackup
from trove_ng.operations.readiness import Loaded

#: what a replica has as its source does, so that a request may not say it
_OF_SOURCE = ("databases", "users", "locality", "volume_list", "volume_config",
              "failover")
#: characters of an instance's name
_MOST_OF_NAME: int = TITLE["maxLength"]


@retry_on_db_error
def create_replicas(call: Call) -> dict[str, Any]:
    """Write replicas, the operations that build them, and that of their one snapshot.

    :return: view of the first one
    """
    body = call.body["instance"]
    for name in _OF_SOURCE:
        if body.get(name):
            raise BadRequest(f"Validation error: instance.{name}: a replica has what its source "
                             "has.")
    if body.get("log_archiving"):
        raise BadRequest("Validation error: instance.log_archiving: the log of the source is "
                         "archived, not that of a replica.")
    if (body.get("restorePoint") or {}).get("time") is not None:
        raise BadRequest("Validation error: instance.restorePoint.time: a replica has all that "
                         "its source has.")
    wanted, body = _plan(call, body)
    count = int(body.get("replica_count") or 1)
    with call.services.db.writer() as session:
        loaded = accept.load(session, call, body["replica_of"])
        version = _check(session, call, loaded, body, wanted)
        wanted = accept_create.limited(session, call, version, wanted)
        backup, seeding = _snapshot(session, call, loaded, body)
        begun = [_begin(session, call, {**body, "name": name}, loaded.instance, version, wanted,
                        backup, count) for name in _names(body["name"], count)]
        view = render(session, call, begun[0][0])
        call.keep(session, {"instance": view}, begun[0][1])
    for operation_id in (*seeding, *(one[1] for one in begun)):
        wake(call, operation_id)
    # the one of the view, as a repeated request is answered
    call.operation_id = begun[0][1]
    return view


def _names(name: str, count: int) -> list[str]:
    """Return the names of replicas, which are numbered if there are several.

    :raises BadRequest: they are too long
    """
    found = [name] if count == 1 else [f"{name}-{number + 1}" for number in range(count)]
    if len(found[-1]) > _MOST_OF_NAME:
        raise BadRequest("Validation error: instance.name must have at most "
                         f"{_MOST_OF_NAME - len(found[-1]) + len(name)} characters for "
                         f"{count} replicas.")
    return found


def _plan(call: Call, body: dict[str, Any]) -> tuple[accept_create.Wanted, dict[str, Any]]:
    """Return what is asked for, and the request with what it leaves to the source."""
    with call.services.db.reader() as session:
        source = instances.get(session, body["replica_of"], call.context.project_id)
        if source is None:
            raise NotFound.of("Instance", body["replica_of"])
        held = [Volume(one.volume_kind, one.size or 0, one.provider_type, one.device_type,
                       one.provider) for one in stored_volumes.of(session, source)]
        session.expunge_all()
    region = source.region_id or own_region(call.services.conf)
    if (body.get("region_name") or body.get("region")) and regions.wanted(call, body) != region:
        raise BadRequest("Validation error: instance.region_name: a replica is in the region of "
                         f"its source, {region}.")
    if any(one.keys() & {"ip_address", "ip-address", "v4-fixed-ip"}
           for one in body.get("nics") or []):
        raise BadRequest("Validation error: instance.nics: the address of a replica cannot be "
                         "chosen.")
    nics = [{name: value for name, value in one.items() if name != "ip_address"}
            for one in source.nics or []]
    whole = {
        "flavorRef": source.flavor_id, "configuration": source.configuration_id, **body,
        "nics": body.get("nics") or nics,
        "access": {"is_public": False, **{
            name: value for name, value in (source.access or {}).items()
            if name == "allowed_cidrs"}, **(body.get("access") or {})}}
    return accept_create.check(
        call, whole, region, lambda call, body: _volumes(call, body, held)), whole


def _volumes(call: Call, body: dict[str, Any], held: list[Volume]) -> list[Volume]:
    """Return the volumes of the source, with the data volume that the request wants."""
    given = body.get("volume") or {}
    if given and not any(one.kind == DATA for one in held):
        raise BadRequest("Validation error: instance.volume: the source has no data volume.")
    size = int(given.get("size") or 0)
    most = call.services.conf.max_accepted_volume_size
    if size > most:
        raise BadRequest(f"Validation error: instance.volume.size must be from 1 to {most} GB.")
    return [dataclasses.replace(one, size=size or one.size,
                                volume_type=given.get("type") or one.volume_type,
                                named=bool(given.get("type")))
            if one.kind == DATA else one for one in held]


def _check(session: Session, call: Call, loaded: Loaded, body: dict[str, Any],
           wanted: accept_create.Wanted) -> DatastoreVersion:
    """Check that the source can have replicas now; return its datastore version."""
    source = loaded.instance
    if source.slave_of_id is not None:
        raise Forbidden(f"Instance {source.id} is a replica itself; a replica of it cannot be "
                        "made.")
    accept.usable(call, loaded)
    engine = effective_versions.engine(session, source.datastore_version_id, loaded.manager)
    if not engine.capabilities.replication:
        raise NotSupported("The datastore does not offer replication.")
    spoken = tls.get(session, source.id)
    if spoken is not None and spoken.mode is not None:
        accept_tls.check_set(call, source, engine, spoken.mode)
        if source.restart_required and engine.tls_restarts:
            raise UnprocessableEntity(f"Instance {source.id} has to be restarted before it has "
                                      "replicas, which follow it over TLS.")
    found = datastores.get_version(session, source.datastore_version_id)
    if found is None:
        raise NotFound.of("Datastore version", source.datastore_version_id)
    if body.get("datastore") and effective_versions.wanted(
            session, call, body["datastore"], "instance.datastore").id != found[0].id:
        raise BadRequest("Validation error: instance.datastore: a replica is of the datastore "
                         f"version of its source, {found[1].name} {found[0].name}.")
    if (wanted.volume_size or 0) < (source.volume_size or 0):
        raise BadRequest("Validation error: instance.volume.size must be at least "
                         f"{source.volume_size} GB, as the source has.")
    return found[0]


def _snapshot(session: Session, call: Call, loaded: Loaded, body: dict[str, Any],
              ) -> tuple[Backup | None, list[str]]:
    """Begin the backup that all replicas begin with; it continues another one if it can.

    :return: it and the ids of operations; none where replicas copy their source themselves
    """
    services, source = call.services, loaded.instance
    engine = effective_versions.engine(session, source.datastore_version_id, loaded.manager)
    point = (body.get("restorePoint") or {}).get("backupRef")
    if engine.replicas_copy:
        if point:
            raise BadRequest("Validation error: instance.restorePoint: a replica copies the data "
                             "of its source.")
        return None, []
    backup, accepted = Backups(services.conf, services.requests).begin(
        session, source, engine, WantedBackup(
            name=f"Snapshot for replicas of {source.name}"[:255], driver=backups.SWIFT,
            parent_id=point, incremental=engine.capabilities.incremental_backups,
            for_replicas=True), call.context, services.clock.now())
    return backup, [accepted.id]


def _begin(session: Session, call: Call, body: dict[str, Any], source: Instance,
           version: DatastoreVersion, wanted: accept_create.Wanted,
           backup: Backup | None, count: int) -> tuple[str, str]:
    """Write one replica; return the ids of instance and operation."""
    instance = accept_create.new_row(call, body, version, wanted)
    instance.slave_of_id = source.id
    if body.get("configuration"):
        engine = effective_versions.engine(session, version.id, version.manager)
        instance.configuration_id = accept_create.configuration(
            session, call, engine, body["configuration"], version)
    operation_id = accept_create.begin(
        session, call, instance, wanted, payloads.INSTANCE_CREATE_REPLICA,
        {payloads.REPLICA_SECRET: replication.new_password()},
        payloads.CreateReplica(
            backup_id=backup.id if backup is not None else None,
            modules=accept_create.wanted_modules(session, call, body, version)),
        replica_of=source.id, replica_count=count)
    return instance.id, operation_id
