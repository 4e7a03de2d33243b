"""Accepting what a set of replicas does when its source is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept, effective_versions
from trove_ng.api.call import Call
from trove_ng.common.errors import BadRequest
from trove_ng.datastores.base import Datastore as Engine
from trove_ng.db.models import Instance
from trove_ng.db.repositories import failovers, service_statuses
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.capabilities import reasons
from trove_ng.domain.failover import AUTOMATIC, interval

#: three heartbeats of agents as they are configured by default would be missed in twice that
_TIMEOUT_SECONDS = 15
_MIN_INTERVAL_SECONDS = 300
#: of an agent that must fit into the seconds of silence
_BEATS = 1.5


def checked(wanted: dict[str, Any], engine: Engine) -> dict[str, Any]:
    """Return what is asked for, complete.

    :raises BadRequest: the engine cannot do it
    """
    if wanted["mode"] == AUTOMATIC and not engine.capabilities.automatic_failover:
        raise BadRequest("Validation error: instance.failover.mode automatic: the datastore does "
                         f"not offer it. {reasons(engine)['automatic_failover']}")
    return {"timeout_seconds": _TIMEOUT_SECONDS, "min_interval_seconds": _MIN_INTERVAL_SECONDS,
            "max_lag": None, **wanted}


def write(session: Session, call: Call, instance: Instance, wanted: dict[str, Any],
          engine: Engine) -> None:
    """Write what a new instance has.

    :raises BadRequest: the engine cannot do it
    """
    failovers.put(session, instance.id, checked(wanted, engine), call.services.clock.now())


def _check_timeout(session: Session, instance: Instance, wanted: dict[str, Any]) -> None:
    """Raise if a source would be silent between two heartbeats of its agent."""
    status = service_statuses.get(session, instance.id)
    beats = interval(status.details) if status is not None else None
    seconds = wanted.get("timeout_seconds", _TIMEOUT_SECONDS)
    if wanted["mode"] == AUTOMATIC and beats is not None and seconds < _BEATS * beats:
        raise BadRequest("Validation error: instance.failover.timeout_seconds must be at least "
                         f"{_BEATS * beats:g}: the agent is heard of every {beats:g} seconds.")


@retry_on_db_error
def update(call: Call, wanted: dict[str, Any], also: Callable[[Instance], None]) -> None:
    """Change what a set does when its source is lost; what is not named is the default.

    :param also: changes what else the same request asks for
    :raises BadRequest: it is a replica, its agent is heard of less often, or the engine cannot
        do it
    """
    now = call.services.clock.now()
    with call.services.db.writer() as session:
        loaded = accept.load(session, call, call.params["id"])
        instance = loaded.instance
        if instance.slave_of_id is not None:
            raise BadRequest("Validation error: instance.failover is set at the source of a "
                             f"replica, {instance.slave_of_id}.")
        _check_timeout(session, instance, wanted)
        write(session, call, instance, wanted, effective_versions.engine(
            session, instance.datastore_version_id, loaded.manager))
        also(instance)
        call.services.notices.both(
            session, "instance_update_failover", call.context, instance.tenant_id,
            {"instance_id": instance.id, "mode": wanted["mode"]}, now)
        call.keep(session, None, None)
