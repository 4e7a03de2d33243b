"""Which volumes an instance gets (spec extended-filesystems): pure decisions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from trove_ng.common.errors import BadRequest
from trove_ng.common.states import DATA_VOLUME, ROOT_VOLUME

DATA = DATA_VOLUME
#: name of the configuration of requests that name none
DEFAULT = "default"
ROOT = ROOT_VOLUME
CINDER, NOVA, EXTERNAL = "cinder", "nova", "external"
#: what makes volumes; external ones are shares that are there before
PROVIDERS = (CINDER, NOVA, EXTERNAL)
#: device type of external ones
SHARED = "shared"
#: device type → file system that the guest makes on it
DEVICE_TYPES: Mapping[str, str] = {
    "block_ext3": "ext3", "block_ext4": "ext4", "block_xfs": "xfs"}

_SHARE = re.compile(r"[A-Za-z0-9.-]+:/[^\s\\]*")

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
    :param volume_type: as the volume service names it, None: the operator's default; of an
        external one, server and directory
    :param device_type: see :data:`DEVICE_TYPES`; None: the operator's default
    :param provider: see :data:`PROVIDERS`
    :param named: the request names the type, not the operator
    """

    kind: str
    size: int
    volume_type: str | None = None
    device_type: str | None = None
    provider: str = CINDER
    named: bool = dataclasses.field(default=False, compare=False)


def check_line(kind: str, provider: str, provider_type: str | None, device: str) -> None:
    """Check that a line of a volume configuration can be made.

    :raises BadRequest: says what does not fit
    """
    if (kind == ROOT) != (device == ROOT) or kind == ROOT and provider != NOVA:
        raise BadRequest("The volume root is of provider nova and device type root, which "
                         "nothing else is.")
    if (device == SHARED) != (provider == EXTERNAL):
        raise BadRequest("Volumes of provider external, and no others, are of device type "
                         "shared.")
    if provider == EXTERNAL and not _SHARE.fullmatch(provider_type or ""):
        raise BadRequest("The type of an external volume is server:/directory of its share.")
    if provider == NOVA and provider_type:
        raise BadRequest("Volumes of provider nova have no type.")


def check_room(volumes: Iterable[Volume], disk_gb: int, ephemeral_gb: int) -> None:
    """Check that the disks of a flavor hold the volumes that the server brings along.

    :raises BadRequest: they do not
    """
    needed = {ROOT: 0, "ephemeral": 0}
    for one in volumes:
        if one.provider == NOVA:
            needed[ROOT if one.kind == ROOT else "ephemeral"] += one.size
    for what, has in ((ROOT, disk_gb), ("ephemeral", ephemeral_gb)):
        if needed[what] > has:
            raise BadRequest(f"Validation error: flavorRef: the volumes need {needed[what]} GB "
                             f"of {what} disk, the flavor has {has} GB.")


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
    named = bool(asked.get("type"))
    if line is None:
        return Volume(kind, int(size), asked.get("type"), named=named)
    return Volume(kind, int(size), asked.get("type") or line.provider_type, line.device_type,
                  line.provider, named)


def check_kinds(volumes: Iterable[Volume], offered: Sequence[str]) -> None:
    """Check that a datastore has volumes of these kinds.

    :raises BadRequest: names the one that it has not
    """
    for one in volumes:
        # a root disk is the flavor's: only a configuration speaks of it
        if one.kind not in offered and (one.kind, one.provider) != (ROOT, NOVA):
            raise BadRequest(f"Validation error: the datastore has no volumes of kind {one.kind}; "
                             f"it has {', '.join(offered)}.")
