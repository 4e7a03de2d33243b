"""Views of instances."""

from __future__ import annotations

import datetime
from typing import Any

from trove_ng.api.call import Call
from trove_ng.common.clock import isoformat
from trove_ng.common.states import ServiceStatus
from trove_ng.domain.failover import MANUAL
from trove_ng.domain.instance_status import (
    Facts,
    is_fresh,
    operating_status,
    operating_status_reason,
    status,
)
from trove_ng.rpc.replication_messages import CONNECTED, REPLICATION

_GB = 1024 ** 3
#: characters of a position that are shown
_POSITION = 255


def facts(row: Any, now: datetime.datetime) -> Facts:
    """Return what an instance's status follows from.

    :param row: a row of ``repositories.instances``' views
    """
    seen = row.service_updated
    return Facts(
        task=row.task, error=row.error, restart_required=row.restart_required,
        server_status=row.server_status,
        service_status=row.service_status or ServiceStatus.UNKNOWN,
        # only the detailed views have it
        reason=getattr(row, "service_reason", None) or "",
        heartbeat_age=None if seen is None else (now - seen).total_seconds(),
        backup_running=bool(row.backup_running))


def brief(call: Call, row: Any, replicas: list[str], now: datetime.datetime,
          ) -> dict[str, Any]:
    """Return the view of an instance in a list."""
    known = facts(row, now)
    view: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "status": status(known),
        "operating_status": operating_status(
            known, call.services.conf.agent_heartbeat_expiry),
        "links": call.links("instances", row.id),
        "flavor": {"id": row.flavor_id, "links": call.links("flavors", row.flavor_id)},
        "datastore": {"type": row.datastore_name, "version": row.version_name,
                      "version_number": row.version_number},
        "region": row.region_id,
        "access": {"is_public": bool(row.access.get("is_public", False)),
                   "allowed_cidrs": list(row.access.get("allowed_cidrs", []))},
    }
    if row.volume_size is not None:
        view["volume"] = {"size": row.volume_size}
    if row.hostname:
        view["hostname"] = row.hostname
    elif row.addresses:
        view["ip"] = [item["address"] for item in row.addresses]
        view["addresses"] = row.addresses
    if row.slave_of_id:
        view["replica_of"] = {"id": row.slave_of_id,
                              "links": call.links("instances", row.slave_of_id)}
    if replicas:
        view["replicas"] = [{"id": ident, "links": call.links("instances", ident)}
                            for ident in replicas]
    if call.context.is_admin:
        view["tenant_id"] = row.tenant_id
    return view


def detail(call: Call, row: Any, replicas: list[str], fault: Any,
           now: datetime.datetime) -> dict[str, Any]:
    """Return the view of one instance."""
    view = brief(call, row, replicas, now)
    reason = operating_status_reason(
        facts(row, now), call.services.conf.agent_heartbeat_expiry)
    if reason:
        view["operating_status_reason"] = reason
    replication = _replication(row, now, call.services.conf.agent_heartbeat_expiry)
    if replication is not None:
        view["replication"] = replication
    if replicas or row.slave_of_id or row.failover_mode:
        view["failover"] = _failover(row)
    if row.log_enabled is not None:
        view |= _log_archive(row)
    view["created"] = isoformat(row.created)
    view["updated"] = isoformat(row.updated)
    view["service_status_updated"] = isoformat(row.service_updated)
    if row.volume_used is not None:
        # without a volume the data are on the server's own disks
        place = view["volume"] if row.volume_size is not None else view.setdefault(
            "local_storage", {})
        place["used"] = round(row.volume_used / _GB, 2)
        if row.volume_size is not None and row.volume_total:
            view["volume"]["used_percent"] = round(
                100 * row.volume_used / row.volume_total, 1)
    if row.configuration_id:
        view["configuration"] = {
            "id": row.configuration_id, "name": row.configuration_name,
            "links": call.links("configurations", row.configuration_id)}
    for name in ("locality", "cluster_id", "shard_id"):
        if getattr(row, name):
            view[name] = getattr(row, name)
    if fault is not None:
        view["fault"] = {"message": fault.message, "created": isoformat(fault.created)}
        if call.context.is_admin:
            view["fault"]["details"] = fault.details
    if call.context.is_admin:
        view["server_id"] = row.compute_instance_id
        view["volume_id"] = row.volume_id
        view["encrypted_rpc_messaging"] = True
    return view


def _replication(row: Any, now: datetime.datetime, expiry: float) -> dict[str, Any] | None:
    """Return how far a replica is, None if it does not tell; its word is not trusted."""
    told = (row.service_details or {}).get(REPLICATION)
    if not row.slave_of_id or not isinstance(told, dict) or not is_fresh(facts(row, now), expiry):
        return None
    lag, position, connected = told.get("lag"), told.get("position"), told.get(CONNECTED)
    return {"lag": lag if type(lag) is int and lag >= 0 else None,
            "position": position[:_POSITION] if isinstance(position, str) else "",
            "connected": connected if isinstance(connected, bool) else None}


def _failover(row: Any) -> dict[str, Any]:
    """Return what the instance's set does when its source is lost, by default nothing."""
    if row.failover_mode is None:
        return {"mode": MANUAL}
    return {"mode": row.failover_mode, "timeout_seconds": row.timeout_seconds,
            "min_interval_seconds": row.min_interval_seconds, "max_lag": row.max_lag,
            "last_at": isoformat(row.failover_at)}


def _log_archive(row: Any) -> dict[str, Any]:
    """Return what is archived of the log, and to where that brings backups."""
    view: dict[str, Any] = {"log_archiving": {
        "enabled": row.log_enabled, "retention_days": row.retention_days}}
    if row.log_error:
        view["log_archiving"]["error"] = row.log_error
    if row.shipped_at is not None:
        view["log_archiving"]["archived_at"] = isoformat(row.shipped_at)
    earliest, latest = row.earliest, row.latest
    # whole seconds within the range
    if earliest is not None and earliest.microsecond:
        earliest += datetime.timedelta(seconds=1)
    return {**view, "earliest_restorable_time": isoformat(earliest),
            "latest_restorable_time": isoformat(latest)}


def management(call: Call, row: Any, replicas: list[str], fault: Any,
               now: datetime.datetime) -> dict[str, Any]:
    """Return the view that operators get."""
    view = detail(call, row, replicas, fault, now)
    view["deleted"] = row.deleted
    view["deleted_at"] = isoformat(row.deleted_at)
    view["task_description"] = row.error or row.task
    view["service_status"] = row.service_status
    view["guest_status"] = {"state_description": row.service_status,
                            "agent_version": row.agent_version or None}
    view["server"] = {"id": row.compute_instance_id, "status": row.server_status,
                      "name": row.name, "tenant_id": row.tenant_id, "host": row.server_host,
                      "addresses": row.addresses}
    if row.volume_id is not None:
        view.setdefault("volume", {})["id"] = row.volume_id
    return view
