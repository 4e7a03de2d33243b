"""What routes that ask an instance's agent have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trove_ng.api import effective_versions
from trove_ng.api.call import Call
from trove_ng.api.views.instances import facts
from trove_ng.common.errors import (
    NotSupported,
    ServiceUnavailable,
    UnprocessableEntity,
)
from trove_ng.datastores import base as engines
from trove_ng.db.repositories import instance_views
from trove_ng.domain.instance_status import Facts, is_fresh, refuse_statement

if TYPE_CHECKING:
    from trove_ng.datastores.base import Datastore
    from trove_ng.rpc.guest import GuestClient


def connect(call: Call, capability: str | None = None, *, changes: bool = False,
            ) -> tuple[GuestClient, Datastore]:
    """Return the client of the path's instance, when its agent can be asked now.

    :param capability: what the datastore must be able to: users, databases, root; None: what
        all can
    :param changes: the agent is to change data, which a replica has from its source
    :raises NotFound: no such instance for the caller
    :raises NotSupported: the datastore does not offer it
    :raises UnprocessableEntity: the instance is not in a state to do so
    :raises ServiceUnavailable: the agent was not heard of for too long
    """
    ident = call.params["id"]
    with call.services.db.connection() as reader:
        row = call.own("Instance", ident, instance_views.get(reader, ident, call.owner))
        engine = (engines.get(row.manager) if capability is None else
                  effective_versions.engine(reader, row.version_id, row.manager))
    if capability is not None and not getattr(engine.capabilities, capability):
        raise NotSupported(f"{row.datastore_name} does not offer {capability}.")
    if changes and row.slave_of_id:
        raise UnprocessableEntity(
            f"Instance {ident} is a replica: what is inside it comes from its source.")
    return client(call, row, refuse_statement), engine


def client(call: Call, row: Any, refuse: Callable[[Facts], str | None]) -> GuestClient:
    """Return the client of an instance, when its agent can be asked now.

    :param refuse: says why what the instance does now forbids it
    :raises UnprocessableEntity: the instance is not in a state to do so
    :raises ServiceUnavailable: the agent was not heard of for too long
    """
    services = call.services
    known = facts(row, services.clock.now())
    why = refuse(known)
    if why is not None:
        raise UnprocessableEntity(f"Instance {row.id} cannot do this now: {why}.")
    if not is_fresh(known, services.conf.agent_heartbeat_expiry):
        raise ServiceUnavailable(f"The agent of instance {row.id} was not heard of lately.")
    return services.guests(row.id, call.context)
