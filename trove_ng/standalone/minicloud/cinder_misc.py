"""Handlers of Cinder: attachments, snapshots, types, limits, quotas, zones."""

from __future__ import annotations

import shutil
import uuid
from typing import Any

from trove_ng.standalone.minicloud import cinder_errors as errors
from trove_ng.standalone.minicloud import cinder_views as views
from trove_ng.standalone.minicloud.cinder_api import (
    DEFAULT_TYPE,
    ZONE,
    body_of,
    filters,
    metadata,
    paged,
    text,
    whole,
)
from trove_ng.standalone.minicloud.cinder_quota import Quotas
from trove_ng.standalone.minicloud.cinder_volumes import Volumes, moment
from trove_ng.standalone.minicloud.nova_call import Answer, Call, Document
from trove_ng.standalone.minicloud.store import Store


def _admin(call: Call, rule: str) -> None:
    if not call.caller.admin:
        raise errors.forbidden(f"Policy doesn't allow {rule} to be performed.")


class AttachmentApi:
    """Handlers of ``/attachments`` (from 3.27 on)."""

    def __init__(self, store: Store, volumes: Volumes) -> None:
        self._store = store
        self._volumes = volumes

    @staticmethod
    def _since(call: Call, version: tuple[int, int]) -> None:
        if call.caller.version < version:
            raise errors.not_found("The resource could not be found.")

    def index(self, call: Call, detail: bool = False) -> Answer:
        """Return attachments."""
        self._since(call, (3, 27))
        everyone = call.truth("all_tenants") and "all_tenants" in call.query
        project = None if everyone and call.caller.admin else call.caller.project_id
        found = [one for one in self._store.list("volume_attachment", project)
                 if call.one("volume_id") in (None, one["volume_id"])
                 and call.one("instance_id") in (None, one["instance_uuid"])
                 and call.one("status") in (None, one["status"])]
        return 200, {"attachments": [views.attachment(one, detail) for one in found]}

    def detail(self, call: Call) -> Answer:
        """Return attachments in detail."""
        return self.index(call, detail=True)

    def show(self, call: Call, attachment_id: str) -> Answer:
        """Return one attachment."""
        self._since(call, (3, 27))
        found = self._volumes.attachment(attachment_id, call.caller.owner)
        return 200, {"attachment": views.attachment(found)}

    def create(self, call: Call) -> Answer:
        """Reserve a volume for a server; with a connector the volume is attaching."""
        self._since(call, (3, 27))
        body = body_of(call.body, "attachment")
        volume_id = body.get("volume_uuid")
        if not volume_id:
            raise errors.bad_request("Invalid input received: volume_uuid is required")
        made = self._volumes.reserve(
            str(volume_id), call.caller.owner, body.get("instance_uuid"))
        connector = body.get("connector")
        if connector:
            made = self._volumes.connect(
                made["id"], connector.get("host"), connector.get("mountpoint"),
                connector.get("mode") or body.get("mode") or "rw")
        return 200, {"attachment": views.attachment(made)}

    def update(self, call: Call, attachment_id: str) -> Answer:
        """Give a reserved attachment its connector."""
        self._since(call, (3, 27))
        connector = body_of(call.body, "attachment").get("connector")
        if not isinstance(connector, dict) or not connector:
            raise errors.bad_request("Invalid input received: connector is required")
        self._volumes.attachment(attachment_id, call.caller.owner)
        made = self._volumes.connect(
            attachment_id, connector.get("host"), connector.get("mountpoint"),
            connector.get("mode") or "rw")
        return 200, {"attachment": views.attachment(made)}

    def act(self, call: Call, attachment_id: str) -> Answer:
        """Complete an attachment (from 3.44 on)."""
        self._since(call, (3, 44))
        if not isinstance(call.body, dict) or "os-complete" not in call.body:
            raise errors.bad_request("There is no such action")
        attachment = self._volumes.attachment(attachment_id, call.caller.owner)
        if attachment["status"] != "attaching":
            raise errors.bad_request(
                f"Invalid attachment: status is {attachment['status']}, not attaching")
        self._volumes.complete(attachment_id)
        return 204, None

    def delete(self, call: Call, attachment_id: str) -> Answer:
        """Remove an attachment; one that a server uses is Nova's to remove."""
        self._since(call, (3, 27))
        attachment = self._volumes.attachment(attachment_id, call.caller.owner)
        server = self._store.get("server", attachment["instance_uuid"] or "")
        if server is not None and attachment["volume_id"] in server["volumes"]:
            raise errors.conflict(
                "Detach volume from instance "
                f"{attachment['instance_uuid']} using the Compute API")
        self._volumes.release(attachment_id)
        return 200, {"attachments": [
            views.attachment(one, False)
            for one in self._volumes.attachments(attachment["volume_id"])]}


