"""The servers resource: list, show, create, update, delete, metadata."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from trove_ng.standalone.minicloud import nova_check as check
from trove_ng.standalone.minicloud import nova_errors as errors
from trove_ng.standalone.minicloud import nova_states
from trove_ng.standalone.minicloud import nova_views as views
from trove_ng.standalone.minicloud.nova_actions import Actions
from trove_ng.standalone.minicloud.nova_call import Answer, Call, Document
from trove_ng.standalone.minicloud.nova_create import Creation
from trove_ng.standalone.minicloud.nova_flavors import page_limit
from trove_ng.standalone.minicloud.nova_quota import Quotas
from trove_ng.standalone.minicloud.nova_servers import Servers
from trove_ng.standalone.minicloud.store import Store

_UPDATE_KEYS = frozenset((
    "name", "description", "OS-DCF:diskConfig", "accessIPv4", "accessIPv6", "hostname"))


class ServerApi:
    """Handlers of ``/servers``."""

    def __init__(
        self, store: Store, servers: Servers, creation: Creation, actions: Actions,
        quotas: Quotas,
    ) -> None:
        self._store = store
        self._servers = servers
        self._creation = creation
        self._actions = actions
        self._quotas = quotas

    def _get(self, call: Call, server_id: str) -> Document:
        return self._servers.get(server_id, call.caller.owner)

    def _view(self, call: Call, server: Document) -> Document:
        shown = {**server, "security_groups": self._servers.group_names(server["id"])}
        return views.server(
            shown, self._servers.ports(server["id"]), call.caller.version, call.base,
            call.caller.admin)

    # list

    def index(self, call: Call, detail: bool = False) -> Answer:
        """Return one page of servers."""
        everyone = call.truth("all_tenants") and "all_tenants" in call.query
        if everyone and not call.caller.admin:
            raise errors.forbidden("Policy doesn't allow os_compute_api:servers:index:"
                                   "get_all_tenants to be performed.")
        project = None if everyone else call.caller.project_id
        found = [one for one in self._servers.all(project) if self._wanted(call, one)]
        found = self._sorted(call, found)
        marker, limit = call.one("marker"), page_limit(call)
        if marker:
            places = [one["id"] for one in found]
            if marker not in places:
                raise errors.bad_request(f"marker [{marker}] not found")
            found = found[places.index(marker) + 1:]
        page = found[:limit]
        answer: Document = {"servers": [
            self._view(call, one) if detail else {
                "id": one["id"], "name": one["name"],
                "links": views.links(call.base, "servers", one["id"])}
            for one in page]}
        if call.one("limit") and len(found) > len(page):
            kept = [(key, value) for key, values in call.query.items() if key != "marker"
                    for value in values]
            query = urlencode([*kept, ("marker", page[-1]["id"])])
            kind = "servers/detail" if detail else "servers"
            answer["servers_links"] = views.next_link(call.base, kind, query)
        return 200, answer

    def detail(self, call: Call) -> Answer:
        """Return one page of servers in detail."""
        return self.index(call, detail=True)

    @staticmethod
    def _sorted(call: Call, servers: list[Document]) -> list[Document]:
        names = {"display_name": "name", "created_at": "created_exact", "uuid": "id",
                 "updated_at": "updated"}
        keys = call.query.get("sort_key", [])
        directions = call.query.get("sort_dir", [])
        for position, key in reversed(list(enumerate(keys))):
            down = position >= len(directions) or directions[position].lower() == "desc"
            field = names.get(key, key)
            servers.sort(key=lambda one, field=field: str(one.get(field)),  # type: ignore[misc]
                         reverse=down)
        return servers

    def _wanted(self, call: Call, server: Document) -> bool:
        simple = {"uuid": "id", "flavor": None, "image": "image_ref", "host": "host",
                  "project_id": "project_id", "tenant_id": "project_id", "user_id": "user_id",
                  "vm_state": "vm_state", "key_name": "key_name", "task_state": "task_state",
                  "availability_zone": "availability_zone", "hostname": "hostname"}
        for key, values in call.query.items():
            value = values[-1]
            if key in ("name", "display_name"):
                if not _search(value, server["name"]):
                    return False
            elif key == "status":
                if self._status(server) not in {one.upper() for one in values}:
                    return False
            elif key == "flavor":
                if server["flavor"]["id"] != value:
                    return False
            elif key in ("ip", "ip6"):
                if not any(_search(value, ip["ip_address"])
                           for port in self._servers.ports(server["id"])
                           for ip in port["fixed_ips"]):
                    return False
            elif key == "changes-since":
                if server["updated"].rstrip("Z") < value[:19].replace(" ", "T"):
                    return False
            elif key == "tags":
                if not set(value.split(",")) <= set(server["tags"]):
                    return False
            elif key == "deleted":
                if call.truth("deleted") and call.caller.admin:
                    return False
            elif key in simple and str(server.get(simple[key] or "")) != value:
                return False
        return True

    @staticmethod
    def _status(server: Document) -> str:
        return nova_states.status(server["vm_state"], server["task_state"])

    # one server

    def show(self, call: Call, server_id: str) -> Answer:
        """Return one server."""
        return 200, {"server": self._view(call, self._get(call, server_id))}

    def create(self, call: Call) -> Answer:
        """Begin to make a server."""
        server, password = self._creation.create(call.body, call.caller)
        return 202, {"server": {
            "id": server["id"], "links": views.links(call.base, "servers", server["id"]),
            "OS-DCF:diskConfig": server["disk_config"], "adminPass": password,
            "security_groups": [{"name": "default"}],
        }}

    def update(self, call: Call, server_id: str) -> Answer:
        """Change name, description or host name."""
        body = check.body(call.body, "server")
        allowed = set(_UPDATE_KEYS)
        if call.caller.version < (2, 19):
            allowed.discard("description")
        if call.caller.version < (2, 90):
            allowed.discard("hostname")
        check.only(body, allowed, "server")
        with self._store.transaction():
            server = self._get(call, server_id)
            if "name" in body:
                server["name"] = check.name(body["name"])
            if "description" in body:
                server["description"] = body["description"]
            if "hostname" in body:
                server["hostname"] = check.hostname(body["hostname"], "", server_id)
            self._servers.save(server)
        return 200, {"server": self._view(call, server)}

    def delete(self, call: Call, server_id: str) -> Answer:
        """Begin to delete a server."""
        return self._actions.delete(server_id, call.caller)

    def act(self, call: Call, server_id: str) -> Answer:
        """Do an action; a rebuild answers with the server and its new password."""
        status, answer = self._actions.act(server_id, call.body, call.caller)
        if answer is not None and "adminPass" in answer:
            return status, {"server": {**self._view(call, self._get(call, server_id)), **answer}}
        return status, answer

    def security_groups(self, call: Call, server_id: str) -> Answer:
        """Return the security groups of a server."""
        server = self._get(call, server_id)
        found: list[Document] = []
        for port in self._servers.ports(server["id"]):
            for group_id in port["security_groups"]:
                group = self._store.get("security_group", group_id)
                if group is not None and group_id not in [one["id"] for one in found]:
                    found.append({
                        "id": group_id, "name": group["name"], "rules": [],
                        "description": group["description"], "tenant_id": group["project_id"]})
        return 200, {"security_groups": found}

    def addresses(self, call: Call, server_id: str) -> Answer:
        """Return the addresses of a server."""
        shown = self._view(call, self._get(call, server_id))["addresses"]
        plain = {name: [{"addr": one["addr"], "version": one["version"]} for one in found]
                 for name, found in shown.items()}
        return 200, {"addresses": plain}

    # metadata

    def metadata(self, call: Call, server_id: str) -> Answer:
        """Return the metadata of a server."""
        return 200, {"metadata": self._get(call, server_id)["metadata"]}

    def set_metadata(self, call: Call, server_id: str) -> Answer:
        """Add items to the metadata."""
        return self._change_metadata(call, server_id, keep=True)

    def replace_metadata(self, call: Call, server_id: str) -> Answer:
        """Replace the metadata."""
        return self._change_metadata(call, server_id, keep=False)

    def _change_metadata(self, call: Call, server_id: str, keep: bool) -> Answer:
        given = check.metadata(check.body(call.body, "metadata"))
        with self._store.transaction():
            server = self._get(call, server_id)
            self._servers.require("update metadata", server)
            server["metadata"] = {**(server["metadata"] if keep else {}), **given}
            self._quotas.need_metadata(server["project_id"], server["metadata"])
            self._servers.save(server)
        return 200, {"metadata": server["metadata"]}

    def item(self, call: Call, server_id: str, key: str) -> Answer:
        """Return one metadata item."""
        found = self._get(call, server_id)["metadata"]
        if key not in found:
            raise errors.not_found("Metadata item was not found")
        return 200, {"meta": {key: found[key]}}

    def set_item(self, call: Call, server_id: str, key: str) -> Answer:
        """Set one metadata item."""
        given = check.metadata(check.body(call.body, "meta"))
        if list(given) != [key]:
            raise errors.bad_request("Request body and URI mismatch")
        with self._store.transaction():
            server = self._get(call, server_id)
            self._servers.require("update metadata", server)
            server["metadata"].update(given)
            self._quotas.need_metadata(server["project_id"], server["metadata"])
            self._servers.save(server)
        return 200, {"meta": given}

    def delete_item(self, call: Call, server_id: str, key: str) -> Answer:
        """Remove one metadata item."""
        with self._store.transaction():
            self.item(call, server_id, key)
            server = self._get(call, server_id)
            self._servers.require("delete metadata", server)
            del server["metadata"][key]
            self._servers.save(server)
        return 204, None


def _search(pattern: str, value: Any) -> bool:
    try:
        return re.search(pattern, str(value)) is not None
    except re.error:
        return pattern in str(value)
