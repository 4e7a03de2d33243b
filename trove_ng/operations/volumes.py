"""Making, attaching and removing the volumes of an instance: one list, the data volume first.

All functions may be repeated: what carries the instance's id is found first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from trove_ng.cloud.types import Volume
from trove_ng.db.models import Instance, InstanceVolume
from trove_ng.db.repositories import instances
from trove_ng.db.repositories import volumes as stored
from trove_ng.domain.volumes import (
    CINDER,
    DATA,
    DEVICE_TYPES,
    EXTERNAL,
    NOVA,
    ROOT,
    device_type,
)
from trove_ng.operations import removal, servers, snapshots
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc.messages import DeviceConfig, VolumeSpec

LOG = logging.getLogger(__name__)


def of(work: Work) -> list[InstanceVolume]:
    """Return the volumes that the operation's instance has, or is to have, detached."""
    with work.reader() as session:
        found = instances.get(session, work.resource_id)
        return [] if found is None else stored.of(session, found)


def get(work: Work, kind: str) -> InstanceVolume:
    """Return the volume of a kind.

    :raises StepFailed: there is none
    """
    for one in of(work):
        if one.volume_kind == kind and (one.volume_id is not None or one.provider != CINDER):
            return one
    raise StepFailed(f"The instance has no volume of kind {kind}.")


def make(work: Work, source: snapshots.Taken | None = None) -> None:
    """Make the volumes and wait until they can be used.

    :param source: the snapshot that the data volume holds; None: nothing
    """
    instance, storage = servers.load(work), work.tools.clouds.volume
    wanted = [one for one in of(work) if one.provider == CINDER]
    if not wanted:
        return
    known = {one.kind: one for one in reversed(storage.find_volumes(instance.id))}
    for one in wanted:
        held = source if one.volume_kind == DATA else None
        made = known.get(one.volume_kind) or _create(work, instance, one, held)
        with work.writer() as session:
            # what it is made as stays when the default changes
            stored.note_made(session, servers.row(work, session), one.volume_kind, made.id,
                             device_type(held.fstype if held is not None and held.fstype
                                         else work.tools.conf.volume_fstype))
        known[one.volume_kind] = made
    for one in wanted:
        _wait(work, known[one.volume_kind].id, "the volume", "The volume could not be created.",
              lambda volume: volume.status in ("available", "in-use"))


def _create(work: Work, instance: Instance, wanted: InstanceVolume,
            held: snapshots.Taken | None) -> Volume:
    conf, kind = work.tools.conf, wanted.volume_kind
    # a type that nobody asked for is left to the snapshot
    default = conf.cinder_volume_type if held is None else None
    return work.tools.clouds.volume.create_volume(
        instance_id=instance.id, kind=kind, size_gb=wanted.size or 0,
        name=f"trove-{instance.id}" if kind == DATA else f"trove-{instance.id}-{kind}",
        volume_type=wanted.provider_type or default,
        availability_zone=instance.availability_zone if conf.enable_volume_az else None,
        snapshot_id=held.snapshot_id if held is not None else None)


def _wait(work: Work, volume_id: str, what: str, failure: str,
          done: Callable[[Volume], bool]) -> None:
    """Wait until a volume is as it should be.

    :raises StepFailed: it is gone, failed, or takes too long
    """
    def ready() -> Volume | None:
        found = work.tools.clouds.volume.get_volume(volume_id)
        if found is None or found.status.startswith("error"):
            raise StepFailed(failure)
        return found if done(found) else None

    work.wait(what, ready, work.tools.conf.volume_timeout)


def drop(work: Work) -> None:
    """Delete the volumes of an instance that stays."""
    delete(work)
    with work.writer() as session:
        instance = instances.get(session, work.resource_id)
        if instance is not None:
            stored.note_gone(session, instance)


