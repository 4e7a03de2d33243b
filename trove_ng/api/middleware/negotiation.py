"""What form of answer the client takes, and what path it asks for."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from trove_ng.api.middleware.wsgi import SEGMENTS, App, Environ, StartResponse
from trove_ng.common.errors import BadMediaType, BadRequest, NotAcceptable

_VENDOR = "application/vnd.openstack.trove+json"
_TYPES = frozenset({"application/json", "application/*", "*/*", _VENDOR})
_VERSIONS = frozenset({"", "1.0"})


def acceptable(accept: str) -> bool:
    """Return True if one of the accepted forms is one that the API has."""
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        found = dict(part.partition("=")[::2] for part in parameters)
        if found.get("q") in ("0", "0.0", "0.00", "0.000"):
            continue
        if kind in _TYPES and (
                kind != _VENDOR or found.get("version", "").strip('"') in _VERSIONS):
            return True
    return False


def segments_of(environ: Environ) -> list[str]:
    """Return the decoded segments of the path.

    The server's undecoded path is preferred: a name may hold an encoded slash.
    """
    path = environ.get("PATH_INFO", "")
    decoded = path.encode("latin-1", "replace").decode("utf-8", "strict")
    raw = environ.get("RAW_URI")
    if raw and "%2f" in raw.lower():
        raw = raw.partition("?")[0]
        if not raw.startswith("/"):
            raw = "/" + raw.partition("://")[2].partition("/")[2]
        if unquote(raw).endswith(decoded):
            # The part of a script name is left out from the front.
            skipped = unquote(raw)[:-len(decoded)].strip("/").count("/") + 1 \
                if len(unquote(raw)) > len(decoded) else 0
            return [unquote(part) for part in raw.strip("/").split("/")[skipped:]]
    return decoded.strip("/").split("/") if decoded.strip("/") else []


def _check_body(environ: Environ) -> None:
    kind, *parameters = (part.strip().lower()
                         for part in environ.get("CONTENT_TYPE", "").split(";"))
    if kind not in ("application/json", _VENDOR):
        raise BadMediaType("A body must be application/json.")
    found = dict(part.partition("=")[::2] for part in parameters)
    if found.get("charset", "utf-8").strip('"') not in ("utf-8", "utf8"):
        raise BadMediaType("A body must be in UTF-8.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in (
            "", "identity"):
        raise BadMediaType("A body must not be compressed.")


class Negotiation:
    """Refuse what cannot be answered, before anybody is asked for a token.

    A client may leave ``/v1.0`` out when its Accept header names the vendor's type.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        accept = environ.get("HTTP_ACCEPT", "")
        if accept and accept not in ("application/json", "*/*") and not acceptable(accept):
            raise NotAcceptable(
                f"Answers are application/json or {_VENDOR};version=1.0 only.")
        # The controllers below have one form only.
        environ["HTTP_ACCEPT"] = "*/*"
        try:
            segments = segments_of(environ)
        except UnicodeDecodeError as err:
            raise BadRequest("The path is not UTF-8.") from err
        if any("\0" in segment for segment in segments):
            raise BadRequest("The path holds a NUL character.")
        if accept.lower().startswith(_VENDOR) and segments and segments[0] != "v1.0":
            segments = ["v1.0", *segments]
        environ[SEGMENTS] = segments
        if environ.get("CONTENT_LENGTH") not in (None, "", "0"):
            _check_body(environ)
        return self._app(environ, start_response)
