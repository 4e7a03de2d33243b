"""Which volumes an instance gets (spec extended-filesystems): pure decisions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from trove_ng.common.errors import BadRequest
from trove_ng.common.states import DATA_VOLUME

DATA = DATA_VOLUME
#: name of the configuration of requests that name none
DEFAULT = "default"
CINDER = "cinder"
#: what makes volumes
PROVIDERS = (CINDER,)
#: device type → file system that the guest makes on it
DEVICE_TYPES: Mapping[str, str] = {
    "block_ext3": "ext3", "block_ext4": "ext4", "block_xfs": "xfs"}

Body = Mapping[str, Any]


class Line(Protocol):
    """A line of a volume configuration."""

    volume_kind: str
    size: int | None
    provider: str
    provider_type: str | None
    device_type: str
    required: bool


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume to make.

    :param size: GB
    :param volume_type: as the volume service names it; None: the operator's default
    :param device_type: see :data:`DEVICE_TYPES`; None: the operator's default
    :param provider: see :data:`PROVIDERS`
    """

    kind: str
    size: int
    volume_type: str | None = None
    device_type: str | None = None
    provider: str = CINDER


def device_type(fstype: str) -> str:
    """Return the device type of volumes with a file system."""
    return f"block_{fstype}"


def plan(lines: Iterable[Line], volume: Body | None, listed: Sequence[Body] | None,
         ) -> list[Volume]:
    """Return the volumes of a new instance, the data volume first.

    What the request says outranks the configuration.  A volume that the configuration does
    not require is made if the request names it.

    :param lines: of the volume configuration, if there is one
    :param volume: size and type of the data volume, as in the request
    :param listed: kinds and sizes, as in the request
    :raises BadRequest: names field and rule
    """
    if volume is not None and listed is not None:
        raise BadRequest("Validation error: instance.volume and instance.volume_list cannot be "
                         "given together.")
    configured = {one.volume_kind: one for one in lines}
    asked: dict[str, Body] = {DATA: volume} if volume is not None else {}
    for one in listed or []:
        if one["volume_kind"] in asked:
            raise BadRequest("Validation error: instance.volume_list names "
                             f"{one['volume_kind']} twice.")
        asked[one["volume_kind"]] = one
    if DATA not in configured and DATA not in asked:
        raise BadRequest("Validation error: instance.volume is required.")
    wanted = {*asked, *(kind for kind, line in configured.items() if line.required)} - {DATA}
    return [_volume(kind, configured.get(kind), asked.get(kind, {}))
            for kind in (DATA, *sorted(wanted))]


def _volume(kind: str, line: Line | None, asked: Body) -> Volume:
    size = asked.get("size") or (line.size if line is not None else None)
    if size is None:
        raise BadRequest(f"Validation error: instance.volume_list: the size of {kind} is "
                         "required, the volume configuration does not say.")
    if line is None:
        return Volume(kind, int(size), asked.get("type"))
    return Volume(kind, int(size), asked.get("type") or line.provider_type, line.device_type,
                  line.provider)


def check_kinds(volumes: Iterable[Volume], offered: Sequence[str]) -> None:
    """Check that a datastore has volumes of these kinds.

    :raises BadRequest: names the one that it has not
    """
    for one in volumes:
        if one.kind not in offered:
            raise BadRequest(f"Validation error: the datastore has no volumes of kind {one.kind}; "
                             f"it has {', '.join(offered)}.")
