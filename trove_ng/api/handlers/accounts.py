"""Projects that have instances, for operators."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.common.errors import NotFound
from trove_ng.db.repositories import accounts


def index(call: Call) -> dict[str, Any]:
    """List the projects that have instances."""
    with call.services.db.connection() as reader:
        rows = accounts.page(reader, limit=call.limit(), marker=call.marker())
    return call.listed("accounts", rows, lambda row: _view(row.tenant_id, row.instances))


def show(call: Call) -> dict[str, Any]:
    """Show which instances a project has."""
    ident = call.params["id"]
    with call.services.db.connection() as reader:
        ids = accounts.instance_ids(reader, ident)
    if not ids:
        raise NotFound.of("Account", ident)
    return {"account": {**_view(ident, len(ids)), "instance_ids": ids}}


def _view(project_id: str, instances: int) -> dict[str, Any]:
    # released clients call it a name
    return {"id": project_id, "name": project_id, "num_instances": instances}
