"""The one place where errors become answers."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from trove_ng.api.middleware.wsgi import App, Environ, StartResponse, answer
from trove_ng.common.errors import MethodNotAllowed, OverLimit, ServiceUnavailable, TroveError
from trove_ng.db import trouble
from trove_ng.db.trouble import StoreAway

LOG = logging.getLogger(__name__)


class Refused(MethodNotAllowed):
    """405 with the methods that the path has."""

    def __init__(self, allowed: Iterable[str]) -> None:
        super().__init__("This method is not allowed here.")
        self.allowed = ", ".join(sorted(allowed))


def respond(error: TroveError, start_response: StartResponse,
            extra: Iterable[tuple[str, str]] = ()) -> list[bytes]:
    """Answer with the body of an error."""
    headers = list(extra)
    retry = getattr(error, "retry_after", None)
    if isinstance(error, (OverLimit, ServiceUnavailable)) and retry is not None:
        headers.append(("Retry-After", str(retry)))
    if isinstance(error, Refused):
        headers.append(("Allow", error.allowed))
    body = {error.name: {"code": error.status, "message": error.message}}
    return answer(start_response, error.status, body, headers)


class Errors:
    """Turn exceptions into answers; what is not meant for clients stays in the log."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = self._answer(environ, start_response)
        if environ.get("REQUEST_METHOD") != "HEAD":
            return body
        # Not every server cuts it off, and the client would take it for the next answer.
        close = getattr(body, "close", None)
        if close is not None:
            close()
        return []

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._app(environ, start_response)
        except TroveError as error:
            if error.status >= 500:
                LOG.warning("%s %s: %s", environ.get("REQUEST_METHOD"),
                            environ.get("PATH_INFO"), error.message)
            return respond(error, start_response)
        except Exception as err:  # noqa: BLE001 - the last resort: no internals to clients
            if trouble.of(err) is not None:
                LOG.warning("%s %s: the store is away", environ.get("REQUEST_METHOD"),
                            environ.get("PATH_INFO"))
                return respond(StoreAway(), start_response)
            request_id = environ.get("openstack.request_id", "")
            LOG.exception("%s %s failed, request id %s", environ.get("REQUEST_METHOD"),
                          environ.get("PATH_INFO"), request_id)
            return respond(TroveError(
                f"The server could not do this. Request id: {request_id}"), start_response)
