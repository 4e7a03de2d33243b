"""The session of the service user, and the services reached by it."""

from __future__ import annotations

import functools
from typing import Any

from keystoneauth1 import session
from keystoneauth1.identity import v3
from oslo_config import cfg

from trove_ng.cloud import dns
from trove_ng.cloud.calls import Calls, Guard, allow
from trove_ng.cloud.cinder import BlockStorage
from trove_ng.cloud.dns import Names
from trove_ng.cloud.glance import Images
from trove_ng.cloud.neutron import Network
from trove_ng.cloud.nova import Compute
from trove_ng.cloud.swift import ObjectStore
from trove_ng.common.metrics import SILENT, Recorder


def make_session(conf: cfg.ConfigOpts) -> session.Session:
    """Return a session of the configured service user; nothing is asked yet."""
    options = conf.service_credentials
    auth = v3.Password(
        auth_url=options.auth_url, username=options.username, password=options.password,
        project_name=options.project_name, user_domain_name=options.user_domain_name,
        project_domain_name=options.project_domain_name)
    return session.Session(
        auth=auth, timeout=options.timeout,
        verify=False if options.insecure else options.cafile or True)


class Clients:
    """The clients of the configured region's services, each made at its first use."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.options = conf.service_credentials
        self.session = make_session(conf)
        #: how the session signs on
        self.auth: Any = self.session.auth

    def _where(self) -> dict[str, Any]:
        return {"session": self.session, "region_name": self.options.region_name}

    @functools.cached_property
    def nova(self) -> Any:
        """python-novaclient's client."""
        from novaclient import client

        return client.Client(
            self.options.nova_microversion, endpoint_type=self.options.interface,
            **self._where())

    @functools.cached_property
    def cinder(self) -> Any:
        """python-cinderclient's client."""
        from cinderclient import client

        return client.Client(
            self.options.cinder_microversion, service_type="volumev3",
            interface=self.options.interface, **self._where())

    @functools.cached_property
    def neutron(self) -> Any:
        """python-neutronclient's client."""
        from neutronclient.v2_0 import client

        return client.Client(endpoint_type=self.options.interface, **self._where())

    @functools.cached_property
    def glance(self) -> Any:
        """python-glanceclient's client."""
        from glanceclient.v2 import client

        return client.Client(interface=self.options.interface, **self._where())


class Clouds:
    """The services of the configured region.

    :param clients: None makes them of the configuration
    :param recorder: is told of each call
    """

    def __init__(self, conf: cfg.ConfigOpts, clients: Clients | None = None,
                 guard: Guard = allow, recorder: Recorder = SILENT) -> None:
        self._conf = conf
        self._recorder = recorder
        self._clients = clients or Clients(conf)
        self._guard = guard

    def guarded(self, guard: Guard) -> Clouds:
        """Return the same services, with another guard."""
        return type(self)(self._conf, self._clients, guard, self._recorder)

    def _calls(self, service: str) -> Calls:
        return Calls(service, self._clients.options.tries, self._guard, self._recorder)

    @functools.cached_property
    def compute(self) -> Compute:
        """Nova."""
        return Compute(self._clients.nova, self._calls("compute"))

    @functools.cached_property
    def volume(self) -> BlockStorage:
        """Cinder."""
        return BlockStorage(self._clients.cinder, self._calls("volume"))

    @functools.cached_property
    def network(self) -> Network:
        """Neutron."""
        return Network(self._clients.neutron, self._calls("network"),
                       lambda: str(self._clients.session.get_project_id()))

    @functools.cached_property
    def images(self) -> Images:
        """Glance."""
        return Images(self._clients.glance, self._calls("image"))

    @functools.cached_property
    def names(self) -> Names:
        """Names of instances, by the configured driver."""
        return dns.load(self._clients.session, self._calls("dns"), self._conf)

    @functools.cached_property
    def objects(self) -> ObjectStore:
        """Swift, on the accounts of all projects."""
        return self._objects(self._clients.options.region_name)

    def objects_in(self, region: str | None) -> ObjectStore:
        """Return Swift in a region, by default the configured one."""
        if region in (None, self._clients.options.region_name):
            return self.objects
        return self._objects(str(region))

    def _objects(self, region: str) -> ObjectStore:
        options = self._clients.options
        return ObjectStore(self._clients.session, region, options.interface,
                           self._calls("object store"), options.timeout)

    def object_regions(self) -> list[str]:
        """Return the regions that have an object store, the configured one first."""
        session, own = self._clients.session, str(self._clients.options.region_name)
        access = self._calls("identity").again(self._clients.auth.get_access, session)
        found = {str(one["region_id"]) for one in access.service_catalog.get_endpoints(
            service_type="object-store", interface=self._clients.options.interface,
            ).get("object-store", [])}
        return [own, *sorted(found - {own})]
