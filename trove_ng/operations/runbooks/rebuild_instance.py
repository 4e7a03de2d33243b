"""Replace the root disk of an instance's server; the data volume and the addresses stay.

An upgrade takes the image of another datastore version, a rebuild any one.  An upgrade whose
new disk boots no agent goes back to the old image.  Once the agent on the new disk is asked to
use the data there is no way back: what fails then leaves the instance in error.  A disk that is
replaced when nobody waits for it any more, or by somebody else, is put to use by a recovery.
"""

from __future__ import annotations

import functools
import logging

from trove_ng.common.errors import GuestTimeout, TroveError
from trove_ng.db.models import DatastoreVersion
from trove_ng.db.repositories import datastores, instances, operations, service_statuses
from trove_ng.db.repositories import modules as module_rows
from trove_ng.db.trouble import StoreAway
from trove_ng.domain.volumes import DATA
from trove_ng.operations import (
    database,
    fencing,
    guest,
    modules,
    overrides,
    payloads,
    servers,
    volumes,
)
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc.lines import BusAway
from trove_ng.rpc.server_messages import PostUpgrade, PreUpgrade

LOG = logging.getLogger(__name__)

#: metadata of a server that names the operation that replaced its disk
_MARK = "trove_rebuild"
#: added to the operation's id when the old image was put back
_BACK = "/back"
#: metadata of a server: the image that it had before
_BEFORE = "trove_image_before"
_USE = "post_upgrade"
_STOP = "stop"


def _target(work: Work) -> DatastoreVersion:
    """Return the version that an upgrade goes to.

    :raises StepFailed: it is gone
    """
    with work.reader() as session:
        found = datastores.get_version(
            session, work.payload(payloads.UpgradeInstance).datastore_version_id)
    if found is None:
        raise StepFailed("The datastore version is gone.")
    return found[0]


def _ask_before(work: Work, version: str) -> None:
    client = work.tools.guests(work.resource_id, work.context)
    client.pre_upgrade(PreUpgrade(
        operation_id=work.id, step="pre_upgrade", datastore_version=version))


def _before_upgrade(work: Work) -> None:
    version = _target(work)
    servers.image(work, version)  # better no upgrade than one that fails half-way
    _ask_before(work, version.version)


def _find_image(work: Work) -> None:
    image_id = work.payload(payloads.RebuildInstance).image_id
    if work.tools.clouds.images.get_image(image_id) is None:
        raise StepFailed(f"There is no image {image_id}.")


def _before_rebuild(work: Work) -> None:
    """Keep the settings and stop the database, if that can be: a broken server is rebuilt."""
    version, _ = servers.load_version(work, servers.load(work))
    try:
        _ask_before(work, version.version)
        database.stop(work)
    except (StoreAway, BusAway):
        raise
    except TroveError as err:
        if isinstance(err, GuestTimeout) and _is_heard(work):
            raise  # it is asked again: the word may be lost
        LOG.warning("operation %s: instance %s is rebuilt as it is: %s", work.id,
                    work.resource_id, err.message)


def _is_heard(work: Work) -> bool:
    """Return whether the agent lives, and may not have been asked for long enough."""
    conf, now = work.tools.conf, work.tools.clock.now()
    with work.reader() as session:
        row = service_statuses.get(session, work.resource_id)
        begun = operations.step_began(session, work.id, _STOP)
    return (begun is not None and service_statuses.is_fresh(
        row, now, conf.agent_heartbeat_expiry)
        and (now - begun).total_seconds() < conf.guest_long_call_timeout / 2)


def _start_again(work: Work) -> None:
    if servers.existing(work).metadata.get(_MARK) not in (work.id, work.id + _BACK):
        database.start_again(work)


def _rebuild(work: Work, image_id: str, version: DatastoreVersion, way: str = "") -> None:
    instance, compute = servers.load(work), work.tools.clouds.compute
    server = servers.existing(work)
    if server.metadata.get(_MARK) != work.id + way:
        marks = {_MARK: work.id + way} | ({} if way else {_BEFORE: server.image_id})
        compute.rebuild_server(
            server.id, image_id, servers.make_user_data(work, instance, version),
            {**server.metadata, **marks})
    server = servers.wait_for_server(work, server.id, *servers.AT_REST)
    if server.status == "SHUTOFF":
        compute.start_server(server.id)
        server = servers.wait_for_server(work, server.id, "ACTIVE")
    servers.note_server(work, server)
    fencing.reopen(work)


