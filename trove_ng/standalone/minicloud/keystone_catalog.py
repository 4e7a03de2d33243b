"""Which services there are, and where."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

Document = dict[str, Any]

_IDENTITY = ("identity", "keystone", "/identity/v3")
#: type, name, path below the region's URL; %s is the project
_SERVICES = (
    ("compute", "nova", "/compute/v2.1"),
    ("volumev3", "cinderv3", "/volume/v3/%s"),
    ("block-storage", "cinder", "/volume/v3/%s"),
    ("image", "glance", "/image"),
    ("network", "neutron", "/network"),
    ("object-store", "swift", "/object/v1/AUTH_%s"),
)
_INTERFACES = ("public", "internal", "admin")
_NAMESPACE = uuid.UUID("8d5f3c2e-53b0-4d0e-9f5b-6a3a5e3f1c77")


def _ident(*parts: str) -> str:
    return uuid.uuid5(_NAMESPACE, ":".join(parts)).hex


class Catalog:
    """The catalog of all regions.

    :param regions: name → start of the URLs of its services, the first region first
    :param url: start of the URL of the identity service, which all regions have
    :param trove_url: start of the URL of the database service, which the first region has;
        empty: it is not listed
    """

    def __init__(self, regions: Mapping[str, str], url: str, trove_url: str) -> None:
        self._regions = list(regions)
        #: type, name, region → URL
        self._services: list[tuple[str, str, dict[str, str]]] = [
            (_IDENTITY[0], _IDENTITY[1], dict.fromkeys(regions, f"{url}{_IDENTITY[2]}"))]
        self._services += [
            (kind, name, {region: f"{start}{path}" for region, start in regions.items()})
            for kind, name, path in _SERVICES]
        self._services.append(
            ("key-manager", "barbican", dict.fromkeys(regions, f"{url}/key-manager")))
        if trove_url:
            first = self._regions[0]
            self._services += [("database", "trove", {first: f"{trove_url}/v1.0/%s"}),
                               ("workflowv2", "mistral", {first: f"{url}/workflow/v2"})]

    def of(self, project_id: str) -> list[Document]:
        """Return the catalog as a project's token shows it."""
        return [{
            "id": _ident(kind), "type": kind, "name": name, "endpoints": [
                {**one, "url": one["url"].replace("%s", project_id)}
                for one in self._endpoints(kind, urls)]}
            for kind, name, urls in self._services]

    def _endpoints(self, kind: str, urls: Mapping[str, str]) -> Iterator[Document]:
        for region, url in urls.items():
            # what was before there were other regions
            more = () if region == self._regions[0] else (region,)
            for interface in _INTERFACES:
                yield {"id": _ident(kind, interface, *more), "interface": interface,
                       "region": region, "region_id": region, "url": url}

    def regions(self) -> list[Document]:
        """Return the regions."""
        return [{"id": one, "description": "", "parent_region_id": None}
                for one in self._regions]

    def services(self) -> list[Document]:
        """Return the services."""
        return [{"id": _ident(kind), "type": kind, "name": name, "enabled": True}
                for kind, name, _ in self._services]

    def endpoints(self) -> list[Document]:
        """Return the endpoints."""
        return [{**one, "enabled": True, "service_id": _ident(kind),
                 "url": one["url"].replace("%s", "%(project_id)s")}
                for kind, _, urls in self._services for one in self._endpoints(kind, urls)]