class SnapshotApi:
    """Handlers of ``/snapshots``."""

    def __init__(self, store: Store, volumes: Volumes) -> None:
        self._store = store
        self._volumes = volumes

    def index(self, call: Call, detail: bool = False) -> Answer:
        """Return one page of snapshots."""
        everyone = call.truth("all_tenants") and "all_tenants" in call.query
        project = None if everyone and call.caller.admin else call.caller.project_id
        found = [one for one in self._store.list("snapshot", project)
                 if filters(call, one, ("name", "status", "volume_id"))]
        kind = "snapshots/detail" if detail else "snapshots"
        page, links = paged(call, found, kind, call.caller.project_id)
        answer: Document = {"snapshots": [
            views.snapshot(one, call.caller.version, detail) for one in page]}
        if links:
            answer["snapshots_links"] = links
        return 200, answer

    def detail(self, call: Call) -> Answer:
        """Return one page of snapshots in detail."""
        return self.index(call, detail=True)

    def show(self, call: Call, snapshot_id: str) -> Answer:
        """Return one snapshot."""
        found = self._volumes.get_snapshot(snapshot_id, call.caller.owner)
        return 200, {"snapshot": views.snapshot(found, call.caller.version)}

    def create(self, call: Call) -> Answer:
        """Begin to make a snapshot."""
        body = body_of(call.body, "snapshot")
        made = self._volumes.create_snapshot(
            str(body.get("volume_id")), call.caller.owner, call.caller.user_id, {
                "name": text(body.get("name"), "name"),
                "description": text(body.get("description"), "description"),
                "metadata": metadata(body.get("metadata")),
            }, force=call.caller.version >= (3, 66)
            or str(body.get("force", False)).lower() in ("true", "1"))
        return 202, {"snapshot": views.snapshot(made, call.caller.version, detail=False)}

    def update(self, call: Call, snapshot_id: str) -> Answer:
        """Change name or description."""
        body = body_of(call.body, "snapshot")
        with self._store.transaction():
            snapshot = self._volumes.get_snapshot(snapshot_id, call.caller.owner)
            for name in ("name", "description"):
                if name in body:
                    snapshot[name] = text(body[name], name)
            self._volumes.save_snapshot(snapshot)
        return 200, {"snapshot": views.snapshot(snapshot, call.caller.version, detail=False)}

    def delete(self, call: Call, snapshot_id: str) -> Answer:
        """Begin to remove a snapshot."""
        self._volumes.delete_snapshot(snapshot_id, call.caller.owner)
        return 202, None

    def act(self, call: Call, snapshot_id: str) -> Answer:
        """Reset the status of a snapshot, or remove it by force (administrators)."""
        body = call.body if isinstance(call.body, dict) else {}
        self._volumes.get_snapshot(snapshot_id, call.caller.owner)
        if "os-reset_status" in body:
            _admin(call, "volume_extension:snapshot_admin_actions:reset_status")
            snapshot = self._volumes.get_snapshot(snapshot_id)
            snapshot["status"] = str(body_of(body, "os-reset_status").get("status"))
            self._volumes.save_snapshot(snapshot)
        elif "os-force_delete" in body:
            _admin(call, "volume_extension:snapshot_admin_actions:force_delete")
            self._volumes.delete_snapshot(snapshot_id, None, force=True)
        else:
            raise errors.bad_request("There is no such action")
        return 202, None


