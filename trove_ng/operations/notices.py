"""Telling other services of requests and of what instances use (the outbox).

Nothing is sent here: what is told is written in the transaction of the change, and one of
the taskmanagers sends it (:mod:`trove_ng.taskmanager.notifications`).
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from trove_ng.common import notifications as told
from trove_ng.common.context import RequestContext
from trove_ng.common.notifications import EVENTS, Event, Phase, ServerType
from trove_ng.db.models import Operation
from trove_ng.db.repositories import notifications
from trove_ng.operations import payloads

#: message of a request whose process ended before it did
INTERRUPTED = "The request was interrupted; it may have had its effect."


def _never() -> bool:
    return False


class Notices:
    """Writes what one process tells of requests.

    :param on: whether there is anybody to tell; asked for at each request
    :param address: of this service, ``ip:port``; asked for when it is first needed
    :param host: name of this machine
    :param of_its_own: it is a taskmanager, which asks for what is due, not for a user; who
        sends it adds addresses and host
    """

    def __init__(self, on: Callable[[], bool] = _never,
                 address: Callable[[], str] = str, host: str = "", *,
                 of_its_own: bool = False) -> None:
        self.on = on
        self._address = address
        self._of_its_own = of_its_own
        self._service = ServerType.TASK if of_its_own else ServerType.API
        self._publisher = "" if of_its_own else f"{ServerType.API}.{host}"

    def base(self, context: RequestContext, tenant_id: str) -> dict[str, Any]:
        """Return what all payloads of a request have."""
        return {"tenant_id": tenant_id, "client_ip": context.client,
                "server_ip": self._address(), "server_type": self._service,
                "request_id": context.request_id}

    def tell(self, session: Session, event: Event, phase: Phase, context: RequestContext,
             tenant_id: str, values: Mapping[str, Any], now: datetime.datetime,
             due_at: datetime.datetime | None = None) -> str:
        """Write a notification of a request; return its id.

        :param values: what the payload has besides the base
        :param due_at: when to send it, by default at once
        """
        payload = event.payload(phase, {**self.base(context, tenant_id), **values})
        return notifications.add(
            session, event.type(phase), payload, _context(context, tenant_id), now,
            priority=told.ERROR if phase is Phase.ERROR else told.INFO,
            publisher=self._publisher, due_at=due_at)

    def begin_operation(self, session: Session, row: Operation, context: RequestContext,
                        more: Callable[[], Mapping[str, Any]], now: datetime.datetime) -> None:
        """Tell that an operation was accepted, and have its end told.

        Of operations that no request asked for, only those are told that are due of
        themselves: what a request's operation begins is part of it.

        :param more: gives more of the payload than the operation's row knows
        """
        found = _told(row)
        if found is None or not (context.client or self._of_its_own) or not self.on():
            return
        event = EVENTS[found.event]
        known = {key: row.payload.get(field) for key, field in found.asked.items()}
        own = f"{row.resource_type}_id"
        if own in event.start:
            known[own] = row.resource_id
        row.notification = {"event": event.name, "client_ip": context.client}
        self.tell(session, event, Phase.START, context, row.tenant_id,
                  {**known, **more()}, now)

    def both(self, session: Session, name: str, context: RequestContext, tenant_id: str,
             values: Mapping[str, Any], now: datetime.datetime, **end: Any) -> None:
        """Tell start and end of a request that is done in one transaction.

        :param values: what the start says
        :param end: what the end says
        """
        if self.on():
            event = EVENTS[name]
            self.tell(session, event, Phase.START, context, tenant_id, values, now)
            self.tell(session, event, Phase.END, context, tenant_id, end, now)


@dataclasses.dataclass(frozen=True)
class _Told:
    """How an action is told.

    :param asked: key of the start's payload → field of the operation's payload
    """

    event: str
    asked: Mapping[str, str] = dataclasses.field(default_factory=dict)


_TOLD: Mapping[str, _Told] = {
    payloads.INSTANCE_CREATE: _Told("instance_create"),
    payloads.INSTANCE_CREATE_REPLICA: _Told("instance_create"),
    payloads.INSTANCE_DETACH_REPLICA: _Told("instance_detach"),
    payloads.INSTANCE_PROMOTE: _Told("instance_promote"),
    payloads.INSTANCE_EJECT: _Told("instance_eject"),
    payloads.INSTANCE_DELETE: _Told("instance_delete"),
    payloads.INSTANCE_FORCE_DELETE: _Told("instance_delete"),
    payloads.INSTANCE_RESTART: _Told("instance_restart"),
    payloads.INSTANCE_RESIZE_FLAVOR: _Told(
        "instance_resize_instance", {"new_flavor_id": "flavor_id"}),
    payloads.INSTANCE_RESIZE_VOLUME: _Told("instance_resize_volume", {"new_size": "size"}),
    payloads.INSTANCE_GROW_SET: _Told("instance_resize_volume", {"new_size": "size"}),
    payloads.INSTANCE_SET_TLS: _Told("instance_update_ssl", {"mode": "mode"}),
    payloads.INSTANCE_ROLL_BACK_TLS: _Told("instance_rollback_ssl"),
    payloads.INSTANCE_UPDATE_ACCESS: _Told("instance_update_access"),
    payloads.INSTANCE_STOP: _Told("instance_stop"),
    payloads.INSTANCE_REBOOT: _Told("instance_reboot"),
    payloads.INSTANCE_MIGRATE: _Told("instance_migrate", {"host": "host"}),
    payloads.INSTANCE_REBUILD: _Told("instance_rebuild", {"image_id": "image_id"}),
    payloads.INSTANCE_RECOVER: _Told("instance_recover"),
    payloads.INSTANCE_UPGRADE: _Told(
        "instance_upgrade", {"datastore_version_id": "datastore_version_id"}),
    payloads.INSTANCE_UPGRADE_AGENT: _Told("instance_upgrade_agent", {"version": "version"}),
    payloads.BACKUP_CREATE: _Told("backup_create"),
    payloads.BACKUP_IMPORT: _Told("backup_create"),
    payloads.BACKUP_SNAPSHOT: _Told("backup_create"),
    payloads.BACKUP_DELETE: _Told("backup_delete"),
    payloads.BACKUP_DELETE_SNAPSHOT: _Told("backup_delete"),
    payloads.BACKUP_VERIFY: _Told("backup_verify"),
    payloads.MODULE_REAPPLY: _Told("module_reapply"),
}
_ATTACH = _Told("instance_attach_configuration", {"configuration_id": "configuration_id"})
_DETACH = _Told("instance_detach_configuration")


def _told(row: Operation) -> _Told | None:
    if row.action == payloads.INSTANCE_EJECT and row.payload.get("automatic"):
        return _Told("instance_failover")
    if row.action == payloads.CONFIGURATION_APPLY:
        return _Told(row.payload["event"])
    if row.action == payloads.INSTANCE_CONFIGURE:
        return _ATTACH if row.payload.get("configuration_id") else _DETACH
    return _TOLD.get(row.action)


def _context(context: RequestContext, tenant_id: str) -> dict[str, str]:
    return {"request_id": context.request_id, "project_id": tenant_id,
            "user_id": context.user_id}
