"""Whether an instance can take an action now."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from trove_ng.db.models import Instance, ServiceStatusRow
from trove_ng.db.repositories import instances
from trove_ng.domain.instance_status import Facts, is_fresh, refuse_action


class Loaded(NamedTuple):
    """A locked instance, and what its status follows from."""

    instance: Instance
    manager: str
    facts: Facts


def load(session: Session, instance_id: str, tenant_id: str | None,
         now: datetime.datetime) -> Loaded | None:
    """Lock an instance and return it; None if there is none.

    :param tenant_id: owner to look among; None looks among all
    """
    found = instances.get_with_status(session, instance_id, tenant_id)
    if found is None:
        return None
    instance, heartbeat, backup_running, manager = found
    return Loaded(instance, manager, facts(instance, heartbeat, backup_running, now))


def facts(instance: Instance, heartbeat: ServiceStatusRow | None, backup_running: bool,
           now: datetime.datetime) -> Facts:
    """Return what an instance's status follows from."""
    seen = heartbeat.updated_at if heartbeat is not None else None
    return Facts(
        task=instance.task, error=instance.error, restart_required=instance.restart_required,
        server_status=instance.server_status,
        service_status=heartbeat.status if heartbeat is not None else "UNKNOWN",
        heartbeat_age=None if seen is None else (now - seen).total_seconds(),
        backup_running=backup_running)


def why_not(loaded: Loaded, heartbeat_expiry: float) -> str | None:
    """Return why no action may begin on the instance now, None when one may.

    :param heartbeat_expiry: seconds after which a heartbeat says nothing any more
    """
    why = refuse_action(loaded.facts)
    if why is None and not is_fresh(loaded.facts, heartbeat_expiry):
        why = "its agent was not heard of lately"
    return None if why is None else (
        f"Instance {loaded.instance.id} is not ready for this: {why}.")
