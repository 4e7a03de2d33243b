"""The WSGI application: controllers and the layers around them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from oslo_config import cfg
from pecan.core import ExplicitPecan

from trove_ng.api import openapi
from trove_ng.api.controllers import RootController
from trove_ng.api.middleware.errors import Errors
from trove_ng.api.middleware.identity import Identity, TokenMemory
from trove_ng.api.middleware.measured import Measured
from trove_ng.api.middleware.negotiation import Negotiation
from trove_ng.api.middleware.public import Public
from trove_ng.api.middleware.ratelimit import RateLimits
from trove_ng.api.middleware.size import BodySize
from trove_ng.api.middleware.wsgi import App, Environ, StartResponse, answer
from trove_ng.api.router import Router
from trove_ng.api.routes import ROUTES
from trove_ng.api.services import Services
from trove_ng.common.metrics import SILENT
from trove_ng.db.session import Database

LOG = logging.getLogger(__name__)

#: makes the token's check around an application
Authentication = Callable[[App], App]


def build_app(services: Services, authentication: Authentication | None = None) -> App:
    """Return the application.

    The order, from the outside: health checks (no log, no token), proxy headers, CORS
    (answers preflights itself), request id (everything below is logged with it), measuring,
    errors (all below raise), body size, negotiation, public documents, token with its
    memory, project of the path, rate limits, controllers.

    :param authentication: makes the token's check; by default keystonemiddleware
    """
    conf = services.conf
    check = authentication or (lambda below: keystone(conf, below))
    router = Router(ROUTES)
    app: App = _controllers(services, router)
    app = RateLimits(app, services.buckets, services.recorder)
    app = Identity(app, conf.region, _www_authenticate_uri(conf))
    app = TokenMemory(check(app), app, conf.api.token_cache_time, conf.api.token_cache_size)
    app = Public(app, openapi.Document(ROUTES), conf.api.public_endpoint)
    app = Negotiation(app)
    app = BodySize(app, conf.api.max_request_body_size)
    app = Errors(app)
    if services.recorder is not SILENT:
        app = Measured(app, router, services.recorder)
    return _oslo_layers(conf, app, services.db)


class _OneController(ExplicitPecan):
    """Pecan with a root that has a single controller.

    There is nothing to look for and no template to render, which Pecan does by
    inspecting functions at every request.
    """

    def find_controller(self, state: Any) -> tuple[Any, list[Any], dict[str, Any]]:
        """Return the controller and its arguments."""
        state.controller = self.root.answer
        return state.controller, [state.request, state.response], {}

    def invoke_controller(self, controller: Any, args: list[Any], kwargs: dict[str, Any],
                          state: Any) -> None:
        """Call the controller, which makes the whole response."""
        state.response = controller(*args)

    def _handle_empty_response_body(self, state: Any) -> None:
        """Leave the status alone: some answers are 200 without a body, as specified."""


def _controllers(services: Services, router: Router) -> App:
    application: App = _OneController(
        RootController(services, router), default_renderer="json",
        guess_content_type_from_ext=False, force_canonical=False)

    def run(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # Pecan would parse a JSON body before our controller does, without limits
        environ["CONTENT_TYPE"] = "application/octet-stream"
        return application(environ, start_response)

    return run


def _oslo_layers(conf: cfg.ConfigOpts, app: App, db: Database) -> App:
    """Put oslo.middleware around; what the configuration leaves off costs nothing."""
    from oslo_middleware import cors, healthcheck, http_proxy_to_wsgi, request_id

    app = request_id.RequestId(app)
    cors_layer = cors.CORS(app, conf)
    if conf.cors.allowed_origin:
        app = cors_layer
    proxy_layer = http_proxy_to_wsgi.HTTPProxyToWSGI(app, conf)
    if conf.oslo_middleware.enable_proxy_headers_parsing:
        app = proxy_layer
    return PathSwitch(app, {"/healthcheck": healthcheck.Healthcheck(app, conf),
                            "/healthcheck/ready": Errors(Readiness(db))})


class Readiness:
    """Answer whether requests can be served now: 200, or 503 while the store is away.

    The message bus is not asked for: without it requests are accepted all the same.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self._db.ping()
        return answer(start_response, 200, {"store": "ok"}, [])


class PathSwitch:
    """Send single paths to applications of their own."""

    def __init__(self, app: App, paths: dict[str, App]) -> None:
        self._app = app
        self._paths = paths

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self._paths.get(environ.get("PATH_INFO", ""), self._app)(
            environ, start_response)


def keystone(conf: cfg.ConfigOpts, below: App) -> App:
    """Return keystonemiddleware's check around an application, made at its first use.

    Its import takes longer than all else at start; a process that answers its health
    check need not wait for it.
    """
    made: list[App] = []

    def check(environ: Environ, start_response: StartResponse) -> Any:
        if not made:
            from keystonemiddleware import auth_token

            made.append(auth_token.AuthProtocol(
                below, {"oslo_config_config": conf, "delay_auth_decision": True}))
        return made[0](environ, start_response)

    return check


def _www_authenticate_uri(conf: cfg.ConfigOpts) -> str:
    group = conf.get("keystone_authtoken") if "keystone_authtoken" in conf else None
    return (getattr(group, "www_authenticate_uri", None) or "") if group else ""
