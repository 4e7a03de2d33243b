"""Keystone: tokens, catalog, projects, users, roles.

Wire format: Identity API v3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule

from trove_ng.standalone.minicloud.identity import Identity
from trove_ng.standalone.minicloud.keystone_catalog import Catalog
from trove_ng.standalone.minicloud.keystone_people import DOMAIN, People
from trove_ng.standalone.minicloud.keystone_tokens import Tokens, check_password
from trove_ng.standalone.minicloud.nova_call import CloudFault
from trove_ng.standalone.minicloud.store import Document
from trove_ng.standalone.minicloud.web import json_response

LOG = logging.getLogger(__name__)

_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 409: "Conflict", 500: "Internal Server Error"}
_UNAUTHORIZED = "The request you have made requires authentication."
_HIDDEN = ("password_hash",)

Handler = Callable[..., Response]


def _error(status: int, message: str) -> Response:
    response = json_response(status, {"error": {
        "code": status, "title": _TITLES.get(status, "Error"), "message": message}})
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Keystone uri="identity"'
    return response


def _shown(document: Document) -> Document:
    return {key: value for key, value in document.items() if key not in _HIDDEN}


class Keystone:
    """The WSGI application.

    :param url: where it is, for links and discovery
    """

    def __init__(self, people: People, tokens: Tokens, catalog: Catalog, url: str) -> None:
        self._people = people
        self._tokens = tokens
        self._catalog = catalog
        self._url = url
        self._map = Map(self._rules(), strict_slashes=False)

    def _rules(self) -> list[Rule]:
        rules = [
            Rule("/", methods=["GET"], endpoint=self._versions),
            Rule("/v3", methods=["GET"], endpoint=self._version),
            Rule("/v3/auth/tokens", methods=["POST"], endpoint=self._authenticate),
            Rule("/v3/auth/tokens", methods=["GET"], endpoint=self._validate),
            Rule("/v3/auth/tokens", methods=["DELETE"], endpoint=self._revoke),
            Rule("/v3/auth/projects", methods=["GET"], endpoint=self._own_projects),
            Rule("/v3/auth/catalog", methods=["GET"], endpoint=self._own_catalog),
            Rule("/v3/auth/domains", methods=["GET"], endpoint=self._own_domains),
            Rule("/v3/domains", methods=["GET"], endpoint=self._domains),
            Rule("/v3/domains/<ident>", methods=["GET"], endpoint=self._domain),
            Rule("/v3/role_assignments", methods=["GET"], endpoint=self._assignments),
            Rule("/v3/users/<user>/projects", methods=["GET"], endpoint=self._projects_of),
            Rule("/v3/regions", methods=["GET"], endpoint=self._regions),
            Rule("/v3/services", methods=["GET"], endpoint=self._services),
            Rule("/v3/endpoints", methods=["GET"], endpoint=self._endpoints),
        ]
        for kind in ("project", "user", "role"):
            path = f"/v3/{kind}s"
            rules += [
                Rule(path, methods=["GET"], endpoint=self._lister(kind)),
                Rule(path, methods=["POST"], endpoint=self._creator(kind)),
                Rule(f"{path}/<ident>", methods=["GET"], endpoint=self._shower(kind)),
                Rule(f"{path}/<ident>", methods=["DELETE"], endpoint=self._deleter(kind)),
            ]
        path = "/v3/projects/<project>/users/<user>/roles"
        rules += [
            Rule(path, methods=["GET"], endpoint=self._roles_in),
            Rule(f"{path}/<role>", methods=["PUT"], endpoint=self._assign),
            Rule(f"{path}/<role>", methods=["GET"], endpoint=self._assigned),
            Rule(f"{path}/<role>", methods=["DELETE"], endpoint=self._unassign),
        ]
        return rules

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            handler, ids = self._map.bind("minicloud", path_info=request.path).match(
                request.path, request.method)
            response: Response = handler(request, **ids)
        except CloudFault as err:
            response = _error(err.status, err.message)
        except MethodNotAllowed:
            response = _error(405, "The method is not allowed.")
        except HTTPException as err:
            response = _error(err.code or 500, str(err.description))
        except Exception:
            LOG.exception("%s %s", request.method, request.path)
            response = _error(500, "An unexpected error prevented the server from fulfilling "
                                   "your request.")
        return response(environ, start_response)

    # versions

    def _description(self) -> Document:
        return {"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
                "links": [{"rel": "self", "href": f"{self._url}/v3/"}],
                "media-types": [{"base": "application/json",
                                 "type": "application/vnd.openstack.identity-v3+json"}]}

    def _versions(self, _request: Request) -> Response:
        return json_response(300, {"versions": {"values": [self._description()]}})

    def _version(self, _request: Request) -> Response:
        return json_response(200, {"version": self._description()})

    # tokens

    def _authenticate(self, request: Request) -> Response:
        auth = self._part(self._body(request), "auth")
        identity = self._part(auth, "identity")
        methods = identity.get("methods")
        if methods == ["password"]:
            user = self._by_password(self._part(self._part(identity, "password"), "user"))
        elif methods == ["token"]:
            user = self._by_token(self._part(identity, "token"))
        else:
            raise CloudFault(400, "identity.methods must be password or token.")
        project, roles = self._scope(user, auth.get("scope"))
        token, document = self._tokens.issue(user, project, roles, methods)
        return json_response(201, {"token": self._token_view(document)},
                             {"X-Subject-Token": token})

    def _by_password(self, wanted: Document) -> Document:
        user = None
        if "id" in wanted:
            user = next((one for one in self._people.all("user")
                         if one["id"] == wanted["id"]), None)
        elif "name" in wanted:
            self._check_domain(wanted.get("domain"))
            user = self._people.named("user", str(wanted["name"]))
        if user is None or not user["enabled"] or not check_password(
                str(wanted.get("password") or ""), user["password_hash"]):
            raise CloudFault(401, _UNAUTHORIZED)
        return user

    def _by_token(self, wanted: Document) -> Document:
        found = self._tokens.find(str(wanted.get("id") or ""))
        if found is None:
            raise CloudFault(401, _UNAUTHORIZED)
        return self._people.get("user", found["user"]["id"])

    @staticmethod
    def _check_domain(domain: Any) -> None:
        wanted = domain if isinstance(domain, dict) else {}
        if wanted.get("id", DOMAIN["id"]) != DOMAIN["id"] or wanted.get(
                "name", DOMAIN["name"]) not in (DOMAIN["name"], "default"):
            raise CloudFault(401, _UNAUTHORIZED)

    def _scope(self, user: Document, scope: Any,
               ) -> tuple[Document | None, list[Document]]:
        if scope is None and user.get("default_project_id"):
            scope = {"project": {"id": user["default_project_id"]}}
        if not isinstance(scope, dict) or "project" not in scope:
            return None, []
        wanted = self._part(scope, "project")
        if "id" in wanted:
            project = next((one for one in self._people.all("project")
                            if one["id"] == wanted["id"]), None)
        else:
            self._check_domain(wanted.get("domain"))
            project = self._people.named("project", str(wanted.get("name")))
        roles = self._people.roles_in(user["id"], project["id"]) if project else []
        if not roles:
            raise CloudFault(401, _UNAUTHORIZED)
        return project, roles

    def _token_view(self, document: Document) -> Document:
        domain = {"id": DOMAIN["id"], "name": DOMAIN["name"]}
        view = {"methods": document["methods"], "audit_ids": document["audit_ids"],
                "issued_at": document["issued_at"], "expires_at": document["expires_at"],
                "user": {**document["user"], "domain": domain, "password_expires_at": None}}
        if document["project"]:
            view |= {"project": {**document["project"], "domain": domain},
                     "is_domain": False, "roles": document["roles"],
                     "catalog": self._catalog.of(document["project"]["id"])}
        return view

    def _validate(self, request: Request) -> Response:
        caller = self._caller(request)
        subject = request.headers.get("X-Subject-Token", "")
        found = self._tokens.find(subject)
        if found is None:
            raise CloudFault(404, "Could not find token.")
        if not caller.roles & {"admin", "service"} and found["user"]["id"] != caller.user_id:
            raise CloudFault(403, "You are not authorized to perform the requested action: "
                                  "identity:validate_token.")
        view = self._token_view(found)
        if "nocatalog" in request.args:
            view.pop("catalog", None)
        return json_response(200, {"token": view}, {"X-Subject-Token": subject})

    def _revoke(self, request: Request) -> Response:
        caller = self._caller(request)
        subject = request.headers.get("X-Subject-Token", "")
        found = self._tokens.find(subject)
        if found is None:
            raise CloudFault(404, "Could not find token.")
        if not caller.admin and found["user"]["id"] != caller.user_id:
            raise CloudFault(403, "You are not authorized to perform the requested action: "
                                  "identity:revoke_token.")
        self._tokens.revoke(subject)
        return json_response(204, None)

    # what the caller has

    def _caller(self, request: Request) -> Identity:
        found = self._tokens.identify(request.headers.get("X-Auth-Token", ""))
        if found is None:
            raise CloudFault(401, _UNAUTHORIZED)
        return found

    def _admin(self, request: Request) -> Identity:
        found = self._caller(request)
        if not found.admin:
            raise CloudFault(403, "You are not authorized to perform the requested action.")
        return found

    def _page(self, name: str, documents: list[Document]) -> Response:
        return json_response(200, {name: [_shown(one) for one in documents], "links": {
            "self": f"{self._url}/v3/{name}", "next": None, "previous": None}})

    def _own_projects(self, request: Request) -> Response:
        return self._page("projects", self._people.projects_of(self._caller(request).user_id))

    def _own_domains(self, request: Request) -> Response:
        self._caller(request)
        return self._page("domains", [])

    def _own_catalog(self, request: Request) -> Response:
        return json_response(200, {"catalog": self._catalog.of(
            self._caller(request).project_id or ""), "links": {
                "self": f"{self._url}/v3/auth/catalog", "next": None, "previous": None}})

    # administration

    def _lister(self, kind: str) -> Handler:
        def handler(request: Request) -> Response:
            self._admin(request)
            name = request.args.get("name")
            return self._page(f"{kind}s", [
                one for one in self._people.all(kind) if name in (None, one["name"])])
        return handler

    def _creator(self, kind: str) -> Handler:
        def handler(request: Request) -> Response:
            self._admin(request)
            values = self._part(self._body(request), kind)
            return json_response(201, {kind: _shown(self._people.create(kind, values))})
        return handler

    def _shower(self, kind: str) -> Handler:
        def handler(request: Request, ident: str) -> Response:
            caller = self._caller(request)
            if not caller.admin and ident not in (caller.project_id, caller.user_id):
                raise CloudFault(
                    403, "You are not authorized to perform the requested action.")
            return json_response(200, {kind: _shown(self._people.get(kind, ident))})
        return handler

    def _deleter(self, kind: str) -> Handler:
        def handler(request: Request, ident: str) -> Response:
            self._admin(request)
            self._people.delete(kind, ident)
            return json_response(204, None)
        return handler

    def _projects_of(self, request: Request, user: str) -> Response:
        caller = self._caller(request)
        if not caller.admin and caller.user_id != user:
            raise CloudFault(403, "You are not authorized to perform the requested action.")
        return self._page("projects", self._people.projects_of(user))

    def _roles_in(self, request: Request, project: str, user: str) -> Response:
        self._admin(request)
        return self._page("roles", self._people.roles_in(user, project))

    def _assign(self, request: Request, project: str, user: str, role: str) -> Response:
        self._admin(request)
        for kind, ident in (("project", project), ("user", user), ("role", role)):
            self._people.get(kind, ident)
        self._people.assign(project, user, role)
        return json_response(204, None)

    def _assigned(self, request: Request, project: str, user: str, role: str) -> Response:
        self._admin(request)
        if role not in {one["id"] for one in self._people.roles_in(user, project)}:
            raise CloudFault(404, "Could not find role assignment.")
        return json_response(204, None)

    def _unassign(self, request: Request, project: str, user: str, role: str) -> Response:
        self._admin(request)
        self._people.unassign(project, user, role)
        return json_response(204, None)

    def _assignments(self, request: Request) -> Response:
        self._admin(request)
        return self._page("role_assignments", [{
            "role": {"id": one["role"]}, "user": {"id": one["user"]},
            "scope": {"project": {"id": one["project"]}}, "links": {}}
            for one in self._people.assignments()])

    def _domains(self, request: Request) -> Response:
        self._caller(request)
        return self._page("domains", [DOMAIN])

    def _domain(self, request: Request, ident: str) -> Response:
        self._caller(request)
        if ident != DOMAIN["id"]:
            raise CloudFault(404, f"Could not find domain: {ident}.")
        return json_response(200, {"domain": DOMAIN})

    def _regions(self, request: Request) -> Response:
        self._caller(request)
        return self._page("regions", self._catalog.regions())

    def _services(self, request: Request) -> Response:
        self._admin(request)
        return self._page("services", self._catalog.services())

    def _endpoints(self, request: Request) -> Response:
        self._admin(request)
        return self._page("endpoints", self._catalog.endpoints())

    # bodies

    @staticmethod
    def _body(request: Request) -> Any:
        found = request.get_json(silent=True, force=True)
        if not isinstance(found, dict):
            raise CloudFault(400, "The body is not a JSON object.")
        return found

    @staticmethod
    def _part(document: Any, name: str) -> Document:
        found = document.get(name) if isinstance(document, dict) else None
        if not isinstance(found, dict):
            raise CloudFault(400, f"'{name}' is a required property.")
        return found
