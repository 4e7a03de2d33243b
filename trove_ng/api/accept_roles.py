"""Accepting that instances of a set of replicas change their roles."""

from __future__ import annotations

from collections.abc import Callable

from trove_ng.api import accept
from trove_ng.api.call import Call
from trove_ng.api.wake import wake
from trove_ng.common.errors import BadRequest, NotSupported
from trove_ng.db.models import Instance
from trove_ng.db.repositories import instances
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.instance_status import Task
from trove_ng.operations import payloads


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
def refuse_replication(call: Call, *, promote: bool) -> None:
    """Say why an instance cannot be promoted, or ejected, as a source of replicas.

    :raises BadRequest: it is no replica, or no source
    :raises NotSupported: it is one
    """
    with call.services.db.writer() as session:
        instance = accept.load(session, call, call.params["id"]).instance
        if promote and not instance.slave_of_id:
            raise BadRequest(f"Instance {instance.id} is not a replica.")
        if not promote and not instances.has_replicas(session, instance.id):
            raise BadRequest(f"Instance {instance.id} is not a replica source.")
    raise NotSupported("Changing the source of replicas is not supported.")
