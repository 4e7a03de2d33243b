"""The few WSGI pieces that the layers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

#: where the decoded path segments are kept
SEGMENTS = "trove.segments"
#: where the request's context is kept
CONTEXT = "trove.context"
#: where the template of the route is kept, once it was found
ROUTE = "trove.route"

_REASONS = {200: "OK", 202: "Accepted", 204: "No Content", 300: "Multiple Choices",
            400: "Bad Request",
            401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
            405: "Method Not Allowed", 406: "Not Acceptable", 409: "Conflict",
            413: "Request Entity Too Large", 415: "Unsupported Media Type",
            422: "Unprocessable Entity", 500: "Internal Server Error",
            501: "Not Implemented", 503: "Service Unavailable"}

_ENCODER = msgspec.json.Encoder()
encode = _ENCODER.encode


def status_line(code: int) -> str:
    """Return the HTTP status line's code and reason."""
    return f"{code} {_REASONS.get(code, 'Unknown')}"


def answer(start_response: StartResponse, code: int, body: Any = None,
           headers: Iterable[tuple[str, str]] = ()) -> list[bytes]:
    """Answer with a JSON body, or without a body for None."""
    data = b"" if body is None else encode(body)
    fields = list(headers)
    if body is not None:
        fields.append(("Content-Type", "application/json"))
    if code != 204:
        fields.append(("Content-Length", str(len(data))))
    start_response(status_line(code), fields)
    return [data] if data else []
