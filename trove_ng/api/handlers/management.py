"""Instances as operators see them."""

from __future__ import annotations

from typing import Any

from trove_ng.api import accept
from trove_ng.api.call import Call
from trove_ng.api.handlers.instances import extras, list_page
from trove_ng.api.views import instances as views
from trove_ng.common.clock import isoformat
from trove_ng.common.errors import NotFound
from trove_ng.db.repositories import instance_views, instances


def index(call: Call) -> dict[str, Any]:
    """List the instances of all projects, or of one."""
    return list_page(call, call.query.get("project_id") or None, with_detail=True,
                     view=views.management)


def show(call: Call) -> dict[str, Any]:
    """Show an instance, also a deleted one when asked."""
    ident = call.params["id"]
    with call.services.db.connection() as reader:
        row = instance_views.get(reader, ident, None, include_deleted=call.flag("deleted"))
        if row is None:
            raise NotFound.of("Instance", ident)
        call.authorize_owner(row.tenant_id)
        replicas, fault = extras(reader, row)
        return {"instance": views.management(
            call, row, replicas, fault, call.services.clock.now())}


def root(call: Call) -> dict[str, Any]:
    """Show when root was first enabled, and by whom."""
    ident = call.params["id"]
    with call.services.db.reader() as session:
        if instances.get(session, ident, include_deleted=True) is None:
            raise NotFound.of("Instance", ident)
        found = instances.root_was_enabled(session, ident)
    if found is None:
        return {"root_history": {"id": ident, "enabled": "Never", "user": "Nobody"}}
    return {"root_history": {"id": ident, "enabled": isoformat(found.created),
                             "user": found.user}}


def act(call: Call) -> None:
    """Set the task of an instance to none."""
    accept.reset_status(call)
