"""Swift: accounts, containers, objects.

Wire format: Object Store API v1.  Mounted so that paths begin with ``/v1/AUTH_<project>``.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from werkzeug import Request, Response

from trove_ng.standalone.minicloud import swift_listing, swift_tempurl
from trove_ng.standalone.minicloud.identity import Identity
from trove_ng.standalone.minicloud.store import Store
from trove_ng.standalone.minicloud.swift_objects import Objects, Refused, without_body
from trove_ng.standalone.minicloud.swift_store import SwiftStore
from trove_ng.standalone.minicloud.web import json_response

LOG = logging.getLogger(__name__)

_ACCOUNT_META = "X-Account-Meta-"
_CONTAINER_META = "X-Container-Meta-"
_KEYS = ("Temp-Url-Key", "Temp-Url-Key-2")
_CONTAINER_KEPT = ("X-Container-Read", "X-Container-Write")
_INFO = {
    "swift": {"version": "2.33.0", "max_file_size": 5 * 1024 ** 3, "max_object_name_length":
              1024, "container_listing_limit": 10000, "account_listing_limit": 10000},
    "slo": {"max_manifest_segments": 1000, "min_segment_size": 1,
            "max_manifest_size": 8 * 1024 ** 2},
    "dlo": {"max_segments": 10000},
    "tempurl": {"methods": ["GET", "HEAD", "PUT", "POST", "DELETE"],
                "allowed_digests": ["sha1", "sha256", "sha512"]},
    "bulk_delete": {"max_deletes_per_request": 10000},
}


class Swift:
    """The WSGI application.

    :param identify: tells whose token it is
    """

    def __init__(self, _store: Store, data_dir: Path,
                 identify: Callable[[str], Identity | None],
                 refuses: Callable[[str], int | None] = lambda _path: None) -> None:
        self._store = SwiftStore(data_dir)
        self._objects = Objects(self._store, refuses)
        self._identify = identify
        self._expired = time.monotonic()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = self._answer(request)
        except Refused as err:
            response = Response(f"<html><h1>{err.status}</h1><p>{err.message}</p></html>",
                                status=err.status, mimetype="text/html")
        except Exception:
            LOG.exception("%s %s", request.method, request.path)
            response = Response("Internal Error", status=500)
        response.headers["X-Trans-Id"] = f"tx{uuid.uuid4().hex[:21]}"
        response.headers["X-Openstack-Request-Id"] = response.headers["X-Trans-Id"]
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if request.path == "/info" and request.method in ("GET", "HEAD"):
            return json_response(200, _INFO)
        parts = request.path.split("/", 4)
        if len(parts) < 3 or parts[1] not in ("v1", "v1.0") or not parts[2]:
            raise Refused(404, "The resource could not be found.")
        account = parts[2]
        container = parts[3] if len(parts) > 3 else ""
        name = parts[4] if len(parts) > 4 else ""
        owner = self._authorize(request, account, container, name)
        self._expire_sometimes()
        if name:
            return self._object(request, account, container, name)
        if container:
            return self._container(request, account, container, owner)
        return self._account(request, account, owner)

    def _expire_sometimes(self) -> None:
        if time.monotonic() - self._expired > 60:
            self._expired = time.monotonic()
            self._store.expire()

    # who may

    def _authorize(self, request: Request, account: str, container: str, name: str) -> bool:
        """Return whether the caller owns the account; raise unless the call is allowed."""
        if swift_tempurl.is_signed(request.args):
            if name and swift_tempurl.allows(
                    request.method, request.path, request.args,
                    self._temp_url_keys(account, container)):
                return False
            raise Refused(401, "Temp URL invalid")
        identity = self._identify(request.headers.get("X-Auth-Token", ""))
        if identity is None:
            if self._public(request, account, container):
                return False
            raise Refused(401, "This server could not verify that you are authorized.")
        if "ResellerAdmin" in identity.roles:
            return True
        if account == f"AUTH_{identity.project_id}" and identity.roles & {"member", "admin"}:
            return True
        if self._public(request, account, container):
            return False
        raise Refused(403, "Access was denied to this resource.")

    def _temp_url_keys(self, account: str, container: str) -> list[str]:
        meta = self._store.account_meta(account)
        found = [meta.get(f"{_ACCOUNT_META}{key}") for key in _KEYS]
        own = self._store.container_meta(account, container) or {}
        found += [own.get(f"{_CONTAINER_META}{key}") for key in _KEYS]
        return [key for key in found if key]

    def _public(self, request: Request, account: str, container: str) -> bool:
        meta = self._store.container_meta(account, container) if container else None
        return bool(meta) and request.method in ("GET", "HEAD") and ".r:*" in (
            meta or {}).get("X-Container-Read", "").split(",")

    # accounts

    def _account(self, request: Request, account: str, owner: bool) -> Response:
        if not owner:
            raise Refused(403, "Access was denied to this resource.")
        if "bulk-delete" in request.args and request.method in ("POST", "DELETE"):
            return self._bulk_delete(request, account)
        if request.method == "POST":
            self._store.set_account_meta(account, _changed(
                self._store.account_meta(account), request, _ACCOUNT_META))
            return without_body({}, 204)
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, "The method is not allowed for this resource.")
        names = self._store.containers(account)
        count, size = self._store.usage(account)
        headers = {"X-Account-Container-Count": str(len(names)),
                   "X-Account-Object-Count": str(count), "X-Account-Bytes-Used": str(size),
                   **self._store.account_meta(account)}
        if request.method == "HEAD":
            return without_body(headers, 204)
        entries = []
        for name in names:
            count, size = self._store.usage(account, name)
            entries.append({"name": name, "count": count, "bytes": size})
        return swift_listing.render(
            swift_listing.page(entries, request.args),
            swift_listing.wants_json(request.args, request.headers.get("Accept", "")), headers)

    def _bulk_delete(self, request: Request, account: str) -> Response:
        names = []
        for line in request.get_data(as_text=True).splitlines():
            path = unquote(line.strip()).lstrip("/")
            if path:
                container, _, name = path.partition("/")
                names.append((container, name))
        if len(names) > 10000:
            raise Refused(413, "Maximum Bulk Deletes: 10000 per request")
        return self._objects.bulk_answer(account, names)

    # containers

    def _container(self, request: Request, account: str, container: str,
                   owner: bool) -> Response:
        meta = self._store.container_meta(account, container)
        if request.method == "PUT":
            if not owner:
                raise Refused(403, "Access was denied to this resource.")
            self._store.set_container_meta(
                account, container, _changed(meta or {}, request, _CONTAINER_META))
            return without_body({"Content-Length": "0"}, 201 if meta is None else 202)
        if meta is None:
            raise Refused(404, "The resource could not be found.")
        if request.method in ("GET", "HEAD"):
            return self._list(request, account, container, meta, owner)
        if not owner:
            raise Refused(403, "Access was denied to this resource.")
        if request.method == "POST":
            self._store.set_container_meta(
                account, container, _changed(meta, request, _CONTAINER_META))
            return without_body({}, 204)
        if request.method == "DELETE":
            if not self._store.delete_container(account, container):
                raise Refused(409, "There was a conflict when trying to complete your "
                                   "request.")
            return without_body({}, 204)
        raise Refused(405, "The method is not allowed for this resource.")

    def _list(self, request: Request, account: str, container: str, meta: dict[str, str],
              owner: bool) -> Response:
        count, size = self._store.usage(account, container)
        headers = {"X-Container-Object-Count": str(count),
                   "X-Container-Bytes-Used": str(size)}
        # keys are for the owner only
        headers |= {key: value for key, value in meta.items()
                    if owner or not key.startswith(f"{_CONTAINER_META}Temp-Url")}
        if request.method == "HEAD":
            return without_body(headers, 204)
        entries = [{
            "name": one.name, "bytes": one.size, "hash": one.etag,
            "content_type": one.content_type,
            "last_modified": swift_listing.moment(one.modified)}
            for one in self._store.objects(account, container, request.args.get("prefix", ""))]
        return swift_listing.render(
            swift_listing.page(entries, request.args),
            swift_listing.wants_json(request.args, request.headers.get("Accept", "")), headers)

    # objects

    def _object(self, request: Request, account: str, container: str, name: str) -> Response:
        if request.method == "PUT":
            return self._objects.put(request, account, container, name)
        stored = self._objects.find(account, container, name)
        if request.method in ("GET", "HEAD"):
            return self._objects.get(request, stored)
        if request.method == "POST":
            return self._objects.post(request, stored)
        if request.method == "DELETE":
            return self._objects.delete(request, stored)
        if request.method == "COPY":
            target = unquote(request.headers.get("Destination", "")).lstrip("/").split("/", 1)
            if len(target) != 2:
                raise Refused(412, "Destination header must be of the form container/object")
            return self._objects.copy(request, stored, *target)
        raise Refused(405, "The method is not allowed for this resource.")


def _changed(meta: dict[str, str], request: Request, prefix: str) -> dict[str, str]:
    """Return metadata with what a request sets; an empty value removes."""
    changed = dict(meta)
    removed = prefix.replace("X-", "X-Remove-", 1)
    for name, value in request.headers.items():
        title = name.title()
        if title.startswith(removed):
            changed.pop(prefix + title.removeprefix(removed), None)
        elif title.startswith(prefix) or title in _CONTAINER_KEPT:
            changed[title] = value
            if not value:
                del changed[title]
    return changed