class TypeApi:
    """Handlers of ``/types``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def seed(self) -> None:
        """Make the volume types of a new cloud."""
        with self._store.transaction():
            if not self._store.list("volume_type"):
                for name, description in (
                        (DEFAULT_TYPE, "Default Volume Type"), ("lvm", "Sparse file")):
                    self._save({
                        "id": str(uuid.uuid4()), "name": name, "description": description,
                        "is_public": True, "extra_specs": {}, "created_at": moment()})

    def _save(self, document: Document) -> None:
        self._store.put("volume_type", document["id"], document, "")

    def _get(self, call: Call, wanted: str) -> Document:
        for one in self._store.list("volume_type"):
            if wanted in (one["id"], one["name"]) and (one["is_public"] or call.caller.admin):
                return one
        raise errors.not_found(f"Volume type {wanted} could not be found.")

    def index(self, call: Call) -> Answer:
        """Return the volume types."""
        found = [one for one in self._store.list("volume_type")
                 if one["is_public"] or call.caller.admin]
        page, _links = paged(call, found, "types", call.caller.project_id)
        return 200, {"volume_types": [
            views.volume_type(one, call.caller.admin) for one in page]}

    def show(self, call: Call, type_id: str) -> Answer:
        """Return one volume type; ``default`` is the one taken when none is asked for."""
        found = self._get(call, DEFAULT_TYPE if type_id == "default" else type_id)
        return 200, {"volume_type": views.volume_type(found, call.caller.admin)}

    def create(self, call: Call) -> Answer:
        """Make a volume type (administrators)."""
        _admin(call, "volume_extension:type_create")
        body = body_of(call.body, "volume_type")
        name = text(body.get("name"), "name")
        if not name:
            raise errors.bad_request("Invalid input received: name is required")
        document = {
            "id": str(uuid.uuid4()), "name": name, "created_at": moment(),
            "description": text(body.get("description"), "description"),
            "is_public": bool(body.get("os-volume-type-access:is_public", True)),
            "extra_specs": metadata(body.get("extra_specs")),
        }
        with self._store.transaction():
            if any(one["name"] == name for one in self._store.list("volume_type")):
                raise errors.conflict(f"Volume Type {name} already exists.")
            self._save(document)
        return 200, {"volume_type": views.volume_type(document, True)}

    def delete(self, call: Call, type_id: str) -> Answer:
        """Remove a volume type that no volume has (administrators)."""
        _admin(call, "volume_extension:type_delete")
        with self._store.transaction():
            found = self._get(call, type_id)
            if found["name"] == DEFAULT_TYPE:
                raise errors.bad_request(
                    "The volume type is the default and cannot be deleted.")
            if any(one["volume_type_id"] == found["id"] for one in self._store.list("volume")):
                raise errors.bad_request("Target volume type is still in use.")
            self._store.delete("volume_type", found["id"])
        return 202, None

    def specs(self, call: Call, type_id: str) -> Answer:
        """Return the extra specs of a volume type."""
        return 200, {"extra_specs": self._get(call, type_id)["extra_specs"]}

    def set_specs(self, call: Call, type_id: str) -> Answer:
        """Add extra specs (administrators)."""
        _admin(call, "volume_extension:types_extra_specs:create")
        given = metadata(body_of(call.body, "extra_specs"))
        with self._store.transaction():
            found = self._get(call, type_id)
            found["extra_specs"].update(given)
            self._save(found)
        return 200, {"extra_specs": given}


class LimitApi:
    """Handlers of limits, quota sets, availability zones and services."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    def limits(self, call: Call) -> Answer:
        """Return the absolute limits of the project and what it has."""
        project = call.caller.project_id
        if call.caller.admin and call.one("project_id"):
            project = str(call.one("project_id"))
        top, used = self._quotas.limits(project), self._quotas.usage(project)
        return 200, {"limits": {"rate": [], "absolute": {
            "maxTotalVolumes": top["volumes"], "maxTotalSnapshots": top["snapshots"],
            "maxTotalVolumeGigabytes": top["gigabytes"], "maxTotalBackups": top["backups"],
            "maxTotalBackupGigabytes": top["backup_gigabytes"],
            "totalVolumesUsed": used["volumes"], "totalSnapshotsUsed": used["snapshots"],
            "totalGigabytesUsed": used["gigabytes"], "totalBackupsUsed": 0,
            "totalBackupGigabytesUsed": 0,
        }}}

    def show(self, call: Call, target_id: str) -> Answer:
        """Return the limits of a project, with ``usage`` what it has too."""
        if target_id != call.caller.project_id:
            _admin(call, "volume_extension:quotas:show")
        top, used = self._quotas.limits(target_id), self._quotas.usage(target_id)
        view: dict[str, Any] = {"id": target_id}
        for name, limit in top.items():
            view[name] = limit if not ("usage" in call.query and call.truth("usage")) else {
                "limit": limit, "in_use": used[name], "reserved": 0}
        return 200, {"quota_set": view}

    def defaults(self, call: Call, target_id: str) -> Answer:
        """Return the limits of a project for which none were set."""
        return 200, {"quota_set": {"id": target_id, **self._quotas.defaults()}}

    def update(self, call: Call, target_id: str) -> Answer:
        """Change limits (administrators)."""
        _admin(call, "volume_extension:quotas:update")
        body = body_of(call.body, "quota_set")
        known = self._quotas.defaults()
        unknown = sorted(set(body) - set(known) - {"tenant_id", "skip_validation", "force"})
        if unknown:
            raise errors.bad_request(
                f"Invalid input received: Bad key(s) in quota set: {', '.join(unknown)}")
        self._quotas.set(target_id, {
            name: whole(body[name], name, -1) for name in known if name in body})
        return 200, {"quota_set": self._quotas.limits(target_id)}

    def delete(self, call: Call, target_id: str) -> Answer:
        """Give a project the default limits again (administrators)."""
        _admin(call, "volume_extension:quotas:delete")
        self._quotas.reset(target_id)
        return 200, None

    def zones(self, call: Call) -> Answer:
        """Return the availability zones."""
        return 200, {"availabilityZoneInfo": [
            {"zoneName": ZONE, "zoneState": {"available": True}}]}

    def services(self, call: Call) -> Answer:
        """Return Cinder's services (administrators)."""
        _admin(call, "volume_extension:services:index")
        return 200, {"services": [
            {"binary": binary, "host": "minicloud", "zone": ZONE, "status": "enabled",
             "state": "up", "updated_at": moment(), "disabled_reason": None}
            for binary in ("cinder-scheduler", "cinder-volume")]}


class PoolApi:
    """Handlers of the pools that volumes are made in: there is one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def index(self, call: Call) -> Answer:
        """Return the pool (administrators): the file system below the state directory."""
        _admin(call, "scheduler_extension:scheduler_stats:get_pools")
        pool: Document = {"name": "minicloud@files#files"}
        if call.truth("detail"):
            disk = shutil.disk_usage(self._store.path.parent)
            made = sum(one["size"] for one in [*self._store.list("volume"),
                                               *self._store.list("snapshot")])
            # files are sparse: they may grow to more than there is
            pool["capabilities"] = {
                "storage_protocol": "file", "volume_backend_name": "files",
                "total_capacity_gb": round(disk.total / 1024 ** 3, 2),
                "free_capacity_gb": round(disk.free / 1024 ** 3, 2),
                "allocated_capacity_gb": made, "provisioned_capacity_gb": made,
                "max_over_subscription_ratio": "20.0", "thin_provisioning_support": True,
                "reserved_percentage": 0}
        return 200, {"pools": [pool]}
