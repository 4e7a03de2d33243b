"""Configuration groups: what is stored, and what versions allow."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.api.handlers.datastores import find_version
from trove_ng.common.clock import isoformat
from trove_ng.common.errors import NotFound
from trove_ng.db.models import DatastoreConfigurationParameter
from trove_ng.db.repositories import configurations


def _view(row: Any) -> dict[str, Any]:
    return {
        "id": row.id, "name": row.name, "description": row.description,
        "created": isoformat(row.created), "updated": isoformat(row.updated),
        "datastore_name": row.datastore_name,
        "datastore_version_id": row.datastore_version_id,
        "datastore_version_name": row.version_name,
    }


def index(call: Call) -> dict[str, Any]:
    """List the project's groups."""
    limit, marker = call.limit(), call.marker()
    with call.services.db.reader() as session:
        rows = configurations.list_views(
            session, tenant_id=call.context.project_id, limit=limit, marker=marker)
    items = [_view(row) for row in rows[:limit]]
    return call.page("configurations", items,
                     items[-1]["id"] if len(rows) > limit and items else None)


def show(call: Call) -> dict[str, Any]:
    """Show a group with its values."""
    ident = call.params["id"]
    with call.services.db.reader() as session:
        row = configurations.get_view(session, ident, call.owner)
        if row is None:
            raise NotFound.of("Configuration", ident)
        call.authorize_owner(row.tenant_id)
        view = _view(row)
        view["values"] = configurations.values(session, ident)
    view["instance_count"] = row.instance_count
    view["datastore_version_number"] = row.version_number
    return {"configuration": view}


def instances(call: Call) -> dict[str, Any]:
    """List the instances that have the group."""
    ident, limit, marker = call.params["id"], call.limit(), call.marker()
    with call.services.db.reader() as session:
        row = configurations.get_view(session, ident, call.owner)
        if row is None:
            raise NotFound.of("Configuration", ident)
        call.authorize_owner(row.tenant_id)
        rows = configurations.instances(session, ident, limit=limit, marker=marker)
    items = [{"id": found.id, "name": found.name} for found in rows[:limit]]
    return call.page("instances", items,
                     items[-1]["id"] if len(rows) > limit and items else None)


def _parameter(row: DatastoreConfigurationParameter) -> dict[str, Any]:
    view: dict[str, Any] = {
        "name": row.name, "datastore_version_id": row.datastore_version_id,
        "restart_required": row.restart_required, "type": row.data_type}
    for name, text in (("min", row.min_size), ("max", row.max_size)):
        if text is not None:
            view[name] = _number(text)
    return view


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parameters(call: Call) -> dict[str, Any]:
    """List the parameters that groups of a version may set."""
    with call.services.db.reader() as session:
        version, _ = find_version(session, call)
        rows = configurations.parameters(session, version.id)
    return {"configuration-parameters": [_parameter(row) for row in rows]}


def parameter(call: Call) -> dict[str, Any]:
    """Show one of them."""
    name = call.params["name"]
    with call.services.db.reader() as session:
        version, _ = find_version(session, call)
        rows = configurations.parameters(session, version.id, name)
    if not rows:
        raise NotFound.of("Configuration parameter", name)
    return _parameter(rows[0])
