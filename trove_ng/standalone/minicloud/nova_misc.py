"""Nova's smaller resources: key pairs, server groups, zones, hosts, limits, quotas."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from typing import Any

from trove_ng.common.clock import utcnow
from trove_ng.standalone.minicloud import nova_check as check
from trove_ng.standalone.minicloud import nova_errors as errors
from trove_ng.standalone.minicloud import nova_placement, nova_quota, nova_states
from trove_ng.standalone.minicloud import nova_views as views
from trove_ng.standalone.minicloud.nova_call import Answer, Call, Document
from trove_ng.standalone.minicloud.nova_flavors import page_limit
from trove_ng.standalone.minicloud.nova_servers import ZONE, Servers, keypair_id, precise_moment
from trove_ng.standalone.minicloud.store import Store

_NAMESPACE = uuid.UUID("7b0f6f1c-3a3e-4b5e-9d0c-5b7d5f1f7c11")


def _admin(call: Call, rule: str) -> None:
    if not call.caller.admin:
        raise errors.forbidden(f"Policy doesn't allow os_compute_api:{rule} to be performed.")


class Keypairs:
    """Public keys of users."""

    def __init__(self, store: Store, quotas: nova_quota.Quotas) -> None:
        self._store = store
        self._quotas = quotas

    def _user(self, call: Call) -> str:
        asked = call.one("user_id")
        if asked and asked != call.caller.user_id:
            _admin(call, "os-keypairs:index")
            return asked
        return call.caller.user_id

    def _of(self, user_id: str) -> list[Document]:
        found = [one for one in self._store.list("keypair") if one["user_id"] == user_id]
        return sorted(found, key=lambda one: str(one["name"]))

    def index(self, call: Call) -> Answer:
        """Return the key pairs of a user."""
        found = self._of(self._user(call))
        marker = call.one("marker")
        if marker:
            names = [one["name"] for one in found]
            if marker not in names:
                raise errors.bad_request(f"marker [{marker}] not found")
            found = found[names.index(marker) + 1:]
        return 200, {"keypairs": [
            {"keypair": views.keypair(one, call.caller.version)}
            for one in found[:page_limit(call)]]}

    def _get(self, call: Call, name: str) -> Document:
        found = self._store.get("keypair", keypair_id(self._user(call), name))
        if found is None:
            raise errors.not_found(f"Keypair {name} not found for user {self._user(call)}")
        return found

    def show(self, call: Call, name: str) -> Answer:
        """Return one key pair."""
        return 200, {"keypair": views.keypair(self._get(call, name), call.caller.version, True)}

    def create(self, call: Call) -> Answer:
        """Keep a public key. The minicloud makes no private keys."""
        body = check.body(call.body, "keypair")
        check.only(body, ("name", "public_key", "type", "user_id"), "keypair")
        name = check.name(body.get("name"))
        if not re.match(r"^[\w .@-]+$", name):
            raise check.bad("name", name, "Keypair data is invalid: unsafe characters")
        user_id = body.get("user_id") or call.caller.user_id
        if user_id != call.caller.user_id:
            _admin(call, "os-keypairs:create")
        key = body.get("public_key")
        if not key:
            raise errors.bad_request("Keypair data is invalid: this cloud makes no keys, give "
                                     "a public_key")
        document = {
            "name": name, "public_key": key, "fingerprint": _fingerprint(key),
            "type": body.get("type") or "ssh", "user_id": user_id, "created": precise_moment(),
        }
        with self._store.transaction():
            if self._store.get("keypair", keypair_id(user_id, name)):
                raise errors.conflict(f"Key pair '{name}' already exists.")
            limit = self._quotas.limits(call.caller.project_id)["key_pairs"]
            if 0 <= limit <= len(self._of(user_id)):
                raise errors.forbidden("Quota exceeded, too many key pairs.")
            document["number"] = len(self._store.list("keypair")) + 1
            self._store.put("keypair", keypair_id(user_id, name), document, "")
        shown = {**views.keypair(document, call.caller.version), "user_id": user_id}
        return (201 if call.caller.version >= (2, 2) else 200), {"keypair": shown}

    def delete(self, call: Call, name: str) -> Answer:
        """Forget a key pair."""
        self._get(call, name)
        self._store.delete("keypair", keypair_id(self._user(call), name))
        return (204 if call.caller.version >= (2, 2) else 202), None


def _fingerprint(key: Any) -> str:
    words = str(key).split()
    try:
        raw = base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error):
        raise errors.bad_request("Keypair data is invalid: failed to generate fingerprint") \
            from None
    # the form of a fingerprint, not a protection
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return ":".join(digest[i:i + 2] for i in range(0, 32, 2))


class ServerGroups:
    """Groups of servers that go on the same host, or on different ones."""

    def __init__(self, store: Store, servers: Servers, quotas: nova_quota.Quotas) -> None:
        self._store = store
        self._servers = servers
        self._quotas = quotas

    def _view(self, call: Call, group: Document) -> Document:
        members = [one["id"] for one in self._servers.all() if one["group_id"] == group["id"]]
        return views.server_group(group, members, call.caller.version)

    def index(self, call: Call) -> Answer:
        """Return server groups."""
        everyone = call.truth("all_projects") and "all_projects" in call.query
        project = None if everyone and call.caller.admin else call.caller.project_id
        found = sorted(self._store.list("server_group", project),
                       key=lambda one: (one["created"], one["id"]))
        offset = check.whole(call.one("offset") or 0, "offset", 0)
        return 200, {"server_groups": [
            self._view(call, one) for one in found[offset:offset + page_limit(call)]]}

    def _get(self, call: Call, group_id: str) -> Document:
        group = self._store.get("server_group", group_id)
        if group is None or call.caller.owner not in (None, group["project_id"]):
            raise errors.not_found(f"Instance group {group_id} could not be found.")
        return group

    def show(self, call: Call, group_id: str) -> Answer:
        """Return one server group."""
        return 200, {"server_group": self._view(call, self._get(call, group_id))}

    def create(self, call: Call) -> Answer:
        """Make a server group; the policy's form depends on the microversion."""
        body = check.body(call.body, "server_group")
        policy, rules = self._policy(body, call.caller.version)
        group: Document = {
            "id": str(uuid.uuid4()), "name": check.name(body.get("name")), "policy": policy,
            "rules": rules, "project_id": call.caller.project_id,
            "user_id": call.caller.user_id, "created": utcnow().isoformat(),
        }
        with self._store.transaction():
            limit = self._quotas.limits(call.caller.project_id)["server_groups"]
            if 0 <= limit <= len(self._store.list("server_group", call.caller.project_id)):
                raise errors.forbidden("Quota exceeded, too many server groups.")
            self._store.put("server_group", group["id"], group, call.caller.project_id)
        return 200, {"server_group": self._view(call, group)}

    @staticmethod
    def _policy(body: Document, version: tuple[int, int]) -> tuple[str, Document]:
        if version < (2, 64):
            check.only(body, ("name", "policies"), "server_group")
            policies = body.get("policies")
            if not isinstance(policies, list) or len(policies) != 1:
                raise check.bad("policies", policies, "it is not a list of one policy")
            policy, rules = policies[0], dict[str, Any]()
        else:
            check.only(body, ("name", "policy", "rules"), "server_group")
            policy, rules = body.get("policy"), body.get("rules") or {}
        known = nova_placement.POLICIES if version >= (2, 15) else nova_placement.POLICIES[:2]
        if policy not in known:
            raise check.bad("policy", policy, f"{policy!r} is not one of {list(known)}")
        if rules:
            check.only(rules, ("max_server_per_host",), "rules")
            if policy != "anti-affinity":
                raise errors.bad_request("Only anti-affinity policy supports rules.")
            rules = {"max_server_per_host": check.whole(
                rules.get("max_server_per_host"), "max_server_per_host", 1)}
        return str(policy), rules

    def delete(self, call: Call, group_id: str) -> Answer:
        """Remove a server group; its servers stay."""
        self._get(call, group_id)
        self._store.delete("server_group", group_id)
        return 204, None


