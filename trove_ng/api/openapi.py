"""The OpenAPI 3.1 document, made from the route table.

It is complete: every status that a route answers is in it, with the schema of its body,
and every header that is ours.  The fuzz tests hold the service to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trove_ng.api.routes import Route
from trove_ng.api.schemas import public
from trove_ng.api.schemas.common import PROJECT_ID, obj

Schema = dict[str, Any]

_BASE = "/v1.0/{tenant_id}"
_PARAMETER = re.compile(r"{(\w+)}")
_MEDIA_TYPES = ("application/json",)
_ERROR: Schema = {
    "type": "object", "minProperties": 1, "maxProperties": 1,
    "additionalProperties": obj(
        {"code": {"type": "integer"}, "message": {"type": "string"}}, ("code", "message"))}
_MEANINGS = {
    400: "A rule of the request is broken; the message names field and rule.",
    401: "No valid token.",
    403: "The policy, or a rule about ownership, says no.",
    404: "There is no such resource for this caller.",
    406: "The client takes no form of answer that there is.",
    409: "It exists already, or something else works on the resource.",
    413: "A quota, a size or a rate limit is reached.",
    415: "The body is of a form that is not taken.",
    422: "Not possible in the present state.",
    501: "The datastore, or this release, does not offer it.",
    503: "A part that this needs is away for now.",
}
#: what any route answers, with a token or without
_ANYWHERE = (400, 406, 413, 415)
#: what any route with a token answers besides
_WITH_TOKEN = (401, 403, 503)
_HEADERS: dict[str, Schema] = {
    "RequestId": {"description": "Names the request in logs.",
                  "schema": {"type": "string", "pattern": "^req-"}},
    "RetryAfter": {"description": "Seconds after which to try again.",
                   "schema": {"type": "integer", "minimum": 0}},
    "OperationId": {"description": "The operation that does what was accepted, if any.",
                    "schema": {"type": "string", "format": "uuid"}},
    "Replayed": {"description": "The answer is that of an earlier request with the same key.",
                 "schema": {"type": "string", "enum": ["true"]}},
    "Challenge": {"description": "Where tokens come from.", "required": True,
                  "schema": {"type": "string"}},
}
#: status → headers of its answers, besides the request's id
_MORE_HEADERS = {401: {"WWW-Authenticate": "Challenge"}, 413: {"Retry-After": "RetryAfter"},
                 503: {"Retry-After": "RetryAfter"}}
_KEY = {
    "name": "Idempotency-Key", "in": "header",
    "description": "A repeated request with the key is not done again and gets the same "
                   "answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255,
               "pattern": "^[!-~]([ -~]*[!-~])?$"}}
_TEXT: Schema = {"type": "string", "minLength": 1}
_UUID: Schema = {"type": "string", "format": "uuid"}
#: parameter of a path, or first part of the path of a parameter ``id`` → schema, meaning
_PATH_PARAMETERS: dict[str, tuple[Schema, str]] = {
    "tenant_id": (_TEXT, "Project of the token."),
    "project_id": ({"type": "string", "pattern": PROJECT_ID}, "Project whose quotas are meant."),
    "database": (_TEXT, "Name of a database."),
    "user": (_TEXT, "Name of a user, or name@host."),
    "datastore": (_TEXT, "Id or name of a datastore."),
    "name": (_TEXT, "Name of a parameter."),
    "datastores": (_TEXT, "Id of a datastore version; below a datastore also its name."),
    "flavors": (_TEXT, "Id of a flavor."),
    "volume-types": (_TEXT, "Id or name of a volume type."),
}
_QUERY_MEANINGS = {
    "limit": "Resources in a page at most; 0 and what is above the largest page mean that.",
    "marker": "Where the page begins, as the link to the next page has it.",
}


class Document:
    """The description of the API; made once, when it is first asked for."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._made: dict[str, Any] | None = None

    def render(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self._made is None:
            self._made = _Maker(self._routes).make()
        return self._made


class _Maker:
    """Puts the document together; schemas that routes share are in it once."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._meanings = _rule_meanings()
        self._names: dict[int, str] = {}
        self._schemas: dict[str, Schema] = {"Error": _ERROR}

    def make(self) -> dict[str, Any]:
        """Return the document."""
        paths: dict[str, Any] = {}
        for path, answer in public.ANSWERS.items():
            paths[path] = {"get": self._public(path, answer)}
        for route in self._routes:
            item = paths.setdefault(_BASE + route.path, {
                "parameters": [_path_parameter(name, route.path) for name in
                               ["tenant_id", *_PARAMETER.findall(route.path)]]})
            item[route.method.lower()] = self._operation(route)
        tags = sorted({operation["tags"][0] for item in paths.values()
                       for name, operation in item.items() if name != "parameters"})
        return {
            "openapi": "3.1.0",
            "info": {"title": "Database service", "version": "1.0",
                     "description": "Databases on servers of an OpenStack cloud.",
                     "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "servers": [{"url": "/"}],
            "tags": [{"name": name} for name in tags],
            "paths": paths,
            "security": [{"token": []}],
            "components": {
                "securitySchemes": {"token": {
                    "type": "apiKey", "in": "header", "name": "X-Auth-Token",
                    "description": "A token of the identity service, for the project in "
                                   "the path."}},
                "schemas": self._schemas,
                "headers": _HEADERS,
                "parameters": {"IdempotencyKey": _KEY},
                "responses": {str(status): {
                    "description": text, "headers": _headers(status),
                    "content": _content({"$ref": "#/components/schemas/Error"})}
                    for status, text in _MEANINGS.items()},
            },
        }

    def _public(self, path: str, answer: Schema) -> dict[str, Any]:
        ident = f"get{_words(path.replace('.', ''))}" if path != "/" else "getVersions"
        return {"operationId": ident, "summary": answer["description"], "tags": ["versions"],
                "security": [],
                "responses": {"200": {
                    "description": answer["description"], "headers": _headers(200),
                    "content": _content(answer)}, **_failures(_ANYWHERE)}}

    def _partly(self, route: Route) -> dict[str, Any]:
        if route.partly is None:
            return {}
        return {"200": {"description": "Done, but for what is told.",
                        "headers": _success_headers(route),
                        "content": _content(self._ref(route, route.partly, "Answer"))}}

    def _operation(self, route: Route) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "description": "Done." if route.success != 202 else "Accepted, or done.",
            "headers": _success_headers(route)}
        if route.answer is not None:
            answer["content"] = _content(self._ref(route, route.answer, "Answer"))
        links = {_operation_id(target): {
            "operationId": _operation_id(target), "parameters": {
                "tenant_id": "$request.path.tenant_id", name: value}}
            for target, name, value in _links(route, self._routes)}
        if links:
            answer["links"] = links
        operation: dict[str, Any] = {
            "operationId": _operation_id(route),
            "summary": self._meanings.get(route.rule, route.rule),
            "tags": [route.path.strip("/").split("/")[0]],
            "x-policy-rule": route.rule,
            "parameters": [_query_parameter(name, schema)
                           for name, schema in route.query.items()],
            "responses": {str(route.success): answer, **self._partly(route),
                          **_failures(_statuses(route))},
        }
        if route.method == "POST":
            operation["parameters"].append({"$ref": "#/components/parameters/IdempotencyKey"})
        if route.request is not None:
            operation["requestBody"] = {
                "required": not route.body_optional,
                "content": _content(self._ref(route, route.request, "Body"))}
        return operation

    def _ref(self, route: Route, schema: Schema, kind: str) -> Schema:
        """Return a reference to a schema, which the first route that has it names."""
        name = self._names.get(id(schema))
        if name is None:
            ident = _operation_id(route)
            name = self._names[id(schema)] = f"{ident[0].upper()}{ident[1:]}{kind}"
            self._schemas[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}


def _rule_meanings() -> Mapping[str, str]:
    from trove_ng.policies import list_rules

    return {rule.name: rule.description for rule in list_rules()}


def _content(schema: Schema) -> dict[str, Any]:
    return {kind: {"schema": schema} for kind in _MEDIA_TYPES}


def _headers(status: int) -> dict[str, Any]:
    names = {"X-Openstack-Request-Id": "RequestId", **_MORE_HEADERS.get(status, {})}
    return {name: {"$ref": f"#/components/headers/{part}"} for name, part in names.items()}


def _success_headers(route: Route) -> dict[str, Any]:
    found = _headers(route.success)
    if route.method != "GET":
        found["X-Trove-Operation-Id"] = {"$ref": "#/components/headers/OperationId"}
    if route.method == "POST":
        found["Idempotent-Replayed"] = {"$ref": "#/components/headers/Replayed"}
    return found


def _statuses(route: Route) -> Iterable[int]:
    found = {*_ANYWHERE, *_WITH_TOKEN, *route.fails}
    if route.method == "POST":
        # the Idempotency-Key may belong to another request
        found.add(409)
    if _PARAMETER.search(route.path):
        found.add(404)
    return found


def _failures(statuses: Iterable[int]) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"}
            for status in sorted(statuses)}


def _path_parameter(name: str, path: str) -> dict[str, Any]:
    first = [part for part in path.split("/") if part not in ("", "mgmt")][0]
    schema, meaning = _PATH_PARAMETERS.get(
        first if name == "id" else name, (_UUID, f"Id, of {first}."))
    return {"name": name, "in": "path", "required": True, "description": meaning,
            "schema": schema}


def _query_parameter(name: str, schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "in": "query", "schema": schema}
    if name in _QUERY_MEANINGS:
        found["description"] = _QUERY_MEANINGS[name]
    return found


def _links(route: Route, routes: Sequence[Route]) -> Iterable[tuple[Route, str, str]]:
    """Give the routes that a resource in this answer leads to.

    :return: route, parameter of its path, where its value is
    """
    pointer = _pointer_to_id(route.answer)
    if pointer is None or _PARAMETER.search(route.path):
        return
    below = re.compile(re.escape(route.path) + r"/{(\w+)}(/[^{}]*)?")
    for target in routes:
        match = below.fullmatch(target.path)
        if match:
            yield target, match[1], f"$response.body#{pointer}"


def _pointer_to_id(answer: Schema | None) -> str | None:
    """Return where the id of an answer's (first) resource is, None if nowhere."""
    for key, schema in (answer or {}).get("properties", {}).items():
        inner, at = schema.get("properties"), ""
        if inner is None and key != "links":
            inner, at = schema.get("items", {}).get("properties", {}), "/0"
        # the id of a flavor is in its other, numeric id only sometimes
        for name in ("str_id", "id"):
            if name in (inner or {}):
                return f"/{key}{at}/{name}"
    return None


def _operation_id(route: Route) -> str:
    return f"{route.method.lower()}{_words(route.path)}"


def _words(path: str) -> str:
    return "".join(part.title().replace("-", "").replace("_", "")
                   for part in _PARAMETER.sub(r"by_\1", path).split("/"))
