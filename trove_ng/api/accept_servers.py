"""Accepting what is done to the server below an instance."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from trove_ng.api import accept, effective_versions
from trove_ng.api.accept_configurations import for_instance
from trove_ng.api.call import Call
from trove_ng.api.wake import wake
from trove_ng.common.errors import (
    BadRequest,
    NotFound,
    NotSupported,
    UnprocessableEntity,
)
from trove_ng.datastores import base as engines
from trove_ng.db.models import DatastoreVersion, Instance
from trove_ng.db.repositories import datastores, volumes
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.instance_status import Task, refuse_repair
from trove_ng.domain.volumes import DATA, NOVA
from trove_ng.operations import payloads
from trove_ng.operations.readiness import Loaded


@retry_on_db_error
def upgrade_instance(call: Call, wanted: str, also: Callable[[Instance], None]) -> None:
    """Begin to move an instance to another version of its datastore.

    :param wanted: id or name of the version
    :param also: what is changed with it
    """
    with call.services.db.writer() as session:
        loaded = accept.load(session, call, call.params["id"])
        version = _version(session, call, loaded, wanted)
        _check_keeps_data(session, loaded, effective_versions.engine(
            session, loaded.instance.datastore_version_id, loaded.manager))
        accept.usable(call, loaded)
        also(loaded.instance)
        operation_id = accept.begin(
            session, call, loaded, payloads.INSTANCE_UPGRADE, Task.UPGRADING,
            payloads.UpgradeInstance(
                datastore_version_id=version.id,
                previous_id=loaded.instance.datastore_version_id))
    wake(call, operation_id)


def _version(session: Session, call: Call, loaded: Loaded, ident: str) -> DatastoreVersion:
    """Return the version that an upgrade goes to.

    :raises NotFound: the caller sees no such version
    :raises BadRequest: it is one of another datastore, or of several that have this name
    :raises UnprocessableEntity: the instance's configuration group does not fit it
    """
    present = datastores.get_version(session, loaded.instance.datastore_version_id)
    found = datastores.find_versions(session, ident, call.owner, active=True, lock=True)
    if not found or present is None:
        raise NotFound.of("Datastore version", ident)
    own = [version for version, datastore in found if datastore.id == present[1].id]
    if len(own) != 1 or own[0].manager != loaded.manager:
        raise BadRequest(f"Validation error: instance.datastore_version {ident} must name one "
                         f"version of the instance's datastore, {present[1].name}.")
    bound = datastores.bindings(session, own[0].id).get("flavor")
    if bound and loaded.instance.flavor_id not in bound:
        raise BadRequest(f"Validation error: instance.datastore_version {ident} does not allow "
                         f"the flavor of the instance, {loaded.instance.flavor_id}.")
    instance = loaded.instance
    if instance.configuration_id is not None and instance.datastore_version_id != own[0].id:
        for_instance(session, instance.configuration_id, instance.tenant_id, own[0].id)
    return own[0]


def _check_keeps_data(session: Session, loaded: Loaded, engine: engines.Datastore) -> None:
    """Check that the database outlives the root disk.

    :raises NotSupported: the datastore cannot put itself in force on another one
    :raises BadRequest: the data are on it
    """
    if not engine.capabilities.upgrades:
        raise NotSupported(f"{loaded.manager} does not offer upgrades.")
    data = volumes.get(session, loaded.instance.id, DATA)
    if data is None or data.provider == NOVA:
        raise BadRequest("The data of the instance are on no volume, but on the disks of its "
                         "server, which would be replaced.")


def _repairable(_session: Session, loaded: Loaded) -> None:
    why = refuse_repair(loaded.facts)
    if why is None and loaded.instance.compute_instance_id is None:
        why = "it has no server"
    if why is not None:
        raise UnprocessableEntity(
            f"Instance {loaded.instance.id} is not ready for this: {why}.")


def rebuild_instance(call: Call, image_id: str) -> None:
    """Begin to replace the root disk, whatever the database does now."""
    def check(session: Session, loaded: Loaded) -> None:
        _repairable(session, loaded)
        # what the operator switched off is off for users
        _check_keeps_data(session, loaded, engines.get(loaded.manager))

    accept.submit(call, check, payloads.INSTANCE_REBUILD, Task.REBUILDING,
                  payloads.RebuildInstance(image_id=image_id))


def reboot_instance(call: Call) -> None:
    """Begin to reboot the server, whatever the database does now."""
    accept.submit(call, _repairable, payloads.INSTANCE_REBOOT, Task.REBOOTING,
                  payloads.RebootInstance())


def stop_instance(call: Call) -> None:
    """Begin to stop the database."""
    accept.submit(call, lambda _, loaded: accept.usable(call, loaded), payloads.INSTANCE_STOP,
                  Task.STOPPING, payloads.StopInstance())


def migrate_instance(call: Call, host: str | None) -> None:
    """Begin to move the server to another machine.

    :param host: None leaves the choice to the cloud
    """
    accept.submit(call, lambda _, loaded: accept.usable(call, loaded),
                  payloads.INSTANCE_MIGRATE, Task.MIGRATING,
                  payloads.MigrateInstance(host=host))
