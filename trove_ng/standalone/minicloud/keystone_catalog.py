"""Which services there are, and where."""

from __future__ import annotations

import uuid
from typing import Any

Document = dict[str, Any]

#: type, name, path below the cloud's URL; %s is the project
_SERVICES = (
    ("identity", "keystone", "/identity/v3"),
    ("compute", "nova", "/compute/v2.1"),
    ("volumev3", "cinderv3", "/volume/v3/%s"),
    ("block-storage", "cinder", "/volume/v3/%s"),
    ("image", "glance", "/image"),
    ("network", "neutron", "/network"),
    ("object-store", "swift", "/object/v1/AUTH_%s"),
)
_NAMESPACE = uuid.UUID("8d5f3c2e-53b0-4d0e-9f5b-6a3a5e3f1c77")


def _ident(*parts: str) -> str:
    return uuid.uuid5(_NAMESPACE, ":".join(parts)).hex


class Catalog:
    """The catalog of a region.

    :param url: start of the cloud's URLs
    :param trove_url: start of the database service's URL; empty: it is not listed
    """

    def __init__(self, region: str, url: str, trove_url: str) -> None:
        self._region = region
        self._services = [
            (kind, name, f"{url}{path}") for kind, name, path in _SERVICES]
        if trove_url:
            self._services += [("database", "trove", f"{trove_url}/v1.0/%s"),
                               ("workflowv2", "mistral", f"{url}/workflow/v2")]

    def of(self, project_id: str) -> list[Document]:
        """Return the catalog as a project's token shows it."""
        return [{
            "id": _ident(kind), "type": kind, "name": name, "endpoints": [
                {"id": _ident(kind, interface), "interface": interface,
                 "region": self._region, "region_id": self._region,
                 "url": url.replace("%s", project_id)}
                for interface in ("public", "internal", "admin")]}
            for kind, name, url in self._services]

    def regions(self) -> list[Document]:
        """Return the regions."""
        return [{"id": self._region, "description": "", "parent_region_id": None}]

    def services(self) -> list[Document]:
        """Return the services."""
        return [{"id": _ident(kind), "type": kind, "name": name, "enabled": True}
                for kind, name, _ in self._services]

    def endpoints(self) -> list[Document]:
        """Return the endpoints."""
        return [{"id": _ident(kind, interface), "interface": interface, "enabled": True,
                 "service_id": _ident(kind), "region": self._region,
                 "region_id": self._region, "url": url.replace("%s", "%(project_id)s")}
                for kind, _, url in self._services
                for interface in ("public", "internal", "admin")]
