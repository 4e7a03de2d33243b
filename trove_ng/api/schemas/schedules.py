"""Bodies about schedules."""

from __future__ import annotations

from trove_ng.api.schemas.common import DESCRIPTION, TITLE, UUID, Schema, obj

#: five fields; the rest is checked by the handler
_PATTERN: Schema = {"type": "string", "minLength": 9, "maxLength": 255,
                    "pattern": r"^[0-9A-Za-z*,/# \t-]+$", "format": "cron"}

_SET: dict[str, Schema] = {
    "name": TITLE,
    "description": DESCRIPTION,
    "pattern": _PATTERN,
    # a name of the IANA database
    "time_zone": {"type": "string", "minLength": 1, "maxLength": 64,
                  "pattern": r"^[0-9A-Za-z_+/-]+$", "format": "time-zone"},
    # 1: every backup is full; n: every nth; 0: only what can continue no other one
    "full_every": {"type": "integer", "minimum": 0, "maximum": 1000},
    "keep_count": {"type": ["integer", "null"], "minimum": 1, "maximum": 10000},
    "keep_days": {"type": ["integer", "null"], "minimum": 1, "maximum": 36500},
    "paused": {"type": "boolean"},
    # every nth backup is verified, or the newest at times of its own
    "verify": {"anyOf": [
        obj({"every": {"type": "integer", "minimum": 1, "maximum": 1000}}, ("every",)),
        obj({"pattern": _PATTERN}, ("pattern",)), {"type": "null"}]},
    # a backup that each of them continues
    "parent_id": {"oneOf": [UUID, {"type": "null"}]},
}

CREATE: Schema = obj({"schedule": obj({**_SET, "instance": UUID},
                                      ("name", "instance", "pattern"))}, ("schedule",), examples=[
    {"schedule": {"name": "nightly", "instance": "0b6f2a43-5e0c-4a49-9d34-0a6d5b0a51c7",
                  "pattern": "0 2 * * *", "time_zone": "Europe/Berlin", "full_every": 7,
                  "keep_count": 14}}])
UPDATE: Schema = obj({"schedule": obj(_SET)}, ("schedule",), examples=[
    {"schedule": {"paused": True}}])
