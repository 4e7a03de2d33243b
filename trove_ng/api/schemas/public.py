"""Answers that need no token."""

from __future__ import annotations

from trove_ng.api.schemas.common import Schema, array, obj

_S: Schema = {"type": "string"}
_VERSION = obj({
    "id": _S, "status": _S, "updated": _S,
    "links": array(obj({"rel": _S, "href": _S, "type": _S}, ("rel", "href")))},
    ("id", "status", "links"))

#: path → schema of its answer
ANSWERS: dict[str, Schema] = {
    "/": obj({"versions": array(_VERSION, 1)}, ("versions",),
             description="The versions of the API."),
    "/v1.0": obj({"version": _VERSION}, ("version",), description="This version."),
    "/v1.0/openapi.json": {
        "type": "object", "required": ["openapi", "info", "paths"],
        "description": "This document.",
        "properties": {"openapi": {"type": "string", "pattern": "^3[.]1[.]"}}},
}
