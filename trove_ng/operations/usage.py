"""Telling what instances use, for billing: ``trove.instance.*`` and ``dbaas.quota``."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common import notifications as told
from trove_ng.common.clock import isoformat
from trove_ng.common.states import ServiceStatus
from trove_ng.conf import quota
from trove_ng.db.models import DatastoreVersion, Instance, QuotaUsage, ServiceStatusRow
from trove_ng.db.repositories import notifications, quotas, usage, volumes
from trove_ng.domain.instance_status import Facts, status
from trove_ng.operations.work import Work

#: what is told of one page in one transaction
PAGE = 200


def note(work: Work, session: Session, event_type: str, instance: Instance,
         **more: Any) -> None:
    """Tell, in the transaction that writes it, that what an instance uses has changed.

    :param event_type: CREATED, DELETED, NEW_FLAVOR or NEW_VOLUME
    :param more: what the event has besides what all have
    """
    if not work.tools.told or instance.verifies_id is not None:
        return
    version = session.get_one(DatastoreVersion, instance.datastore_version_id)
    values = {
        **_state(work.tools.conf, instance, version,
                 session.get(ServiceStatusRow, instance.id)),
        "user_id": work.context.user_id, "name": instance.name,
        "availability_zone": instance.availability_zone,
        "instance_size": instance.flavor_ram,
        "volume_size": volumes.total(session, instance) or None,
        "nova_volume_id": instance.volume_id, "cluster_id": instance.cluster_id, **more}
    notifications.add(session, event_type, told.fact(event_type, values), {
        "request_id": work.context.request_id, "project_id": instance.tenant_id,
        "user_id": work.context.user_id}, work.tools.clock.now())


def _state(conf: cfg.ConfigOpts, instance: Instance, version: DatastoreVersion,
           heartbeat: ServiceStatusRow | None) -> dict[str, Any]:
    shown = status(Facts(
        task=instance.task, error=instance.error, restart_required=instance.restart_required,
        server_status=instance.server_status))
    database = heartbeat.status if heartbeat is not None else ServiceStatus.UNKNOWN
    created = isoformat(instance.created)
    return {
        "tenant_id": instance.tenant_id, "user_id": instance.user_id or "",
        "instance_id": instance.id, "instance_name": instance.name,
        "instance_type_id": instance.flavor_id, "launched_at": created,
        "created_at": created, "state": "DELETED" if instance.deleted else str(shown),
        "state_description": f"task {instance.task}, database {database}",
        "nova_instance_id": instance.compute_instance_id,
        "service_id": conf.notification_service_id.get(version.manager, version.datastore_id),
        "region": instance.region_id}


def tell_exists(session: Session, conf: cfg.ConfigOpts, beginning: datetime.datetime,
                ending: datetime.datetime, after: str, now: datetime.datetime) -> str | None:
    """Tell of a page of instances that they were there at the end of an audit period.

    :param after: id of the last instance of the page before; empty for the first page
    :return: id of the last instance of this page; None: there are no more
    """
    rows = usage.instances(session, ending, after, PAGE)
    _add_once(session, told.EXISTS, ending, {
        instance.id: {
            **_state(conf, instance, version, heartbeat), "display_name": instance.name,
            "audit_period_beginning": isoformat(beginning),
            "audit_period_ending": isoformat(ending)}
        for instance, version, heartbeat in rows}, now)
    return rows[-1][0].id if len(rows) == PAGE else None


def tell_quotas(session: Session, conf: cfg.ConfigOpts, ending: datetime.datetime,
                after: str, now: datetime.datetime) -> str | None:
    """Tell of a page of what projects use of their quotas.

    :param after: id of the last row of the page before; empty for the first page
    :return: id of the last row of this page; None: there are no more
    """
    rows = usage.quotas(session, after, PAGE)
    defaults = quota.defaults(conf)
    limits = {tenant: quotas.limits(session, tenant, defaults)
              for tenant in {row.tenant_id for row in rows}}
    _add_once(session, told.QUOTA, ending, {row.id: _quota(row, limits) for row in rows}, now)
    return rows[-1].id if len(rows) == PAGE else None


def _quota(row: QuotaUsage, limits: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    # in_use of the store holds what is reserved too; who is told adds the two
    return {"tenant_id": row.tenant_id, "resource": row.resource,
            "in_use": row.in_use - row.reserved, "reserved": row.reserved,
            "limit": limits[row.tenant_id].get(row.resource, quotas.UNLIMITED),
            "updated": isoformat(row.updated)}


def _add_once(session: Session, event_type: str, ending: datetime.datetime,
              values: Mapping[str, Mapping[str, Any]], now: datetime.datetime) -> None:
    """Tell facts of a period, whose ids are the same whoever tells them."""
    idents = {key: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event_type}/{key}/{ending}"))
              for key in values}
    waiting = notifications.which_wait(session, idents.values())
    for key, one in values.items():
        if idents[key] not in waiting:
            notifications.add(
                session, event_type, told.fact(event_type, one),
                {"request_id": "", "project_id": one["tenant_id"], "user_id": ""}, now,
                message_id=idents[key])
