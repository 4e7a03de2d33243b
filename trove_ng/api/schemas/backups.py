"""Bodies about backups."""

from __future__ import annotations

from trove_ng.api.schemas.common import DESCRIPTION, TITLE, UUID, Schema, obj

#: Swift container: no slash nor control character, at most 256 bytes, no "." or ".."
_CONTAINER: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": 255,
                      "pattern": r"^[^/\x00-\x1f\x7f]+$", "format": "container"}

STRATEGY: Schema = obj({"backup_strategy": obj({
    "swift_container": _CONTAINER | {"type": "string"},
    "instance_id": {"oneOf": [UUID, {"type": "null"}]},
}, ("swift_container",))}, ("backup_strategy",), examples=[
    {"backup_strategy": {"swift_container": "nightly_backups"}}])

CREATE: Schema = obj({"backup": obj({
    "name": TITLE,
    "description": DESCRIPTION,
    "instance": UUID,
    "parent_id": {"oneOf": [UUID, {"type": "null"}]},
    "incremental": {"enum": [0, 1, True, False]},
    "swift_container": _CONTAINER,
    "storage_driver": {"enum": ["swift", None]},
}, ("name", "instance"))}, ("backup",), examples=[
    {"backup": {"name": "nightly", "instance": "0b6f2a43-5e0c-4a49-9d34-0a6d5b0a51c7"}}])
