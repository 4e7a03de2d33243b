"""Views of modules."""

from __future__ import annotations

import datetime
from typing import Any

from trove_ng.api.call import Call
from trove_ng.common.clock import isoformat
from trove_ng.domain.modules import ALL, FAILED, OK
from trove_ng.rpc.module_messages import ModuleState


def _what(row: Any) -> dict[str, Any]:
    return {
        "id": row.id, "name": row.name, "type": row.type, "description": row.description,
        "datastore_id": row.datastore_id, "datastore": row.datastore_name or ALL,
        "datastore_version_id": row.datastore_version_id,
        "datastore_version": row.version_name or ALL,
        "auto_apply": row.auto_apply, "priority_apply": row.priority_apply,
        "apply_order": row.apply_order, "is_admin": row.is_admin,
    }


def module(call: Call, row: Any) -> dict[str, Any]:
    """Return the view of a module, without its contents."""
    view = {
        **_what(row), "tenant": row.tenant_id, "tenant_id": row.tenant_id,
        "live_update": row.live_update, "md5": row.md5,
        "created": isoformat(row.created), "updated": isoformat(row.updated),
        "instance_count": row.instance_count}
    if call.context.is_admin:
        view["visible"] = row.visible
    return view


def on_instance(row: Any, applied: Any) -> dict[str, Any]:
    """Return what is known of a module of an instance without asking its agent.

    :param row: the module
    :param applied: md5, created and updated of what the instance has
    """
    return {**_what(row), "md5": applied.md5, "created": isoformat(applied.created),
            "updated": isoformat(applied.updated)}


def answered(row: Any, state: ModuleState, *, contents: bool) -> dict[str, Any]:
    """Return what an agent says of a module.

    :param row: the module
    :param contents: show its file, too, if the agent gives it
    """
    view = {
        **_what(row), "md5": state.md5, "status": OK if state.ok else FAILED,
        "message": state.message, "error_message": None if state.ok else state.message,
        "filename": state.filename, "installed": _moment(state.installed_at),
        "created": _moment(state.installed_at), "updated": _moment(state.updated_at)}
    if contents and state.contents is not None:
        view["contents"] = state.contents.reveal()
    return view


def _moment(seconds: float) -> str | None:
    return isoformat(datetime.datetime.fromtimestamp(seconds, datetime.UTC))
