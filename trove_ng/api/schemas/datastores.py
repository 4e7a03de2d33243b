"""Bodies about datastores, for operators."""

from __future__ import annotations

from trove_ng.api.schemas.common import NAME, Schema, array, obj
from trove_ng.api.schemas.common import PROJECT_ID as PROJECT_PATTERN
from trove_ng.domain.versions import Visibility

_FLAG: Schema = {"type": "boolean"}
_TAG: Schema = {"type": "string", "maxLength": 20, "pattern": r"^[0-9A-Za-z][0-9A-Za-z_.:-]*$"}
_PACKAGE: Schema = {"type": "string", "maxLength": 255,
                    "pattern": r"^[0-9A-Za-z][0-9A-Za-z_.:+~=-]*$"}
#: a list, or its parts with commas between
_PACKAGES: Schema = {"anyOf": [
    array(_PACKAGE, maximum=50),
    {"type": "string", "maxLength": 511, "pattern": r"^[0-9A-Za-z_.:+~=, -]*$"},
    {"type": "null"}]}
_TEXT: Schema = {"type": ["string", "null"], "maxLength": 4095,
                 "pattern": r"^[^\x00-\x1f\x7f]*$"}
_IMAGE: Schema = {"type": ["string", "null"], "maxLength": 36, "pattern": r"^[0-9A-Za-z-]*$"}
_VISIBILITY: Schema = {"type": "string", "enum": [str(one) for one in Visibility]}
_VERSION: dict[str, Schema] = {
    "name": NAME, "datastore_manager": NAME, "manager": NAME, "image": _IMAGE,
    "image_tags": {"anyOf": [array(_TAG, maximum=5), {"type": "null"}]},
    "packages": _PACKAGES, "active": _FLAG, "default": _FLAG, "registry_ext": _TEXT,
    "repl_strategy": _TEXT, "visibility": _VISIBILITY}

CREATE_VERSION: Schema = obj({"version": obj({
    **_VERSION, "datastore_name": NAME, "datastore": NAME, "version": NAME},
    ("name",))}, ("version",))
#: without a word around it, as released clients send it
UPDATE_VERSION: Schema = obj(_VERSION)
VISIBILITY: Schema = obj({"datastore_version": obj(
    {"visibility": _VISIBILITY}, ("visibility",))}, ("datastore_version",))
MEMBER: Schema = obj({"member": {"type": "string", "pattern": PROJECT_PATTERN}}, ("member",))
CAPABILITY: Schema = obj({"capability": obj({
    "enabled": _FLAG, "description": {"type": "string", "maxLength": 255}},
    minProperties=1)}, ("capability",))
OVERRIDE: Schema = obj({"capability": obj({"enabled": _FLAG}, ("enabled",))}, ("capability",))
