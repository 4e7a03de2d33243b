"""One region of a minicloud: servers, volumes, networks, images and objects of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from trove_ng.standalone.minicloud import cinder, neutron, nova, nova_states, web
from trove_ng.standalone.minicloud.config import MiniCloudConfig
from trove_ng.standalone.minicloud.faults import FaultInjector
from trove_ng.standalone.minicloud.glance import Glance
from trove_ng.standalone.minicloud.glance import version_document as image_version
from trove_ng.standalone.minicloud.hypervisor import Hypervisor, ServerSpec
from trove_ng.standalone.minicloud.scheduler import Scheduler
from trove_ng.standalone.minicloud.store import Store
from trove_ng.standalone.minicloud.swift import Swift

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Region:
    """The services of one region, but for the identity service.

    :param name: of the region
    :param home: directory of its state
    :param url: start of its services' URLs
    :param cidrs: of the network that all projects share, and of the external one; None:
        there is none
    :param ids: its flavors have ids of their own, not those of the first region
    """

    def __init__(self, name: str, home: Path, url: str, cidrs: tuple[str, str | None],
                 config: MiniCloudConfig, hypervisor: Hypervisor, faults: FaultInjector, *,
                 store: Store | None = None, ids: bool = True) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.url = url
        self._cidrs = cidrs
        self._ids = ids
        self._faults = faults
        self.store = store or Store(home / "minicloud.sqlite")
        self.scheduler = Scheduler(self.store, config.delays, stuck=faults.is_stuck)
        quotas = config.quotas
        self.cinder = cinder.Cinder(
            self.store, hypervisor, self.scheduler, quotas.get("cinder", {}))
        self.neutron = neutron.Neutron(self.store, hypervisor, quotas.get("neutron", {}))
        self.nova = nova.Nova(
            self.store, hypervisor, self.scheduler, self.neutron.api.ports,
            self.neutron.api.groups, self.cinder.volumes, quotas.get("nova", {}))
        self.glance = Glance(self.store, home / "images")
        self._objects = home / "objects"

    def seed(self, project_id: str | None) -> None:
        """Make what a new region has.

        :param project_id: owns the network; None: there is no such project
        """
        with self.store.transaction():
            self.nova.seed(self.name if self._ids else "")
            self.cinder.seed()
            self.glance.seed()
        if project_id is not None:
            self.neutron.seed(project_id, *self._cidrs)

    def services(self, identify: web.Identify) -> dict[str, WsgiApp]:
        """Return the services by the first part of their paths.

        :param identify: tells whose token it is
        """
        self.swift = Swift(self.store, self._objects, identify, self._refuses)

        def service(api: web.Api) -> WsgiApp:
            return web.Service(api, identify, f"{self.url}/{api.name}")

        return {
            "compute": service(web.Api(
                "compute", "/v2.1", tuple(self.nova.routes()), nova.version_document,
                web.compute_words, ("compute", nova.MINIMUM, nova.MAXIMUM))),
            "volume": service(web.Api(
                "volume", "/v3", tuple(self.cinder.routes()), cinder.version_document,
                web.compute_words, ("volume", cinder.MINIMUM, cinder.MAXIMUM),
                with_project=True)),
            "network": service(web.Api(
                "network", "/v2.0", tuple(self.neutron.routes()), neutron.version_document,
                web.network_words)),
            "image": service(web.Api(
                "image", "/v2", tuple(self.glance.routes()), image_version,
                web.image_words)),
            "object": self.swift,
        }

    def _refuses(self, path: str) -> int | None:
        """Return what a rule says of an object among many that are deleted in one call."""
        rule = self._faults.on_call(f"{self.name}/object" if self._ids else "object",
                                    "DELETE", path)
        return rule.status if rule is not None and rule.kind == "error" else None

    def running(self) -> list[ServerSpec]:
        """Return the servers that should run."""
        return [self.nova.servers.spec(server) for server in self.store.list("server")
                if server["power_state"] == nova_states.RUNNING]
