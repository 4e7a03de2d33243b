"""How many requests there are, and how long their answers take."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from trove_ng.api.middleware.wsgi import ROUTE, SEGMENTS, App, Environ, StartResponse
from trove_ng.api.router import Router
from trove_ng.common.metrics import Recorder

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PUBLIC: tuple[list[str], ...] = ([], ["v1.0"], ["v1.0", "openapi.json"])


class Measured:
    """Tell a recorder of each answered request, by the template of its route.

    :param router: finds the route of requests that were refused before they came to it
    """

    def __init__(self, app: App, router: Router, recorder: Recorder) -> None:
        self._app = app
        self._router = router
        self._recorder = recorder

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        begun = time.perf_counter()
        answered = 500

        def start(status: str, *more: Any) -> Any:
            nonlocal answered
            answered = int(status[:3])
            return start_response(status, *more)

        try:
            return self._app(environ, start)
        finally:
            method = environ["REQUEST_METHOD"]
            self._recorder.api_request(
                method if method in _METHODS else "other",
                environ.get(ROUTE) or self._route(environ.get(SEGMENTS)),
                answered, time.perf_counter() - begun)

    def _route(self, segments: Sequence[str] | None) -> str:
        if segments is None:
            return "none"
        if segments in _PUBLIC:
            return "public"
        match = self._router.match(segments[2:])
        return "none" if match is None else next(iter(match.methods.values())).path
