"""Bodies about backups."""

from __future__ import annotations

from trove_ng.api.schemas.common import DESCRIPTION, FLAG, NAME, TITLE, UUID, Schema, obj

#: Swift container: no slash nor control character, at most 256 bytes, no "." or ".."
_CONTAINER: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": 255,
                      "pattern": r"^[^/\x00-\x1f\x7f]+$", "format": "container"}

#: objects, or a snapshot of the volume
_DRIVER: Schema = {"enum": ["swift", "cinder", None]}

#: a backup that another database service left in the project's object store; size in GB
_REMOTE: Schema = obj({
    "remote_location": {"type": "string", "maxLength": 1024,
                        "pattern": r"^https?://[^\x00-\x20\x7f]+$"},
    "local_datastore_version_id": NAME,
    "size": {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1000000},
                       {"type": "string", "maxLength": 12,
                        "pattern": r"^0*[1-9][0-9]{0,5}([.][0-9]{1,4})?$"}]},
}, ("remote_location", "local_datastore_version_id", "size"))

STRATEGY: Schema = obj({"backup_strategy": obj({
    "swift_container": _CONTAINER,
    "storage_driver": _DRIVER,
    "instance_id": {"oneOf": [UUID, {"type": "null"}]},
})}, ("backup_strategy",), examples=[
    {"backup_strategy": {"swift_container": "nightly_backups"}}])

ACTION: Schema = obj({"verify": obj({})}, ("verify",), examples=[{"verify": {}}])

CREATE: Schema = obj({"backup": obj({
    "name": TITLE,
    "description": DESCRIPTION,
    "instance": UUID,
    "parent_id": {"oneOf": [UUID, {"type": "null"}]},
    "incremental": FLAG,
    "swift_container": _CONTAINER,
    "storage_driver": _DRIVER,
    "restore_from": {"anyOf": [_REMOTE, {"type": "null"}]},
}, ("name",))}, ("backup",), examples=[
    {"backup": {"name": "nightly", "instance": "0b6f2a43-5e0c-4a49-9d34-0a6d5b0a51c7"}}])
