"""Objects in the accounts of all projects, by python-swiftclient.

The service user needs the role that Swift is configured to let into every account
(``ResellerAdmin``).  Guests get no token: they use signed URLs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from keystoneauth1 import session
from swiftclient import client, utils

from trove_ng.cloud.calls import Calls
from trove_ng.cloud.errors import CloudError, CloudUnavailable
from trove_ng.cloud.types import Grant
from trove_ng.common.secret import Secret, generate_password

_KEY = "x-container-meta-temp-url-key"
_PAGE = 1000


class ObjectStore:
    """The object store.

    :param auth: session of the service user
    """

    def __init__(self, auth: session.Session, region: str, interface: str,
                 calls: Calls) -> None:
        self._auth = auth
        self._region = region
        self._interface = interface
        self._calls = calls

    def _account_url(self, tenant_id: str) -> str:
        """Return the URL of a project's account, made from that of our own."""
        own = self._calls.again(
            self._auth.get_endpoint, service_type="object-store",
            region_name=self._region, interface=self._interface)
        if own is None:
            raise CloudUnavailable("There is no object store in the catalog.")
        return str(own).rstrip("/").removesuffix(
            str(self._calls.again(self._auth.get_project_id))) + tenant_id

    def object_url(self, tenant_id: str, container: str, name: str) -> str:
        """Return the URL of an object."""
        return f"{self._account_url(tenant_id)}/{quote(container)}/{quote(name)}"

    def _connection(self, tenant_id: str) -> client.Connection:
        return client.Connection(
            preauthurl=self._account_url(tenant_id),
            preauthtoken=self._calls.again(self._auth.get_token), retries=0, timeout=60)

    def ensure_container(self, tenant_id: str, container: str) -> None:
        """Make a container if there is none, with a key for signed URLs."""
        connection = self._connection(tenant_id)
        self._calls.again(connection.put_container, container)
        self._key(connection, container)

    def _key(self, connection: client.Connection, container: str) -> Secret:
        headers = self._calls.again(connection.head_container, container)
        found = headers.get(_KEY)
        if not found:
            self._calls.again(connection.post_container, container,
                              {_KEY: generate_password(40)})
            # of two that made one at the same time, the last won
            found = self._calls.again(connection.head_container, container)[_KEY]
        return Secret(found)

    def grant(self, tenant_id: str, container: str, prefix: str, *, write: bool,
              lifetime_s: int) -> Grant:
        """Return leave to read, or also write, the objects below a prefix.

        :param lifetime_s: seconds until it ends
        """
        url = f"{self._account_url(tenant_id)}/{quote(container)}"
        key = self._key(self._connection(tenant_id), container)
        # what the object store sees begins with its API version
        path = urlsplit(url).path
        path = path[path.index("/v1/"):]
        expires = int(time.time()) + lifetime_s

        def query(method: str) -> Secret:
            signed = utils.generate_temp_url(
                f"{path}/{prefix}", expires, key.reveal(), method, absolute=True, prefix=True,
                digest="sha256")
            return Secret(signed.partition("?")[2])

        return Grant(container_url=url, prefix=prefix, get_query=query("GET"),
                     put_query=query("PUT") if write else None, expires_at=expires)

    def write_manifest(self, tenant_id: str, container: str, name: str,
                       segments: Sequence[tuple[str, str, int]]) -> None:
        """Write the object that stands for all segments, which are checked.

        :param segments: name, MD5 in hex, bytes of each, in their order
        """
        body = json.dumps([
            {"path": f"/{container}/{one}", "etag": etag, "size_bytes": size}
            for one, etag, size in segments])
        self._calls.again(
            self._connection(tenant_id).put_object, container, name, body,
            query_string="multipart-manifest=put", content_type="application/octet-stream")

    def delete_object(self, tenant_id: str, container: str, name: str) -> None:
        """Delete one object; one that is gone is no error."""
        self._calls.found(self._connection(tenant_id).delete_object, container, name)

    def list_prefix(self, tenant_id: str, container: str, prefix: str) -> list[str]:
        """Return the names of all objects below a prefix."""
        found = self._calls.found(
            self._connection(tenant_id).get_container, container, prefix=prefix,
            full_listing=True)
        return [] if found is None else [one["name"] for one in found[1]]

    def delete_prefix(self, tenant_id: str, container: str, prefix: str) -> None:
        """Delete all objects below a prefix."""
        names = self.list_prefix(tenant_id, container, prefix)
        connection = self._connection(tenant_id)
        for start in range(0, len(names), _PAGE):
            body = "\n".join(quote(f"/{container}/{one}")
                             for one in names[start:start + _PAGE])
            _, answer = self._calls.again(
                connection.post_account, headers={"Content-Type": "text/plain",
                                                  "Accept": "application/json"},
                query_string=urlencode({"bulk-delete": "true"}), data=body,
                response_dict={})
            self._check_bulk(answer)

    @staticmethod
    def _check_bulk(answer: Any) -> None:
        result = json.loads(answer)
        if result.get("Errors"):
            raise CloudError(f"{len(result['Errors'])} objects could not be deleted.")
