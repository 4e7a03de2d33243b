"""Instances as operators see them."""

from __future__ import annotations

from typing import Any

from trove_ng.api import accept, accept_agents, accept_servers
from trove_ng.api.call import Call
from trove_ng.api.handlers.instances import extras, list_page
from trove_ng.api.views import instances as views
from trove_ng.common.clock import isoformat
from trove_ng.common.errors import BadRequest, GuestTimeout, NotFound
from trove_ng.db.repositories import instance_views, instances
from trove_ng.rpc.guest import GuestClient, topic


def index(call: Call) -> dict[str, Any]:
    """List the instances of all projects, or of one."""
    return list_page(call, call.query.get("project_id") or None, with_detail=True,
                     view=views.management)


def show(call: Call) -> dict[str, Any]:
    """Show an instance, also a deleted one when asked."""
    ident = call.params["id"]
    with call.services.db.reader() as reader:
        row = call.own("Instance", ident, instance_views.get(
            reader, ident, None, include_deleted=call.flag("deleted")))
        replicas, fault = extras(reader, row)
        view = views.management(call, row, replicas, fault, call.services.clock.now())
        history = instances.root_was_enabled(reader, ident)
    if history is not None:
        view["root_enabled"] = isoformat(history.created)
        view["root_enabled_by"] = history.user
    return {"instance": view}


def rpc_ping(call: Call) -> None:
    """Ask the agent of an instance for a sign of life.

    :raises BadRequest: none came; released tools wait for this status
    """
    guest = _guest(call)
    ident = call.params["id"]
    try:
        guest.rpc_ping()
    except GuestTimeout as err:
        raise BadRequest(
            "An error occurred communicating with the guest: Timeout while waiting on RPC "
            f'response - topic: "{topic(ident)}", RPC method: "rpc_ping" info: "<unknown>".',
        ) from err


def hwinfo(call: Call) -> dict[str, Any]:
    """Show what the server of an instance has."""
    found = _guest(call).get_hwinfo()
    return {"hwinfo": {"mem_total": found.mem_total, "num_cpus": found.num_cpus}}


def diagnostics(call: Call) -> dict[str, Any]:
    """Show what the agent of an instance uses."""
    found = _guest(call).get_diagnostics()
    return {"diagnostics": {
        "version": found.version, "threads": found.threads, "fdSize": found.fd_size,
        "vmSize": found.vm_size, "vmPeak": found.vm_peak, "vmRss": found.vm_rss,
        "vmHwm": found.vm_hwm}}


def _guest(call: Call) -> GuestClient:
    """Return the client of an instance's agent, whatever the instance's state."""
    ident = call.params["id"]
    with call.services.db.reader() as session:
        call.own("Instance", ident, instances.get(session, ident))
    return call.services.guests(ident, call.context)


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


def upgrade(call: Call) -> None:
    """Give the instance another release of the agent."""
    accept_agents.upgrade_agent(call, call.body["upgrade"] or {})


def act(call: Call) -> None:
    """Run the action that the body names."""
    (name, arguments), = call.body.items()
    if name == "reset-task-status":
        accept.reset_status(call)
    elif name == "stop":
        accept_servers.stop_instance(call)
    elif name == "reboot":
        accept_servers.reboot_instance(call)
    elif name == "update":
        accept_agents.upgrade_agent(call, {})
    elif name == "migrate":
        accept_servers.migrate_instance(call, (arguments or {}).get("host"))
    else:
        accept_servers.rebuild_instance(call, arguments["image_id"])
