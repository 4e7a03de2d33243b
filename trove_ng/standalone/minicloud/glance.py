"""Glance: images with their tags and data.

Wire format: Image API v2.
"""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from werkzeug import Request, Response

from trove_ng.standalone.minicloud.nova_call import Answer, Call, CloudFault
from trove_ng.standalone.minicloud.store import Document, Store

_PIECE = 1024 * 1024
_BASE = ("id", "name", "status", "visibility", "owner", "size", "checksum", "os_hash_algo",
         "os_hash_value", "created_at", "updated_at", "tags", "min_disk", "min_ram",
         "container_format", "disk_format", "protected", "virtual_size", "os_hidden",
         "self", "file", "schema", "direct_url", "locations")
_SETTABLE = ("name", "visibility", "tags", "min_disk", "min_ram", "container_format",
             "disk_format", "protected", "os_hidden")
_VISIBILITY = ("public", "private", "shared", "community")


def version_document(base: str) -> dict[str, Any]:
    """Return Glance's description of its version 2; ``base`` is the service's address."""
    return {"id": "v2.16", "status": "CURRENT",
            "links": [{"rel": "self", "href": f"{base}/v2/"}]}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _view(image: Document) -> Document:
    ident = image["id"]
    return {**image, "self": f"/v2/images/{ident}", "file": f"/v2/images/{ident}/file",
            "schema": "/v2/schemas/image"}


