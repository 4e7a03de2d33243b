"""Objects in the accounts of all projects, by python-swiftclient.

The service user needs the role that Swift is configured to let into every account
(``ResellerAdmin``).  Guests get no token: they use signed URLs.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from keystoneauth1 import session
from swiftclient import client, utils

from trove_ng.cloud.calls import Calls
from trove_ng.cloud.errors import CloudNotFound, CloudRejected, CloudUnavailable
from trove_ng.cloud.types import Grant
from trove_ng.common.secret import Secret, generate_password

_KEY = "x-container-meta-temp-url-key"
_PAGE = 1000
#: what an object is not deleted for that another try may do
_PASSING = ("408", "409", "429")


class _SignedOut(CloudRejected):
    """The token is no good any more."""


def _leads_elsewhere(path: str) -> bool:
    """Return whether a path leads to other containers or accounts: clients on the way
    resolve ``.`` and ``..`` as in a file system."""
    return not {".", ".."}.isdisjoint(path.split("/"))


class ObjectStore:
    """The object store.

    :param auth: session of the service user
    :param timeout: seconds that a call may take
    """

    def __init__(self, auth: session.Session, region: str, interface: str,
                 calls: Calls, timeout: float) -> None:
        self._timeout = timeout
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

    def place(self, tenant_id: str, url: str) -> tuple[str, str] | None:
        """Return container and name of the object that a URL names.

        :return: None if it is not in the project's account here
        """
        account = f"{self._account_url(tenant_id)}/"
        if not url.startswith(account):
            return None
        path = unquote(url.removeprefix(account))
        container, _, name = path.partition("/")
        if not container or not name or _leads_elsewhere(path):
            return None
        return container, name

    def _connection(self, tenant_id: str) -> client.Connection:
        return client.Connection(
            preauthurl=self._account_url(tenant_id),
            preauthtoken=self._calls.again(self._auth.get_token), retries=0,
            timeout=self._timeout)

    def _ask(self, tenant_id: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Make a call of swiftclient's connection.

        :param args: first names of a container and an object: they may be what a project wrote
            into a record, or a guest reported, and the service may use all accounts
        :raises CloudRejected: they lead elsewhere
        """
        if any(_leads_elsewhere(one) for one in args[:2] if isinstance(one, str)):
            raise CloudRejected("The name of an object leads elsewhere.")
        function = getattr(client.Connection, method)

        @functools.wraps(function)
        def call(connection: client.Connection) -> Any:
            try:
                return function(connection, *args, **kwargs)
            except client.ClientException as err:
                if err.http_status == 401:
                    raise _SignedOut("The object store service refused our token.") from err
                raise

        try:
            return self._calls.again(call, self._connection(tenant_id))
        except _SignedOut:
            self._auth.invalidate()
            return self._calls.again(call, self._connection(tenant_id))

    def ensure_container(self, tenant_id: str, container: str) -> None:
        """Make a container if there is none, with a key for signed URLs."""
        self._ask(tenant_id, "put_container", container)
        self._key(tenant_id, container)

    def _key(self, tenant_id: str, container: str) -> Secret:
        found = self._ask(tenant_id, "head_container", container).get(_KEY)
        if not found:
            self._ask(tenant_id, "post_container", container, {_KEY: generate_password(40)})
            # of two that made one at the same time, the last won
            found = self._ask(tenant_id, "head_container", container)[_KEY]
        return Secret(found)

    def grant(self, tenant_id: str, container: str, prefix: str, *, write: bool,
              lifetime_s: int) -> Grant:
        """Return leave to read, or also write, the objects below a prefix.

        :param lifetime_s: seconds until it ends
        """
        url = f"{self._account_url(tenant_id)}/{quote(container)}"
        key = self._key(tenant_id, container)
        # what the object store sees begins with its API version
        path = urlsplit(url).path
        path = path[path.rindex("/v1/"):]
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
        self._ask(
            tenant_id, "put_object", container, name, body,
            query_string="multipart-manifest=put", content_type="application/octet-stream")

    def write_object(self, tenant_id: str, container: str, name: str, content: bytes) -> None:
        """Write a small object."""
        self._ask(tenant_id, "put_object", container, name, content,
                  content_type="application/json")

    def read_object(self, tenant_id: str, container: str, name: str,
                    limit: int) -> bytes | None:
        """Return an object; None if there is none, or it is empty, or too large.

        :param limit: bytes
        """
        newest = {"X-Newest": "true"}
        try:
            found = self._ask(tenant_id, "head_object", container, name, headers=newest)
            if not 0 < int(found["content-length"]) <= limit:
                return None
            # whoever owns it may make it larger meanwhile
            found = self._ask(tenant_id, "get_object", container, name,
                              headers={**newest, "Range": f"bytes=0-{limit - 1}"})
        except CloudNotFound:
            return None
        return bytes(found[1])

    def read_beginning(self, tenant_id: str, container: str, name: str,
                       size: int) -> bytes | None:
        """Return the first bytes of an object that is not empty, None if there is none."""
        with contextlib.suppress(CloudNotFound):
            found = self._ask(tenant_id, "get_object", container, name,
                              headers={"Range": f"bytes=0-{size - 1}"})
            return bytes(found[1]) or None
        return None

    def delete_object(self, tenant_id: str, container: str, name: str) -> None:
        """Delete one object; one that is gone is no error."""
        with contextlib.suppress(CloudNotFound):
            self._ask(tenant_id, "delete_object", container, name)

    def list_prefix(self, tenant_id: str, container: str, prefix: str) -> list[str]:
        """Return the names of all objects whose names begin so."""
        return [one["name"] for one in self._list(tenant_id, container, prefix)]

    def list_objects(self, tenant_id: str, container: str, prefix: str,
                     ) -> dict[str, tuple[int, str]]:
        """Return name → bytes and MD5 in hex of all objects whose names begin so.

        The list may be a little older than the objects.
        """
        return {one["name"]: (int(one["bytes"]), str(one["hash"]))
                for one in self._list(tenant_id, container, prefix)}

    def list_dated(self, tenant_id: str, container: str, prefix: str,
                   ) -> dict[str, datetime.datetime]:
        """Return name → when it was stored (UTC, without a zone) of all such objects."""
        return {one["name"]: datetime.datetime.fromisoformat(one["last_modified"])
                for one in self._list(tenant_id, container, prefix)}

    def delete_objects(self, tenant_id: str, container: str, names: Sequence[str]) -> None:
        """Delete objects; those that are gone are no error."""
        for start in range(0, len(names), _PAGE):
            self._delete_all(tenant_id, container, names[start:start + _PAGE])

    def head_object(self, tenant_id: str, container: str, name: str,
                    ) -> tuple[int, str] | None:
        """Return bytes and ETag of an object as it is now, None if there is none."""
        try:
            found = self._ask(tenant_id, "head_object", container, name,
                              headers={"X-Newest": "true"})
        except CloudNotFound:
            return None
        return int(found["content-length"]), str(found["etag"]).strip('"')

    def _list(self, tenant_id: str, container: str, prefix: str) -> list[dict[str, Any]]:
        try:
            found = self._ask(tenant_id, "get_container", container, prefix=prefix,
                              full_listing=True)
        except CloudNotFound:
            with contextlib.suppress(CloudNotFound):
                self._ask(tenant_id, "head_container", container)
                raise CloudUnavailable("The object store does not list a container.") from None
            return []
        listed: list[dict[str, Any]] = found[1]
        return listed

    def delete_prefix(self, tenant_id: str, container: str, prefix: str) -> None:
        """Delete all objects whose names begin so, and look that they are gone.

        :raises CloudUnavailable: some are not
        """
        left: list[str] = []
        while names := self.list_prefix(tenant_id, container, prefix):
            if names == left:
                raise CloudUnavailable("The object store does not delete objects.")
            left = names
            self.delete_objects(tenant_id, container, names)

    def _delete_all(self, tenant_id: str, container: str, names: Sequence[str]) -> None:
        _, answer = self._ask(
            tenant_id, "post_account",
            headers={"Content-Type": "text/plain", "Accept": "application/json"},
            query_string=urlencode({"bulk-delete": "true"}),
            data="\n".join(quote(f"/{container}/{one}") for one in names), response_dict={})
        self._check_bulk(answer)

    @staticmethod
    def _check_bulk(answer: Any) -> None:
        """Raise unless all is deleted: the answer as a whole always says that it is well.

        :raises CloudUnavailable: another try may delete the rest
        :raises CloudRejected: the service does not let them be deleted
        """
        result = json.loads(answer)
        whole, errors = str(result.get("Response Status", "200")), result.get("Errors") or []
        said = sorted({str(status) for _name, status in errors})
        if not said and not whole.startswith("2"):
            said = [whole]
        if not said:
            return
        passes = all(one[:1] == "5" or one[:3] in _PASSING for one in said)
        kind = CloudUnavailable if passes else CloudRejected
        raise kind(f"The object store did not delete {len(errors) or 'the'} objects: "
                   f"{', '.join(said)}.")
