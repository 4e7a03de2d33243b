"""Bodies about TLS."""

from __future__ import annotations

from trove_ng.api.schemas.common import Schema, obj
from trove_ng.common.tls import MODES

_YES: Schema = {"const": True}
_REFERENCE: Schema = {"type": "string", "format": "uri", "minLength": 1, "maxLength": 255}

UPDATE: Schema = obj({"ssl": {"oneOf": [
    obj({"enable": _YES, "mode": {"enum": list(MODES)}, "container_ref": _REFERENCE,
         "password_ref": _REFERENCE}, ("enable",)),
    obj({"disable": _YES}, ("disable",)),
    obj({"rollback": _YES}, ("rollback",)),
]}}, ("ssl",), examples=[{"ssl": {"enable": True, "mode": "enforced"}}])
