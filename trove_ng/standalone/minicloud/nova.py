"""Nova: wiring of its parts, and its routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trove_ng.standalone.minicloud.cinder_volumes import Volumes
from trove_ng.standalone.minicloud.hypervisor import Hypervisor
from trove_ng.standalone.minicloud.neutron_groups import SecurityGroups
from trove_ng.standalone.minicloud.neutron_ports import Ports
from trove_ng.standalone.minicloud.nova_actions import Actions
from trove_ng.standalone.minicloud.nova_attach import Attachments, Interfaces
from trove_ng.standalone.minicloud.nova_call import Answer, Call
from trove_ng.standalone.minicloud.nova_create import Creation
from trove_ng.standalone.minicloud.nova_flavors import Flavors
from trove_ng.standalone.minicloud.nova_misc import (
    Keypairs,
    Limits,
    Operations,
    ServerGroups,
)
from trove_ng.standalone.minicloud.nova_networking import Networking
from trove_ng.standalone.minicloud.nova_quota import Quotas
from trove_ng.standalone.minicloud.nova_server_api import ServerApi
from trove_ng.standalone.minicloud.nova_servers import Servers
from trove_ng.standalone.minicloud.nova_work import Work
from trove_ng.standalone.minicloud.scheduler import Scheduler
from trove_ng.standalone.minicloud.store import Store

MINIMUM = (2, 1)
MAXIMUM = (2, 90)
HOSTS = ("compute-1", "compute-2", "compute-3")

Handler = Callable[..., Answer]


class Nova:
    """Nova's resources."""

    def __init__(
        self, store: Store, hypervisor: Hypervisor, scheduler: Scheduler, ports: Ports,
        groups: SecurityGroups, volumes: Volumes, quotas: Mapping[str, int],
        hosts: Sequence[str] = HOSTS,
    ) -> None:
        limits = Quotas(store, quotas)
        self.servers = Servers(store, ports, groups, hosts)
        networking = Networking(store, hypervisor, ports, groups, self.servers)
        self.work = Work(self.servers, hypervisor, networking, volumes, scheduler)
        creation = Creation(store, self.servers, networking, volumes, limits, scheduler)
        actions = Actions(
            store, self.servers, creation, networking, limits, scheduler, hypervisor)
        self.flavors = Flavors(store)
        self._server_api = ServerApi(store, self.servers, creation, actions, limits)
        self._attachments = Attachments(store, self.servers, volumes, hypervisor, scheduler)
        self._interfaces = Interfaces(store, self.servers, ports, networking, scheduler)
        self._keypairs = Keypairs(store, limits)
        self._server_groups = ServerGroups(store, self.servers, limits)
        self._operations = Operations(self.servers)
        self._limits = Limits(limits)

    def seed(self, region: str = "") -> None:
        """Make what a new cloud has.

        :param region: gives flavors ids of their own
        """
        self.flavors.seed(region)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return method, path below ``/v2.1`` and handler of every operation."""
        return [*self._server_routes(), *self._other_routes()]

    def _server_routes(self) -> list[tuple[str, str, Handler]]:
        api, volumes, ports = self._server_api, self._attachments, self._interfaces

        def attach(call: Call, server_id: str) -> Answer:
            return volumes.create(server_id, call.body, call.caller)

        def plug(call: Call, server_id: str) -> Answer:
            return ports.create(server_id, call.body, call.caller)

        def plain(work: Callable[..., Answer]) -> Handler:
            def handler(call: Call, **ids: str) -> Answer:
                return work(**ids, caller=call.caller)
            return handler

        def replace(call: Call, server_id: str, volume_id: str) -> Answer:
            return volumes.update(server_id, volume_id, call.body, call.caller)

        server = "/servers/<server_id>"
        return [
            ("GET", "/servers", api.index),
            ("GET", "/servers/detail", api.detail),
            ("POST", "/servers", api.create),
            ("GET", server, api.show),
            ("PUT", server, api.update),
            ("DELETE", server, api.delete),
            ("POST", f"{server}/action", api.act),
            ("GET", f"{server}/ips", api.addresses),
            ("GET", f"{server}/os-security-groups", api.security_groups),
            ("GET", f"{server}/metadata", api.metadata),
            ("POST", f"{server}/metadata", api.set_metadata),
            ("PUT", f"{server}/metadata", api.replace_metadata),
            ("GET", f"{server}/metadata/<key>", api.item),
            ("PUT", f"{server}/metadata/<key>", api.set_item),
            ("DELETE", f"{server}/metadata/<key>", api.delete_item),
            ("GET", f"{server}/os-volume_attachments", plain(volumes.index)),
            ("POST", f"{server}/os-volume_attachments", attach),
            ("GET", f"{server}/os-volume_attachments/<volume_id>", plain(volumes.show)),
            ("PUT", f"{server}/os-volume_attachments/<volume_id>", replace),
            ("DELETE", f"{server}/os-volume_attachments/<volume_id>", plain(volumes.delete)),
            ("GET", f"{server}/os-interface", plain(ports.index)),
            ("POST", f"{server}/os-interface", plug),
            ("GET", f"{server}/os-interface/<port_id>", plain(ports.show)),
            ("DELETE", f"{server}/os-interface/<port_id>", plain(ports.delete)),
        ]

    def _other_routes(self) -> list[tuple[str, str, Handler]]:
        flavors, limits, top = self.flavors, self._limits, self._operations
        flavor, quota = "/flavors/<flavor_id>", "/os-quota-sets/<project_id>"
        return [
            ("GET", "/flavors", flavors.index),
            ("GET", "/flavors/detail", flavors.detail),
            ("POST", "/flavors", flavors.create),
            ("GET", flavor, flavors.show),
            ("PUT", flavor, flavors.update),
            ("DELETE", flavor, flavors.delete),
            ("GET", f"{flavor}/os-extra_specs", flavors.specs),
            ("POST", f"{flavor}/os-extra_specs", flavors.set_specs),
            ("GET", f"{flavor}/os-extra_specs/<key>", flavors.spec),
            ("PUT", f"{flavor}/os-extra_specs/<key>", flavors.set_spec),
            ("DELETE", f"{flavor}/os-extra_specs/<key>", flavors.delete_spec),
            ("GET", f"{flavor}/os-flavor-access", flavors.access),
            ("GET", "/os-keypairs", self._keypairs.index),
            ("POST", "/os-keypairs", self._keypairs.create),
            ("GET", "/os-keypairs/<name>", self._keypairs.show),
            ("DELETE", "/os-keypairs/<name>", self._keypairs.delete),
            ("GET", "/os-server-groups", self._server_groups.index),
            ("POST", "/os-server-groups", self._server_groups.create),
            ("GET", "/os-server-groups/<group_id>", self._server_groups.show),
            ("DELETE", "/os-server-groups/<group_id>", self._server_groups.delete),
            ("GET", "/os-availability-zone", top.zones),
            ("GET", "/os-availability-zone/detail", top.zones_detail),
            ("GET", "/os-hosts", top.hosts),
            ("GET", "/os-hosts/<name>", top.host),
            ("GET", "/os-services", top.services),
            ("GET", "/os-hypervisors", top.hypervisors),
            ("GET", "/os-hypervisors/detail", top.hypervisors_detail),
            ("GET", "/os-hypervisors/<hypervisor_id>", top.hypervisor),
            ("GET", "/limits", limits.limits),
            ("GET", quota, limits.show),
            ("GET", f"{quota}/detail", limits.detail),
            ("GET", f"{quota}/defaults", limits.defaults),
            ("PUT", quota, limits.update),
            ("DELETE", quota, limits.delete),
        ]


def version_document(base: str) -> dict[str, Any]:
    """Return Nova's description of its version 2.1; ``base`` is the service's address."""
    return {
        "id": "v2.1", "status": "CURRENT", "updated": "2013-07-23T11:33:21Z",
        "version": f"{MAXIMUM[0]}.{MAXIMUM[1]}", "min_version": f"{MINIMUM[0]}.{MINIMUM[1]}",
        "links": [{"rel": "self", "href": f"{base}/v2.1/"}],
    }