class Operations:
    """What an operator looks at: zones, hosts, services, hypervisors."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def zones(self, call: Call) -> Answer:
        """Return the availability zones."""
        return 200, {"availabilityZoneInfo": [
            {"zoneName": ZONE, "zoneState": {"available": True}, "hosts": None}]}

    def zones_detail(self, call: Call) -> Answer:
        """Return the availability zones with their hosts (administrators)."""
        _admin(call, "os-availability-zone:detail")
        alive = {"active": True, "available": True, "updated_at": precise_moment()}
        return 200, {"availabilityZoneInfo": [
            {"zoneName": "internal", "zoneState": {"available": True},
             "hosts": {"controller": {"nova-scheduler": alive, "nova-conductor": alive}}},
            {"zoneName": ZONE, "zoneState": {"available": True},
             "hosts": {host: {"nova-compute": alive} for host in self._servers.hosts}}]}

    def hosts(self, call: Call) -> Answer:
        """Return the hosts (administrators, before 2.43)."""
        self._old(call, (2, 43))
        _admin(call, "os-hosts:list")
        return 200, {"hosts": [{"host_name": host, "service": "compute", "zone": ZONE}
                               for host in self._servers.hosts]}

    @staticmethod
    def _old(call: Call, gone: tuple[int, int]) -> None:
        if call.caller.version >= gone:
            raise errors.not_found("The resource could not be found.")

    def host(self, call: Call, name: str) -> Answer:
        """Return what a host has and uses (administrators, before 2.43)."""
        self._old(call, (2, 43))
        _admin(call, "os-hosts:show")
        if name not in self._servers.hosts:
            raise errors.not_found(f"Compute host {name} could not be found.")
        used = self._used(name)
        rows = [("(total)", 64, 262144, 2000),
                ("(used_now)", used["vcpus"], used["ram"], used["disk"])]
        return 200, {"host": [
            {"resource": {"host": name, "project": project, "cpu": cpu, "memory_mb": ram,
                          "disk_gb": disk}} for project, cpu, ram, disk in rows]}

    def _used(self, host: str) -> Document:
        own = [one["flavor"] for one in self._servers.all() if one["host"] == host]
        return {name: sum(one[name] for one in own) for name in ("vcpus", "ram", "disk")} | {
            "running": len(own)}

    def services(self, call: Call) -> Answer:
        """Return Nova's services (administrators)."""
        _admin(call, "os-services:list")
        rows = [("nova-scheduler", "controller", "internal"),
                ("nova-conductor", "controller", "internal"),
                *(("nova-compute", host, ZONE) for host in self._servers.hosts)]
        asked_host, asked_binary = call.one("host"), call.one("binary")
        found = []
        for number, (binary, host, zone) in enumerate(rows, 1):
            if asked_host not in (None, host) or asked_binary not in (None, binary):
                continue
            one: Document = {
                "id": number if call.caller.version < (2, 53) else self._uuid(binary, host),
                "binary": binary, "host": host, "zone": zone, "status": "enabled",
                "state": "up", "updated_at": precise_moment(), "disabled_reason": None}
            if call.caller.version >= (2, 11):
                one["forced_down"] = False
            found.append(one)
        return 200, {"services": found}

    @staticmethod
    def _uuid(*parts: str) -> str:
        return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))

    def _hypervisor(self, call: Call, number: int, host: str, detail: bool) -> Document:
        new = call.caller.version >= (2, 53)
        view: Document = {
            "id": self._uuid("hypervisor", host) if new else number,
            "hypervisor_hostname": host, "state": "up", "status": "enabled"}
        if not detail:
            return view
        view.update({
            "hypervisor_type": "namespace", "hypervisor_version": 1000, "host_ip": "127.0.0.1",
            "service": {"host": host, "disabled_reason": None,
                        "id": self._uuid("nova-compute", host) if new else number + 2}})
        if call.caller.version < (2, 88):
            used = self._used(host)
            view.update({
                "vcpus": 64, "vcpus_used": used["vcpus"], "memory_mb": 262144,
                "memory_mb_used": used["ram"], "free_ram_mb": 262144 - used["ram"],
                "local_gb": 2000, "local_gb_used": used["disk"],
                "free_disk_gb": 2000 - used["disk"], "disk_available_least": None,
                "running_vms": used["running"], "current_workload": 0,
                "cpu_info": "{}" if call.caller.version < (2, 28) else {}})
        return view

    def hypervisors(self, call: Call, detail: bool = False) -> Answer:
        """Return the hypervisors (administrators)."""
        _admin(call, "os-hypervisors:list")
        return 200, {"hypervisors": [
            self._hypervisor(call, number, host, detail)
            for number, host in enumerate(self._servers.hosts, 1)]}

    def hypervisors_detail(self, call: Call) -> Answer:
        """Return the hypervisors in detail (administrators)."""
        return self.hypervisors(call, detail=True)

    def hypervisor(self, call: Call, hypervisor_id: str) -> Answer:
        """Return one hypervisor (administrators)."""
        _admin(call, "os-hypervisors:show")
        for number, host in enumerate(self._servers.hosts, 1):
            view = self._hypervisor(call, number, host, True)
            if str(view["id"]) == hypervisor_id:
                return 200, {"hypervisor": view}
        raise errors.not_found(f"Compute host {hypervisor_id} could not be found.")


