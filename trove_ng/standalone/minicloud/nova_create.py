"""The create request of a server."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from trove_ng.common.clock import utcnow
from trove_ng.standalone.minicloud import nova_check as check
from trove_ng.standalone.minicloud import nova_errors as errors
from trove_ng.standalone.minicloud import nova_states
from trove_ng.standalone.minicloud.cinder_volumes import Volumes
from trove_ng.standalone.minicloud.nova_call import Caller
from trove_ng.standalone.minicloud.nova_networking import Networking
from trove_ng.standalone.minicloud.nova_quota import Quotas
from trove_ng.standalone.minicloud.nova_servers import ZONE, Servers, keypair_id, moment
from trove_ng.standalone.minicloud.scheduler import Scheduler
from trove_ng.standalone.minicloud.store import Store

Document = dict[str, Any]
LETTERS = "bcdefghijklmnopqrstuvwxyz"




class Creation:
    """Checks a create request, keeps the new server and schedules its boot."""

    def __init__(
        self, store: Store, servers: Servers, networking: Networking, volumes: Volumes,
        quotas: Quotas, scheduler: Scheduler,
    ) -> None:
        self._store = store
        self._servers = servers
        self._networking = networking
        self._volumes = volumes
        self._quotas = quotas
        self._scheduler = scheduler

    def create(self, document: Any, caller: Caller) -> tuple[Document, str]:
        """Return the new server and its administrator's password, which is kept nowhere."""
        body = check.body(document, "server")
        self._shape(body, caller.version)
        hints = self._hints(document)
        flavor = self._flavor(body.get("flavorRef"))
        image = self.image(body.get("imageRef"), caller, flavor)
        zone, host = self._zone(body.get("availability_zone"), caller.admin)
        networks = self._networking.resolve(
            check.networks(body.get("networks"), caller.version), caller.project_id,
            caller.admin)
        groups = self._security_groups(body, caller)
        devices = check.block_devices(body.get("block_device_mapping_v2"))
        server = self._document(body, caller, flavor, image, zone)
        server["ephemeral"] = _ephemeral([one for one in devices if one["local"]], flavor)
        server["group_id"] = self._group(hints.get("group"), caller)
        args = {"networks": networks, "security_groups": groups, "host": host}
        with self._store.transaction():
            self._quotas.need(
                caller.project_id, instances=1, cores=flavor["vcpus"], ram=flavor["ram"])
            self._quotas.need_metadata(caller.project_id, server["metadata"])
            self._group_room(server["group_id"])
            self._reserve(server, [one for one in devices if not one["local"]], caller)
            self._servers.save(server)
            self._scheduler.schedule("nova.boot", server["id"], args)
        return server, body.get("adminPass") or secrets.token_urlsafe(9)

    @staticmethod
    def _shape(body: Document, version: tuple[int, int]) -> None:
        for since, key in (((2, 19), "description"), ((2, 52), "tags"), ((2, 90), "hostname"),
                           ((2, 63), "trusted_image_certificates"), ((2, 74), "host"),
                           ((2, 74), "hypervisor_hostname")):
            if key in body and version < since:
                raise check.bad("server", key, f"Additional properties are not allowed "
                                f"('{key}' was unexpected)")
        if version >= (2, 57) and "personality" in body:
            raise check.bad("server", "personality", "Additional properties are not allowed "
                            "('personality' was unexpected)")
        check.only(body, check.CREATE_KEYS, "server")
        if body.get("personality"):
            raise errors.forbidden("Quota exceeded, too many files: this cloud injects none")
        if check.whole(body.get("min_count", 1), "min_count", 1) != 1 \
                or check.whole(body.get("max_count", 1), "max_count", 1) != 1:
            raise errors.bad_request("This cloud creates one server for each request")

    @staticmethod
    def _hints(document: Mapping[str, Any]) -> Document:
        hints = document.get("os:scheduler_hints", document.get("OS-SCH-HNT:scheduler_hints"))
        if hints is None:
            return {}
        if not isinstance(hints, dict):
            raise check.bad("os:scheduler_hints", hints, "it is not of type 'object'")
        return hints

    def _flavor(self, reference: Any) -> Document:
        wanted = str(reference or "").rstrip("/").rsplit("/", 1)[-1]
        flavor = self._store.get("flavor", wanted)
        if flavor is None:
            raise errors.bad_request(f"Flavor {wanted} could not be found.")
        return flavor

    def image(self, reference: Any, caller: Caller, flavor: Mapping[str, Any]) -> Document:
        """Return the image that a request names, if the flavor is big enough for it."""
        wanted = str(reference or "").rstrip("/").rsplit("/", 1)[-1]
        if not wanted:
            raise errors.bad_request("Invalid imageRef provided.")
        image = self._store.get("image", wanted)
        usable = image is not None and (
            caller.admin or image.get("owner") == caller.project_id
            or image.get("visibility") in ("public", "community"))
        if image is None or not usable:
            raise errors.bad_request("Can not find requested image")
        if image.get("status") != "active":
            raise errors.bad_request(f"Image {wanted} is not active.")
        if (image.get("min_ram") or 0) > flavor["ram"]:
            raise errors.bad_request("Flavor's memory is too small for requested image.")
        if (image.get("min_disk") or 0) > flavor["disk"] > 0:
            raise errors.bad_request("Flavor's disk is smaller than the minimum size specified "
                                     "in image metadata.")
        return image

    def _zone(self, wanted: Any, admin: bool) -> tuple[str, str | None]:
        if wanted is None:
            return ZONE, None
        zone, _, host = str(wanted).partition(":")
        if zone != ZONE:
            raise errors.bad_request("The requested availability zone is not available")
        if host and not admin:
            raise errors.forbidden("Policy doesn't allow os_compute_api:servers:create:"
                                   "forced_host to be performed.")
        return zone, host.split(":")[0] or None

    def _security_groups(self, body: Mapping[str, Any], caller: Caller) -> list[str]:
        wanted = body.get("security_groups") or []
        if not isinstance(wanted, list) or not all(
                isinstance(one, dict) and isinstance(one.get("name"), str) for one in wanted):
            raise check.bad("security_groups", wanted, "it is not a list of names")
        return self._networking.group_ids([one["name"] for one in wanted], caller.project_id)

    def _group(self, wanted: Any, caller: Caller) -> str | None:
        if not wanted:
            return None
        group = self._store.get("server_group", str(wanted))
        if group is None or not (caller.admin or group["project_id"] == caller.project_id):
            raise errors.bad_request(f"Instance group {wanted} could not be found.")
        return str(group["id"])

    def _group_room(self, group_id: str | None) -> None:
        if group_id is None:
            return
        group = self._store.get("server_group", group_id) or {}
        limit = self._quotas.limits(group["project_id"])["server_group_members"]
        members = sum(1 for one in self._servers.all() if one["group_id"] == group_id)
        if 0 <= limit <= members:
            raise errors.forbidden("Quota exceeded, too many servers in group")

    def _document(
        self, body: Mapping[str, Any], caller: Caller, flavor: Document, image: Document,
        zone: str,
    ) -> Document:
        server_id = str(uuid.uuid4())
        name = check.name(body.get("name"))
        key_name = body.get("key_name")
        if key_name and self._store.get("keypair", keypair_id(caller.user_id, key_name)) is None:
            raise errors.bad_request("Invalid key_name provided.")
        return {
            "id": server_id, "project_id": caller.project_id, "user_id": caller.user_id,
            "name": name, "description": body.get("description") or (
                None if caller.version >= (2, 19) else name),
            "hostname": check.hostname(body.get("hostname"), name, server_id),
            "image_ref": image["id"], "image": image, "flavor": flavor,
            "vm_state": nova_states.BUILDING, "task_state": "scheduling",
            "power_state": nova_states.NOSTATE, "fault": None, "created": moment(),
            "created_exact": utcnow().isoformat(), "updated": moment(), "launched_at": None,
            "metadata": check.metadata(body.get("metadata") or {}), "key_name": key_name,
            "availability_zone": zone, "host": None, "host_id": "", "volumes": {},
            "user_data": check.user_data(body.get("user_data")),
            "config_drive": check.boolean(body.get("config_drive") or False, "config_drive"),
            "tags": list(body.get("tags") or []), "progress": 0, "group_id": None,
            "disk_config": body.get("OS-DCF:diskConfig", "MANUAL"),
            "old_flavor": None, "old_host": None, "old_vm_state": None, "stale_disks": [],
        }

    def _reserve(self, server: Document, devices: Sequence[Document], caller: Caller) -> None:
        owner = None if caller.admin else caller.project_id
        for wanted in devices:
            if wanted["source"] == "volume":
                self._usable(wanted["uuid"], owner)
                reserved = self._volumes.reserve(wanted["uuid"], owner, server["id"])
                link_volume(server, wanted["uuid"], reserved["id"], wanted)
            else:
                # made by the boot job, which reserves it too
                link_volume(server, self._new_volume(wanted, caller, owner)["id"], None, wanted)

    def _new_volume(
        self, wanted: Document, caller: Caller, owner: str | None,
    ) -> Document:
        snapshot = None
        if wanted["source"] == "snapshot":
            snapshot = self._volumes.get_snapshot(wanted["uuid"], owner)
        size = check.whole(
            wanted["size"] or (snapshot or {}).get("size"), "volume_size", 1)
        kind = wanted["volume_type"] or "__DEFAULT__"
        return self._volumes.create(caller.project_id, caller.user_id, {
            "name": "", "description": "", "size": size, "metadata": {},
            "availability_zone": ZONE, "source_volid": None,
            "snapshot_id": snapshot["id"] if snapshot else None,
            **self._volumes.type_of(kind),
        }, later=False)

    def _usable(self, volume_id: str, owner: str | None) -> None:
        volume = self._store.get("volume", volume_id)
        if volume is None or owner not in (None, volume["project_id"]):
            raise errors.bad_request(
                f"Block Device Mapping is Invalid: failed to get volume {volume_id}.")
        if volume["status"] != "available":
            raise errors.bad_request(
                f"Invalid volume: status must be 'available'. Currently in '{volume['status']}'")


