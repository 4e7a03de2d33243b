"""The minicloud: all its services behind one address."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable
from typing import Any

from werkzeug import Request, Response

from trove_ng.standalone.minicloud import barbican, mistral, web
from trove_ng.standalone.minicloud.config import MiniCloudConfig
from trove_ng.standalone.minicloud.faults import FaultInjector, FaultRuleError
from trove_ng.standalone.minicloud.hypervisor import Hypervisor
from trove_ng.standalone.minicloud.keystone import Keystone
from trove_ng.standalone.minicloud.keystone_catalog import Catalog
from trove_ng.standalone.minicloud.keystone_people import People
from trove_ng.standalone.minicloud.keystone_tokens import Tokens
from trove_ng.standalone.minicloud.region import Region, WsgiApp
from trove_ng.standalone.minicloud.store import Store

LOG = logging.getLogger(__name__)

#: how services word the errors that fault rules ask for, if not as Nova does
_WORDS: dict[str, web.Words] = {"network": web.network_words, "image": web.image_words}


class ReplyLost(Exception):
    """The connection is to be dropped without an answer."""


class MiniCloud:
    """A WSGI application that answers as an OpenStack cloud does.

    Services of the first region are below ``/compute`` and so on, those of another one
    below ``/regions/<name>/compute``; all have one identity service.

    :param hypervisor: runs what the cloud says exists
    :ivar regions: by name, the first one first; its parts are the cloud's attributes too
    """

    def __init__(self, config: MiniCloudConfig, hypervisor: Hypervisor) -> None:
        self.config = config
        self.hypervisor = hypervisor
        home = config.state_dir
        home.mkdir(parents=True, exist_ok=True)
        self.store = Store(home / "minicloud.sqlite")
        self.faults = FaultInjector()
        self.people = People(self.store)
        self.tokens = Tokens(self.store, config.token_lifetime)
        first = Region(
            config.region, home, config.url, (config.network_cidr, config.public_cidr), config,
            hypervisor, self.faults, store=self.store, ids=False)
        self.regions = {config.region: first}
        for name, cidrs in config.other_regions.items():
            self.regions[name] = Region(
                name, home / "regions" / name, f"{config.url}/regions/{name}",
                (cidrs["network_cidr"], cidrs.get("public_cidr")), config, hypervisor,
                self.faults)
        self.workflows = mistral.Mistral(mistral.TroveHttp(config.trove_url))
        self._apps = self._services()
        self.cinder, self.neutron, self.nova = first.cinder, first.neutron, first.nova
        self.glance, self.swift, self.scheduler = first.glance, first.swift, first.scheduler
        self._seed()

    def _seed(self) -> None:
        self.people.seed(self.config.users)
        service = self.people.named("project", "service") or self.people.named(
            "project", "admin")
        for region in self.regions.values():
            region.seed(service["id"] if service is not None else None)

    def _services(self) -> dict[str, WsgiApp]:
        url = self.config.url
        catalog = Catalog(
            {region.name: region.url for region in self.regions.values()}, url,
            self.config.trove_url)
        found: dict[str, WsgiApp] = {
            "identity": Keystone(self.people, self.tokens, catalog, f"{url}/identity"),
            "workflow": web.Service(
                web.Api("workflow", "/v2", tuple(self.workflows.routes()),
                        mistral.version_document, mistral.words),
                self.tokens.identify, f"{url}/workflow"),
            "key-manager": web.Service(
                web.Api("key-manager", "/v1", tuple(
                    barbican.Barbican(self.store, f"{url}/key-manager").routes()),
                    barbican.version_document, barbican.words),
                self.tokens.identify, f"{url}/key-manager"),
            "_faults": self._fault_rules}
        for region in self.regions.values():
            start = "" if region.name == self.config.region else f"{region.name}/"
            found |= {f"{start}{name}": app
                      for name, app in region.services(self.tokens.identify).items()}
        return found

    def start(self) -> None:
        """Bring networks and servers back as they were, and do what was left undone."""
        for region in self.regions.values():
            region.neutron.recover()
        # at once: servers that are not among them are removed
        self.hypervisor.recover([
            server for region in self.regions.values() for server in region.running()])
        for region in self.regions.values():
            region.scheduler.start()

    def stop(self) -> None:
        """End the jobs; servers go on."""
        for region in self.regions.values():
            region.scheduler.stop()
            region.store.close()

    @staticmethod
    def _split(path: str) -> tuple[str, str, str]:
        """Return the name of a path's service, its part of the path, and what is below."""
        path = path.lstrip("/")
        length = 3 if path.startswith("regions/") else 1
        place = "/".join(path.split("/", length)[:length])
        return place.removeprefix("regions/"), place, path[len(place) + 1:]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        head, place, rest = self._split(environ.get("PATH_INFO", ""))
        app = self._apps.get(head)
        if app is None:
            return web.json_response(404, {"error": {
                "code": 404, "title": "Not Found", "message": "There is no such service."}})(
                    environ, start_response)
        environ = {**environ, "PATH_INFO": f"/{rest}",
                   "SCRIPT_NAME": f"{environ.get('SCRIPT_NAME', '')}/{place}"}
        if head == "_faults":
            return app(environ, start_response)
        rule = self.faults.on_call(head, environ["REQUEST_METHOD"], f"/{rest}")
        if rule is not None and rule.kind == "error":
            words = _WORDS.get(head.rpartition("/")[2], web.compute_words)
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
