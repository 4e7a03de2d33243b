"""The minicloud: all its services behind one address."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug import Request, Response

from trove_ng.standalone.minicloud import cinder, mistral, neutron, nova, nova_states, web
from trove_ng.standalone.minicloud.config import MiniCloudConfig
from trove_ng.standalone.minicloud.faults import FaultInjector, FaultRuleError
from trove_ng.standalone.minicloud.glance import Glance
from trove_ng.standalone.minicloud.glance import version_document as image_version
from trove_ng.standalone.minicloud.hypervisor import Hypervisor
from trove_ng.standalone.minicloud.keystone import Keystone
from trove_ng.standalone.minicloud.keystone_catalog import Catalog
from trove_ng.standalone.minicloud.keystone_people import People
from trove_ng.standalone.minicloud.keystone_tokens import Tokens
from trove_ng.standalone.minicloud.scheduler import Scheduler
from trove_ng.standalone.minicloud.store import Store
from trove_ng.standalone.minicloud.swift import Swift

LOG = logging.getLogger(__name__)

#: how services word the errors that fault rules ask for, if not as Nova does
_WORDS: dict[str, web.Words] = {"network": web.network_words, "image": web.image_words}

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


class ReplyLost(Exception):
    """The connection is to be dropped without an answer."""


class MiniCloud:
    """A WSGI application that answers as an OpenStack cloud does.

    :param hypervisor: runs what the cloud says exists
    """

    def __init__(self, config: MiniCloudConfig, hypervisor: Hypervisor) -> None:
        self.config = config
        self.hypervisor = hypervisor
        home = config.state_dir
        home.mkdir(parents=True, exist_ok=True)
        self.store = Store(home / "minicloud.sqlite")
        self.faults = FaultInjector()
        self.scheduler = Scheduler(
            self.store, config.delays, stuck=self.faults.is_stuck)
        self.people = People(self.store)
        self.tokens = Tokens(self.store, config.token_lifetime)
        quotas = config.quotas
        self.cinder = cinder.Cinder(
            self.store, hypervisor, self.scheduler, quotas.get("cinder", {}))
        self.neutron = neutron.Neutron(self.store, hypervisor, quotas.get("neutron", {}))
        self.nova = nova.Nova(
            self.store, hypervisor, self.scheduler, self.neutron.api.ports,
            self.neutron.api.groups, self.cinder.volumes, quotas.get("nova", {}))
        self.glance = Glance(self.store, home / "images")
        self.swift = Swift(self.store, home / "objects", self.tokens.identify)
        self.workflows = mistral.Mistral(mistral.TroveHttp(config.trove_url))
        self._seed()
        self._apps = self._services()

    def _seed(self) -> None:
        self.people.seed(self.config.users)
        with self.store.transaction():
            self.nova.seed()
            self.cinder.seed()
            self.glance.seed()
        service = self.people.named("project", "service") or self.people.named(
            "project", "admin")
        if service is not None:
            self.neutron.seed(service["id"], self.config.network_cidr,
                              self.config.public_cidr)

    def _services(self) -> dict[str, WsgiApp]:
        url, identify = self.config.url, self.tokens.identify

        def service(api: web.Api) -> WsgiApp:
            return web.Service(api, identify, f"{url}/{api.name}")

        catalog = Catalog(self.config.region, url, self.config.trove_url)
        return {
            "identity": Keystone(self.people, self.tokens, catalog, f"{url}/identity"),
            "compute": service(web.Api(
                "compute", "/v2.1", tuple(self.nova.routes()), nova.version_document,
                web.compute_words, ("compute", nova.MINIMUM, nova.MAXIMUM))),
            "volume": service(web.Api(
                "volume", "/v3", tuple(self.cinder.routes()), cinder.version_document,
                web.compute_words, ("volume", cinder.MINIMUM, cinder.MAXIMUM),
                with_project=True)),
            "network": service(web.Api(
                "network", "/v2.0", tuple(self.neutron.routes()), neutron.version_document,
                web.network_words)),
            "image": service(web.Api(
                "image", "/v2", tuple(self.glance.routes()), image_version,
                web.image_words)),
            "workflow": service(web.Api(
                "workflow", "/v2", tuple(self.workflows.routes()),
                mistral.version_document, mistral.words)),
            "object": self.swift,
            "_faults": self._fault_rules,
        }

    def start(self) -> None:
        """Bring networks and servers back as they were, and do what was left undone."""
        self.neutron.recover()
        self.hypervisor.recover([
            self.nova.servers.spec(server) for server in self.store.list("server")
            if server["power_state"] == nova_states.RUNNING])
        self.scheduler.start()

    def stop(self) -> None:
        """End the jobs; servers go on."""
        self.scheduler.stop()
        self.store.close()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        head, _, rest = environ.get("PATH_INFO", "").lstrip("/").partition("/")
        app = self._apps.get(head)
        if app is None:
            return web.json_response(404, {"error": {
                "code": 404, "title": "Not Found", "message": "There is no such service."}})(
                    environ, start_response)
        environ = {**environ, "PATH_INFO": f"/{rest}",
                   "SCRIPT_NAME": f"{environ.get('SCRIPT_NAME', '')}/{head}"}
        if head == "_faults":
            return app(environ, start_response)
        rule = self.faults.on_call(head, environ["REQUEST_METHOD"], f"/{rest}")
        if rule is not None and rule.kind == "error":
            words = _WORDS.get(head, web.compute_words)
            return words(rule.status, "A fault was injected.", "InjectedFault")(
                environ, start_response)
        if rule is not None:
            self._run_and_drop(app, environ)
        return app(environ, start_response)

    @staticmethod
    def _run_and_drop(app: WsgiApp, environ: dict[str, Any]) -> None:
        """Do the work and lose the answer.

        :raises ReplyLost: always; the server closes the connection
        """
        body = app(environ, lambda _status, _headers, _exc=None: lambda _data: None)
        for _ in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()
        raise ReplyLost("a fault rule drops this answer")

    def _fault_rules(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = self._change_faults(request)
        except FaultRuleError as err:
            response = web.json_response(400, {"error": str(err)})
        return response(environ, start_response)

    def _change_faults(self, request: Request) -> Response:
        identity = self.tokens.identify(request.headers.get("X-Auth-Token", ""))
        local = ipaddress.ip_address(request.remote_addr or "255.255.255.255").is_loopback
        if not local and (identity is None or not identity.admin):
            return web.json_response(403, {"error": "only an administrator may do this"})
        if request.method == "POST":
            values = request.get_json(silent=True, force=True)
            if not isinstance(values, dict):
                raise FaultRuleError("the body is not a JSON object")
            self.faults.add(values)
            return web.json_response(201, {"rules": self.faults.rules()})
        if request.method == "DELETE":
            self.faults.clear()
            return web.json_response(204, None)
        return web.json_response(200, {"rules": self.faults.rules()})
