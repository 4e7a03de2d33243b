"""Accepting actions on all instances of a host: an operation for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept, accept_agents
from trove_ng.api.call import Call
from trove_ng.api.wake import wake
from trove_ng.common.errors import Conflict, UnprocessableEntity
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.instance_status import Task
from trove_ng.operations import payloads, readiness
from trove_ng.operations.readiness import Loaded

Check = Callable[[Session, Loaded], None]


def upgrade_agents(call: Call, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Begin to give instances the release of the agent that the operator offers.

    :raises UnprocessableEntity: none is offered
    """
    offered = accept_agents.package(call)

    def check(session: Session, loaded: Loaded) -> None:
        accept.usable(call, loaded)
        accept_agents.refuse_same(session, loaded, offered)

    return _begin(call, ids, check, payloads.INSTANCE_UPGRADE_AGENT, Task.UPDATING, offered)


def migrate(call: Call, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Begin to move the servers of instances to other hosts."""
    return _begin(call, ids, lambda _, loaded: accept.usable(call, loaded),
                  payloads.INSTANCE_MIGRATE, Task.MIGRATING, payloads.MigrateInstance())


@retry_on_db_error
def _begin(call: Call, ids: Sequence[str], check: Check, action: str, task: Task,
           payload: payloads.Payload) -> list[dict[str, Any]]:
    """Write the operations in one transaction; return what the answer says of each instance.

    An instance that is not ready keeps no other one from it.
    """
    begun: list[dict[str, Any]] = []
    now = call.services.clock.now()
    with call.services.db.writer() as session:
        for ident in ids:
            loaded = readiness.load(session, ident, None, now)
            if loaded is None:
                continue
            try:
                check(session, loaded)
                with session.begin_nested():
                    accepted = call.services.requests.submit(
                        session, action=action, resource_type="instance", resource_id=ident,
                        tenant_id=loaded.instance.tenant_id, context=call.context,
                        payload=payload, now=now)
            except (Conflict, UnprocessableEntity) as err:
                begun.append({"id": ident, "operation_id": None, "problem": err.message})
                continue
            loaded.instance.task, loaded.instance.operation_id = task, accepted.id
            begun.append({"id": ident, "operation_id": accepted.id, "problem": None})
        operation_ids = [one["operation_id"] for one in begun if one["operation_id"]]
        # the answer's header names one only
        call.keep(session, {"instances": begun}, operation_ids[-1] if operation_ids else None)
    for operation_id in operation_ids:
        wake(call, operation_id)
    return begun
