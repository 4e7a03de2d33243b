"""The actions of a server."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from trove_ng.standalone.minicloud import nova_check as check
from trove_ng.standalone.minicloud import nova_errors as errors
from trove_ng.standalone.minicloud import nova_states
from trove_ng.standalone.minicloud.hypervisor import Hypervisor
from trove_ng.standalone.minicloud.nova_call import Answer, Caller
from trove_ng.standalone.minicloud.nova_create import Creation
from trove_ng.standalone.minicloud.nova_networking import Networking
from trove_ng.standalone.minicloud.nova_quota import Quotas
from trove_ng.standalone.minicloud.nova_servers import Servers, keypair_id
from trove_ng.standalone.minicloud.scheduler import Scheduler
from trove_ng.standalone.minicloud.store import Store

Document = dict[str, Any]


_REBUILD_KEYS = frozenset((
    "imageRef", "name", "adminPass", "metadata", "preserve_ephemeral", "OS-DCF:diskConfig",
    "accessIPv4", "accessIPv6", "personality", "description", "key_name", "user_data",
    "trusted_image_certificates", "hostname",
))


class Actions:
    """Checks an action in the server's state, marks the server and schedules the job."""

    def __init__(
        self, store: Store, servers: Servers, creation: Creation, networking: Networking,
        quotas: Quotas, scheduler: Scheduler, hypervisor: Hypervisor,
    ) -> None:
        self._store = store
        self._servers = servers
        self._creation = creation
        self._networking = networking
        self._quotas = quotas
        self._scheduler = scheduler
        self._hypervisor = hypervisor
        self._table: Mapping[str, Callable[[Document, Any, Caller], Answer]] = {
            "reboot": self._reboot,
            "os-start": self._start,
            "os-stop": self._stop,
            "rebuild": self._rebuild,
            "resize": self._resize,
            "confirmResize": self._confirm,
            "revertResize": self._revert,
            "migrate": self._migrate,
            "os-migrateLive": self._live_migrate,
            "os-getConsoleOutput": self._console,
            "os-resetState": self._reset_state,
            "addSecurityGroup": self._add_group,
            "removeSecurityGroup": self._remove_group,
            "forceDelete": self._force_delete,
        }

    def act(self, server_id: str, body: Any, caller: Caller) -> Answer:
        """Do the one action that a body names."""
        if not isinstance(body, dict) or len(body) != 1:
            raise errors.bad_request("Malformed request body")
        name, args = next(iter(body.items()))
        action = self._table.get(name)
        if action is None:
            raise errors.bad_request(f"There is no such action: {name}")
        owner = None if caller.admin else caller.project_id
        with self._store.transaction():
            return action(self._servers.get(server_id, owner), args, caller)

    def delete(self, server_id: str, caller: Caller) -> Answer:
        """Begin to delete a server, whatever its state."""
        owner = None if caller.admin else caller.project_id
        with self._store.transaction():
            server = self._servers.get(server_id, owner)
            self._begin(server, "deleting", "delete")
        return 204, None

    def _begin(self, server: Document, task: str, job: str, **args: Any) -> None:
        server["task_state"] = task
        self._servers.save(server)
        self._scheduler.schedule(f"nova.{job}", server["id"], args)

    @staticmethod
    def _admin(caller: Caller, rule: str) -> None:
        if not caller.admin:
            raise errors.forbidden(
                f"Policy doesn't allow os_compute_api:{rule} to be performed.")

    # power

    def _reboot(self, server: Document, args: Any, _caller: Caller) -> Answer:
        kind = args.get("type") if isinstance(args, dict) else None
        if not isinstance(kind, str) or kind.upper() not in ("SOFT", "HARD"):
            raise check.bad("type", kind, "it is not one of ['HARD', 'Hard', 'hard', 'SOFT', "
                            "'Soft', 'soft']")
        hard = kind.upper() == "HARD"
        self._servers.require("reboot_hard" if hard else "reboot_soft", server, "reboot")
        self._begin(server, "rebooting_hard" if hard else "rebooting", "reboot", hard=hard)
        return 202, None

    def _start(self, server: Document, _args: Any, _caller: Caller) -> Answer:
        self._servers.require("start", server)
        self._begin(server, "powering-on", "start")
        return 202, None

    def _stop(self, server: Document, _args: Any, _caller: Caller) -> Answer:
        self._servers.require("stop", server)
        self._begin(server, "powering-off", "stop")
        return 202, None

    def _force_delete(self, server: Document, _args: Any, _caller: Caller) -> Answer:
        self._begin(server, "deleting", "delete")
        return 202, None

    # rebuild

    def _rebuild(self, server: Document, args: Any, caller: Caller) -> Answer:
        if not isinstance(args, dict):
            raise check.bad("rebuild", args, "it is not of type 'object'")
        check.only(args, _REBUILD_KEYS, "rebuild")
        self._servers.require("rebuild", server)
        image = self._creation.image(args.get("imageRef"), caller, server["flavor"])
        # the disks beside the root disk are empty afterwards too
        server.update(
            image_ref=image["id"], image=image, fault=None,
            stale_disks=[*server["stale_disks"], *(one["id"] for one in server["ephemeral"])],
            ephemeral=[{**one, "id": str(uuid.uuid4())} for one in server["ephemeral"]])
        if "name" in args:
            server["name"] = check.name(args["name"])
        if "metadata" in args:
            server["metadata"] = check.metadata(args["metadata"])
            self._quotas.need_metadata(server["project_id"], server["metadata"])
        if "description" in args and caller.version >= (2, 19):
            server["description"] = args["description"]
        if "user_data" in args and caller.version >= (2, 57):
            server["user_data"] = check.user_data(args["user_data"])
        if "hostname" in args and caller.version >= (2, 90):
            server["hostname"] = check.hostname(
                args["hostname"], server["name"], server["id"])
        if "key_name" in args and caller.version >= (2, 54):
            name = args["key_name"]
            if name and self._store.get("keypair", keypair_id(caller.user_id, name)) is None:
                raise errors.bad_request("Invalid key_name provided.")
            server["key_name"] = name
        self._begin(server, "rebuilding", "rebuild")
        return 202, {"adminPass": args.get("adminPass") or secrets.token_urlsafe(9)}

    # resize and migration

    def _resize(self, server: Document, args: Any, _caller: Caller) -> Answer:
        if not isinstance(args, dict) or "flavorRef" not in args:
            raise check.bad("resize", args, "'flavorRef' is a required property")
        self._servers.require("resize", server)
        wanted = str(args["flavorRef"]).rstrip("/").rsplit("/", 1)[-1]
        flavor = self._store.get("flavor", wanted)
        if flavor is None:
            raise errors.bad_request(f"Flavor {wanted} could not be found.")
        if flavor["id"] == server["flavor"]["id"]:
            raise errors.bad_request("When resizing, instances must change flavor!")
        if flavor["disk"] < server["flavor"]["disk"] and flavor["disk"] == 0:
            raise errors.bad_request("Resize to zero disk flavor is not allowed.")
        image = server["image"]
        if (image.get("min_ram") or 0) > flavor["ram"]:
            raise errors.bad_request("Flavor's memory is too small for requested image.")
        self._quotas.need(
            server["project_id"], cores=flavor["vcpus"] - server["flavor"]["vcpus"],
            ram=flavor["ram"] - server["flavor"]["ram"])
        self._begin(server, "resize_prep", "resize", flavor=flavor, excluded=[])
        return 202, None

    def _migrate(self, server: Document, args: Any, caller: Caller) -> Answer:
        self._admin(caller, "os-migrate-server:migrate")
        self._servers.require("migrate", server)
        host = None
        if args is not None and caller.version >= (2, 56):
            if not isinstance(args, dict):
                raise check.bad("migrate", args, "it is not of type 'object', 'null'")
            check.only(args, frozenset(("host",)), "migrate")
            host = args.get("host")
        if host is not None and host not in self._servers.hosts:
            raise errors.bad_request(f"Compute host {host} could not be found.")
        if host is not None and host == server["host"]:
            raise errors.bad_request("Cannot migrate to the host where the server exists.")
        self._begin(server, "resize_prep", "resize", flavor=server["flavor"],
                    excluded=[server["host"]], host=host)
        return 202, None

    def _confirm(self, server: Document, _args: Any, _caller: Caller) -> Answer:
        self._servers.require("confirmResize", server)
        self._begin(server, "resize_confirming", "confirm")
        return 204, None

    def _revert(self, server: Document, _args: Any, _caller: Caller) -> Answer:
        self._servers.require("revertResize", server)
        self._begin(server, "resize_reverting", "revert")
        return 202, None

    def _live_migrate(self, server: Document, args: Any, caller: Caller) -> Answer:
        self._admin(caller, "os-migrate-server:migrate_live")
        self._servers.require("os-migrateLive", server)
        host = args.get("host") if isinstance(args, dict) else None
        if host is not None and host not in self._servers.hosts:
            raise errors.bad_request(f"Compute host {host} could not be found.")
        self._begin(server, "migrating", "live_migrate", host=host)
        return 202, None

    # the rest

    def _console(self, server: Document, args: Any, _caller: Caller) -> Answer:
        if server["vm_state"] == nova_states.BUILDING:
            raise errors.conflict(f"Instance {server['id']} is not ready")
        text = self._hypervisor.console_log(server["id"])
        length = args.get("length") if isinstance(args, dict) else None
        if length is not None:
            lines = check.whole(length, "length", -1)
            if lines >= 0:
                text = "".join(text.splitlines(keepends=True)[-lines:] if lines else [])
        return 200, {"output": text}

    def _reset_state(self, server: Document, args: Any, caller: Caller) -> Answer:
        self._admin(caller, "os-admin-actions:reset_state")
        state = args.get("state") if isinstance(args, dict) else None
        if state not in (nova_states.ACTIVE, nova_states.ERROR):
            raise check.bad("state", state, "it is not one of ['active', 'error']")
        server.update(vm_state=state, task_state=None)
        self._servers.save(server)
        return 202, None

    def _add_group(self, server: Document, args: Any, _caller: Caller) -> Answer:
        self._servers.require("addSecurityGroup", server)
        self._networking.change_groups(server, self._group(server, args), add=True)
        return 202, None

    def _remove_group(self, server: Document, args: Any, _caller: Caller) -> Answer:
        self._servers.require("removeSecurityGroup", server)
        self._networking.change_groups(server, self._group(server, args), add=False)
        return 202, None

    def _group(self, server: Document, args: Any) -> str:
        name = args.get("name") if isinstance(args, dict) else None
        if not isinstance(name, str) or not name:
            raise errors.bad_request("Missing parameter dict: 'name'")
        try:
            return self._networking.group_ids([name], server["project_id"])[0]
        except errors.BadRequest as exc:
            raise errors.not_found(
                f"Security group {name} not found for project {server['project_id']}.") from exc
