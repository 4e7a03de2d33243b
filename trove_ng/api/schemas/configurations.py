"""Bodies about configuration groups."""

from __future__ import annotations

from trove_ng.api.schemas.common import DATASTORE, FLAG, TITLE, Schema, array, obj
from trove_ng.datastores.parameters import KINDS
from trove_ng.datastores.parameters import NAME as PARAMETER_NAME

_GROUP_NAME: Schema = {**TITLE, "maxLength": 64}
_DESCRIPTION: Schema = {"type": ["string", "null"], "maxLength": 256}
_TEXT: Schema = {"type": "string", "maxLength": 4096}
_VALUE: Schema = {"oneOf": [
    {"type": "boolean"}, {"type": "number"}, _TEXT, {"type": "array", "items": _TEXT}]}
_VALUES: Schema = {"type": "object", "maxProperties": 1000,
                   "propertyNames": {"maxLength": 128}, "additionalProperties": _VALUE}

CREATE: Schema = obj({"configuration": obj({
    "name": _GROUP_NAME, "values": _VALUES, "description": _DESCRIPTION,
    "datastore": DATASTORE,
}, ("name", "values"))}, ("configuration",))

_CHANGE = {"name": _GROUP_NAME, "values": _VALUES, "description": _DESCRIPTION}
REPLACE: Schema = obj({"configuration": obj(_CHANGE, ("values",))}, ("configuration",))
MERGE: Schema = obj({"configuration": obj(_CHANGE, minProperties=1)}, ("configuration",))

_LIMIT: Schema = {"anyOf": [
    {"type": "number"}, {"type": "null"},
    {"type": "string", "maxLength": 40, "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}]}
_PARAMETER: dict[str, Schema] = {
    "name": {"type": "string", "maxLength": 128, "pattern": f"^{PARAMETER_NAME}$"},
    "data_type": {"type": "string", "enum": list(KINDS)},
    "restart_required": FLAG, "min_size": _LIMIT, "max_size": _LIMIT,
    "choices": array({"type": "string", "minLength": 1, "maxLength": 255}, maximum=100),
    "description": {"type": ["string", "null"], "maxLength": 1024}}
CREATE_PARAMETER: Schema = obj({"configuration-parameter": obj(
    _PARAMETER, ("name", "data_type"))}, ("configuration-parameter",))
UPDATE_PARAMETER: Schema = obj({"configuration-parameter": obj(
    _PARAMETER, ("data_type",))}, ("configuration-parameter",))