def delete(work: Work) -> None:
    """Delete the volumes, by force what is stuck; their ids stay known.

    One that is needed by snapshots is kept, and no instance's any more.
    """
    storage = work.tools.clouds.volume
    removal.until_gone(
        work, "the volumes", lambda: storage.find_volumes(work.resource_id),
        storage.delete_volume, storage.force_delete_volume,
        lambda one: snapshots.release_volume(work, one))


def attach(work: Work) -> None:
    """Attach the volumes to the server, one after the other, and wait until they are."""
    server_id = servers.load(work).compute_instance_id
    for one in of(work) if server_id is not None else ():
        if server_id is not None and one.volume_id is not None:
            work.tools.clouds.compute.attach_volume(server_id, one.volume_id)
            _wait(work, one.volume_id, "the volume to be attached",
                  "The volume could not be attached.",
                  lambda volume: volume.status == "in-use")


def extend(work: Work, kind: str, size: int) -> None:
    """Grow a volume to a size in GB and wait until it has it."""
    storage, volume_id = work.tools.clouds.volume, get(work, kind).volume_id or ""
    volume = storage.get_volume(volume_id)
    if volume is not None and volume.status == "error_extending":
        # it is as it was before an earlier attempt
        storage.reset_volume(volume_id, "in-use")
        volume = storage.get_volume(volume_id)
    if volume is not None and volume.size_gb < size and volume.status == "in-use":
        storage.extend_volume(volume_id, size)
    _wait(work, volume_id, "the volume to be extended", "The volume could not be extended.",
          lambda found: found.status == "in-use" and found.size_gb >= size)


def ephemeral(work: Work) -> list[tuple[int, str]]:
    """Return GB and file system of the disks that the server is to bring along."""
    return [(one.size or 0, _fstype(work, one)) for one in _of_server(work)]


def _of_server(work: Work) -> list[InstanceVolume]:
    return [one for one in of(work) if one.provider == NOVA and one.volume_kind != ROOT]


def devices(work: Work) -> list[DeviceConfig]:
    """Return the volumes as the agent is told of them; it has its root disk already."""
    return [DeviceConfig(
        volume_kind=one.volume_kind, device_type=_device_type(work, one),
        device_path=_device(work, one), volume_id=one.volume_id,
        mount_options=work.tools.conf.mount_options)
        for one in of(work) if one.volume_kind != ROOT]


def spec(work: Work, kind: str) -> VolumeSpec:
    """Return one volume as the agent is asked to do something with it.

    The mount point is that of the data volume: where the others are, the agent decides.
    """
    version, _ = servers.load_version(work, servers.load(work))
    conf, volume = work.tools.conf, get(work, kind)
    return VolumeSpec(
        kind=kind, device=_device(work, volume),
        mount_point=work.tools.datastores[version.manager].mount_point,
        fstype=_fstype(work, volume), raw=volume.provider != EXTERNAL,
        mount_options=conf.mount_options)


def _device_type(work: Work, volume: InstanceVolume) -> str:
    return volume.device_type or device_type(work.tools.conf.volume_fstype)


def _fstype(work: Work, volume: InstanceVolume) -> str:
    default: str = work.tools.conf.volume_fstype
    return "nfs" if volume.provider == EXTERNAL else DEVICE_TYPES.get(
        _device_type(work, volume), default)


def _device(work: Work, volume: InstanceVolume) -> str:
    first = str(work.tools.conf.device_path)
    if volume.provider == EXTERNAL:
        return f"{(volume.provider_type or '').rstrip('/')}/{work.resource_id}"
    if volume.provider == NOVA:
        # the first disks after the root disk, in the order of the request
        number = [one.volume_kind for one in _of_server(work)].index(volume.volume_kind)
        return first[:-1] + chr(ord(first[-1]) + number)
    found = (work.tools.clouds.volume.get_volume(volume.volume_id)
             if volume.volume_id is not None else None)
    if found is not None and found.device:
        return found.device
    if volume.volume_kind != DATA:
        raise StepFailed(f"The cloud does not tell the device of the volume {volume.volume_kind}.")
    return first
