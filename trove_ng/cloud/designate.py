"""Names of instances, by the second version of Designate's REST API."""

from __future__ import annotations

import builtins
import ipaddress
from typing import Any

from keystoneauth1 import session
from oslo_config import cfg

from trove_ng.cloud.calls import Calls
from trove_ng.cloud.dns import Record
from trove_ng.cloud.errors import CloudNotFound, CloudRejected, CloudUnavailable


class Designate:
    """The zone that instances have their names in.

    :param options: those of conf.dns
    """

    def __init__(self, auth: session.Session, region: str, interface: str, calls: Calls,
                 options: cfg.ConfigOpts.GroupAttr) -> None:
        self._auth = auth
        self._where = {"service_type": "dns", "region_name": region, "interface": interface}
        self._calls = calls
        self._options = options
        self._zone_id: str | None = options.domain_id

    def find(self, name: str) -> builtins.list[Record]:
        """Return the records of a name that are not being deleted."""
        return _records(self._calls.again(
            self._get, self._path(), {"name": f"{name}."})["recordsets"])

    def list(self) -> builtins.list[Record]:
        """Return the records of all names of the zone that are not being deleted."""
        found: builtins.list[dict[str, Any]] = []
        # as many as the service gives at once
        query = {"limit": "max"}
        while True:
            page = self._calls.again(self._get, self._path(), query)
            found += page["recordsets"]
            if "next" not in page["links"]:
                return _records(found)
            query["marker"] = str(found[-1]["id"])

    def create(self, name: str, address: str, description: str) -> Record:
        """Register a name."""
        version = ipaddress.ip_address(address).version
        return _record(self._calls.once(self._send, "POST", self._path(), {
            "name": f"{name}.", "type": "A" if version == 4 else "AAAA",
            "records": [address], "ttl": self._options.ttl, "description": description}))

    def change(self, record_id: str, address: str) -> Record:
        """Give a name another address of the same kind."""
        return _record(self._calls.again(self._send, "PUT", self._path(record_id), {
            "records": [address], "ttl": self._options.ttl}))

    def delete(self, record_id: str) -> None:
        """Begin to forget a name."""
        self._calls.gone(self._delete, self._get, self._path(record_id))

    def _path(self, record_id: str | None = None) -> str:
        if self._zone_id is None:
            self._zone_id = self._find_zone()
        path = f"/v2/zones/{self._zone_id}/recordsets"
        return path if record_id is None else f"{path}/{record_id}"

    def _find_zone(self) -> str:
        name = self._options.domain_name
        if not name:
            raise CloudRejected("The operator named no domain for instances.")
        zones = self._calls.again(
            self._get, "/v2/zones", {"name": name.rstrip(".") + "."})["zones"]
        if not zones:
            raise CloudNotFound("The domain of instances does not exist in the DNS service.")
        return str(zones[0]["id"])

    def _url(self, path: str) -> str:
        """Return a URL; catalogs have the service with its version, or without."""
        base = self._options.endpoint_url or self._calls.again(
            self._auth.get_endpoint, **self._where)
        if base is None:
            raise CloudUnavailable("There is no dns service in the catalog.")
        return str(base).rstrip("/").removesuffix("/v2") + path

    def _get(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self._auth.get(self._url(path), params=query).json()
        return found

    def _send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._auth.request(self._url(path), method, json=body).json()
        return found

    def _delete(self, path: str) -> None:
        self._auth.delete(self._url(path))


def _records(found: list[dict[str, Any]]) -> list[Record]:
    return [_record(one) for one in sorted(found, key=lambda one: str(one["id"]))
            if one["type"] in ("A", "AAAA") and one.get("action") != "DELETE"]


def _record(found: dict[str, Any]) -> Record:
    return Record(id=str(found["id"]), name=str(found["name"]).rstrip("."),
                  address=str(found["records"][0]), ready=found["status"] == "ACTIVE",
                  failed=found["status"] == "ERROR",
                  description=str(found.get("description") or ""))
