"""Bodies about logs of instances."""

from __future__ import annotations

from trove_ng.api.schemas.common import Schema, obj

#: released clients send 0 and 1, the spec prints texts
_SWITCH: Schema = {"enum": [True, False, 0, 1, "True", "False", "true", "false"]}
#: what may be done with a log
ACTIONS = ("enable", "disable", "publish", "discard")
ACTION: Schema = obj({
    "name": {"type": "string", "minLength": 1, "maxLength": 64,
             "pattern": "^[a-z][a-z0-9_]*$"},
    **dict.fromkeys(ACTIONS, _SWITCH)}, ("name",), examples=[
        {"name": "general"}, {"name": "general", "enable": 1},
        {"name": "slow_query", "publish": 1}])
