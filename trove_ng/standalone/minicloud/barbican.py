"""Barbican: secrets and containers of a project.

Wire format: Key Manager API v1, microversion 1.1.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import uuid
from typing import Any

from werkzeug import Request, Response

from trove_ng.standalone.minicloud.nova_call import Answer, Call, CloudFault
from trove_ng.standalone.minicloud.store import Store
from trove_ng.standalone.minicloud.web import Route, json_response

Document = dict[str, Any]

_SECRET, _CONTAINER = "secret", "secret_container"
_TEXT = "text/plain"
#: container type → names of the secrets that it may hold; None: any
_NAMES: dict[str, set[str] | None] = {
    "generic": None,
    "certificate": {"certificate", "private_key", "private_key_passphrase", "intermediates"},
    "rsa": {"public_key", "private_key", "private_key_passphrase"}}


def version_document(base: str) -> Document:
    """Return Barbican's description of its version 1; ``base`` is the service's address."""
    return {"id": "v1", "status": "CURRENT", "min_version": "1.0", "max_version": "1.1",
            "links": [{"rel": "self", "href": f"{base}/v1/"}]}


def words(status: int, message: str, _kind: str) -> Response:
    """Return an error as Barbican words it."""
    return json_response(status, {"code": status, "title": "Error", "description": message})


class Barbican:
    """The key manager.

    :param url: where it is, for references
    """

    def __init__(self, store: Store, url: str) -> None:
        self._store = store
        self._url = url

    def routes(self) -> list[Route]:
        """Return the service's routes."""
        return [
            ("POST", "/secrets", self._create_secret), ("GET", "/secrets", self._secrets),
            ("GET", "/secrets/<ident>", self._secret),
            ("GET", "/secrets/<ident>/payload", self._raw_payload()),
            ("DELETE", "/secrets/<ident>", self._delete_secret),
            ("POST", "/containers", self._create_container),
            ("GET", "/containers/<ident>", self._container),
            ("DELETE", "/containers/<ident>", self._delete_container)]

    # secrets

    def _create_secret(self, call: Call) -> Answer:
        body = _object(call.body)
        payload, kind = body.get("payload"), body.get("payload_content_type")
        if not isinstance(payload, str) or not payload or not isinstance(kind, str):
            raise CloudFault(400, "payload and payload_content_type are required.")
        encoding = body.get("payload_content_encoding")
        if kind.partition(";")[0] == _TEXT:
            raw = payload.encode()
        elif encoding == "base64":
            try:
                raw = base64.b64decode(payload, validate=True)
            except binascii.Error:
                raise CloudFault(400, "The payload is not in base64.") from None
        else:
            raise CloudFault(400, "payload_content_encoding must be base64.")
        doc = self._keep(_SECRET, call, {
            "name": body.get("name"), "secret_type": body.get("secret_type") or "opaque",
            "content_types": {"default": kind}, "payload": base64.b64encode(raw).decode()})
        return 201, {"secret_ref": self._reference("secrets", doc["id"])}

    def _keep(self, kind: str, call: Call, doc: Document) -> Document:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat()
        made = {**doc, "id": str(uuid.uuid4()), "status": "ACTIVE", "created": now,
                "updated": now, "creator_id": call.caller.user_id}
        self._store.put(kind, made["id"], made, call.caller.project_id)
        return made

    def _reference(self, kind: str, ident: str) -> str:
        return f"{self._url}/v1/{kind}/{ident}"

    def _find(self, kind: str, call: Call, ident: str) -> Document:
        """Return one of the caller's project; an administrator reads no others'."""
        found = next((one for one in self._store.list(kind, call.caller.project_id)
                      if one["id"] == ident), None)
        if found is None:
            raise CloudFault(404, "Not Found. There is no such secret or container.")
        return found

    def _view(self, doc: Document) -> Document:
        shown = {name: value for name, value in doc.items() if name not in ("id", "payload")}
        return {**shown, "secret_ref": self._reference("secrets", doc["id"]),
                "algorithm": None, "bit_length": None, "mode": None, "expiration": None}

    def _secrets(self, call: Call) -> Answer:
        found = self._store.list(_SECRET, call.caller.project_id)
        return 200, {"secrets": [self._view(one) for one in found], "total": len(found)}

    def _secret(self, call: Call, ident: str) -> Answer:
        return 200, self._view(self._find(_SECRET, call, ident))

    def _raw_payload(self) -> Any:
        def payload(call: Call, request: Request, ident: str) -> Response:
            doc = self._find(_SECRET, call, ident)
            kind = doc["content_types"]["default"]
            if kind.partition(";")[0] not in request.headers.get("Accept", ""):
                raise CloudFault(406, "The secret is not of that content type.")
            return Response(base64.b64decode(doc["payload"]), content_type=kind)

        payload.raw = True  # type: ignore[attr-defined]
        return payload

    def _delete_secret(self, call: Call, ident: str) -> Answer:
        self._store.delete(_SECRET, self._find(_SECRET, call, ident)["id"])
        return 204, None

    # containers

    def _create_container(self, call: Call) -> Answer:
        body = _object(call.body)
        kind = body.get("type")
        if kind not in _NAMES:
            raise CloudFault(400, "type must be generic, certificate or rsa.")
        parts = body.get("secret_refs") or []
        allowed = _NAMES[kind]
        for one in parts:
            if allowed is not None and one.get("name") not in allowed:
                raise CloudFault(400, f"A container of type {kind} holds no such secret.")
            self._find(_SECRET, call, str(one.get("secret_ref")).rpartition("/")[2])
        doc = self._keep(_CONTAINER, call, {
            "name": body.get("name"), "type": kind, "secret_refs": parts, "consumers": []})
        return 201, {"container_ref": self._reference("containers", doc["id"])}

    def _container(self, call: Call, ident: str) -> Answer:
        doc = self._find(_CONTAINER, call, ident)
        return 200, {**{name: value for name, value in doc.items() if name != "id"},
                     "container_ref": self._reference("containers", doc["id"])}

    def _delete_container(self, call: Call, ident: str) -> Answer:
        self._store.delete(_CONTAINER, self._find(_CONTAINER, call, ident)["id"])
        return 204, None


def _object(body: Any) -> Document:
    if not isinstance(body, dict):
        raise CloudFault(400, "The body must be a JSON object.")
    return body
