"""The session of the service user, and the services reached by it."""

from __future__ import annotations

import functools
from typing import Any

from keystoneauth1 import session
from keystoneauth1.identity import v3
from oslo_config import cfg

from trove_ng.cloud.calls import Calls
from trove_ng.cloud.cinder import BlockStorage
from trove_ng.cloud.glance import Images
from trove_ng.cloud.neutron import Network
from trove_ng.cloud.nova import Compute
from trove_ng.cloud.swift import ObjectStore


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


class Clouds:
    """The services of the configured region, each made at its first use."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._options = conf.service_credentials
        self._session = make_session(conf)

    def _where(self) -> dict[str, Any]:
        return {"session": self._session, "region_name": self._options.region_name}

    @functools.cached_property
    def compute(self) -> Compute:
        """Nova."""
        from novaclient import client

        return Compute(client.Client(
            self._options.nova_microversion, endpoint_type=self._options.interface,
            **self._where()), Calls("compute", self._options.tries))

    @functools.cached_property
    def volume(self) -> BlockStorage:
        """Cinder."""
        from cinderclient import client

        return BlockStorage(client.Client(
            self._options.cinder_microversion, service_type="volumev3",
            interface=self._options.interface, **self._where()),
            Calls("volume", self._options.tries))

    @functools.cached_property
    def network(self) -> Network:
        """Neutron."""
        from neutronclient.v2_0 import client

        return Network(client.Client(
            endpoint_type=self._options.interface, **self._where()),
            Calls("network", self._options.tries), lambda: str(self._session.get_project_id()))

    @functools.cached_property
    def images(self) -> Images:
        """Glance."""
        from glanceclient.v2 import client

        return Images(client.Client(
            interface=self._options.interface, **self._where()),
            Calls("image", self._options.tries))

    @functools.cached_property
    def objects(self) -> ObjectStore:
        """Swift, on the accounts of all projects."""
        return ObjectStore(
            self._session, self._options.region_name, self._options.interface,
            Calls("object store", self._options.tries))
