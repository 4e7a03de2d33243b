"""What a route is, and what the tables of several areas have in common."""

from __future__ import annotations

import dataclasses
from typing import Any

from trove_ng.api.notified import Notify
from trove_ng.api.parsing import flag_pattern
from trove_ng.common.states import EventKind

Schema = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Route:
    """One method of one path.

    :param rule: policy rule that the caller must pass; a handler may ask for more
    :param success: status code of a good answer
    :param request: JSON schema of the body; None: there is no body
    :param answer: JSON schema of the body of a good answer; None: there is no body
    :param partly: JSON schema of the body of a 200, which is the answer instead where something
        is to be told; for routes whose good answers have no body
    :param query: names of query parameters → JSON schema of each
    :param body_optional: the body may be left out
    :param fails: statuses of failures besides those that any route may answer, which are
        400, 401, 403, 406, 413, 415, 503, and 404 where the path has parameters
    :param notify: how other services are told of a request that is done while its client
        waits; operations are told where they are accepted
    """

    method: str
    path: str
    handler: str
    rule: str
    success: int
    answer: Schema | None = None
    request: Schema | None = None
    partly: Schema | None = None
    query: dict[str, Schema] = dataclasses.field(default_factory=dict)
    body_optional: bool = False
    fails: tuple[int, ...] = ()
    notify: Notify | None = None


TEXT: Schema = {"type": "string"}
FLAG: Schema = {"anyOf": [{"type": "boolean"},
                          {"type": "string", "pattern": flag_pattern()}]}
PAGE: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 0, "maximum": 999999999},
    "marker": {"type": "string", "maxLength": 512}}
#: pages by position
OFFSET: dict[str, Schema] = {
    **PAGE, "marker": {"type": "integer", "minimum": 0, "maximum": 999999999}}
EVENT_LIST = {**PAGE, "kind": {"type": "string", "enum": [str(one) for one in EventKind]}}
#: what begins work fails so, when other work is done, or the state does not allow it
WORK = (409, 422)
#: what asks an agent fails so
GUEST = (409, 422, 501)
INSTANCE_LIST = {**PAGE, "include_clustered": FLAG, "deleted": FLAG}
