"""Configuration groups: what is stored, and what versions allow."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from trove_ng.api import accept_configurations, effective_versions
from trove_ng.api.call import Call
from trove_ng.api.views.parameters import parameter as parameter_view
from trove_ng.common.clock import isoformat
from trove_ng.common.errors import NotFound
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
    with call.services.db.reader() as session:
        rows = configurations.list_views(
            session, tenant_id=call.context.project_id, limit=call.limit(),
            marker=call.marker())
    return call.listed("configurations", rows, _view)


def show(call: Call) -> dict[str, Any]:
    """Show a group with its values."""
    with call.services.db.reader() as session:
        return {"configuration": _detail(call, session, call.params["id"])}


def _row(call: Call, session: Session, ident: str) -> Any:
    return call.own("Configuration", ident,
                    configurations.get_view(session, ident, call.owner))


def _detail(call: Call, session: Session, ident: str) -> dict[str, Any]:
    row = _row(call, session, ident)
    view: dict[str, Any] = _view(row)
    view["values"] = configurations.values(session, ident)
    view["instance_count"] = row.instance_count
    view["datastore_version_number"] = row.version_number
    return view


def create(call: Call) -> dict[str, Any]:
    """Create a group."""
    made: dict[str, Any] = accept_configurations.create(
        call, lambda session, ident: _detail(call, session, ident))
    return made


def replace(call: Call) -> None:
    """Change a group; its values become those of the request."""
    accept_configurations.change(call, merge=False)


def merge(call: Call) -> None:
    """Change a group; values that the request does not name stay."""
    accept_configurations.change(call, merge=True)


def delete(call: Call) -> None:
    """Delete a group that no instance has."""
    accept_configurations.delete(call)


def instances(call: Call) -> dict[str, Any]:
    """List the instances that have the group."""
    ident = call.params["id"]
    with call.services.db.reader() as session:
        _row(call, session, ident)
        rows = configurations.instances(
            session, ident, limit=call.limit(), marker=call.marker())
    return call.listed("instances", rows, lambda row: {"id": row.id, "name": row.name})


def parameters(call: Call) -> dict[str, Any]:
    """List the parameters that groups of a version may set."""
    with call.services.db.reader() as session:
        version, _ = effective_versions.named(session, call)
        rows = configurations.parameters(session, version.id)
    return {"configuration-parameters": [parameter_view(row) for row in rows]}


def parameter(call: Call) -> dict[str, Any]:
    """Show one of them."""
    name = call.params["name"]
    with call.services.db.reader() as session:
        version, _ = effective_versions.named(session, call)
        rows = configurations.parameters(session, version.id, name)
    if not rows:
        raise NotFound.of("Configuration parameter", name)
    return parameter_view(rows[0])
