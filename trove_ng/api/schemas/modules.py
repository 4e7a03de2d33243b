"""Bodies about modules."""

from __future__ import annotations

from trove_ng.api.schemas.common import (
    DESCRIPTION,
    FLAG,
    NAME,
    PROJECT_ID,
    TITLE,
    UUID,
    Schema,
    array,
    obj,
)

#: bytes of a module's file
MAX_CONTENTS = 65536

_HELLO = "bWVzc2FnZT1IZWxsbwo="
_TYPE: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
                 "pattern": r"^[0-9A-Za-z_.-]+$"}
#: a file in base64
_CONTENTS: Schema = {"type": "string", "minLength": 4, "maxLength": (MAX_CONTENTS + 2) // 3 * 4,
                     "pattern": r"^[0-9A-Za-z+/]+={0,2}$", "contentEncoding": "base64",
                     "examples": [_HELLO]}
_ORDER: Schema = {"type": "integer", "minimum": 0, "maximum": 9}
_SECONDS: Schema = {"type": "integer", "minimum": 0, "maximum": 86400}

_COMMON: dict[str, Schema] = {
    "name": TITLE, "module_type": _TYPE, "type": _TYPE, "contents": _CONTENTS,
    "description": DESCRIPTION,
    # the specs have names of datastore and version, and of the project or all
    "datastore": {"oneOf": [obj({"type": NAME, "version": NAME}), NAME]},
    "datastore_version": NAME, "tenant": {"type": "string", "pattern": PROJECT_ID},
    "all_tenants": FLAG, "auto_apply": FLAG, "visible": FLAG, "live_update": FLAG,
    "priority_apply": FLAG, "apply_order": _ORDER, "full_access": FLAG}

CREATE: Schema = obj({"module": obj(_COMMON, ("name", "contents"))}, ("module",), examples=[{
    "module": {"name": "hello", "module_type": "ping", "contents": _HELLO}}])
UPDATE: Schema = obj({"module": obj({
    **_COMMON, "all_datastores": FLAG, "all_datastore_versions": FLAG}, minProperties=1)},
    ("module",), examples=[{"module": {"description": "says hello"}}])
REAPPLY: Schema = obj({"reapply": obj({
    "md5": {"type": "string", "maxLength": 32, "pattern": "^[0-9a-f]{32}$"},
    "include_clustered": FLAG,
    "batch_size": {"type": "integer", "minimum": 1, "maximum": 1000000},
    "batch_delay": _SECONDS, "force": FLAG})}, ("reapply",),
    examples=[{"reapply": {"batch_size": 10}}])
APPLY: Schema = obj({"modules": array(obj({"id": UUID}, ("id",)), 1, 100)}, ("modules",))
