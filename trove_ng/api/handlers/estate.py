"""Hosts, storage and flavors of the cloud, for operators; the cloud is asked."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.api.views import datastores as datastore_views
from trove_ng.api.views import estate as views
from trove_ng.api.views.instances import facts
from trove_ng.cloud.types import Server
from trove_ng.common.errors import NotFound
from trove_ng.db.repositories import instance_views
from trove_ng.domain.instance_status import status


def hosts(call: Call) -> dict[str, Any]:
    """List the compute hosts, with how many instances each has."""
    estate = call.services.estate
    servers = estate.servers()
    return {"hosts": [views.host(one, len(_on(servers, one.name)))
                      for one in estate.hosts()]}


def host(call: Call) -> dict[str, Any]:
    """Show a compute host and the instances that are on it."""
    name, estate = call.params["id"], call.services.estate
    found = next((one for one in estate.hosts() if one.name == name), None)
    if found is None:
        raise NotFound.of("Host", name)
    servers, now = _on(estate.servers(), name), call.services.clock.now()
    with call.services.db.connection() as reader:
        rows = instance_views.some(reader, sorted(servers))
    return {"host": views.host_detail(found, len(servers), [{
        "id": row.id, "name": row.name, "status": status(facts(row, now)),
        "server_id": servers[row.id].id, "tenant_id": row.tenant_id} for row in rows])}


def _on(servers: list[Server], host_name: str) -> dict[str, Server]:
    """Return the servers of a host that were made for instances, by instance."""
    return {one.instance_id: one for one in servers
            if one.host == host_name and one.instance_id is not None}


def storage(call: Call) -> dict[str, Any]:
    """List the pools that volumes are made in."""
    return {"devices": [views.pool(one) for one in call.services.estate.pools()]}


def create_flavor(call: Call) -> dict[str, Any]:
    """Make a flavor in the cloud."""
    wanted = call.body["flavor"]
    ident = str(wanted.get("flavor_id", "auto"))
    made = call.services.estate.create_flavor(
        name=wanted["name"], ram_mb=wanted["ram"], vcpus=wanted["vcpu"],
        disk_gb=wanted["disk"], flavor_id=None if ident == "auto" else ident,
        ephemeral_gb=wanted.get("ephemeral", 0), swap_mb=wanted.get("swap", 0),
        rxtx_factor=float(wanted.get("rxtx_factor", 1)),
        is_public=str(wanted.get("is_public", True)).lower() == "true")
    return {"flavor": datastore_views.flavor(call, made)}
