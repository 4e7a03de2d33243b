"""What a request to Neutron does: lookup, rights, quota, then the work."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from trove_ng.standalone.minicloud import neutron_errors as errors
from trove_ng.standalone.minicloud import neutron_query, neutron_schema
from trove_ng.standalone.minicloud.hypervisor import Hypervisor
from trove_ng.standalone.minicloud.neutron_base import Document
from trove_ng.standalone.minicloud.neutron_floating import FloatingAddresses
from trove_ng.standalone.minicloud.neutron_groups import SecurityGroups
from trove_ng.standalone.minicloud.neutron_networks import Networks
from trove_ng.standalone.minicloud.neutron_ports import Ports
from trove_ng.standalone.minicloud.store import Store

DEFAULT_QUOTA: Mapping[str, int] = {
    "network": 100, "subnet": 100, "port": 500, "router": 10, "floatingip": 50,
    "security_group": 100, "security_group_rule": 1000, "rbac_policy": 10, "subnetpool": -1,
}
_TITLES = {
    "network": "Network", "subnet": "Subnet", "port": "Port",
    "security_group": "SecurityGroup", "security_group_rule": "SecurityGroupRule",
    "floatingip": "FloatingIP",
}
_WORDS = {
    "network": "Network", "subnet": "Subnet", "port": "Port",
    "security_group": "Security group", "security_group_rule": "Security group rule",
    "floatingip": "Floating IP",
}
PLURALS = {
    "network": "networks", "subnet": "subnets", "port": "ports",
    "security_group": "security_groups", "security_group_rule": "security_group_rules",
    "floatingip": "floatingips",
}
# what no client sees
_PRIVATE = ("nova_order", "nova_made")


class Api:
    """Neutron's resources for one caller at a time; safe to share between threads."""

    def __init__(
        self, store: Store, hypervisor: Hypervisor, quota_defaults: Mapping[str, int],
    ) -> None:
        self._store = store
        self._creating = threading.RLock()
        self.groups = SecurityGroups(store, hypervisor)
        self.networks = Networks(store, hypervisor)
        self.ports = Ports(store, hypervisor, self.networks, self.groups)
        self.floating = FloatingAddresses(store, hypervisor, self.networks, self.ports)
        self._defaults = {
            **DEFAULT_QUOTA, **{k: v for k, v in quota_defaults.items() if k in DEFAULT_QUOTA}}

    # quota

    def limits(self, project_id: str) -> dict[str, int]:
        """Return the limits of a project."""
        own = self._store.get("neutron_quota", project_id) or {}
        return {**self._defaults, **own.get("limits", {})}

    def set_limits(self, project_id: str, limits: Mapping[str, int] | None) -> None:
        """Change limits of a project, or with None give it the default ones again."""
        if limits is None:
            self._store.delete("neutron_quota", project_id)
            return
        unknown = sorted(set(limits) - set(DEFAULT_QUOTA))
        if unknown:
            raise errors.bad_request(
                "HTTPBadRequest", f"Unrecognized attribute(s) '{', '.join(unknown)}'")
        own = self._store.get("neutron_quota", project_id) or {"limits": {}}
        own["limits"].update({key: int(value) for key, value in limits.items()})
        self._store.put("neutron_quota", project_id, own, project_id)

    def default_limits(self) -> dict[str, int]:
        """Return the limits of a project for which none were set."""
        return dict(self._defaults)

    def usage(self, project_id: str) -> dict[str, int]:
        """Return what a project has."""
        return {name: len(self._store.list(name, project_id)) if name in PLURALS else 0
                for name in DEFAULT_QUOTA}

    def _need(self, kind: str, project_id: str) -> None:
        limit = self.limits(project_id)[kind]
        if 0 <= limit <= len(self._store.list(kind, project_id)):
            raise errors.conflict("OverQuota", f"Quota exceeded for resources: ['{kind}'].")

    # lookup

    def visible(self, kind: str, doc: Document, project_id: str, admin: bool) -> bool:
        """Return whether a project may see a resource."""
        if admin or doc["project_id"] == project_id:
            return True
        if kind == "network":
            return bool(doc["shared"] or doc["router:external"])
        if kind == "subnet":
            network = self._store.get("network", doc["network_id"])
            return bool(network and network["shared"])
        return False

    def find(
        self, kind: str, resource_id: str, project_id: str, admin: bool, change: bool = False,
    ) -> Document:
        """Return a resource that a project may see, or with ``change`` may change."""
        doc = self._store.get(kind, resource_id)
        if doc is None or not self.visible(kind, doc, project_id, admin):
            raise errors.not_found(
                f"{_TITLES[kind]}NotFound",
                f"{_WORDS[kind]} {resource_id} could not be found." if kind != "security_group"
                and kind != "security_group_rule"
                else f"{_WORDS[kind]} {resource_id} does not exist")
        if change and not admin and doc["project_id"] != project_id:
            raise errors.forbidden(f"rule:update_{kind}")
        return doc

    def view(self, kind: str, doc: Document) -> Document:
        """Return a resource as a client sees it."""
        shown = {key: value for key, value in doc.items() if key not in _PRIVATE}
        if kind == "network":
            return self.networks.view(shown)
        if kind == "security_group":
            shown["security_group_rules"] = self.groups.rules(doc["id"])
        return shown

    def page(
        self, kind: str, query: Mapping[str, list[str]], project_id: str, admin: bool,
    ) -> tuple[list[Document], bool, bool]:
        """Return one page of resources, and whether there are pages before and after it."""
        if kind in ("security_group", "security_group_rule"):
            self.groups.default(project_id)
        docs = [self.view(kind, doc) for doc in self._store.list(kind)
                if self.visible(kind, doc, project_id, admin)]
        try:
            found, before, after = neutron_query.select(docs, query)
        except neutron_query.BadQuery as exc:
            raise errors.bad_request("HTTPBadRequest", str(exc)) from exc
        return [neutron_query.fields(doc, query) for doc in found], before, after

    # changes

    def _checked(
        self, kind: str, body: Any, creating: bool, project_id: str, admin: bool,
    ) -> tuple[Document, str]:
        try:
            attributes, project = neutron_schema.check(kind, body, creating, admin)
        except neutron_schema.BadAttribute as exc:
            raise errors.bad_request("HTTPBadRequest", str(exc)) from exc
        except PermissionError as exc:
            raise errors.forbidden(f"rule:create_{kind}:{exc}") from exc
        if project is not None and project != project_id and not admin:
            raise errors.bad_request(
                "HTTPBadRequest", "Specifying 'project_id' or 'tenant_id' other than the "
                "authenticated project in request requires admin privileges")
        return attributes, project or project_id

    def create(self, kind: str, body: Any, project_id: str, admin: bool) -> Document:
        """Make a resource."""
        attributes, project = self._checked(kind, body, True, project_id, admin)
        # the limit is looked at and the resource added as one step
        with self._creating:
            self._need(kind, project)
            made = self._create(kind, attributes, project, admin)
        return self.view(kind, self._store.get(kind, made["id"]) or made)

    def _create(
        self, kind: str, attributes: Document, project: str, admin: bool,
    ) -> Document:
        if kind == "network":
            attributes.pop("is_default", None)
            return self.networks.create_network(project, attributes)
        if kind == "security_group":
            return self.groups.create(project, attributes)
        if kind == "security_group_rule":
            group = self.find("security_group", attributes["security_group_id"], project, admin)
            if attributes["remote_group_id"]:
                self.find("security_group", attributes["remote_group_id"], project, admin)
            return self.groups.create_rule(group, attributes)
        if kind == "floatingip":
            network = self.find(
                "network", attributes["floating_network_id"], project, admin)
            if attributes["port_id"]:
                self.find("port", attributes["port_id"], project, admin)
            return self.floating.create(network, project, attributes)
        change = kind == "subnet"
        network = self.find("network", attributes["network_id"], project, admin, change=change)
        if kind == "subnet":
            return self.networks.create_subnet(network, project, attributes)
        self._groups_exist(attributes, project, admin)
        return self.ports.create(network, project, attributes)

    def _groups_exist(self, attributes: Document, project: str, admin: bool) -> None:
        for group_id in attributes.get("security_groups") or ():
            self.find("security_group", group_id, project, admin)

    def update(
        self, kind: str, resource_id: str, body: Any, project_id: str, admin: bool,
    ) -> Document:
        """Change a resource."""
        doc = self.find(kind, resource_id, project_id, admin, change=True)
        attributes, _project = self._checked(kind, body, False, project_id, admin)
        if kind == "network":
            changed = self.networks.update_network(doc, attributes)
        elif kind == "subnet":
            changed = self.networks.update_subnet(doc, attributes)
        elif kind == "port":
            self._groups_exist(attributes, project_id, admin)
            changed = self.ports.update(doc, attributes)
        elif kind == "security_group":
            changed = self.groups.update(doc, attributes)
        else:
            changed = self._update_floating(doc, attributes, project_id, admin)
        return self.view(kind, changed)

    def _update_floating(
        self, doc: Document, attributes: Document, project_id: str, admin: bool,
    ) -> Document:
        if "description" in attributes:
            doc["description"] = attributes["description"]
        if "port_id" not in attributes:
            # Neutron takes an update without a port for a disassociation only if it is null
            return self.floating.associate(doc, doc["port_id"], doc["fixed_ip_address"])
        if attributes["port_id"]:
            self.find("port", attributes["port_id"], project_id, admin)
        return self.floating.associate(
            doc, attributes["port_id"], attributes.get("fixed_ip_address"))

    def delete(self, kind: str, resource_id: str, project_id: str, admin: bool) -> None:
        """Remove a resource."""
        doc = self.find(kind, resource_id, project_id, admin, change=True)
        if kind == "network":
            self.networks.delete_network(doc)
        elif kind == "subnet":
            self.networks.delete_subnet(doc)
        elif kind == "port":
            self.ports.delete(doc)
        elif kind == "security_group":
            self.groups.delete(doc, admin)
        elif kind == "security_group_rule":
            self.groups.delete_rule(doc)
        else:
            self.floating.delete(doc)
