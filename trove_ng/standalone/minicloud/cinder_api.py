"""Handlers of Cinder: volumes, their actions, attachments and snapshots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from trove_ng.standalone.minicloud import cinder_errors as errors
from trove_ng.standalone.minicloud import cinder_views as views
from trove_ng.standalone.minicloud.cinder_volumes import Volumes
from trove_ng.standalone.minicloud.nova_call import Answer, Call, Document
from trove_ng.standalone.minicloud.store import Store

ZONE = "nova"
DEFAULT_TYPE = "__DEFAULT__"
_VOLUME_KEYS = frozenset((
    "size", "name", "display_name", "description", "display_description", "snapshot_id",
    "source_volid", "volume_type", "availability_zone", "metadata", "imageRef", "image_id",
    "multiattach", "consistencygroup_id", "group_id", "user_id", "project_id", "status",
    "attach_status", "source_replica", "scheduler_hints", "backup_id", "shareable",
))


def body_of(document: Any, key: str) -> Document:
    """Return the object below ``key`` of a request's body."""
    if not isinstance(document, dict) or not isinstance(document.get(key), dict):
        raise errors.bad_request(
            f"Missing required element '{key}' in request body.")
    found: Document = document[key]
    return found


def whole(value: Any, name: str, least: int = 1) -> int:
    """Accept an integer, also in a string."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = int(value)
    except (TypeError, ValueError):
        raise errors.bad_request(
            f"Invalid input for field/attribute {name}. Value: {value}. {value!r} is not an "
            "integer") from None
    if number < least:
        raise errors.bad_request(
            f"Invalid input for field/attribute {name}. Value: {value}. {number} is less than "
            f"the minimum of {least}")
    return number


def text(value: Any, name: str) -> str | None:
    """Accept a string of at most 255 characters, or None."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 255:
        raise errors.bad_request(
            f"Invalid input for field/attribute {name}. Value: {value}. {value!r} is not a "
            "string of at most 255 characters")
    return value