class Limits:
    """Limits and quota sets."""

    def __init__(self, quotas: nova_quota.Quotas) -> None:
        self._quotas = quotas

    def limits(self, call: Call) -> Answer:
        """Return the absolute limits of a project and what it has."""
        project = call.one("tenant_id") or call.caller.project_id
        if project != call.caller.project_id:
            _admin(call, "limits:other_project")
        top, used = self._quotas.limits(project), self._quotas.usage(project)
        absolute = {
            "maxServerMeta": top["metadata_items"], "maxTotalInstances": top["instances"],
            "maxTotalCores": top["cores"], "maxTotalRAMSize": top["ram"],
            "maxTotalKeypairs": top["key_pairs"], "maxServerGroups": top["server_groups"],
            "maxServerGroupMembers": top["server_group_members"],
            "totalInstancesUsed": used["instances"], "totalCoresUsed": used["cores"],
            "totalRAMUsed": used["ram"], "totalServerGroupsUsed": used["server_groups"],
        }
        if call.caller.version < (2, 57):
            absolute["maxPersonality"] = top["injected_files"]
            absolute["maxPersonalitySize"] = top["injected_file_content_bytes"]
        if call.caller.version < (2, 39):
            absolute["maxImageMeta"] = top["metadata_items"]
        return 200, {"limits": {"rate": [], "absolute": absolute}}

    def _own(self, call: Call, project_id: str) -> None:
        if project_id != call.caller.project_id:
            _admin(call, "os-quota-sets:show")

    def show(self, call: Call, project_id: str) -> Answer:
        """Return the limits of a project."""
        self._own(call, project_id)
        return 200, {"quota_set": self._view(call, project_id)}

    def _view(self, call: Call, project_id: str) -> Document:
        top = self._quotas.limits(project_id)
        return {"id": project_id,
                **{name: top[name] for name in nova_quota.names(call.caller.version)}}

    def detail(self, call: Call, project_id: str) -> Answer:
        """Return the limits of a project and what it has."""
        self._own(call, project_id)
        top, used = self._quotas.limits(project_id), self._quotas.usage(project_id)
        return 200, {"quota_set": {"id": project_id, **{
            name: {"limit": top[name], "in_use": used[name], "reserved": 0}
            for name in nova_quota.names(call.caller.version)}}}

    def defaults(self, call: Call, project_id: str) -> Answer:
        """Return the limits of a project for which none were set."""
        top = self._quotas.defaults()
        return 200, {"quota_set": {"id": project_id, **{
            name: top[name] for name in nova_quota.names(call.caller.version)}}}

    def update(self, call: Call, project_id: str) -> Answer:
        """Change limits (administrators)."""
        _admin(call, "os-quota-sets:update")
        body = check.body(call.body, "quota_set")
        known = nova_quota.names(call.caller.version)
        check.only(body, (*known, "force", "tenant_id"), "quota_set")
        limits = {name: check.whole(body[name], name, -1) for name in known if name in body}
        used = self._quotas.usage(project_id)
        for name, limit in limits.items():
            if 0 <= limit < used[name] and not body.get("force"):
                raise errors.bad_request(
                    f"Quota limit {limit} for {name} must be greater than or equal to already "
                    f"used and reserved {used[name]}.")
        self._quotas.set(project_id, limits)
        shown = self._view(call, project_id)
        del shown["id"]
        return 200, {"quota_set": shown}

    def delete(self, call: Call, project_id: str) -> Answer:
        """Give a project the default limits again (administrators)."""
        _admin(call, "os-quota-sets:delete")
        self._quotas.reset(project_id)
        return 202, None


def is_running(server: Document) -> bool:
    """Return whether a server is on."""
    return bool(server["power_state"] == nova_states.RUNNING)
