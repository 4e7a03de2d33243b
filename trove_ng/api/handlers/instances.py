"""Instances: list, show, rename, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trove_ng.api import (
    accept,
    accept_access,
    accept_configurations,
    accept_failover,
    accept_log_archives,
    accept_roles,
    accept_servers,
)
from trove_ng.api.call import Call
from trove_ng.api.handlers.instance_actions import asking
from trove_ng.api.views import instances as views
from trove_ng.common.errors import BadRequest, NotSupported
from trove_ng.db.models import Instance
from trove_ng.db.repositories import instance_views, instances
from trove_ng.db.repositories.instance_views import Shape
from trove_ng.db.rows import Reader
from trove_ng.db.session import retry_on_db_error

View = Callable[..., dict[str, Any]]


def index(call: Call) -> dict[str, Any]:
    """List the caller's instances."""
    return list_page(call, call.context.project_id, with_detail=False)


def detail(call: Call) -> dict[str, Any]:
    """List the caller's instances with all details."""
    return list_page(call, call.context.project_id, with_detail=True)


def list_page(call: Call, tenant_id: str | None, *, with_detail: bool,
              view: View = views.detail) -> dict[str, Any]:
    """Return a page of instances.

    :param tenant_id: owner to look among; None for all
    """
    limit, marker = call.limit(), call.marker()
    now = call.services.clock.now()
    with call.services.db.connection() as reader:
        rows = instance_views.page(
            reader, tenant_id=tenant_id, limit=limit, marker=marker,
            shape=shape(call) if with_detail else Shape.BRIEF,
            include_clustered=call.flag("include_clustered"), deleted=call.flag("deleted"))
        more, rows = len(rows) > limit, rows[:limit]
        ids = [row.id for row in rows]
        replicas = instances.replica_ids(reader, [row.id for row in rows if row.has_replicas])
        faults = instances.newest_faults(
            reader, [row.id for row in rows if row.has_faults]) if with_detail else {}
        if with_detail:
            items = [view(call, row, replicas.get(row.id, []), faults.get(row.id), now)
                     for row in rows]
        else:
            items = [views.brief(call, row, replicas.get(row.id, []), now) for row in rows]
    return call.page("instances", items, ids[-1] if more and ids else None)


def shape(call: Call) -> Shape:
    """Return how much the caller is shown."""
    return Shape.ALL if call.context.is_admin else Shape.DETAIL


def show(call: Call) -> dict[str, Any]:
    """Show an instance."""
    with call.services.db.connection() as reader:
        return {"instance": render(reader, call, call.params["id"])}


def render(reader: Reader, call: Call, instance_id: str) -> dict[str, Any]:
    """Return the detailed view of one instance.

    :raises NotFound: there is none that the caller may see
    """
    row = call.own("Instance", instance_id, instance_views.get(
        reader, instance_id, call.owner, shape=shape(call)))
    replicas, fault = extras(reader, row)
    return views.detail(call, row, replicas, fault, call.services.clock.now())


def extras(reader: Reader, row: Any) -> tuple[list[str], Any]:
    """Return the ids of an instance's replicas, and its newest fault if it has one."""
    replicas = instances.replica_ids(reader, [row.id]).get(
        row.id, []) if row.has_replicas else []
    fault = instances.newest_faults(reader, [row.id]).get(row.id) if row.has_faults else None
    return replicas, fault


def update(call: Call) -> None:
    """Rename an instance, or change what belongs to it: one thing at a time."""
    wanted = dict(call.body["instance"])
    name = wanted.pop("name", None)
    if len(wanted) > 1:
        raise BadRequest("Validation error: instance: only one of "
                         f"{', '.join(sorted(wanted))} can be changed at a time.")
    if "configuration" in wanted or (call.route.method == "PUT" and name is None
                                     and not wanted):
        # an empty PUT is how released clients detach a group
        accept_configurations.attach(
            call, wanted.get("configuration"), lambda found: _rename(found, name))
    elif "access" in wanted:
        accept_access.update(call, wanted["access"], lambda found: _rename(found, name))
    elif "log_archiving" in wanted:
        accept_log_archives.update(
            call, wanted["log_archiving"], lambda found: _rename(found, name))
    elif "replica_of" in wanted or "slave_of" in wanted:
        _detach(call, wanted, name)
    elif "datastore_version" in wanted:
        accept_servers.upgrade_instance(
            asking(call, "instance:upgrade"), wanted["datastore_version"],
            lambda found: _rename(found, name))
    elif "failover" in wanted:
        accept_failover.update(
            asking(call, "instance:update_failover"), wanted["failover"],
            lambda found: _rename(found, name))
    else:
        _update(call, name)


def _detach(call: Call, wanted: dict[str, Any], name: str | None) -> None:
    (field, source), = wanted.items()
    if source is not None:
        raise NotSupported(f"Changing instance.{field} to another source is not supported.")
    accept_roles.detach(call, lambda found: _rename(found, name))


@retry_on_db_error
def _update(call: Call, name: str | None) -> None:
    with call.services.db.writer() as session:
        found = accept.find(session, call, lock=True)
        if name is None:
            return
        found.name = name
        call.services.notices.both(
            session, "instance_update", call.context, found.tenant_id,
            {"instance_id": found.id, "name": name}, call.services.clock.now())


def _rename(found: Instance, name: str | None) -> None:
    if name is not None:
        found.name = name


def configuration(call: Call) -> dict[str, Any]:
    """Show the settings that the instance has without a group."""
    with call.services.db.connection() as reader:
        ident = call.params["id"]
        row = call.own("Instance", ident, instance_views.get(reader, ident, call.owner))
        memory_mb = instances.flavor_ram(reader, row.id)
    settings = accept_configurations.defaults(
        row.manager, row.version_number, memory_mb)
    return {"instance": {"configuration": {
        name: str(value) for name, value in sorted(settings.items())}}}


def delete(call: Call) -> None:
    """Delete an instance."""
    accept.delete_instance(call)