class Glance:
    """Images.

    :param data_dir: where their data is
    """

    def __init__(self, store: Store, data_dir: Path) -> None:
        self._store = store
        self._dir = data_dir

    def seed(self) -> None:
        """Make the directory of the data; a new cloud has no images."""
        self._dir.mkdir(parents=True, exist_ok=True)

    def routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        """Return method, path below ``/v2`` and handler of every operation."""
        image = "/images/<image_id>"
        return [
            ("GET", "/images", self._index),
            ("POST", "/images", self._create),
            ("GET", image, self._show),
            ("PATCH", image, self._update),
            ("DELETE", image, self._delete),
            ("PUT", f"{image}/tags/<tag>", self._tag),
            ("DELETE", f"{image}/tags/<tag>", self._untag),
            ("PUT", f"{image}/file", _raw(self._upload)),
            ("GET", f"{image}/file", _raw(self._download)),
            ("GET", "/schemas/image", self._schema),
            ("GET", "/schemas/images", self._schemas),
        ]

    def _index(self, call: Call) -> Answer:
        found = [one for one in reversed(self._store.list("image"))
                 if self._listed(one, call) and self._fits(one, call)]
        marker = call.one("marker")
        if marker is not None:
            ids = [one["id"] for one in found]
            if marker not in ids:
                raise CloudFault(400, f"Marker {marker} could not be found.")
            found = found[ids.index(marker) + 1:]
        limit = call.one("limit")
        if limit is not None and not limit.isdigit():
            raise CloudFault(400, "limit param must be an integer")
        page = found[:min(int(limit or 25), 1000)]
        answer: Document = {"images": [_view(one) for one in page], "first": "/v2/images",
                            "schema": "/v2/schemas/images"}
        if len(page) < len(found):
            kept = [(name, value) for name, values in call.query.items()
                    if name != "marker" for value in values]
            answer["next"] = f"/v2/images?{urlencode([*kept, ('marker', page[-1]['id'])])}"
        return 200, answer

    @staticmethod
    def _listed(image: Document, call: Call) -> bool:
        if image["os_hidden"] and not call.truth("os_hidden"):
            return False
        own = image["owner"] == call.caller.project_id
        return own or call.caller.admin or image["visibility"] == "public" or (
            image["visibility"] == "community" and call.one("visibility") == "community")

    @staticmethod
    def _fits(image: Document, call: Call) -> bool:
        for name in ("name", "status", "owner", "visibility", "container_format",
                     "disk_format", "id"):
            wanted = call.one(name)
            if wanted is not None and wanted.removeprefix("in:") != image.get(name) and not (
                    name == "visibility" and wanted == "all"):
                return False
        return set(call.query.get("tag", [])) <= set(image["tags"])

    def _find(self, call: Call, image_id: str, *, change: bool = False) -> Document:
        image = self._store.get("image", image_id)
        own = image is not None and (
            call.caller.admin or image["owner"] == call.caller.project_id)
        if image is None or not (own or image["visibility"] in ("public", "community")):
            raise CloudFault(404, f"No image found with ID {image_id}")
        if change and not own:
            raise CloudFault(403, "You are not permitted to modify this image.")
        return image

    def _create(self, call: Call) -> Answer:
        if not isinstance(call.body, dict):
            raise CloudFault(400, "The body is not a JSON object.")
        now = _now()
        image: Document = {
            "id": str(call.body.get("id") or uuid.uuid4()), "name": None, "status": "queued",
            "visibility": "shared", "owner": call.caller.project_id, "size": None,
            "virtual_size": None, "checksum": None, "os_hash_algo": None,
            "os_hash_value": None, "created_at": now, "updated_at": now, "tags": [],
            "min_disk": 0, "min_ram": 0, "container_format": None, "disk_format": None,
            "protected": False, "os_hidden": False}
        if self._store.get("image", image["id"]):
            raise CloudFault(409, f"Image ID {image['id']} already exists!")
        for name, value in call.body.items():
            if name != "id":
                self._set(call, image, name, value)
        self._save(image)
        return 201, _view(image)

    def _set(self, call: Call, image: Document, name: str, value: Any) -> None:
        if name in _BASE and name not in _SETTABLE:
            raise CloudFault(403, f"Attribute '{name}' is read-only.")
        if name == "visibility":
            if value not in _VISIBILITY:
                raise CloudFault(400, f"'{value}' is not one of {list(_VISIBILITY)}")
            if value == "public" and not call.caller.admin:
                raise CloudFault(403, "You are not authorized to complete publicize_image "
                                      "action.")
        elif name == "tags":
            if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
                raise CloudFault(400, "Invalid value for tags.")
            value = sorted(set(value))
        elif name in ("min_disk", "min_ram"):
            if not isinstance(value, int) or value < 0:
                raise CloudFault(400, f"Invalid value for {name}: it must not be negative.")
        elif name in ("protected", "os_hidden"):
            if not isinstance(value, bool):
                raise CloudFault(400, f"Invalid value for {name}: it must be a boolean.")
        elif value is not None and not isinstance(value, str):
            raise CloudFault(400, f"Invalid value for {name}: it must be a string.")
        image[name] = value

    def _save(self, image: Document) -> None:
        image["updated_at"] = _now()
        self._store.put("image", image["id"], image, image["owner"])

    def _show(self, call: Call, image_id: str) -> Answer:
        return 200, _view(self._find(call, image_id))

    def _update(self, call: Call, image_id: str) -> Answer:
        if not isinstance(call.body, list):
            raise CloudFault(400, "Request body must be a JSON array of operation objects.")
        with self._store.transaction():
            image = self._find(call, image_id, change=True)
            for change in call.body:
                self._patch(call, image, change)
            self._save(image)
        return 200, _view(image)

    def _patch(self, call: Call, image: Document, change: Any) -> None:
        if not isinstance(change, dict) or not str(change.get("path", "")).startswith("/"):
            raise CloudFault(400, "An operation has no path.")
        name = str(change["path"])[1:].replace("~1", "/").replace("~0", "~")
        if change.get("op") in ("add", "replace"):
            if change["op"] == "replace" and name not in image:
                raise CloudFault(409, f"Property {name} does not exist.")
            self._set(call, image, name, change.get("value"))
        elif change.get("op") == "remove":
            if name in _BASE:
                raise CloudFault(403, f"Property {name} may not be removed.")
            if image.pop(name, None) is None:
                raise CloudFault(409, f"Property {name} does not exist.")
        else:
            raise CloudFault(400, "Operations must be add, replace or remove.")

    def _delete(self, call: Call, image_id: str) -> Answer:
        with self._store.transaction():
            image = self._find(call, image_id, change=True)
            if image["protected"]:
                raise CloudFault(403, f"Image {image_id} is protected and cannot be deleted.")
            self._store.delete("image", image_id)
        self._path(image).unlink(missing_ok=True)
        return 204, None

    def _tag(self, call: Call, image_id: str, tag: str) -> Answer:
        with self._store.transaction():
            image = self._find(call, image_id, change=True)
            image["tags"] = sorted({*image["tags"], tag})
            self._save(image)
        return 204, None

    def _untag(self, call: Call, image_id: str, tag: str) -> Answer:
        with self._store.transaction():
            image = self._find(call, image_id, change=True)
            if tag not in image["tags"]:
                raise CloudFault(404, "The tag could not be found.")
            image["tags"].remove(tag)
            self._save(image)
        return 204, None

    def _path(self, image: Document) -> Path:
        return self._dir / hashlib.sha256(image["id"].encode()).hexdigest()

    def _upload(self, call: Call, request: Request, image_id: str) -> Response:
        with self._store.transaction():
            image = self._find(call, image_id, change=True)
            if image["status"] != "queued":
                raise CloudFault(409, f"Image status transition from {image['status']} to "
                                      "saving is not allowed.")
            if not image["container_format"] or not image["disk_format"]:
                raise CloudFault(400, "Properties disk_format, container_format must be set "
                                      "prior to saving data.")
            image["status"] = "saving"
            self._save(image)
        md5, sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
        size, path = 0, self._path(image)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as stream:
            while piece := request.stream.read(_PIECE):
                md5.update(piece)
                sha512.update(piece)
                size += len(piece)
                stream.write(piece)
        partial.replace(path)
        image |= {"status": "active", "size": size, "checksum": md5.hexdigest(),
                  "os_hash_algo": "sha512", "os_hash_value": sha512.hexdigest()}
        self._save(image)
        return Response(status=204)

    def _download(self, call: Call, _request: Request, image_id: str) -> Response:
        image = self._find(call, image_id)
        if image["status"] != "active":
            return Response(status=204)

        def pieces() -> Iterator[bytes]:
            with self._path(image).open("rb") as stream:
                while piece := stream.read(_PIECE):
                    yield piece

        return Response(pieces(), mimetype="application/octet-stream", headers={
            "Content-Length": str(image["size"]), "Content-MD5": image["checksum"]})

    def _schema(self, _call: Call) -> Answer:
        return 200, _SCHEMA

    def _schemas(self, _call: Call) -> Answer:
        return 200, {"name": "images", "properties": {
            "images": {"type": "array", "items": _SCHEMA}}}


def _raw(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Return a handler that is given the HTTP request itself."""
    def run(call: Call, request: Request, **ids: str) -> Response:
        return handler(call, request, **ids)
    run.raw = True  # type: ignore[attr-defined]
    return run


_SCHEMA: Document = {
    "name": "image", "additionalProperties": {"type": "string"},
    "properties": {
        **{name: {"type": ["null", "string"]} for name in (
            "id", "name", "status", "visibility", "owner", "checksum", "os_hash_algo",
            "os_hash_value", "created_at", "updated_at", "container_format", "disk_format",
            "self", "file", "schema")},
        **{name: {"type": ["null", "integer"]} for name in (
            "size", "virtual_size", "min_disk", "min_ram")},
        **{name: {"type": "boolean"} for name in ("protected", "os_hidden")},
        "tags": {"type": "array", "items": {"type": "string"}},
    }}