def _ephemeral(wanted: Sequence[Document], flavor: Mapping[str, Any]) -> list[Document]:
    """Return the disks of a server that are neither its root disk nor volumes."""
    sizes = [check.whole(one["size"] or flavor["ephemeral"], "volume_size", 1)
             for one in wanted]
    if sum(sizes) > flavor["ephemeral"]:
        raise errors.bad_request(
            "Ephemeral disks requested are larger than the instance type allows. If no size is "
            "given in one block device mapping, flavor ephemeral size will be used.")
    return [{"id": str(uuid.uuid4()), "size": size, "device": f"/dev/vd{letter}"}
            for size, letter in zip(sizes, LETTERS, strict=False)]


def link_volume(
    server: Document, volume_id: str, attachment_id: str | None, wanted: Mapping[str, Any],
) -> Document:
    """Note in a server's document that it has a volume; returns the link."""
    used = {one["device"] for one in (*server["volumes"].values(), *server["ephemeral"])}
    device = wanted.get("device")
    if device and f"/dev/{device.removeprefix('/dev/')}" in used:
        raise errors.conflict(
            f"The supplied device path ({device}) is in use.")
    if device:
        device = f"/dev/{device.removeprefix('/dev/')}"
    else:
        free = [f"/dev/vd{letter}" for letter in LETTERS if f"/dev/vd{letter}" not in used]
        if not free:
            raise errors.forbidden("The maximum allowed number of disk devices exceeded.")
        device = free[0]
    link = {
        "device": device, "attachment_id": attachment_id, "bdm_id": str(uuid.uuid4()),
        "tag": wanted.get("tag"), "connected": False,
        "delete_on_termination": bool(wanted.get("delete_on_termination")),
    }
    server["volumes"][volume_id] = link
    return link
