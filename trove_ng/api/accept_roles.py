"""Accepting that instances of a set of replicas change their roles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from sqlalchemy.orm import Session

from trove_ng.api import accept, effective_versions
from trove_ng.api.call import Call
from trove_ng.api.wake import wake
from trove_ng.common.errors import BadRequest, NotSupported, UnprocessableEntity
from trove_ng.db.models import Instance
from trove_ng.db.repositories import instances
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.capabilities import reasons
from trove_ng.domain.instance_status import Task, is_lost, is_made, refuse_statement
from trove_ng.operations import payloads, replication
from trove_ng.operations.readiness import Loaded


@retry_on_db_error
def detach(call: Call, also: Callable[[Instance], None], *, named: bool = False) -> None:
    """Begin to detach a replica; one that is none already is no error, unless it is named so.

    :param also: changes what else the same request asks for
    :raises BadRequest: it is no replica
    """
    with call.services.db.writer() as session:
        loaded = accept.load(session, call, call.params["id"])
        instance = loaded.instance
        also(instance)
        if instance.slave_of_id is None:
            if named:
                raise BadRequest(f"Instance {instance.id} is not a replica.")
            return
        accept.usable(call, loaded)
        operation_id = accept.begin(
            session, call, loaded, payloads.INSTANCE_DETACH_REPLICA, Task.DETACHING,
            payloads.DetachReplica(source_id=instance.slave_of_id))
    wake(call, operation_id)


@retry_on_db_error
def promote(call: Call) -> None:
    """Begin to make a replica the source of its set.

    :raises BadRequest: it is no replica
    :raises NotSupported: it is of an engine whose replicas are detached only
    :raises UnprocessableEntity: something is done with the set, or not all of it works
    """
    ident = call.params["id"]
    with call.services.db.reader() as session:
        source_id = accept.find(session, call).slave_of_id
    if source_id is None:
        raise BadRequest(f"Instance {ident} is not a replica.")
    with call.services.db.writer() as session:
        # first: whoever adds a replica or a backup locks it, and nothing older is read then
        source = accept.load(session, call, source_id)
        loaded = accept.load(session, call, ident)
        if loaded.instance.slave_of_id != source_id:
            raise UnprocessableEntity(f"Instance {ident} follows {source_id} no more.")
        _promotes(session, loaded)
        replicas = replicas_of(session, call, source_id)
        for one in (source, *replicas):
            answers(call, one)
        operation_id = _begin(session, call, loaded, source, replicas,
                              payloads.INSTANCE_PROMOTE, Task.PROMOTING)
    wake(call, operation_id)


@retry_on_db_error
def eject(call: Call) -> None:
    """Begin to take a source that is lost, or whose database is, out of its set.

    :raises BadRequest: it is no source, or it works
    :raises NotSupported: it is of an engine whose replicas are detached only
    :raises UnprocessableEntity: something is done with the set, or not all replicas work
    """
    expiry = call.services.conf.agent_heartbeat_expiry
    with call.services.db.writer() as session:
        source = accept.load(session, call, call.params["id"])
        replicas = replicas_of(session, call, source.instance.id)
        if not replicas:
            raise BadRequest(f"Instance {source.instance.id} is not a replica source.")
        _promotes(session, source)
        made = [one for one in replicas if is_made(one.facts)]
        if not made:
            raise UnprocessableEntity(f"No replica of instance {source.instance.id} ever "
                                      "followed it.")
        if not is_lost(source.facts, expiry):
            raise BadRequest(f"Instance {source.instance.id} was heard of in the last {expiry} "
                             f"seconds and its database is {source.facts.service_status}; a "
                             "replica can be promoted.")
        # a backup of what is lost never ends, and is nothing to wait for
        if source.facts.task != Task.NONE:
            raise UnprocessableEntity(f"Instance {source.instance.id} cannot be ejected now: "
                                      "something is done with it.")
        for one in made:
            # a backup of it is ended
            answers(call, one._replace(
                facts=dataclasses.replace(one.facts, backup_running=False)))
        operation_id = _begin(session, call, source, source, made,
                              payloads.INSTANCE_EJECT, Task.EJECTING)
    wake(call, operation_id)


def replicas_of(session: Session, call: Call, source_id: str) -> list[Loaded]:
    """Lock all replicas of a locked source, and return them."""
    found = [accept.load(session, call, one)
             for one in instances.replica_ids(session, [source_id]).get(source_id, [])]
    # one may have been detached before it was locked
    return [one for one in found if one.instance.slave_of_id == source_id]


def _promotes(session: Session, loaded: Loaded) -> None:
    """Check that a replica of the engine can become the source.

    :raises NotSupported: its replicas are detached only
    """
    engine = effective_versions.engine(
        session, loaded.instance.datastore_version_id, loaded.manager)
    if not engine.capabilities.promotion:
        raise NotSupported(f"Replicas of {loaded.manager} cannot be promoted. "
                           f"{reasons(engine)['promotion']}")


def answers(call: Call, loaded: Loaded) -> None:
    """Check that a member can change its role.

    :raises UnprocessableEntity: it cannot
    """
    accept.usable(call, loaded)
    why = refuse_statement(loaded.facts)
    if why is not None:
        raise UnprocessableEntity(
            f"Instance {loaded.instance.id} is not ready for this: {why}.")


def _begin(session: Session, call: Call, asked: Loaded, source: Loaded,
           replicas: list[Loaded], action: str, task: Task) -> str:
    """Write an operation on a whole set; return its id."""
    payload = payloads.ChangeSource(
        source_id=source.instance.id, replica_ids=[one.instance.id for one in replicas])
    operation_id = accept.begin(session, call, asked, action, task, payload, secrets={
        payloads.member_secret(one): replication.new_password()
        for one in payload.members})
    for one in (source, *replicas):
        one.instance.task, one.instance.operation_id = task, operation_id
    return operation_id
