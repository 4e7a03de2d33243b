"""The OpenAPI 3.1 document, made from the route table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from trove_ng.api.routes import Route
from trove_ng.api.schemas.common import obj

_BASE = "/v1.0/{tenant_id}"
_PARAMETER = re.compile(r"{(\w+)}")
_ERROR = {"type": "object", "minProperties": 1, "maxProperties": 1,
          "additionalProperties": obj(
              {"code": {"type": "integer"}, "message": {"type": "string"}},
              ("code", "message"))}
_ERRORS = {
    "400": "A rule of the request is broken; the message names field and rule.",
    "401": "No valid token.",
    "403": "The policy, or a rule about ownership, says no.",
    "404": "There is no such resource for this caller.",
    "409": "Something else works on the resource.",
    "413": "A quota, a size or a rate limit is reached.",
    "422": "Not possible in the present state.",
    "503": "A part that this needs is away for now.",
}


class Document:
    """The description of the API; made once, when it is first asked for."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._made: dict[str, Any] | None = None

    def render(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        for route in self._routes:
            item = paths.setdefault(_BASE + route.path, {
                "parameters": [_path_parameter(name) for name in
                               ["tenant_id", *_PARAMETER.findall(route.path)]]})
            item[route.method.lower()] = _operation(route)
        return {
            "openapi": "3.1.0",
            "jsonSchemaDialect": "http://json-schema.org/draft-07/schema#",
            "info": {"title": "Database service", "version": "1.0",
                     "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "paths": paths,
            "security": [{"token": []}],
            "components": {
                "securitySchemes": {"token": {
                    "type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
                "schemas": {"Error": _ERROR},
                "parameters": {"IdempotencyKey": {
                    "name": "Idempotency-Key", "in": "header",
                    "description": "A repeated request with the key gets the same answer.",
                    "schema": {"type": "string", "minLength": 1, "maxLength": 255,
                               "pattern": "^[ -~]+$"}}},
                "responses": {code: {
                    "description": text, "content": {"application/json": {
                        "schema": {"$ref": "#/components/schemas/Error"}}}}
                    for code, text in _ERRORS.items()},
            },
        }


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _operation(route: Route) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "Done, or accepted."}
    if route.answer is not None:
        answer["content"] = {"application/json": {"schema": route.answer}}
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{_words(route.path)}",
        "summary": f"Policy rule {route.rule}",
        "tags": [route.path.strip("/").split("/")[0]],
        "x-policy-rule": route.rule,
        "parameters": [{"name": name, "in": "query", "schema": schema}
                       for name, schema in route.query.items()],
        "responses": {str(route.success): answer, **{
            code: {"$ref": f"#/components/responses/{code}"} for code in _ERRORS}},
    }
    if route.method == "POST":
        operation["parameters"].append({"$ref": "#/components/parameters/IdempotencyKey"})
    if route.request is not None:
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {"application/json": {"schema": route.request}}}
    return operation


def _words(path: str) -> str:
    return "".join(part.title().replace("-", "").replace("_", "")
                   for part in _PARAMETER.sub(r"by_\1", path).split("/"))
