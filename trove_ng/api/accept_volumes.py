"""What volumes a request for an instance asks for."""

from __future__ import annotations

from typing import Any

from trove_ng.api.call import Call
from trove_ng.common.errors import BadRequest
from trove_ng.db.repositories import volumes as stored
from trove_ng.domain import volumes


def wanted(call: Call, body: dict[str, Any]) -> list[volumes.Volume]:
    """Return the volumes that a new instance gets; their types are not checked yet.

    :raises BadRequest: names field and rule
    """
    conf = call.services.conf
    given = [name for name in ("volume", "volume_list", "volume_config") if body.get(name)]
    if not conf.trove_volume_support:
        if given:
            raise BadRequest(
                f"Validation error: instance.{given[0]}: volumes are not supported here.")
        return []
    name = body.get("volume_config")
    with call.services.db.reader() as session:
        lines = stored.lines(session, name or volumes.DEFAULT)
        session.expunge_all()
    if name and not lines:
        raise BadRequest(f"Validation error: instance.volume_config {name} does not exist.")
    found = volumes.plan(lines, body.get("volume"), body.get("volume_list"))
    for one in found:
        if not 1 <= one.size <= conf.max_accepted_volume_size:
            field = ("instance.volume.size" if one.kind == volumes.DATA
                     else f"instance.volume_list: the size of {one.kind}")
            raise BadRequest(f"Validation error: {field} must be from 1 to "
                             f"{conf.max_accepted_volume_size} GB.")
    return found
