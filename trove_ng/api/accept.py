"""Accepting actions on an instance: check, write, commit, wake."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import effective_versions, regions
from trove_ng.api.call import Call
from trove_ng.api.wake import wake
from trove_ng.common.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    NotSupported,
    UnprocessableEntity,
)
from trove_ng.common.secret import Secret
from trove_ng.common.states import EventKind
from trove_ng.conf import quota
from trove_ng.db.models import Instance, Operation
from trove_ng.db.repositories import events, faults, instances, operations, quotas, volumes
from trove_ng.db.session import retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.domain.instance_status import Task, refuse_delete, status
from trove_ng.domain.volumes import CINDER, DATA, Volume, check_room
from trove_ng.operations import guest, payloads, readiness
from trove_ng.operations.readiness import Loaded

LOG = logging.getLogger(__name__)


def load(session: Session, call: Call, instance_id: str) -> Loaded:
    """Lock an instance of the caller and return it.

    :raises NotFound: there is none, or it is not the caller's
    """
    found = readiness.load(session, instance_id, call.owner, call.services.clock.now())
    if found is None:
        raise NotFound.of("Instance", instance_id)
    call.authorize_owner(found.instance.tenant_id)
    return found


def find(session: Session, call: Call, *, lock: bool = False) -> Instance:
    """Return the instance that the path names.

    :raises NotFound: there is none, or it is not the caller's
    """
    ident = call.params["id"]
    return call.own("Instance", ident, instances.get(session, ident, call.owner, lock=lock))


def usable(call: Call, loaded: Loaded) -> None:
    """Check that an action may begin on an instance now.

    :raises UnprocessableEntity: it may not
    """
    why = readiness.why_not(loaded, call.services.conf.agent_heartbeat_expiry)
    if why is not None:
        raise UnprocessableEntity(why)


def begin(session: Session, call: Call, loaded: Loaded, action: str, task: Task,
          payload: payloads.Payload, *, supersede: bool = False, answer: Any = None,
          secrets: Mapping[str, Secret] | None = None) -> str:
    """Write the operation and what the instance shows; return the operation's id.

    :param answer: body of the answer, for a repeat of the request
    :param secrets: see :meth:`trove_ng.operations.requests.Requests.submit`
    """
    instance = loaded.instance
    accepted = call.services.requests.submit(
        session, action=action, resource_type="instance", resource_id=instance.id,
        tenant_id=instance.tenant_id, context=call.context, payload=payload,
        now=call.services.clock.now(), supersede=supersede, secrets=secrets)
    instance.task, instance.operation_id = task, accepted.id
    call.keep(session, answer, accepted.id)
    return accepted.id


@retry_on_db_error
def submit(call: Call, check: Callable[[Session, Loaded], None], action: str, task: Task,
           payload: payloads.Payload) -> None:
    """Write an operation on the path's instance, and wake somebody to do it.

    :param check: raises when it may not begin now
    """
    with call.services.db.writer() as session:
        loaded = load(session, call, call.params["id"])
        check(session, loaded)
        operation_id = begin(session, call, loaded, action, task, payload)
    wake(call, operation_id)


def restart_instance(call: Call) -> None:
    """Begin to restart the database."""
    submit(call, lambda _, loaded: usable(call, loaded), payloads.INSTANCE_RESTART,
           Task.RESTARTING, payloads.RestartInstance())


@retry_on_db_error
def delete_instance(call: Call) -> None:
    """Begin to delete an instance; asking again is no error."""
    with call.services.db.writer() as session:
        loaded = load(session, call, call.params["id"])
        instance = loaded.instance
        running = operations.live(session, instance.id)
        if running is not None and running.action in (
                payloads.INSTANCE_DELETE, payloads.INSTANCE_FORCE_DELETE):
            call.operation_id = running.id
            return
        why = refuse_delete(loaded.facts)
        if why is not None:
            raise UnprocessableEntity(f"Instance {instance.id} cannot be deleted now: {why}.")
        _refuse_source(session, instance)
        operation_id = begin(session, call, loaded, payloads.INSTANCE_DELETE, Task.DELETING,
                             payloads.DeleteInstance())
    wake(call, operation_id)


def _refuse_source(session: Session, instance: Instance) -> None:
    if instance.deletion_protection:
        raise UnprocessableEntity(f"Instance {instance.id} is protected against deletion.")
    if instances.has_replicas(session, instance.id):
        raise Forbidden(
            f"Instance {instance.id} has replicas; delete or detach them first.")


def _settle(session: Session, running: Operation, instance: Instance) -> None:
    """Give back what an operation that is ended now reserved and the instance did not get.

    What a creation reserved is used by the instance's row until that is deleted.
    """
    wanted = running.payload
    reached = {
        payloads.INSTANCE_RESIZE_FLAVOR: instance.flavor_id == wanted.get("flavor_id"),
        payloads.INSTANCE_RESIZE_VOLUME: _has_size(session, instance, wanted),
        # what has grown is kept already
        payloads.INSTANCE_GROW_SET: False,
    }.get(running.action, True)
    settle = quotas.commit if reached else quotas.rollback
    settle(session, running.id)


def _has_size(session: Session, instance: Instance, wanted: dict[str, Any]) -> bool:
    found = volumes.get(session, instance.id, wanted.get("kind", DATA))
    return found is not None and found.size == wanted.get("size")


@retry_on_db_error
def force_delete_instance(call: Call) -> None:
    """Begin to delete an instance whatever is done with it now."""
    with call.services.db.writer() as session:
        loaded = load(session, call, call.params["id"])
        running = _running(session, loaded.instance)
        if running is not None and running.action == payloads.INSTANCE_FORCE_DELETE:
            call.operation_id = running.id
            return
        _refuse_source(session, loaded.instance)
        if running is not None and running.action in payloads.OF_SETS and running.payload.get(
                "replica_ids"):
            # the others would wait for it, and may need it
            raise UnprocessableEntity(f"Instance {loaded.instance.id} cannot be deleted now: "
                                      f"its status is {status(loaded.facts)}.")
        if running is not None:
            _settle(session, running, loaded.instance)
        operation_id = begin(
            session, call, loaded, payloads.INSTANCE_FORCE_DELETE, Task.DELETING,
            payloads.DeleteInstance(), supersede=True)
    tell_cancelled(call, running)
    wake(call, operation_id)


@retry_on_db_error
def reset_status(call: Call) -> None:
    """End what is done with an instance, and forget that something failed.

    Agents hear that it has ended: a worker that is stopped now may go on later.
    """
    now = call.services.clock.now()
    agents: list[str] = []
    with call.services.db.writer() as session:
        instance = load(session, call, call.params["id"]).instance
        running = _running(session, instance)
        if running is not None:
            _settle(session, running, instance)
            operations.cancel_live(session, running.resource_id, now)
            instances.let_go(session, running.id)
            agents = guest.reached(
                session, instance, [running.resource_id, *running.others])
        instance.task, instance.error, instance.operation_id = Task.NONE, "", None
        faults.clear(session, instance.id, now)
        events.add(session, EventKind.STATUS_RESET, "An operator reset the status.", now,
                   tenant_id=instance.tenant_id, resource_id=instance.id,
                   request_id=call.context.request_id, user_id=call.context.user_id)
        call.services.notices.both(session, "instance_reset_status", call.context,
                                   instance.tenant_id, {"instance_id": instance.id}, now)
        call.keep(session, None, None)
    tell_cancelled(call, running)
    if running is not None:
        _silence(call, running, agents)


def _silence(call: Call, ended: Operation, agents: list[str]) -> None:
    """Have agents do nothing more that the worker of an ended operation sends."""
    try:
        guest.supersede(lambda one: call.services.guests(one, call.context), ended.id, agents,
                        ended.fence)
    except StoreAway as err:
        # the request is done; an error would deny that
        LOG.warning("operation %s: no agent hears that it has ended: %s", ended.id, err.message)


def _running(session: Session, instance: Instance) -> Operation | None:
    """Return the operation under way on an instance, or on the set that it is in."""
    found = operations.live(session, instance.id)
    if found is None and instance.operation_id is not None:
        found = operations.get(session, instance.operation_id)
    return found if found is not None and found.live_key is not None else None


def tell_cancelled(call: Call, running: Operation | None) -> None:
    """Measure an operation that was ended here, and not by its worker."""
    if running is not None:
        age = (call.services.clock.now() - running.created).total_seconds()
        call.services.recorder.operation_ended(
            running.action, operations.CANCELLED, max(0.0, age))


@retry_on_db_error
def resize_flavor(call: Call, flavor_id: str) -> None:
    """Begin to give an instance another flavor."""
    flavor = call.services.catalog.get_flavor(flavor_id)
    if flavor is None:
        raise BadRequest(f"Validation error: resize.flavorRef {flavor_id} does not exist.")
    # the cloud is not asked while the store is written to
    with call.services.db.reader() as session:
        region = instances.region_of(session, call.params["id"], call.owner)
    there = regions.flavor_there(call, "resize.flavorRef", flavor, region)
    with call.services.db.writer() as session:
        loaded = load(session, call, call.params["id"])
        usable(call, loaded)
        instance = loaded.instance
        if instance.flavor_id == flavor.id:
            raise BadRequest("Validation error: resize.flavorRef is the flavor that the "
                             "instance has.")
        _resizable(session, loaded)
        effective_versions.limits(session, instance.datastore_version_id).check_flavor(
            "resize.flavorRef", flavor)
        check_room([Volume(one.volume_kind, one.size or 0, provider=one.provider)
                    for one in volumes.of(session, instance)],
                   flavor.disk_gb, flavor.ephemeral_gb)
        operation_id = begin(
            session, call, loaded, payloads.INSTANCE_RESIZE_FLAVOR, Task.RESIZING,
            payloads.ResizeFlavor(flavor_id=flavor.id, ram_mb=flavor.ram_mb,
                                  there=there.id if there.id != flavor.id else None))
        quotas.reserve(session, instance.tenant_id, operation_id,
                       {"ram": max(0, flavor.ram_mb - instance.flavor_ram)},
                       quota.defaults(call.services.conf))
    wake(call, operation_id)


def _resizable(session: Session, loaded: Loaded) -> None:
    instance = loaded.instance
    if not effective_versions.engine(
            session, instance.datastore_version_id, loaded.manager).capabilities.resize:
        raise NotSupported("The datastore does not offer resize.")


@retry_on_db_error
def resize_volume(call: Call, kind: str, size: int) -> None:
    """Begin to grow a volume of an instance.

    :param size: GB
    """
    most = call.services.conf.max_accepted_volume_size
    if size > most:
        raise BadRequest(f"Validation error: resize.volume.size must be at most {most} GB.")
    with call.services.db.writer() as session:
        loaded = load(session, call, call.params["id"])
        usable(call, loaded)
        instance = loaded.instance
        _resizable(session, loaded)
        volume = volumes.get(session, instance.id, kind)
        if volume is None:
            raise BadRequest("Validation error: resize.volume.volume_kind: the instance has no "
                             f"volume of kind {kind}.")
        if volume.provider != CINDER:
            raise BadRequest("Validation error: resize.volume.volume_kind: the provider "
                             f"{volume.provider} does not resize its volume {kind}.")
        present = volume.size or 0
        if size <= present:
            raise BadRequest("Validation error: resize.volume.size must be larger than the "
                             f"present {present} GB.")
        smaller = _smaller_replicas(session, call, instance, kind, size)
        operation_id = _begin_growth(session, call, loaded, smaller, size, kind)
        quotas.reserve(session, instance.tenant_id, operation_id,
                       {"volumes": size - present + sum(smaller.values())},
                       quota.defaults(call.services.conf))
    wake(call, operation_id)


def _begin_growth(session: Session, call: Call, loaded: Loaded, smaller: Collection[Instance],
                  size: int, kind: str) -> str:
    """Write the operation on an instance and on its replicas that are smaller; return its id."""
    if not smaller:
        return begin(session, call, loaded, payloads.INSTANCE_RESIZE_VOLUME, Task.RESIZING,
                     payloads.ResizeVolume(size=size, kind=kind))
    operation_id = begin(
        session, call, loaded, payloads.INSTANCE_GROW_SET, Task.RESIZING, payloads.GrowSet(
            size=size, kind=kind, source_id=loaded.instance.id,
            replica_ids=[one.id for one in smaller]))
    for one in smaller:
        one.task, one.operation_id = Task.RESIZING, operation_id
    return operation_id


def _smaller_replicas(session: Session, call: Call, source: Instance, kind: str,
                      size: int) -> dict[Instance, int]:
    """Lock those replicas of a locked source whose volume has to grow too.

    :return: the GB that each needs more
    :raises UnprocessableEntity: one cannot grow now
    """
    found = {}
    for ident in sorted(instances.replica_ids(session, [source.id]).get(source.id, [])):
        loaded = load(session, call, ident)
        volume = volumes.get(session, ident, kind)
        # it may have been detached before it was locked
        if loaded.instance.slave_of_id != source.id or volume is None or (
                volume.size or 0) >= size:
            continue
        usable(call, loaded)
        if volume.provider != CINDER:
            raise UnprocessableEntity(
                f"The volume {kind} of replica {ident} has to grow first, which its provider "
                f"{volume.provider} does not do.")
        found[loaded.instance] = size - (volume.size or 0)
    return found
