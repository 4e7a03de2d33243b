"""Pecan's controllers, made from the route table.

There is one controller: it looks the path up in the table, so that the surface of the
API is the table and nothing else.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import pecan
from webob import Response

from trove_ng.api.call import Call
from trove_ng.api.idempotency import Idempotency
from trove_ng.api.middleware.errors import Refused
from trove_ng.api.middleware.wsgi import CONTEXT, ROUTE, SEGMENTS, encode
from trove_ng.api.notified import Notified
from trove_ng.api.parsing import parse_json, parse_query
from trove_ng.api.router import Router
from trove_ng.api.routes import Route
from trove_ng.api.services import Services
from trove_ng.api.validation import Validator
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.common.secret import Secret

Handler = Callable[[Call], Any]


class RootController:
    """Answers every path of the table."""

    def __init__(self, services: Services, router: Router) -> None:
        self._services = services
        self._router = router
        self._validator = Validator()
        self._idempotency = Idempotency(services)
        self._notified = Notified(services)
        self._handlers: dict[str, Handler] = {}

    @pecan.expose()
    def _route(self, args: list[str], request: Any) -> tuple[Any, list[str]]:
        return self.answer, []

    @pecan.expose(content_type="application/json")
    def answer(self, req: Any, resp: Any) -> Response:
        """Find the route, ask the policy, check the body, run the handler."""
        environ = req.environ
        match = self._router.match(environ[SEGMENTS][2:])
        if match is None:
            raise NotFound("The path cannot be found.")
        method = environ["REQUEST_METHOD"]
        route = match.methods.get("GET" if method == "HEAD" else method)
        if route is None:
            raise Refused({*match.methods, *(["HEAD"] if "GET" in match.methods else [])})
        environ[ROUTE] = route.path
        call = self._make_call(environ, route, match.params)
        body = self._run(call, environ.get("HTTP_IDEMPOTENCY_KEY"))
        if route.answer is None and (route.partly is None or body is None):
            response = Response(status=route.success, content_type=None, body=b"")
        else:
            response = Response(status=route.success if route.answer is not None else 200,
                                content_type="application/json", charset=None,
                                body=encode(body))
        if call.operation_id is not None:
            response.headers["X-Trove-Operation-Id"] = call.operation_id
        if call.replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    def _run(self, call: Call, key: str | None) -> Any:
        handler = self._handler(call.route)
        if key is None or call.route.method != "POST":
            return self._notified.run(call, handler)
        # a repeated request is not told again
        return self._idempotency.run(
            call, key, lambda again: self._notified.run(again, handler))

    def _make_call(self, environ: dict[str, Any], route: Route, params: dict[str, str],
                   ) -> Call:
        context = environ[CONTEXT]
        authorizer = self._services.authorizer
        if authorizer.is_admin(context):
            context = dataclasses.replace(context, is_admin=True)
        authorizer.check(context, route.rule, context.project_id)
        body = None
        if route.request is not None:
            body = self._body(environ, route)
        query = environ.get("QUERY_STRING", "")
        path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        token = environ.get("HTTP_X_AUTH_TOKEN")
        return Call(
            token=None if token is None else Secret(token),
            services=self._services, context=context, route=route, params=params,
            query=parse_query(query, route.query) if query else {},
            body=body, path=path, host_url=self._host_url(environ))

    def _body(self, environ: dict[str, Any], route: Route) -> Any:
        length = environ.get("CONTENT_LENGTH")
        if length not in (None, "") and not str(length).isdigit():
            raise BadRequest("Content-Length is not a number.")
        data = environ["wsgi.input"].read(int(length)) if length else b""
        if not data.strip() and route.body_optional:
            return None
        body = parse_json(data)
        if body is None and route.body_optional:
            return None
        assert route.request is not None
        self._validator.check(route.request, body)
        return body

    def _handler(self, route: Route) -> Handler:
        handler = self._handlers.get(route.handler)
        if handler is None:
            module, _, function = route.handler.partition(":")
            found = importlib.import_module(f"trove_ng.api.handlers.{module}")
            handler = self._handlers[route.handler] = getattr(found, function)
        return handler

    def _host_url(self, environ: dict[str, Any]) -> str:
        public: str | None = self._services.conf.api.public_endpoint
        if public:
            return public.rstrip("/")
        host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        return f"{environ['wsgi.url_scheme']}://{host}{environ.get('SCRIPT_NAME', '')}"
