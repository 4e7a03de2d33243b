"""Volumes, their attachments and snapshots: states and rules of Cinder."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from trove_ng.common.clock import utcnow
from trove_ng.standalone.minicloud import cinder_errors as errors
from trove_ng.standalone.minicloud.cinder_quota import Quotas
from trove_ng.standalone.minicloud.hypervisor import Hypervisor, HypervisorError
from trove_ng.standalone.minicloud.scheduler import Scheduler
from trove_ng.standalone.minicloud.store import Store

LOG = logging.getLogger(__name__)

Document = dict[str, Any]

_DELETABLE = ("available", "error", "error_restoring", "error_extending", "error_managing")
_SETTABLE = (
    "creating", "available", "deleting", "error", "attaching", "detaching", "in-use",
    "maintenance", "reserved", "error_deleting", "error_extending", "extending",
    "awaiting-transfer",
)
HOST = "minicloud@loop#loop"


def moment() -> str:
    """Return the present time in Cinder's form."""
    return utcnow().isoformat(timespec="microseconds")


class Volumes:
    """Keeps volumes, and has the hypervisor make and remove them in the background."""

    def __init__(
        self, store: Store, hypervisor: Hypervisor, scheduler: Scheduler, quotas: Quotas,
    ) -> None:
        self._store = store
        self._hypervisor = hypervisor
        self._scheduler = scheduler
        self._quotas = quotas
        for name, work in (
            ("cinder.create", self._create_work), ("cinder.delete", self._delete_work),
            ("cinder.extend", self._extend_work),
            ("cinder.snapshot_create", self._snapshot_create_work),
            ("cinder.snapshot_delete", self._snapshot_delete_work),
        ):
            scheduler.register(name, work)

    # documents

    def get(self, volume_id: str, project_id: str | None = None) -> Document:
        """Return a volume; with ``project_id`` only if it belongs to that project."""
        volume = self._store.get("volume", volume_id)
        if volume is None or project_id not in (None, volume["project_id"]):
            raise errors.not_found(f"Volume {volume_id} could not be found.")
        return volume

    def save(self, volume: Document) -> Document:
        """Keep a changed volume."""
        volume["updated_at"] = moment()
        self._store.put("volume", volume["id"], volume, volume["project_id"])
        return volume

    def attachments(self, volume_id: str) -> list[Document]:
        """Return the attachments of a volume."""
        return [one for one in self._store.list("volume_attachment")
                if one["volume_id"] == volume_id]

    def snapshots(self, volume_id: str) -> list[Document]:
        """Return the snapshots of a volume."""
        return [one for one in self._store.list("snapshot") if one["volume_id"] == volume_id]

    # create

    def type_of(self, wanted: str) -> Document:
        """Return what a volume keeps of its type, which is given by id or name."""
        for one in self._store.list("volume_type"):
            if wanted in (one["id"], one["name"]):
                return {"volume_type": one["name"], "volume_type_id": one["id"]}
        raise errors.not_found(f"Volume type {wanted} could not be found.")

    def create(
        self, project_id: str, user_id: str, attributes: Document, later: bool = True,
    ) -> Document:
        """Begin to make a volume; unless ``later``, the caller will :meth:`make` it."""
        now = moment()
        volume = {
            "id": str(uuid.uuid4()), "project_id": project_id, "user_id": user_id,
            "status": "creating", "bootable": False, "host": None, "created_at": now,
            "updated_at": now, **attributes,
        }
        with self._store.transaction():
            self._quotas.need_volume(project_id, volume["size"])
            self._store.put("volume", volume["id"], volume, project_id)
            if later:
                self._scheduler.schedule("cinder.create", volume["id"])
        return volume

    def make(self, volume_id: str) -> None:
        """Make a volume now; raises HypervisorError when it ends in error."""
        self._create_work(volume_id, {})
        if self.get(volume_id)["status"] == "error":
            raise HypervisorError(f"Volume {volume_id} did not finish being created.")

    def _create_work(self, volume_id: str, _args: Document) -> None:
        volume = self._store.get("volume", volume_id)
        if volume is None or volume["status"] != "creating":
            return
        try:
            self._hypervisor.create_volume(
                volume_id, volume["size"], volume["source_volid"], volume["snapshot_id"])
        except HypervisorError as exc:
            LOG.warning("volume %s cannot be made: %s", volume_id, exc)
            self._finish(volume_id, "creating", status="error")
            return
        self._finish(volume_id, "creating", status="available", host=HOST)

    def _finish(self, volume_id: str, expected: str, **changes: Any) -> None:
        with self._store.transaction():
            volume = self._store.get("volume", volume_id)
            # an administrator may have reset the state meanwhile
            if volume is not None and volume["status"] == expected:
                volume.update(changes)
                self.save(volume)

    # delete

    def delete(
        self, volume_id: str, project_id: str | None, force: bool = False,
        cascade: bool = False,
    ) -> None:
        """Begin to remove a volume; ``force``: in any state; ``cascade``: snapshots too."""
        with self._store.transaction():
            volume = self.get(volume_id, project_id)
            attached = bool(self.attachments(volume_id))
            # what snapshots need is not deleted by force either
            if (not force and (volume["status"] not in _DELETABLE or attached)
                    or self.snapshots(volume_id) and not cascade):
                raise errors.bad_request(
                    "Invalid volume: Volume status must be available or error or "
                    "error_restoring or error_extending or error_managing and must not be "
                    "migrating, attached, belong to a group, have snapshots, awaiting a "
                    "transfer, or be disassociated from snapshots after volume transfer.")
            volume["status"] = "deleting"
            self.save(volume)
            self._scheduler.schedule("cinder.delete", volume_id)

    def _delete_work(self, volume_id: str, _args: Document) -> None:
        volume = self._store.get("volume", volume_id)
        if volume is None or volume["status"] != "deleting":
            return
        try:
            for one in self.attachments(volume_id):
                if one["instance_uuid"]:
                    self._hypervisor.detach_volume(one["instance_uuid"], volume_id)
            for snapshot in self.snapshots(volume_id):
                self._hypervisor.delete_snapshot(snapshot["id"])
                self._store.delete("snapshot", snapshot["id"])
            self._hypervisor.delete_volume(volume_id)
        except HypervisorError as exc:
            LOG.warning("volume %s cannot be removed: %s", volume_id, exc)
            self._finish(volume_id, "deleting", status="error_deleting")
            return
        with self._store.transaction():
            for one in self.attachments(volume_id):
                self._store.delete("volume_attachment", one["id"])
            self._store.delete("volume", volume_id)

    # extend

    def extend(
        self, volume_id: str, project_id: str | None, new_size: int, attached_allowed: bool,
    ) -> None:
        """Begin to grow a volume; one in use only if ``attached_allowed``."""
        with self._store.transaction():
            volume = self.get(volume_id, project_id)
            allowed = ("available", "in-use") if attached_allowed else ("available",)
            if volume["status"] not in allowed:
                raise errors.bad_request(
                    f"Invalid volume: Volume {volume_id} status must be "
                    f"'{' or '.join(allowed)}' to extend, currently {volume['status']}.")
            if new_size <= volume["size"]:
                raise errors.bad_request(
                    "Invalid input received: New size for extend must be greater than current "
                    f"size. (current: {volume['size']}, extended: {new_size}).")
            self._quotas.need_gigabytes(volume["project_id"], new_size - volume["size"])
            self._quotas.need_size(volume["project_id"], new_size)
            before = volume["status"]
            volume["status"] = "extending"
            self.save(volume)
            self._scheduler.schedule(
                "cinder.extend", volume_id, {"size": new_size, "before": before})

    def _extend_work(self, volume_id: str, args: Document) -> None:
        volume = self._store.get("volume", volume_id)
        if volume is None or volume["status"] != "extending":
            return
        try:
            self._hypervisor.extend_volume(volume_id, args["size"])
        except HypervisorError as exc:
            LOG.warning("volume %s cannot be extended: %s", volume_id, exc)
            self._finish(volume_id, "extending", status="error_extending")
            return
        self._finish(volume_id, "extending", status=args["before"], size=args["size"])

    # attachments

    def reserve(
        self, volume_id: str, project_id: str | None, server_id: str | None,
        status: str = "reserved",
    ) -> Document:
        """Take an available volume for an attachment, and return the attachment."""
        with self._store.transaction():
            volume = self.get(volume_id, project_id)
            if volume["status"] != "available":
                raise errors.bad_request(
                    f"Invalid volume: Volume {volume_id} status must be available or "
                    f"downloading to reserve, but the current status is {volume['status']}.")
            volume["status"] = status
            self.save(volume)
            attachment = {
                "id": str(uuid.uuid4()), "volume_id": volume_id, "instance_uuid": server_id,
                "status": "reserved", "attached_at": None, "detached_at": None, "mode": "null",
                "connection_info": {}, "mountpoint": None, "attached_host": None,
                "project_id": volume["project_id"],
            }
            self._put_attachment(attachment)
            return attachment

    def _put_attachment(self, attachment: Document) -> None:
        self._store.put(
            "volume_attachment", attachment["id"], attachment, attachment["project_id"])

    def attachment(self, attachment_id: str, project_id: str | None = None) -> Document:
        """Return an attachment."""
        found = self._store.get("volume_attachment", attachment_id)
        if found is None or project_id not in (None, found["project_id"]):
            raise errors.not_found(
                f"Volume attachment could not be found with filter: attachment_id = "
                f"{attachment_id}.")
        return found

    def own(self, attachment_id: str, server_id: str | None) -> None:
        """Note which server an attachment is for."""
        with self._store.transaction():
            attachment = self.attachment(attachment_id)
            attachment["instance_uuid"] = server_id
            self._put_attachment(attachment)

    def connect(
        self, attachment_id: str, host: str | None, mountpoint: str | None, mode: str = "rw",
    ) -> Document:
        """Give a reserved attachment its connection: the volume is attaching."""
        with self._store.transaction():
            attachment = self.attachment(attachment_id)
            attachment.update(
                status="attaching", attached_host=host, mountpoint=mountpoint, mode=mode,
                connection_info={
                    "driver_volume_type": "local", "volume_id": attachment["volume_id"],
                    "attachment_id": attachment_id, "access_mode": mode,
                })
            self._put_attachment(attachment)
            volume = self.get(attachment["volume_id"])
            volume["status"] = "attaching"
            self.save(volume)
            return attachment

    def complete(self, attachment_id: str) -> Document:
        """Note that the volume is attached: it is in use."""
        with self._store.transaction():
            attachment = self.attachment(attachment_id)
            attachment.update(status="attached", attached_at=moment())
            self._put_attachment(attachment)
            volume = self.get(attachment["volume_id"])
            volume["status"] = "in-use"
            self.save(volume)
            return attachment

    def release(self, attachment_id: str) -> None:
        """Remove an attachment: the volume is available, unless it is going away."""
        with self._store.transaction():
            attachment = self._store.get("volume_attachment", attachment_id)
            if attachment is None:
                return
            self._store.delete("volume_attachment", attachment_id)
            volume = self._store.get("volume", attachment["volume_id"])
            if volume is not None and volume["status"] in (
                    "in-use", "detaching", "attaching", "reserved"):
                volume["status"] = "available"
                self.save(volume)

    def begin_detaching(self, volume_id: str, project_id: str | None) -> None:
        """Note that a detach has begun."""
        with self._store.transaction():
            volume = self.get(volume_id, project_id)
            if volume["status"] != "in-use":
                raise errors.bad_request(
                    "Invalid volume: Unable to detach volume. Volume status must be 'in-use' "
                    "and attach_status must be 'attached' to detach.")
            volume["status"] = "detaching"
            self.save(volume)

    def roll_detaching(self, volume_id: str) -> None:
        """Take back what :meth:`begin_detaching` noted."""
        self._finish(volume_id, "detaching", status="in-use")

    def reset_status(self, volume_id: str, status: str, attach_status: str | None) -> None:
        """Set the status as an administrator does."""
        if status and status.lower() not in _SETTABLE:
            raise errors.bad_request(
                f"Must specify a valid status. Invalid status: {status}.")
        with self._store.transaction():
            volume = self.get(volume_id)
            if attach_status == "detached":
                for one in self.attachments(volume_id):
                    self._store.delete("volume_attachment", one["id"])
            volume["status"] = status.lower() if status else volume["status"]
            self.save(volume)

    # snapshots

    def get_snapshot(self, snapshot_id: str, project_id: str | None = None) -> Document:
        """Return a snapshot."""
        found = self._store.get("snapshot", snapshot_id)
        if found is None or project_id not in (None, found["project_id"]):
            raise errors.not_found(f"Snapshot {snapshot_id} could not be found.")
        return found

    def save_snapshot(self, snapshot: Document) -> Document:
        """Keep a changed snapshot."""
        snapshot["updated_at"] = moment()
        self._store.put("snapshot", snapshot["id"], snapshot, snapshot["project_id"])
        return snapshot

    def create_snapshot(
        self, volume_id: str, project_id: str | None, user_id: str, attributes: Document,
        force: bool,
    ) -> Document:
        """Begin to make a snapshot; of a volume in use only with ``force``."""
        with self._store.transaction():
            volume = self.get(volume_id, project_id)
            allowed = ("available", "in-use") if force else ("available",)
            if volume["status"] not in allowed:
                raise errors.bad_request(
                    f"Invalid volume: Volume {volume_id} status must be "
                    f"{' or '.join(allowed)}, but current status is: {volume['status']}.")
            self._quotas.need_snapshot(volume["project_id"], volume["size"])
            now = moment()
            snapshot = {
                "id": str(uuid.uuid4()), "project_id": volume["project_id"],
                "user_id": user_id, "volume_id": volume_id, "size": volume["size"],
                "status": "creating", "created_at": now, "updated_at": now, **attributes,
            }
            self._store.put("snapshot", snapshot["id"], snapshot, volume["project_id"])
            self._scheduler.schedule("cinder.snapshot_create", snapshot["id"])
            return snapshot

    def _snapshot_create_work(self, snapshot_id: str, _args: Document) -> None:
        snapshot = self._store.get("snapshot", snapshot_id)
        if snapshot is None or snapshot["status"] != "creating":
            return
        try:
            self._hypervisor.create_snapshot(snapshot_id, snapshot["volume_id"])
            status = "available"
        except HypervisorError as exc:
            LOG.warning("snapshot %s cannot be made: %s", snapshot_id, exc)
            status = "error"
        snapshot["status"] = status
        self.save_snapshot(snapshot)

    def delete_snapshot(
        self, snapshot_id: str, project_id: str | None, force: bool = False,
    ) -> None:
        """Begin to remove a snapshot."""
        with self._store.transaction():
            snapshot = self.get_snapshot(snapshot_id, project_id)
            if not force and snapshot["status"] not in ("available", "error"):
                raise errors.bad_request(
                    "Invalid snapshot: Snapshot status must be one of ('available', 'error') "
                    f"to delete, but is {snapshot['status']}.")
            snapshot["status"] = "deleting"
            self.save_snapshot(snapshot)
            self._scheduler.schedule("cinder.snapshot_delete", snapshot_id)

    def _snapshot_delete_work(self, snapshot_id: str, _args: Document) -> None:
        snapshot = self._store.get("snapshot", snapshot_id)
        if snapshot is None or snapshot["status"] != "deleting":
            return
        try:
            self._hypervisor.delete_snapshot(snapshot_id)
        except HypervisorError as exc:
            LOG.warning("snapshot %s cannot be removed: %s", snapshot_id, exc)
            snapshot["status"] = "error_deleting"
            self.save_snapshot(snapshot)
            return
        self._store.delete("snapshot", snapshot_id)
