"""Bodies about the cloud below the instances."""

from __future__ import annotations

from trove_ng.api.schemas.common import EMPTY, TITLE, Schema, obj

_MOST = 2 ** 31 - 1
_COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": _MOST}
_ONE_OR_MORE: Schema = {**_COUNT, "minimum": 1}

#: as released clients send it
FLAVOR: Schema = obj({"flavor": obj({
    "flavor_id": {"oneOf": [
        {"type": "string", "minLength": 1, "maxLength": 255,
         "pattern": r"^[0-9A-Za-z_.-]+$"}, _COUNT]},
    "name": TITLE, "ram": _ONE_OR_MORE, "disk": _COUNT, "vcpu": _ONE_OR_MORE,
    "ephemeral": _COUNT, "swap": _COUNT,
    "rxtx_factor": {"oneOf": [
        {"type": "string", "maxLength": 10, "pattern": r"^[1-9][0-9]{0,3}(\.[0-9]{1,4})?$"},
        {"type": "number", "minimum": 1, "maximum": 9999}]},
    "is_public": {"enum": [True, False, "True", "False", "true", "false"]},
}, ("name", "ram", "disk", "vcpu"))}, ("flavor",), examples=[{"flavor": {
    "name": "db.large", "ram": 8192, "disk": 20, "vcpu": 4, "flavor_id": "auto",
    "is_public": "True"}}])

#: released clients send a text
_NOTHING: Schema = {"anyOf": [EMPTY, {"type": "string", "maxLength": 0}]}
HOST_ACTION: Schema = obj({"update": _NOTHING, "migrate": _NOTHING}, minProperties=1,
                          maxProperties=1, examples=[{"update": ""}, {"migrate": {}}])
