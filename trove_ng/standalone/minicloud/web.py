"""From HTTP to the services' handlers and back.

Wire formats: the API references of Compute 2.1, Block Storage 3, Networking 2.0 and
Image 2; each service words its errors in its own way.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule

from trove_ng.standalone.minicloud import nova_wire
from trove_ng.standalone.minicloud.identity import Identity
from trove_ng.standalone.minicloud.nova_call import Answer, Call, Caller, CloudFault, Version

LOG = logging.getLogger(__name__)

Handler = Callable[..., Any]
Route = tuple[str, str, Handler]
Identify = Callable[[str], Identity | None]
_BODY_LIMIT = 2 * 1024 * 1024


#: makes the answer to a refused call from status, message and the service's error name
Words = Callable[[int, str, str], Response]


def json_response(status: int, document: Any, headers: Mapping[str, str] | None = None,
                  ) -> Response:
    """Return an answer with a JSON body, or with none."""
    body = b"" if document is None else json.dumps(document).encode()
    response = Response(body, status=status, headers=dict(headers or {}))
    if body:
        response.content_type = "application/json"
    else:
        response.headers.pop("Content-Type", None)
    return response


def compute_words(status: int, message: str, _kind: str) -> Response:
    """Return an error as Nova and Cinder word it."""
    return json_response(status, nova_wire.error_body(status, message))


def network_words(status: int, message: str, kind: str) -> Response:
    """Return an error as Neutron words it."""
    return json_response(status, {"NeutronError": {
        "type": kind or "HTTPError", "message": message, "detail": ""}})


def image_words(status: int, message: str, _kind: str) -> Response:
    """Return an error as Glance words it."""
    return Response(f"{status}: {message}\n", status=status, mimetype="text/plain")


@dataclass(frozen=True)
class Api:
    """A service's surface.

    :param name: first part of its paths
    :param root: version part of its paths, for example ``/v2.1``
    :param version_document: makes the description of the version from the service's URL
    :param words: how it words errors
    :param versions: name, lowest and highest microversion, None without microversions
    :param with_project: paths may name a project after the version part
    """

    name: str
    root: str
    routes: tuple[Route, ...]
    version_document: Callable[[str], dict[str, Any]]
    words: Words
    versions: tuple[str, Version, Version] | None = None
    with_project: bool = False


class Service:
    """The WSGI application of one service.

    :param identify: tells whose token it is
    :param url: where the service is, for links
    """

    def __init__(self, api: Api, identify: Identify, url: str) -> None:
        self._api = api
        self._identify = identify
        self._url = url
        rules = []
        for method, path, handler in api.routes:
            paths = [path]
            if api.with_project:
                paths.append(f"/<string(length=32):_project>{path}")
            rules += [Rule(f"{api.root}{one}", methods=[method], endpoint=handler)
                      for one in paths]
        self._map = Map(rules, strict_slashes=False, merge_slashes=False)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        ident = f"req-{uuid.uuid4()}"
        try:
            response = self._answer(request)
        except CloudFault as err:
            response = self._api.words(err.status, err.message, err.kind)
        except MethodNotAllowed as err:
            response = self._api.words(405, "Method not allowed.", "HTTPMethodNotAllowed")
            response.headers["Allow"] = ", ".join(sorted(err.valid_methods or ()))
        except HTTPException as err:
            response = self._api.words(
                err.code or 500, "The resource could not be found." if err.code == 404
                else str(err.description), "HTTPNotFound" if err.code == 404 else "HTTPError")
        except Exception:
            LOG.exception("%s %s", request.method, request.path)
            response = self._api.words(500, "Unexpected API Error.", "HTTPInternalServerError")
        response.headers["X-Openstack-Request-Id"] = ident
        response.headers["X-Compute-Request-Id"] = ident
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        path = request.path.rstrip("/")
        if path in ("", self._api.root) and request.method in ("GET", "HEAD"):
            document = self._api.version_document(self._url)
            if path == "":
                return json_response(300 if self._api.name == "image" else 200,
                                     {"versions": [document]})
            return json_response(200, {"version": document})
        identity = self._identify(request.headers.get("X-Auth-Token", ""))
        if identity is None:
            response = self._api.words(401, "The request you have made requires "
                                            "authentication.", "HTTPUnauthorized")
            response.headers["WWW-Authenticate"] = 'Keystone uri="identity"'
            return response
        return self._call(request, identity, path)

    def _call(self, request: Request, identity: Identity, path: str) -> Response:
        if self._api.name == "network":
            path = path.removesuffix(".json")
        adapter = self._map.bind("minicloud", path_info=path)
        handler, ids = adapter.match(path, request.method)
        ids = dict(ids)
        project = ids.pop("_project", None)
        if project is not None and project != identity.project_id and not identity.admin:
            raise CloudFault(403, "The project of the path is not the token's.")
        version = self._version(request)
        caller = Caller(project_id=identity.project_id or "", user_id=identity.user_id,
                        admin=identity.admin, version=version)
        query = {name: list(values) for name, values in request.args.lists()}
        raw = getattr(handler, "raw", False)
        call = Call(caller, None if raw else self._body(request), query, self._url)
        if raw:
            return handler(call, request, **ids)  # type: ignore[no-any-return]
        answer: Answer = handler(call, **ids)
        return json_response(answer[0], answer[1], self._headers(version))

    def _version(self, request: Request) -> Version:
        if self._api.versions is None:
            return (0, 0)
        headers = {name: request.headers[name] for name in (
            "OpenStack-API-Version", "X-OpenStack-Nova-API-Version")
            if name in request.headers}
        return nova_wire.negotiate(headers, *self._api.versions)

    def _headers(self, version: Version) -> dict[str, str]:
        if self._api.versions is None:
            return {}
        return nova_wire.version_headers(self._api.versions[0], version)

    @staticmethod
    def _body(request: Request) -> Any:
        if (request.content_length or 0) > _BODY_LIMIT:
            raise CloudFault(413, "The body is too large.")
        data = request.get_data()
        if not data:
            return None
        try:
            return json.loads(data)
        except ValueError:
            raise CloudFault(400, "The body is not JSON.", "MalformedRequestBody") from None
