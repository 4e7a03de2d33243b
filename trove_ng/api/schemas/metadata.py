"""Bodies about what projects keep with their instances."""

from __future__ import annotations

from trove_ng.api.schemas.common import Schema, obj

#: bytes of a value as JSON
MOST_BYTES = 4096
#: keys of an instance
MOST_KEYS = 128

KEY: Schema = {"type": "string", "minLength": 1, "maxLength": 255,
               "pattern": r"^[0-9A-Za-z_.:-]{1,255}$"}
#: released clients send what is JSON as the value that it stands for
_VALUE: Schema = {"description": "any value"}

CREATE: Schema = obj({"metadata": obj({"value": _VALUE}, ("value",))}, ("metadata",),
                     examples=[{"metadata": {"value": "shop"}}])
UPDATE: Schema = obj({"metadata": obj({"key": KEY, "value": _VALUE}, ("value",))},
                     ("metadata",),
                     examples=[{"metadata": {"key": "team", "value": {"name": "shop"}}}])