def _rebuild_as_asked(work: Work) -> None:
    version, _ = servers.load_version(work, servers.load(work))
    _rebuild(work, work.payload(payloads.RebuildInstance).image_id, version)


def _rebuild_as_version(work: Work) -> None:
    version = _target(work)
    _rebuild(work, servers.image(work, version), version)
    with work.writer() as session:
        found = instances.get(session, work.resource_id)
        if found is not None:
            found.datastore_version_id = version.id


def _go_back(work: Work) -> None:
    """Put the old image back, unless the new one was let at the data.

    :raises StepFailed: there is no way back
    """
    server = servers.existing(work)
    if server.metadata.get(_MARK) not in (work.id, work.id + _BACK):
        return
    with work.reader() as session:
        used = any(one.step == _USE for one in operations.steps(session, work.id))
        previous = work.payload(payloads.UpgradeInstance).previous_id
        found = datastores.get_version(session, previous) if previous else None
    image_id = server.metadata.get(_BEFORE)
    if used or found is None or not image_id:
        raise StepFailed("The root disk is replaced already.")
    servers.note(work, datastore_version_id=found[0].id)
    _rebuild(work, image_id, found[0], _BACK)
    _wait_for_agent(work)
    _ask_after(work, "post_upgrade_back")
    guest.wait_for_database(work, work.resource_id)


def _stand(work: Work) -> None:
    """Say that there is no way back, if there is none.

    :raises StepFailed: the disk is replaced
    """
    if servers.existing(work).metadata.get(_MARK) == work.id:
        raise StepFailed("The root disk is replaced already.")


def _note_version(work: Work) -> None:
    """Note the version that a disk has which an upgrade replaced after it was given up."""
    mark = servers.existing(work).metadata.get(_MARK, "")
    with work.writer() as session:
        asked = operations.get(session, mark)
        found = instances.get(session, work.resource_id)
        if (found is not None and asked is not None
                and (asked.action, asked.resource_id) == (payloads.INSTANCE_UPGRADE, found.id)):
            target = payloads.load(asked.payload, payloads.UpgradeInstance)
            version = datastores.get_version(session, target.datastore_version_id)
            if version is not None:
                found.datastore_version_id = version[0].id


def _wait_for_agent(work: Work) -> None:
    guest.wait_for_new_agent(work, work.resource_id)


def _after(work: Work) -> None:
    _ask_after(work, _USE)


def _ask_after(work: Work, step: str) -> None:
    instance = servers.load(work)
    version, _ = servers.load_version(work, instance)
    work.tools.guests(instance.id, work.context).post_upgrade(PostUpgrade(
        operation_id=work.id, step=step, memory_mb=instance.flavor_ram,
        config=work.tools.datastores[version.manager].config(
            instance.flavor_ram, version.version),
        volume=volumes.spec(work, DATA), device_config=volumes.devices(work),
        overrides=overrides.values_of(work, instance.configuration_id)))


def _wait_for_database(work: Work) -> None:
    """Wait for the database; a request that came late may have replaced the disk once more."""
    guest.wait_for_database(work, work.resource_id, when_new=_after)


def _apply_modules(work: Work) -> None:
    """Put the modules in force on the new disk; one that fails is told."""
    with work.reader() as session:
        wanted = [row.module_id for row in module_rows.of_instance(session, work.resource_id)]
    for module_id, why in modules.apply(work, work.resource_id, wanted).items():
        modules.tell(work, work.resource_id, module_id, why)


_REST = (Step("agent", _wait_for_agent), Step(_USE, _after),
         Step("database", _wait_for_database), Step("modules", _apply_modules))

RUNBOOKS = (
    Runbook(payloads.INSTANCE_UPGRADE, (
        Step("pre_upgrade", _before_upgrade),
        Step("stop", database.stop, _start_again),
        Step("rebuild", _rebuild_as_version, _go_back, final=True), *_REST,
    ), ending.succeed_restarted, ending.fail_unchanged, cancellable=True),
    Runbook(payloads.INSTANCE_REBUILD, (
        Step("image", _find_image),
        Step(_STOP, _before_rebuild, _start_again),
        Step("rebuild", _rebuild_as_asked, _stand, final=True), *_REST,
    ), ending.succeed_restarted, ending.fail_unchanged),
    Runbook(payloads.INSTANCE_RECOVER, (Step("version", _note_version), *_REST),
            ending.succeed_restarted, functools.partial(ending.fail_for_good, "RECOVER")),
)
