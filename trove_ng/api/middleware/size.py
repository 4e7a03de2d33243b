"""A bound on what a client may send."""

from __future__ import annotations

from collections.abc import Iterable

from trove_ng.api.middleware.wsgi import App, Environ, StartResponse
from trove_ng.common.errors import BadRequest, OverLimit


class BodySize:
    """Refuse large bodies, and bodies of unknown size."""

    def __init__(self, app: App, maximum: int) -> None:
        self._app = app
        self._maximum = maximum

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH")
        if length:
            if not (length.isascii() and length.isdigit()):
                raise BadRequest("Content-Length is not a number.")
            if int(length) > self._maximum:
                raise OverLimit(f"A body may have {self._maximum} bytes at most.")
        elif "HTTP_TRANSFER_ENCODING" in environ:
            raise BadRequest("A body needs a Content-Length.")
        return self._app(environ, start_response)
