"""Neutron: its routes, and what a new cloud has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from trove_ng.standalone.minicloud import neutron_errors as errors
from trove_ng.standalone.minicloud.hypervisor import Hypervisor
from trove_ng.standalone.minicloud.neutron_api import PLURALS, Api
from trove_ng.standalone.minicloud.nova_call import Answer, Call, Document
from trove_ng.standalone.minicloud.store import Store

Handler = Callable[..., Answer]

EXTENSIONS = (
    ("security-group", "Security Group"), ("port-security", "Port Security"),
    ("quotas", "Quota management support"), ("quota_details", "Quota details"),
    ("external-net", "Neutron external network"), ("router", "Neutron L3 Router"),
    ("binding", "Port Binding"), ("provider", "Provider Network"), ("pagination", "Pagination"),
    ("sorting", "Sorting"), ("project-id", "Project ID"), ("standard-attr-tag", "Tags"),
    ("standard-attr-description", "Descriptions"), ("net-mtu", "Network MTU"),
    ("allowed-address-pairs", "Allowed Address Pairs"), ("agent", "Agents"),
    ("standard-attr-timestamp", "Timestamps"), ("standard-attr-revisions", "Revisions"),
    ("stateful-security-group", "Stateful security groups"),
)


class Neutron:
    """Neutron's resources."""

    def __init__(
        self, store: Store, hypervisor: Hypervisor, quotas: Mapping[str, int],
    ) -> None:
        self._store = store
        self.api = Api(store, hypervisor, quotas)

    def seed(self, project_id: str, private_cidr: str, public_cidr: str | None = None) -> None:
        """Make the networks of a new cloud; ``project_id`` owns them.

        ``private`` is one that all projects share. ``public``, with floating
        addresses, is there only if it has a CIDR.
        """
        wanted = [("private", private_cidr, {"shared": True})]
        if public_cidr:
            wanted.append(("public", public_cidr, {"router:external": True}))
        known = {one["name"] for one in self._store.list("network", project_id)}
        for name, cidr, flags in wanted:
            if name in known:
                continue
            network = self.api.create(
                "network", {"name": name, "project_id": project_id, **flags}, project_id, True)
            self.api.create("subnet", {
                "network_id": network["id"], "name": f"{name}-subnet", "ip_version": 4,
                "cidr": cidr, "project_id": project_id}, project_id, True)

    def recover(self) -> None:
        """Have the hypervisor make every network again, after a restart."""
        self.api.networks.ensure_all()

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return method, path below ``/v2.0`` and handler of every operation."""
        found: list[tuple[str, str, Handler]] = []
        for kind, plural in PLURALS.items():
            path = "/" + plural.replace("_", "-")
            found += [
                ("GET", path, self._list(kind)),
                ("POST", path, self._create(kind)),
                ("GET", f"{path}/<resource_id>", self._show(kind)),
                ("DELETE", f"{path}/<resource_id>", self._delete(kind)),
            ]
            if kind != "security_group_rule":
                found.append(("PUT", f"{path}/<resource_id>", self._update(kind)))
        quota = "/quotas/<project_id>"
        return [
            *found,
            ("PUT", "/<plural>/<resource_id>/tags", self._set_tags),
            ("GET", "/extensions", self._extensions),
            ("GET", "/extensions/<alias>", self._extension),
            ("GET", "/quotas", self._quotas),
            ("GET", quota, self._quota),
            ("GET", f"{quota}/default", self._quota_default),
            ("GET", f"{quota}/details.json", self._quota_details),
            ("GET", f"{quota}/details", self._quota_details),
            ("PUT", quota, self._set_quota),
            ("DELETE", quota, self._delete_quota),
            ("GET", "/agents", self._agents),
            ("GET", "/availability_zones", self._zones),
            ("GET", "/routers", self._routers),
        ]

    # resources

    def _list(self, kind: str) -> Handler:
        plural = PLURALS[kind]

        def handler(call: Call) -> Answer:
            caller = call.caller
            found, before, after = self.api.page(
                kind, call.query, caller.project_id, caller.admin)
            answer: Document = {plural: found}
            links = self._links(call, plural, found, before, after)
            if links:
                answer[f"{plural}_links"] = links
            return 200, answer
        return handler

    @staticmethod
    def _links(
        call: Call, plural: str, found: list[Document], before: bool, after: bool,
    ) -> list[Document]:
        if not call.one("limit") or not found:
            return []
        kept = [(key, value) for key, values in call.query.items()
                if key not in ("marker", "page_reverse") for value in values]
        links = []
        for rel, there, marker, more in (
                ("next", after, found[-1]["id"], []),
                ("previous", before, found[0]["id"], [("page_reverse", "True")])):
            if there:
                query = urlencode([*kept, ("marker", marker), *more])
                path = plural.replace("_", "-")
                links.append({"rel": rel, "href": f"{call.base}/v2.0/{path}?{query}"})
        return links

    def _create(self, kind: str) -> Handler:
        plural = PLURALS[kind]

        def handler(call: Call) -> Answer:
            caller = call.caller
            body = call.body if isinstance(call.body, dict) else {}
            if isinstance(body.get(plural), list):
                made = [self.api.create(kind, one, caller.project_id, caller.admin)
                        for one in body[plural]]
                return 201, {plural: made}
            return 201, {kind: self.api.create(
                kind, self._body(call, kind), caller.project_id, caller.admin)}
        return handler

    @staticmethod
    def _body(call: Call, kind: str) -> Any:
        if not isinstance(call.body, dict) or kind not in call.body:
            raise errors.bad_request("HTTPBadRequest", f"Unable to find '{kind}' in request body")
        return call.body[kind]

    def _show(self, kind: str) -> Handler:
        def handler(call: Call, resource_id: str) -> Answer:
            found = self.api.find(
                kind, resource_id, call.caller.project_id, call.caller.admin)
            view = self.api.view(kind, found)
            wanted = call.query.get("fields")
            if wanted:
                view = {key: value for key, value in view.items() if key in wanted}
            return 200, {kind: view}
        return handler

    def _update(self, kind: str) -> Handler:
        def handler(call: Call, resource_id: str) -> Answer:
            changed = self.api.update(
                kind, resource_id, self._body(call, kind), call.caller.project_id,
                call.caller.admin)
            return 200, {kind: changed}
        return handler

    def _delete(self, kind: str) -> Handler:
        def handler(call: Call, resource_id: str) -> Answer:
            self.api.delete(kind, resource_id, call.caller.project_id, call.caller.admin)
            return 204, None
        return handler

    def _set_tags(self, call: Call, plural: str, resource_id: str) -> Answer:
        kinds = {name.replace("_", "-"): kind for kind, name in PLURALS.items()}
        kind = kinds.get(plural.replace("_", "-"))
        if kind is None:
            raise errors.not_found("HTTPNotFound", "The resource could not be found.")
        doc = self.api.find(
            kind, resource_id, call.caller.project_id, call.caller.admin, change=True)
        tags = self._body(call, "tags")
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise errors.bad_request("HTTPBadRequest", "Invalid input for tags.")
        doc["tags"] = sorted(set(tags))
        self._store.put(kind, doc["id"], doc, doc["project_id"])
        return 200, {"tags": doc["tags"]}

    # the rest

    @staticmethod
    def _extension_view(alias: str, name: str) -> Document:
        return {"alias": alias, "name": name, "description": name, "links": [],
                "updated": "2026-01-01T00:00:00-00:00"}

    def _extensions(self, call: Call) -> Answer:
        return 200, {"extensions": [self._extension_view(*one) for one in EXTENSIONS]}

    def _extension(self, call: Call, alias: str) -> Answer:
        for known, name in EXTENSIONS:
            if known == alias:
                return 200, {"extension": self._extension_view(known, name)}
        raise errors.not_found(
            "ExtensionNotFound", f"Extension with alias {alias} does not exist")

    @staticmethod
    def _own(call: Call, project_id: str, change: bool = False) -> None:
        if not call.caller.admin and (change or project_id != call.caller.project_id):
            raise errors.forbidden("rule:update_quota" if change else "rule:get_quota")

    def _quotas(self, call: Call) -> Answer:
        self._own(call, "", change=True)
        return 200, {"quotas": [
            {**self.api.limits(one["project_id"]), "project_id": one["project_id"],
             "tenant_id": one["project_id"]}
            for one in self._store.list("neutron_quota")]}

    def _quota(self, call: Call, project_id: str) -> Answer:
        self._own(call, project_id)
        return 200, {"quota": self.api.limits(project_id)}

    def _quota_default(self, call: Call, project_id: str) -> Answer:
        self._own(call, project_id)
        return 200, {"quota": self.api.default_limits()}

    def _quota_details(self, call: Call, project_id: str) -> Answer:
        self._own(call, project_id)
        used = self.api.usage(project_id)
        return 200, {"quota": {
            name: {"limit": limit, "used": used[name], "reserved": 0}
            for name, limit in self.api.limits(project_id).items()}}

    def _set_quota(self, call: Call, project_id: str) -> Answer:
        self._own(call, project_id, change=True)
        body = self._body(call, "quota")
        if not isinstance(body, dict):
            raise errors.bad_request("HTTPBadRequest", "Unable to find 'quota' in request body")
        plain = {key: value for key, value in body.items()
                 if key not in ("tenant_id", "project_id", "force", "check_limit")}
        if not all(isinstance(value, int) for value in plain.values()):
            raise errors.bad_request("HTTPBadRequest", "Invalid input for quota.")
        self.api.set_limits(project_id, plain)
        return 200, {"quota": self.api.limits(project_id)}

    def _delete_quota(self, call: Call, project_id: str) -> Answer:
        self._own(call, project_id, change=True)
        self.api.set_limits(project_id, None)
        return 204, None

    def _agents(self, call: Call) -> Answer:
        return 200, {"agents": []}

    def _routers(self, call: Call) -> Answer:
        return 200, {"routers": []}

    def _zones(self, call: Call) -> Answer:
        return 200, {"availability_zones": [
            {"name": "nova", "resource": "network", "state": "available"}]}


def version_document(base: str) -> dict[str, Any]:
    """Return Neutron's description of its version 2.0."""
    return {"id": "v2.0", "status": "CURRENT",
            "links": [{"rel": "self", "href": f"{base}/v2.0/"}]}
