"""A DNS service as Designate's second API, which refuses what Designate refuses.

It serves nothing: a record set is ``PENDING`` until it is read, then ``ACTIVE``.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug import Request, Response

from trove_ng.standalone.minicloud.identity import Identity
from trove_ng.standalone.minicloud.web import json_response

ZONE = "db.example.org."
_PATH = re.compile(r"/v2/zones/(?P<zone>[^/]+)/recordsets(/(?P<record>[^/]+))?")
_NAME = re.compile(r"([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NEW = {"name", "type", "records", "ttl", "description"}
_CHANGED = {"records", "ttl", "description"}


class Refused(Exception):
    """A request that Designate would not accept."""

    def __init__(self, code: int, kind: str, message: str = "") -> None:
        super().__init__(kind)
        self.answer = {"code": code, "type": kind, "message": message,
                       "request_id": f"req-{uuid.uuid4()}"}


class Designate:
    """One zone, of the service's project.

    :param status: what new and changed record sets become
    """

    def __init__(self, identify: Callable[[str], Identity | None]) -> None:
        self._identify = identify
        self.zone_id = str(uuid.uuid4())
        self.records: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.status = "ACTIVE"
        #: records in an answer at most
        self.most = 1000

    def addresses(self) -> dict[str, str]:
        """Return name → address of what is registered."""
        return {one["name"].rstrip("."): one["records"][0] for one in self.records.values()}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            answer = self._answer(request)
        except Refused as refused:
            answer = json_response(refused.answer["code"], refused.answer)
        return answer(environ, start_response)

    def _answer(self, request: Request) -> Response:
        caller = self._identify(request.headers.get("X-Auth-Token", ""))
        if caller is None:
            raise Refused(401, "unauthorized")
        if caller.project_name != "service":
            raise Refused(403, "forbidden")
        self.asked.append((request.method, request.path))
        if request.path == "/v2/zones" and request.method == "GET":
            found = [{"id": self.zone_id, "name": ZONE, "status": "ACTIVE"}]
            wanted = request.args.get("name")
            return json_response(200, {"zones": [
                one for one in found if wanted in (None, one["name"])]})
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise Refused(404, "not_found")
        if match["zone"] != self.zone_id:
            raise Refused(404, "zone_not_found")
        if match["record"] is None:
            return self._collection(request)
        return self._one(request, match["record"])

    def _collection(self, request: Request) -> Response:
        if request.method == "POST":
            return self._create(_body(request, _NEW))
        if request.method != "GET":
            raise Refused(405, "method_not_allowed")
        unknown = set(request.args) - {"name", "type", "limit", "marker", "status"}
        if unknown:
            raise Refused(400, "bad_request", f"Invalid filters {unknown}")
        name = request.args.get("name")
        if name is not None and not _NAME.fullmatch(name):
            raise Refused(400, "invalid_object", "the name must end with a dot")
        found = [dict(one) for one in self.records.values() if name in (None, one["name"])]
        total, marker = len(found), request.args.get("marker")
        if marker is not None:
            if marker not in [one["id"] for one in found]:
                raise Refused(400, "invalid_marker")
            found = found[[one["id"] for one in found].index(marker) + 1:]
        wanted = request.args.get("limit", "20")
        limit = self.most if wanted == "max" else int(wanted)
        found = found[:limit]
        links = {"self": request.url} | ({"next": request.url} if len(found) == limit else {})
        for one in self.records.values():
            one.update(status=self.status, action="NONE")
        return json_response(200, {"recordsets": found, "links": links,
                                   "metadata": {"total_count": total}})

    def _create(self, body: dict[str, Any]) -> Response:
        missing = {"name", "type", "records"} - set(body)
        if missing:
            raise Refused(400, "invalid_object", f"{missing} is required")
        if not _NAME.fullmatch(body["name"]) or not body["name"].endswith(f".{ZONE}"):
            raise Refused(400, "invalid_object", "the name is not in the zone")
        _check(body, body["type"])
        if any((one["name"], one["type"]) == (body["name"], body["type"])
               for one in self.records.values()):
            raise Refused(409, "duplicate_recordset")
        made = {"id": str(uuid.uuid4()), "zone_id": self.zone_id, "zone_name": ZONE,
                "ttl": None, "description": None, **body, "status": "PENDING",
                "action": "CREATE", "version": 1}
        self.records[made["id"]] = made
        return json_response(202, made)

    def _one(self, request: Request, ident: str) -> Response:
        if not _UUID.fullmatch(ident):
            raise Refused(400, "invalid_uuid")
        if ident not in self.records:
            raise Refused(404, "recordset_not_found")
        one = self.records[ident]
        if request.method == "DELETE":
            if request.data:
                raise Refused(400, "bad_request", "a DELETE has no body")
            del self.records[ident]
            return json_response(202, {**one, "status": "PENDING", "action": "DELETE"})
        if request.method == "PUT":
            body = _body(request, _CHANGED)
            _check(body, one["type"])
            one.update(body, status="PENDING", action="UPDATE", version=one["version"] + 1)
            return json_response(202, one)
        raise Refused(405, "method_not_allowed")


def _body(request: Request, known: set[str]) -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise Refused(415, "unsupported_content_type", request.mimetype)
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Refused(400, "bad_request")
    if set(body) - known:
        raise Refused(400, "invalid_object", f"{set(body) - known} is not allowed")
    return body


def _check(body: dict[str, Any], kind: str) -> None:
    if kind not in ("A", "AAAA"):
        raise Refused(400, "invalid_object", "not a type of these tests")
    if "records" in body:
        records = body["records"]
        if not isinstance(records, list) or not records:
            raise Refused(400, "invalid_object", "records")
        for one in records:
            try:
                good = ipaddress.ip_address(one).version == {"A": 4, "AAAA": 6}[kind]
            except ValueError:
                good = False
            if not good:
                raise Refused(400, "invalid_object", f"{one} is no record of type {kind}")
    ttl = body.get("ttl")
    if ttl is not None and (not isinstance(ttl, int) or not 1 <= ttl <= 2 ** 31 - 1):
        raise Refused(400, "invalid_object", "ttl")
    if len(body.get("description") or "") > 160:
        raise Refused(400, "invalid_object", "description")
