"""Documents that need no token: versions and the description of the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from trove_ng.api.middleware.errors import Refused
from trove_ng.api.middleware.wsgi import SEGMENTS, App, Environ, StartResponse, answer

_UPDATED = "2026-09-01T00:00:00Z"


class Document(Protocol):
    """Makes the description of the API."""

    def render(self) -> dict[str, Any]:
        """Return the OpenAPI document."""


class Public:
    """Answer ``/``, ``/v1.0`` and ``/v1.0/openapi.json``."""

    def __init__(self, app: App, document: Document, endpoint: str | None) -> None:
        self._app = app
        self._document = document
        self._endpoint = endpoint

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        segments = environ[SEGMENTS]
        if segments not in ([], ["v1.0"], ["v1.0", "openapi.json"]):
            return self._app(environ, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            raise Refused(["GET", "HEAD"])
        if len(segments) == 2:
            return answer(start_response, 200, {
                **self._document.render(), "servers": [{"url": self._base(environ)}]})
        version = self._version(self._base(environ))
        body = {"version": version} if segments else {"versions": [version]}
        return answer(start_response, 200, body)

    def _base(self, environ: Environ) -> str:
        host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        return (self._endpoint or f"{environ['wsgi.url_scheme']}://{host}"
                                  f"{environ.get('SCRIPT_NAME', '')}").rstrip("/")

    @staticmethod
    def _version(base: str) -> dict[str, Any]:
        return {"id": "v1.0", "status": "CURRENT", "updated": _UPDATED,
                "links": [{"rel": "self", "href": f"{base}/v1.0/"},
                          {"rel": "describedby", "type": "application/json",
                           "href": f"{base}/v1.0/openapi.json"}]}
