"""Create an instance: network, volume, server, agent, database."""

from __future__ import annotations

import datetime
import functools

from sqlalchemy.orm import Session

from trove_ng.common import notifications as told
from trove_ng.common.secret import Secret
from trove_ng.db.models import Instance
from trove_ng.db.repositories import backups, instances
from trove_ng.domain.instance_status import NOT_MADE
from trove_ng.domain.volumes import DATA
from trove_ng.operations import (
    access,
    guest,
    log_archives,
    modules,
    names,
    overrides,
    payloads,
    placement,
    root,
    servers,
    snapshots,
    storage,
    usage,
    volumes,
)
from trove_ng.operations.backups import is_restorable
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages


def _make_server(work: Work) -> None:
    servers.make_server(work, volumes.ephemeral(work))


def _make_volumes(work: Work) -> None:
    """Make the volumes, the data volume of the snapshot that is restored if there is one."""
    volumes.make(work, _snapshot(work))


def _snapshot(work: Work) -> snapshots.Taken | None:
    """Return the snapshot to restore, None if nothing or a backup of objects is."""
    backup_id = work.payload(payloads.CreateInstance).backup_id
    return snapshots.taken(work, backup_id) if backup_id else None


def _wait_for_agent(work: Work) -> None:
    guest.wait_for_agent(work, work.resource_id)


def _prepare(work: Work) -> None:
    instance = servers.load(work)
    request = _request(work, instance)
    client = work.tools.guests(instance.id, work.context)
    result = guest.run_long(work, instance.id, "prepare", lambda: client.prepare(request))
    if request.restore is not None and request.restore.log is not None:
        with work.writer() as session:
            log_archives.tell_restored(session, instance.id, request.restore.log.until, result,
                                       work.tools.clock.now())


def _request(work: Work, instance: Instance) -> messages.PrepareRequest:
    payload = work.payload(payloads.CreateInstance)
    secrets = work.secrets()
    version, datastore = servers.load_version(work, instance)
    engine = work.tools.datastores[version.manager]
    source = _snapshot(work)
    return messages.PrepareRequest(
        operation_id=work.id, step="prepare", datastore=datastore.name,
        datastore_version=version.version, memory_mb=instance.flavor_ram,
        volume=volumes.spec(work, DATA) if instance.volume_id else None,
        device_config=volumes.devices(work),
        databases=[messages.DatabaseSpec(
            name=one.name, character_set=one.character_set, collate=one.collate)
            for one in payload.databases],
        users=[messages.UserSpec(
            name=one.name, host=one.host, databases=one.databases,
            password=_password(secrets, payloads.user_secret(one.name, one.host)))
            for one in payload.users],
        root_password=(_password(secrets, payloads.ROOT_SECRET)
                       if payload.enable_root else None),
        overrides=overrides.values_of(work, instance.configuration_id),
        restore=(_restore(work, payload.backup_id, payload.restore_time)
                 if payload.backup_id and source is None else None),
        existing=messages.ExistingData(version=source.version) if source is not None else None,
        config=engine.config(instance.flavor_ram, version.version),
        replica=instance.slave_of_id is not None)


def _password(secrets: dict[str, Secret], name: str) -> Secret:
    found = secrets.get(name)
    if found is None:
        raise StepFailed("The passwords of the request are lost.")
    return found


def _restore(work: Work, backup_id: str, until: str | None) -> messages.RestoreSpec:
    with work.reader() as session:
        chain = backups.chain(session, backup_id)
    if not chain or not all(is_restorable(one, work.action) for one in chain):
        raise StepFailed(f"Backup {backup_id} cannot be restored any more.")
    return messages.RestoreSpec(
        backup_id=backup_id, chain=[storage.stored(one) for one in chain],
        grants=[storage.grant(work, one, write=False) for one in chain],
        keys=[storage.key(work, one) for one in chain], region=chain[-1].region_id,
        log=None if until is None else log_archives.replay(
            work, chain[-1], datetime.datetime.fromisoformat(until)))


def _wait_for_database(work: Work) -> None:
    guest.wait_for_database(work, work.resource_id)


def _look_at_root(work: Work) -> None:
    """Write down that root can log in, if it came with the data that were restored."""
    if work.payload(payloads.CreateInstance).backup_id is not None:
        root.look_for_a_while(work)


def _apply_modules(work: Work) -> None:
    """Apply modules; one that fails is told, and leaves a database that works."""
    wanted = work.payload(payloads.CreateInstance).modules
    for module_id, why in modules.apply(work, work.resource_id, wanted).items():
        modules.tell(work, work.resource_id, module_id, why)


def _succeed(work: Work, session: Session) -> None:
    ending.succeed(work, session)
    found = instances.get(session, work.resource_id)
    if found is not None:
        usage.note(work, session, told.CREATED, found)
    if work.payload(payloads.CreateInstance).enable_root:
        instances.note_root_enabled(
            session, work.resource_id, work.context.user_id, work.tools.clock.now())


RUNBOOK = Runbook(payloads.INSTANCE_CREATE, (
    Step("security_group", servers.make_security_group, servers.drop_security_group),
    Step("ports", servers.make_ports, servers.drop_ports),
    Step("floating_ip", access.make_address, access.drop_address),
    Step("name", names.make, names.drop),
    Step("volume", _make_volumes, volumes.drop),
    Step("key", servers.make_key, servers.drop_key),
    Step("server_group", placement.make_group, placement.drop_group),
    Step("server", _make_server, servers.drop_server),
    Step("attach_volume", volumes.attach),
    Step("agent", _wait_for_agent),
    Step("prepare", _prepare),
    Step("database", _wait_for_database),
    Step("root", _look_at_root),
    Step("modules", _apply_modules),
), _succeed, functools.partial(ending.fail_for_good, NOT_MADE), cancellable=True)
