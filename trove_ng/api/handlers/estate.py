"""Hosts, storage and flavors of the cloud, for operators; the cloud is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from trove_ng.api import accept_hosts
from trove_ng.api.call import Call
from trove_ng.api.views import datastores as datastore_views
from trove_ng.api.views import estate as views
from trove_ng.api.views.instances import facts
from trove_ng.cloud.types import Host, Server
from trove_ng.common.errors import BadRequest, NotFound, ServiceUnavailable
from trove_ng.db.repositories import instance_views
from trove_ng.domain.instance_status import status

LOG = logging.getLogger(__name__)

T = TypeVar("T")


def hosts(call: Call) -> dict[str, Any]:
    """List the compute hosts of all regions, with how many instances each has."""
    estate = call.services.estate

    def look(region: str) -> list[dict[str, Any]]:
        servers = estate.servers(region)
        return [views.host(one, region, len(_on(servers, one.name)))
                for one in estate.hosts(region)]

    found, away = _look(call, look)
    return {"hosts": found, "regions_away": away}


def host(call: Call) -> dict[str, Any]:
    """Show a compute host and the instances that are on it."""
    found, region = _find(call)
    servers = _on(call.services.estate.servers(region), found.name)
    now = call.services.clock.now()
    with call.services.db.connection() as reader:
        rows = instance_views.some(reader, sorted(servers))
    return {"host": views.host_detail(found, region, len(servers), [{
        "id": row.id, "name": row.name, "status": status(facts(row, now)),
        "server_id": servers[row.id].id, "tenant_id": row.tenant_id} for row in rows])}


def act(call: Call) -> dict[str, Any]:
    """Begin an action on each instance of a host; say of each whether it has begun."""
    found, region = _find(call)
    (name, _), = call.body.items()
    begin = {"update": accept_hosts.upgrade_agents, "migrate": accept_hosts.migrate}[name]
    begun = begin(call, sorted(_on(call.services.estate.servers(region), found.name)))
    return {"instances": begun}


def _find(call: Call) -> tuple[Host, str]:
    """Return the host of the path, and its region.

    Of several, in several regions, it is the configured region's: released clients name none.

    :raises NotFound: there is none
    """
    name = call.params["id"]
    found, away = _look(call, lambda region: [
        (one, region) for one in call.services.estate.hosts(region) if one.name == name])
    if found:
        return found[0]
    if away:
        raise ServiceUnavailable(f"These regions do not answer: {', '.join(away)}")
    raise NotFound.of("Host", name)


def _look(call: Call, look: Callable[[str], list[T]]) -> tuple[list[T], list[str]]:
    """Return what regions have, and which of them do not answer.

    :raises ServiceUnavailable: none does
    """
    found: list[T] = []
    away: list[str] = []
    regions = _regions(call)
    for region in regions:
        try:
            found += look(region)
        except ServiceUnavailable as err:
            away.append(region)
            if len(away) == len(regions):
                raise
            LOG.warning("region %s is left out: %s", region, err.message)
    return found, away


def _regions(call: Call) -> list[str]:
    """Return the regions to look at: all, or the one that the request names."""
    known, wanted = call.services.estate.regions(), call.query.get("region")
    if not wanted:
        return known
    if wanted not in known:
        raise BadRequest(f"Validation error: region {wanted} does not exist.")
    return [wanted]


def _on(servers: list[Server], host_name: str) -> dict[str, Server]:
    """Return the servers of a host that were made for instances, by instance."""
    return {one.instance_id: one for one in servers
            if one.host == host_name and one.instance_id is not None}


def storage(call: Call) -> dict[str, Any]:
    """List the pools that volumes are made in, of all regions."""
    found, away = _look(call, lambda region: [
        views.pool(one, region) for one in call.services.estate.pools(region)])
    return {"devices": found, "regions_away": away}


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
