"""The session of the service user, and the services reached by it."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from keystoneauth1 import session, token_endpoint
from keystoneauth1.identity import v3
from oslo_config import cfg

from trove_ng.cloud import dns
from trove_ng.cloud.barbican import KeyManager
from trove_ng.cloud.calls import Calls, Guard, allow
from trove_ng.cloud.cinder import BlockStorage
from trove_ng.cloud.dns import Names
from trove_ng.cloud.errors import translated
from trove_ng.cloud.glance import Images
from trove_ng.cloud.neutron import Network
from trove_ng.cloud.nova import Compute
from trove_ng.cloud.swift import ObjectStore
from trove_ng.common.errors import NotSupported
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.common.secret import Secret
from trove_ng.conf.cloud import own_region

#: what a region must have
_NEEDED = ("compute", "image", "network")

#: of the compute API, for rebuilds with new user data and migrations to a host
_REBUILD_VERSION = "2.57"


class Patience(NamedTuple):
    """How long is waited for a service.

    :param timeout: seconds that a call may take
    :param tries: how often one that may be repeated is made
    """

    timeout: float
    tries: int


def make_session(conf: cfg.ConfigOpts, timeout: float) -> session.Session:
    """Return a session of the configured service user; nothing is asked yet.

    :param timeout: seconds that a call may take
    """
    options = conf.service_credentials
    auth = v3.Password(
        auth_url=options.auth_url, username=options.username, password=options.password,
        project_name=options.project_name, user_domain_name=options.user_domain_name,
        project_domain_name=options.project_domain_name)
    return session.Session(
        auth=auth, timeout=timeout,
        verify=False if options.insecure else options.cafile or True)


class Clients:
    """The clients of one region's services, each made at its first use.

    :param home: those of the configured region, which this one is if None
    :param region: its name; None for the configured one
    :param patience: of the configured region, and so of all; None: what is configured
    """

    def __init__(self, conf: cfg.ConfigOpts, home: Clients | None = None,
                 region: str | None = None, patience: Patience | None = None) -> None:
        self._conf = conf
        self._home = home or self
        self._lock = threading.Lock()
        self._others: dict[str, Clients] = {}
        self.region = region or own_region(conf)
        self.options = options = conf.service_credentials
        self.patience: Patience = home.patience if home is not None else (
            patience or Patience(options.timeout, options.tries))
        self.session: session.Session = (
            home.session if home is not None else make_session(conf, self.patience.timeout))
        #: how the session signs on
        self.auth: Any = self.session.auth

    def in_region(self, name: str | None) -> Clients:
        """Return the clients of a region, always the same ones; None: the configured one."""
        home = self._home
        if name is None or name == home.region:
            return home
        with home._lock:
            if name not in home._others:
                # a token's catalog is as old as the token: the region may be newer
                home.session.invalidate()
                home._others[name] = Clients(self._conf, home, name)
            return home._others[name]

    def regions(self) -> Sequence[str]:
        """Return the regions of the catalog that have what instances need."""
        self.session.invalidate()
        catalog = self.auth.get_access(self.session).service_catalog
        found = [
            {one["region"] for endpoints in catalog.get_endpoints(
                service_type=kind, interface=self.options.interface).values()
             for one in endpoints} for kind in _NEEDED]
        return sorted(set.intersection(*found))

    def _where(self) -> dict[str, Any]:
        return {"session": self.session, "region_name": self.region}

    @functools.cached_property
    def nova(self) -> Any:
        """python-novaclient's client."""
        return self._nova(self.options.nova_microversion)

    @functools.cached_property
    def newer_nova(self) -> Any:
        """The same for what needs a newer version: user data of a rebuild, a host to go to.

        Not for all: it no longer tells the id of a server's flavor.
        """
        return self._nova(_REBUILD_VERSION)

    def _nova(self, version: str) -> Any:
        from novaclient import client

        return client.Client(version, endpoint_type=self.options.interface, **self._where())

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


    def barbican(self, token: Secret) -> Any:
        """Return python-barbicanclient's client, which acts for the owner of a token.

        :raises NotSupported: the catalog has no key manager
        """
        from barbicanclient import client

        with translated("key manager"):
            endpoint = self.auth.get_endpoint(
                self.session, service_type="key-manager", interface=self.options.interface,
                region_name=self.region)
        if not endpoint:
            raise NotSupported("This cloud has no key manager.")
        # it would log answers in full, and these are secrets
        logger = logging.getLogger(f"{__name__}.barbican")
        logger.setLevel(logging.INFO)
        return client.Client(
            endpoint=endpoint, version="v1", logger=logger, session=session.Session(
                auth=token_endpoint.Token(endpoint, token.reveal()),
                timeout=self.patience.timeout, verify=self.session.verify))


class Clouds:
    """The services of a region.

    :param clients: of the region; None makes those of the configured one
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

    @property
    def region(self) -> str:
        """The region's name."""
        return self._clients.region

    def in_region(self, name: str | None) -> Clouds:
        """Return the services of another region, with the same guard and recorder.

        :param name: None: the configured region
        """
        clients = self._clients.in_region(name)
        if clients is self._clients:
            return self
        return type(self)(self._conf, clients, self._guard, self._recorder)

    def regions(self) -> Sequence[str]:
        """Return the regions that instances can be made in, as the catalog now says."""
        return self._calls("identity").again(self._clients.regions)

    def _calls(self, service: str) -> Calls:
        return Calls(service, self._clients.patience.tries, self._guard, self._recorder,
                     self.region)

    @functools.cached_property
    def compute(self) -> Compute:
        """Nova."""
        return Compute(self._clients.nova, self._calls("compute"),
                       lambda: self._clients.newer_nova)

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
    def keys(self) -> KeyManager:
        """Barbican."""
        return KeyManager(self._clients.barbican, self._calls("key manager"))

    @functools.cached_property
    def names(self) -> Names:
        """Names of instances, by the configured driver."""
        return dns.load(self._clients.session, self._calls("dns"), self._conf)

    @functools.cached_property
    def objects(self) -> ObjectStore:
        """Swift, on the accounts of all projects."""
        options = self._clients.options
        return ObjectStore(self._clients.session, self.region, options.interface,
                           self._calls("object store"), self._clients.patience.timeout)

    def objects_in(self, region: str | None) -> ObjectStore:
        """Return Swift in a region, by default the configured one."""
        return self.in_region(region).objects

    def object_regions(self) -> list[str]:
        """Return the regions that have an object store, the configured one first."""
        session, own = self._clients.session, self.in_region(None).region
        access = self._calls("identity").again(self._clients.auth.get_access, session)
        found = {str(one["region_id"]) for one in access.service_catalog.get_endpoints(
            service_type="object-store", interface=self._clients.options.interface,
            ).get("object-store", [])}
        return [own, *sorted(found - {own})]
