"""Who asks: the token, remembered for a while, and the project in the path."""

from __future__ import annotations

import datetime
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from trove_ng.api.middleware.errors import respond
from trove_ng.api.middleware.wsgi import CONTEXT, SEGMENTS, App, Environ, StartResponse
from trove_ng.common.context import RequestContext
from trove_ng.common.errors import Forbidden, NotFound, Unauthorized

#: headers that only the token's check may set
_TRUSTED = (
    "HTTP_X_IDENTITY_STATUS", "HTTP_X_PROJECT_ID", "HTTP_X_PROJECT_NAME",
    "HTTP_X_USER_ID", "HTTP_X_USER_NAME", "HTTP_X_ROLES")
#: of a client: a proxy may say anything
_LONGEST_ADDRESS = 64
_SPOOFABLE = (
    *_TRUSTED, "HTTP_X_TENANT_ID", "HTTP_X_TENANT_NAME", "HTTP_X_TENANT", "HTTP_X_ROLE",
    "HTTP_X_USER", "HTTP_X_IS_ADMIN_PROJECT", "HTTP_X_SERVICE_IDENTITY_STATUS")


class TokenMemory:
    """Skip the token's check when it was done a moment ago.

    :param check: the middleware that validates a token and sets the headers
    :param below: the application that the headers are for
    :param seconds: how long a token is remembered, at most until it expires
    :param size: tokens remembered at most
    """

    def __init__(self, check: App, below: App, seconds: float, size: int) -> None:
        self._check = check
        self._below = below
        self._seconds = seconds
        self._size = size
        self._known: OrderedDict[bytes, tuple[float, dict[str, str]]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        token = environ.get("HTTP_X_AUTH_TOKEN")
        if not token or self._seconds <= 0:
            return self._check(environ, start_response)
        key = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        known = self._known.get(key)
        if known is None or known[0] <= time.monotonic():
            environ["trove.token_memory"] = (self, key)
            return self._check(environ, start_response)
        for name in _SPOOFABLE:
            environ.pop(name, None)
        environ.update(known[1])
        return self._below(environ, start_response)

    def remember(self, key: bytes, environ: Environ) -> None:
        """Keep what the check found out about a token."""
        seconds = min(self._seconds, _seconds_left(environ.get("keystone.token_info")))
        if seconds <= 0:
            return
        headers = {name: environ[name] for name in _TRUSTED if name in environ}
        with self._lock:
            self._known[key] = (time.monotonic() + seconds, headers)
            self._known.move_to_end(key)
            while len(self._known) > self._size:
                self._known.popitem(last=False)


def _seconds_left(token_info: Any) -> float:
    """Return how long a token is still good; 0 when that is not known."""
    try:
        text = token_info["token"]["expires_at"]
        expires = datetime.datetime.fromisoformat(text)
    except (TypeError, KeyError, ValueError):
        return 0.0
    return (expires - datetime.datetime.now(datetime.UTC)).total_seconds()


class Identity:
    """Make the request's context of the checked headers, and compare the project.

    :param region: region of this service
    """

    def __init__(self, app: App, region: str, endpoint: str) -> None:
        self._app = app
        self._region = region
        self._challenge = [("WWW-Authenticate", f"Keystone uri=\"{endpoint}\"")]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("HTTP_X_IDENTITY_STATUS") != "Confirmed":
            return respond(Unauthorized("A valid token is required."), start_response,
                           self._challenge)
        memory = environ.get("trove.token_memory")
        if memory is not None:
            memory[0].remember(memory[1], environ)
        project = environ.get("HTTP_X_PROJECT_ID") or ""
        if not project:
            return respond(Unauthorized("The token must be for a project."),
                           start_response, self._challenge)
        segments = environ[SEGMENTS]
        if not segments or segments[0] != "v1.0":
            raise NotFound("The path cannot be found.")
        if len(segments) < 2 or segments[1] != project:
            raise Forbidden("The project in the path is not the token's.")
        roles = environ.get("HTTP_X_ROLES") or ""
        environ[CONTEXT] = RequestContext(
            project_id=project,
            user_id=environ.get("HTTP_X_USER_ID") or "",
            roles=tuple(sorted({role.strip().lower() for role in roles.split(",")
                                if role.strip()})),
            request_id=environ.get("openstack.request_id") or "",
            region=self._region,
            user_name=_utf8(environ.get("HTTP_X_USER_NAME")),
            project_name=_utf8(environ.get("HTTP_X_PROJECT_NAME")),
            client=_client(environ))
        return self._app(environ, start_response)


def _client(environ: Environ) -> str:
    """Return address and port that the request came from, as far as they are known."""
    address = (environ.get("REMOTE_ADDR") or "unknown")[:_LONGEST_ADDRESS]
    port = environ.get("REMOTE_PORT")
    return f"{address}:{port}" if port else address


def _utf8(text: str | None) -> str:
    return (text or "").encode("latin-1", "replace").decode("utf-8", "replace")
