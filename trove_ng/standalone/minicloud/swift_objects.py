"""Objects: upload, download, large objects.

Wire formats: Object Store API v1; Static Large Objects; Dynamic Large Objects.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from werkzeug import Request, Response
from werkzeug.http import HTTP_STATUS_CODES

from trove_ng.standalone.minicloud.swift_store import StoredObject, SwiftStore

_PIECE = 1024 * 1024
_MOST_SEGMENTS = 1000
_META = "X-Object-Meta-"
_KEPT = ("Content-Encoding", "Content-Disposition", "Content-Language", "X-Object-Manifest")


class Refused(Exception):
    """A refusal: HTTP status and text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Objects:
    """The objects of all accounts.

    :param refuses: returns the status that deleting a path is answered with, if it is not done

    """

    def __init__(self, store: SwiftStore, refuses: Callable[[str], int | None]) -> None:
        self._store = store
        self._refuses = refuses

    def find(self, account: str, container: str, name: str) -> StoredObject:
        """Return an object.

        :raises Refused: 404
        """
        found = self._store.get(account, container, name)
        if found is None:
            raise Refused(404, "The resource could not be found.")
        return found

    # upload

    def put(self, request: Request, account: str, container: str, name: str) -> Response:
        """Write an object from a request's body, a copy's source, or as a manifest."""
        if self._store.container_meta(account, container) is None:
            raise Refused(404, "The resource could not be found.")
        if request.args.get("multipart-manifest") == "put":
            return self._put_manifest(request, account, container, name)
        if request.headers.get("X-Copy-From"):
            source = unquote(request.headers["X-Copy-From"]).lstrip("/").split("/", 1)
            if len(source) != 2:
                raise Refused(412, "X-Copy-From header must be of the form container/object")
            return self.copy(request, self.find(account, *source), container, name)
        if request.content_length is None and "chunked" not in request.headers.get(
                "Transfer-Encoding", "").lower():
            raise Refused(411, "Missing Content-Length header.")
        path = self._store.new_file()
        digest, size = hashlib.md5(usedforsecurity=False), 0
        try:
            with path.open("wb") as stream:
                while piece := request.stream.read(_PIECE):
                    digest.update(piece)
                    size += len(piece)
                    stream.write(piece)
            if request.content_length is not None and size != request.content_length:
                raise Refused(499, "The client closed the connection.")
            wanted = request.headers.get("ETag", "").strip('"').lower()
            if wanted and wanted != digest.hexdigest():
                raise Refused(422, "The ETag does not fit the data.")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        stored = StoredObject(
            account, container, name, size, digest.hexdigest(),
            request.headers.get("Content-Type") or "application/octet-stream", time.time(),
            _metadata(request), path.name, _delete_at(request))
        self._store.put(stored)
        return Response(status=201, headers={
            "ETag": stored.etag, "Last-Modified": formatdate(stored.modified, usegmt=True)})

    def copy(self, request: Request, source: StoredObject, container: str, name: str,
             ) -> Response:
        """Write an object from another one of the account."""
        path = self._store.new_file()
        digest, size = hashlib.md5(usedforsecurity=False), 0
        with path.open("wb") as stream:
            for piece in self._pieces(source, 0, source.size):
                digest.update(piece)
                size += len(piece)
                stream.write(piece)
        fresh = request.headers.get("X-Fresh-Metadata", "").lower() == "true"
        meta = {} if fresh else dict(source.meta)
        meta.pop("X-Object-Manifest", None)
        self._store.put(StoredObject(
            source.account, container, name, size, digest.hexdigest(), source.content_type,
            time.time(), {**meta, **_metadata(request)}, path.name, _delete_at(request)))
        return Response(status=201, headers={"ETag": digest.hexdigest()})

    def _put_manifest(self, request: Request, account: str, container: str, name: str,
                      ) -> Response:
        wanted = request.get_json(silent=True, force=True)
        if not isinstance(wanted, list) or not wanted or len(wanted) > _MOST_SEGMENTS:
            raise Refused(400, "Manifest must be valid JSON: a list of 1 to "
                               f"{_MOST_SEGMENTS} segments.")
        segments, errors = [], []
        for entry in wanted:
            found, why = self._segment(account, entry)
            if found is None:
                errors.append([str(entry.get("path") if isinstance(entry, dict) else entry),
                               why])
            else:
                segments.append(found)
        if errors:
            raise Refused(400, "Errors:\n" + "\n".join(f"{path}, {why}" for path, why in errors))
        digest = hashlib.md5(
            "".join(one["hash"] for one in segments).encode(), usedforsecurity=False)
        self._store.put(StoredObject(
            account, container, name, sum(one["bytes"] for one in segments),
            digest.hexdigest(),
            request.headers.get("Content-Type") or "application/octet-stream", time.time(),
            _metadata(request), "", _delete_at(request), segments))
        return Response(status=201, headers={"ETag": f'"{digest.hexdigest()}"'})

    def _segment(self, account: str, entry: Any) -> tuple[dict[str, Any] | None, str]:
        if not isinstance(entry, dict) or "/" not in str(entry.get("path", "")).lstrip("/"):
            return None, "400 Bad Request: a segment needs a path /container/object"
        container, _, name = str(entry["path"]).lstrip("/").partition("/")
        found = self._store.get(account, container, name)
        if found is None:
            return None, "404 Not Found"
        if entry.get("etag") and str(entry["etag"]).strip('"').lower() != found.etag:
            return None, "Etag Mismatch"
        if entry.get("size_bytes") is not None and entry["size_bytes"] != found.size:
            return None, "Size Mismatch"
        if not found.size:
            return None, "Too Small; each segment must be at least 1 byte."
        return {"name": f"/{container}/{name}", "bytes": found.size, "hash": found.etag,
                "content_type": found.content_type}, ""

    # download

    def get(self, request: Request, stored: StoredObject) -> Response:
        """Return an object's data, or a part of it."""
        if request.args.get("multipart-manifest") == "get" and stored.segments is not None:
            return Response(json.dumps(stored.segments), headers=self.headers(stored),
                            content_type="application/json; charset=utf-8")
        headers = self.headers(stored)
        size = int(headers["Content-Length"])
        etag = headers["ETag"].strip('"')
        asked = request.headers.get("If-None-Match", "").strip('"')
        if asked and asked in (etag, "*"):
            return Response(status=304, headers={"ETag": headers["ETag"]})
        asked = request.headers.get("If-Match", "").strip('"')
        if asked and asked not in (etag, "*"):
            raise Refused(412, "The resource has another ETag.")
        begin, end, status = 0, size, 200
        if request.range is not None and request.range.units == "bytes":
            span = request.range.range_for_length(size)
            if span is None or span[0] is None or span[1] is None:
                return Response(status=416, headers={"Content-Range": f"bytes */{size}"})
            (begin, end), status = span, 206
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - begin)
        if request.method == "HEAD":
            return without_body(headers, status)
        return Response(self._pieces(stored, begin, end), status=status, headers=headers,
                        direct_passthrough=True)

    def headers(self, stored: StoredObject) -> dict[str, str]:
        """Return the headers that describe an object."""
        size, etag = stored.size, stored.etag
        if stored.segments is not None:
            etag = f'"{etag}"'
        elif "X-Object-Manifest" in stored.meta:
            parts = self._dynamic(stored)
            size = sum(part.size for part in parts)
            digest = hashlib.md5("".join(part.etag for part in parts).encode(),
                                 usedforsecurity=False)
            etag = f'"{digest.hexdigest()}"'
        found = {"Content-Length": str(size), "ETag": etag, "Accept-Ranges": "bytes",
                 "Content-Type": stored.content_type,
                 "Last-Modified": formatdate(stored.modified, usegmt=True),
                 "X-Timestamp": f"{stored.modified:.5f}", **stored.meta}
        if stored.segments is not None:
            found["X-Static-Large-Object"] = "True"
        if stored.delete_at is not None:
            found["X-Delete-At"] = str(int(stored.delete_at))
        return found

    def _dynamic(self, stored: StoredObject) -> list[StoredObject]:
        container, _, prefix = unquote(stored.meta["X-Object-Manifest"]).partition("/")
        return self._store.objects(stored.account, container, prefix)

    def _parts(self, stored: StoredObject) -> list[tuple[StoredObject | None, int]]:
        """Return the objects that hold the data, None for a missing one, and sizes."""
        if stored.segments is not None:
            found = []
            for one in stored.segments:
                container, _, name = one["name"].lstrip("/").partition("/")
                found.append((self._store.get(stored.account, container, name), one["bytes"]))
            return found
        return [(part, part.size) for part in self._dynamic(stored)]

    def _pieces(self, stored: StoredObject, begin: int, end: int) -> Iterator[bytes]:
        if stored.segments is None and "X-Object-Manifest" not in stored.meta:
            with self._store.path(stored).open("rb") as stream:
                stream.seek(begin)
                left = end - begin
                while left > 0 and (piece := stream.read(min(_PIECE, left))):
                    left -= len(piece)
                    yield piece
            return
        position = 0
        for part, size in self._parts(stored):
            low, high = max(begin - position, 0), min(end - position, size)
            position += size
            if low >= high:
                continue
            if part is None or part.size != size:
                raise OSError("a segment is missing or was changed")
            yield from self._pieces(part, low, high)

    # the rest

    def post(self, request: Request, stored: StoredObject) -> Response:
        """Replace an object's metadata."""
        stored.meta = _metadata(request)
        if "Content-Type" in request.headers:
            stored.content_type = request.headers["Content-Type"]
        stored.delete_at = _delete_at(request)
        self._store.put(stored)
        return Response(status=202)

    def delete(self, request: Request, stored: StoredObject) -> Response:
        """Delete an object, with its segments if asked."""
        if request.args.get("multipart-manifest") == "delete" and stored.segments is not None:
            names = [(stored.container, stored.name)]
            for one in stored.segments:
                container, _, name = one["name"].lstrip("/").partition("/")
                names.append((container, name))
            return self.bulk_answer(stored.account, names)
        self._store.delete(stored.account, stored.container, stored.name)
        return without_body({}, 204)

    def bulk_answer(self, account: str, names: list[tuple[str, str]]) -> Response:
        """Delete objects, or empty containers (with an empty name), and tell how many."""
        deleted = missing = 0
        errors = []
        for container, name in names:
            refused = self._refuses(f"/v1/{account}/{container}/{name}") if name else None
            if refused is not None:
                errors.append([f"/{container}/{name}",
                               f"{refused} {HTTP_STATUS_CODES.get(refused, 'Unknown')}"])
            elif not name and self._store.container_meta(account, container) is not None:
                if self._store.delete_container(account, container):
                    deleted += 1
                else:
                    errors.append([f"/{container}", "409 Conflict"])
            elif name and self._store.delete(account, container, name):
                deleted += 1
            else:
                missing += 1
        status = "400 Bad Request" if errors else "200 OK"
        return Response(json.dumps({
            "Number Deleted": deleted, "Number Not Found": missing, "Errors": errors,
            "Response Status": status, "Response Body": ""}), mimetype="application/json")


def _metadata(request: Request) -> dict[str, str]:
    return {name.title() if name.title().startswith(_META) else name: value
            for name, value in request.headers.items()
            if name.title().startswith(_META) or name in _KEPT}


def _delete_at(request: Request) -> float | None:
    with contextlib.suppress(ValueError):
        if "X-Delete-After" in request.headers:
            return time.time() + int(request.headers["X-Delete-After"])
        if "X-Delete-At" in request.headers:
            return float(int(request.headers["X-Delete-At"]))
        return None
    raise Refused(400, "X-Delete-After and X-Delete-At must be integers.")


def without_body(headers: dict[str, str], status: int) -> Response:
    """Return an answer without a body whose headers may tell a length."""
    response = Response(status=status)
    for name in ("Content-Type", "Content-Length"):
        response.headers.pop(name, None)
    response.automatically_set_content_length = False
    response.headers.extend(headers)
    return response