def metadata(value: Any) -> dict[str, str]:
    """Accept metadata: strings of at most 255 characters."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(
            isinstance(item, str) and len(item) <= 255 and 1 <= len(key) <= 255
            for key, item in value.items()):
        raise errors.bad_request(
            f"Invalid input for field/attribute metadata. Value: {value}. It is not an object "
            "of strings")
    return dict(value)


def paged(
    call: Call, found: list[Document], kind: str, project_id: str,
) -> tuple[list[Document], list[Document]]:
    """Return one page of documents, and the link to the next one if there is any."""
    keys = (call.one("sort") or call.one("sort_key") or "created_at:desc").split(",")
    for key in reversed(keys):
        name, _, direction = key.partition(":")
        direction = direction or call.one("sort_dir") or "desc"
        found = sorted(found, key=lambda one, name=name: (  # type: ignore[misc]
            str(one.get(name) or ""), one["id"]), reverse=direction == "desc")
    marker = call.one("marker")
    if marker:
        places = [one["id"] for one in found]
        if marker not in places:
            raise errors.not_found(f"{kind[:-1].capitalize()} {marker} could not be found.")
        found = found[places.index(marker) + 1:]
    offset = whole(call.one("offset") or 0, "offset", 0)
    limit = min(whole(call.one("limit") or 1000, "limit", 0), 1000)
    page = found[offset:offset + limit]
    links: list[Document] = []
    if call.one("limit") and len(found) > offset + limit and page:
        kept = [(key, value) for key, values in call.query.items()
                if key not in ("marker", "offset") for value in values]
        query = urlencode([*kept, ("marker", page[-1]["id"])])
        links = [{"rel": "next", "href": f"{call.base}/v3/{project_id}/{kind}?{query}"}]
    return page, links


def filters(
    call: Call, doc: Mapping[str, Any], names: tuple[str, ...], like: bool = True,
) -> bool:
    """Return whether a document passes the filters of a query (``name~`` is 'contains')."""
    for key, values in call.query.items():
        value = values[-1]
        if key in names:
            have = doc.get(key)
            shown = str(have).lower() if isinstance(have, bool) else str(have or "")
            if shown != (value.lower() if isinstance(have, bool) else value):
                return False
        elif like and key.endswith("~") and key[:-1] in names:
            if value not in str(doc.get(key[:-1]) or ""):
                return False
        elif key == "metadata":
            try:
                wanted = json.loads(value.replace("'", '"'))
            except ValueError:
                raise errors.bad_request(f"Invalid filter metadata: {value}") from None
            if not set(wanted.items()) <= set(doc["metadata"].items()):
                return False
    return True


class VolumeApi:
    """Handlers of ``/volumes``."""

    def __init__(self, store: Store, volumes: Volumes) -> None:
        self._store = store
        self._volumes = volumes

    def _view(self, call: Call, volume: Document) -> Document:
        return views.volume(
            volume, self._volumes.attachments(volume["id"]), call.caller.version, call.base,
            call.caller.admin)

    def index(self, call: Call, detail: bool = False) -> Answer:
        """Return one page of volumes."""
        everyone = call.truth("all_tenants") and "all_tenants" in call.query
        project = None if everyone and call.caller.admin else call.caller.project_id
        asked = call.one("project_id")
        found = [
            one for one in self._store.list("volume", project)
            if filters(call, one, ("name", "status", "bootable", "availability_zone",
                                   "volume_type", "snapshot_id", "user_id"))
            and (not asked or not call.caller.admin or one["project_id"] == asked)]
        kind = "volumes/detail" if detail else "volumes"
        page, links = paged(call, found, kind, call.caller.project_id)
        answer: Document = {"volumes": [
            self._view(call, one) if detail else views.volume_summary(one, call.base)
            for one in page]}
        if links:
            answer["volumes_links"] = links
        if call.truth("with_count") and "with_count" in call.query \
                and call.caller.version >= (3, 45):
            answer["count"] = len(found)
        return 200, answer

    def detail(self, call: Call) -> Answer:
        """Return one page of volumes in detail."""
        return self.index(call, detail=True)

    def show(self, call: Call, volume_id: str) -> Answer:
        """Return one volume."""
        volume = self._volumes.get(volume_id, call.caller.owner)
        return 200, {"volume": self._view(call, volume)}

    def create(self, call: Call) -> Answer:
        """Begin to make a volume."""
        body = body_of(call.body, "volume")
        unknown = sorted(set(body) - _VOLUME_KEYS)
        if unknown:
            raise errors.bad_request(
                "Invalid input for field/attribute volume. Additional properties are not "
                f"allowed ({', '.join(unknown)})")
        if body.get("imageRef") or body.get("image_id") or body.get("backup_id"):
            raise errors.bad_request(
                "Invalid input received: this cloud makes no volume of an image or a backup")
        size, source = self._size(body, call)
        wanted = body.get("volume_type") or DEFAULT_TYPE
        zone = body.get("availability_zone") or ZONE
        if zone != ZONE:
            raise errors.bad_request(
                f"Invalid input received: Availability zone '{zone}' is invalid.")
        volume = self._volumes.create(call.caller.project_id, call.caller.user_id, {
            "name": text(body.get("name", body.get("display_name")), "name"),
            "description": text(
                body.get("description", body.get("display_description")), "description"),
            "size": size, "metadata": metadata(body.get("metadata")),
            "availability_zone": zone, "snapshot_id": body.get("snapshot_id"),
            "source_volid": body.get("source_volid"), **self._volumes.type_of(wanted),
            "bootable": bool(source.get("bootable")),
        })
        return 202, {"volume": self._view(call, volume)}

    def _size(self, body: Document, call: Call) -> tuple[int, Document]:
        source: Document = {}
        if body.get("snapshot_id"):
            source = self._volumes.get_snapshot(body["snapshot_id"], call.caller.owner)
            if source["status"] != "available":
                raise errors.bad_request(
                    "Invalid snapshot: Originating snapshot status must be one of 'available' "
                    "values")
        elif body.get("source_volid"):
            source = self._volumes.get(body["source_volid"], call.caller.owner)
            if source["status"] not in ("available", "in-use"):
                raise errors.bad_request(
                    "Invalid volume: Unable to create a volume from an originating source "
                    "volume when its status is not one of available, in-use values")
        size = whole(body.get("size") or source.get("size"), "size")
        if size < source.get("size", 0):
            raise errors.bad_request(
                f"Invalid input received: Volume size '{size}'GB cannot be smaller than "
                f"original size {source['size']}GB. They must be >= original size.")
        return size, source

    def update(self, call: Call, volume_id: str) -> Answer:
        """Change name, description or metadata."""
        body = body_of(call.body, "volume")
        with self._store.transaction():
            volume = self._volumes.get(volume_id, call.caller.owner)
            for name in ("name", "description"):
                for key in (name, f"display_{name}"):
                    if key in body:
                        volume[name] = text(body[key], key)
            if "metadata" in body:
                volume["metadata"] = metadata(body["metadata"])
            self._volumes.save(volume)
        return 200, {"volume": self._view(call, volume)}

    def delete(self, call: Call, volume_id: str) -> Answer:
        """Begin to remove a volume, with ``cascade`` its snapshots too."""
        force = call.truth("force") and "force" in call.query and call.caller.admin
        cascade = call.truth("cascade") and "cascade" in call.query
        self._volumes.delete(volume_id, call.caller.owner, force=force, cascade=cascade)
        return 202, None

    # metadata

    def metadata(self, call: Call, volume_id: str) -> Answer:
        """Return the metadata of a volume."""
        return 200, {"metadata": self._volumes.get(volume_id, call.caller.owner)["metadata"]}

    def set_metadata(self, call: Call, volume_id: str) -> Answer:
        """Add metadata items."""
        return self._change_metadata(call, volume_id, keep=True)

    def replace_metadata(self, call: Call, volume_id: str) -> Answer:
        """Replace the metadata."""
        return self._change_metadata(call, volume_id, keep=False)

    def _change_metadata(self, call: Call, volume_id: str, keep: bool) -> Answer:
        given = metadata(body_of(call.body, "metadata"))
        with self._store.transaction():
            volume = self._volumes.get(volume_id, call.caller.owner)
            volume["metadata"] = {**(volume["metadata"] if keep else {}), **given}
            self._volumes.save(volume)
        return 200, {"metadata": volume["metadata"]}

    def delete_item(self, call: Call, volume_id: str, key: str) -> Answer:
        """Remove one metadata item."""
        with self._store.transaction():
            volume = self._volumes.get(volume_id, call.caller.owner)
            if key not in volume["metadata"]:
                raise errors.not_found(
                    f"Volume {volume_id} has no metadata with key {key}.")
            del volume["metadata"][key]
            self._volumes.save(volume)
        return 200, None

    # actions

    def act(self, call: Call, volume_id: str) -> Answer:
        """Do the one action that the body names."""
        if not isinstance(call.body, dict) or len(call.body) != 1:
            raise errors.bad_request("Malformed request body")
        name, args = next(iter(call.body.items()))
        action = {
            "os-attach": self._attach, "os-detach": self._detach,
            "os-begin_detaching": self._begin_detaching,
            "os-roll_detaching": self._roll_detaching, "os-reserve": self._reserve,
            "os-unreserve": self._unreserve, "os-extend": self._extend,
            "os-reset_status": self._reset_status, "os-force_delete": self._force_delete,
            "os-set_bootable": self._set_bootable,
            "os-update_readonly_flag": self._set_readonly,
        }.get(name)
        if action is None:
            raise errors.bad_request(f"There is no such action: {name}")
        self._volumes.get(volume_id, call.caller.owner)
        return action(call, volume_id, args if isinstance(args, dict) else {})

    def _attach(self, call: Call, volume_id: str, args: Document) -> Answer:
        with self._store.transaction():
            volume = self._volumes.get(volume_id)
            if volume["status"] == "available":
                self._volumes.reserve(volume_id, None, None, status="attaching")
            attachments = self._volumes.attachments(volume_id)
            if self._volumes.get(volume_id)["status"] != "attaching" or not attachments:
                raise errors.bad_request(
                    f"Invalid volume: Volume status must be available or attaching to attach, "
                    f"but is {volume['status']}.")
            attachment = attachments[0]
            self._volumes.own(attachment["id"], args.get("instance_uuid"))
            self._volumes.connect(
                attachment["id"], args.get("host_name"), args.get("mountpoint"),
                args.get("mode") or "rw")
            self._volumes.complete(attachment["id"])
        return 202, None

    def _detach(self, call: Call, volume_id: str, args: Document) -> Answer:
        for attachment in self._volumes.attachments(volume_id):
            if args.get("attachment_id") in (None, attachment["id"]):
                self._volumes.release(attachment["id"])
        return 202, None

    def _begin_detaching(self, call: Call, volume_id: str, args: Document) -> Answer:
        self._volumes.begin_detaching(volume_id, call.caller.owner)
        return 202, None

    def _roll_detaching(self, call: Call, volume_id: str, args: Document) -> Answer:
        self._volumes.roll_detaching(volume_id)
        return 202, None

    def _reserve(self, call: Call, volume_id: str, args: Document) -> Answer:
        self._volumes.reserve(volume_id, call.caller.owner, None, status="attaching")
        return 202, None

    def _unreserve(self, call: Call, volume_id: str, args: Document) -> Answer:
        for attachment in self._volumes.attachments(volume_id):
            if attachment["status"] == "reserved":
                self._volumes.release(attachment["id"])
        return 202, None

    def _extend(self, call: Call, volume_id: str, args: Document) -> Answer:
        self._volumes.extend(
            volume_id, call.caller.owner, whole(args.get("new_size"), "new_size"),
            attached_allowed=call.caller.version >= (3, 42))
        return 202, None

    def _reset_status(self, call: Call, volume_id: str, args: Document) -> Answer:
        self._admin(call, "volume_extension:volume_admin_actions:reset_status")
        self._volumes.reset_status(
            volume_id, args.get("status") or "", args.get("attach_status"))
        return 202, None

    def _force_delete(self, call: Call, volume_id: str, args: Document) -> Answer:
        self._admin(call, "volume_extension:volume_admin_actions:force_delete")
        self._volumes.delete(volume_id, None, force=True)
        return 202, None

    @staticmethod
    def _admin(call: Call, rule: str) -> None:
        if not call.caller.admin:
            raise errors.forbidden(f"Policy doesn't allow {rule} to be performed.")

    def _set_bootable(self, call: Call, volume_id: str, args: Document) -> Answer:
        with self._store.transaction():
            volume = self._volumes.get(volume_id)
            volume["bootable"] = str(args.get("bootable")).lower() == "true"
            self._volumes.save(volume)
        return 200, None

    def _set_readonly(self, call: Call, volume_id: str, args: Document) -> Answer:
        with self._store.transaction():
            volume = self._volumes.get(volume_id)
            volume["metadata"]["readonly"] = str(bool(args.get("readonly")))
            self._volumes.save(volume)
        return 202, None
