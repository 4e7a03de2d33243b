"""What becomes of the volumes that the cloud gave to this server."""

from __future__ import annotations

import collections
import errno
import logging
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from oslo_config import cfg
from oslo_utils import strutils

from trove_ng.common.errors import UnprocessableEntity
from trove_ng.common.states import DATA_VOLUME
from trove_ng.guestagent import health
from trove_ng.guestagent.os.volumes import VolumeManager
from trove_ng.rpc.messages import DeviceConfig, VolumeSpec

LOG = logging.getLogger(__name__)

#: kinds beside the data without which a database does not go on
_VITAL = ("binlog",)

#: links to devices that carry the beginning of the volume's id, as QEMU gives it to them
_BY_ID = pathlib.Path("/dev/disk/by-id")
_SERIAL = 20


def mount_point(conf: cfg.ConfigOpts, kind: str, data: str) -> str:
    """Return where the volumes of a kind are mounted.

    :param conf: with the group ``volume_mapping``
    :param data: where that of the data is, unless the configuration says
    :raises UnprocessableEntity: nothing is known of the kind
    """
    wanted = _mapping(conf, kind).get("mount_point", "")
    if kind == DATA_VOLUME:
        return wanted or data
    return os.path.join(mount_point(conf, DATA_VOLUME, data), wanted or kind)


def _mapping(conf: cfg.ConfigOpts, kind: str) -> Mapping[str, str]:
    if kind not in conf.volume_mapping:
        raise UnprocessableEntity(f"The agent has no place for volumes of kind {kind}.")
    found: Mapping[str, str] = conf.volume_mapping[kind]
    return found


def specs(conf: cfg.ConfigOpts, devices: Iterable[DeviceConfig], data: str,
          by_id: pathlib.Path = _BY_ID) -> list[VolumeSpec]:
    """Return what to mount, in the order of mounting.

    :param conf: with the groups ``volume_mapping`` and ``device_type``
    :param data: where the data volume is mounted
    :raises UnprocessableEntity: a kind or a device type is not known
    """
    ordered = sorted(devices, key=lambda one: (
        int(_mapping(conf, one.volume_kind).get("mount_priority", 0)),
        mount_point(conf, one.volume_kind, data)))
    return [_spec(conf, one, data, by_id) for one in ordered]


def _spec(conf: cfg.ConfigOpts, one: DeviceConfig, data: str, by_id: pathlib.Path,
          ) -> VolumeSpec:
    if one.device_type not in conf.device_type:
        raise UnprocessableEntity(f"The agent knows no device type {one.device_type}.")
    known: Mapping[str, str] = conf.device_type[one.device_type]
    options = known.get("mount_options", one.mount_options).strip()
    return VolumeSpec(
        kind=one.volume_kind, device=_device(one, by_id), fstype=known["mount_type"],
        mount_point=mount_point(conf, one.volume_kind, data),
        mount_options=options.removeprefix("-o").strip(),
        raw=strutils.bool_from_string(known.get("raw_block_device", "true"), strict=True))


def _device(one: DeviceConfig, by_id: pathlib.Path) -> str:
    """Return the device: its order on the server may differ from what the cloud tells."""
    if one.volume_id is None or not by_id.is_dir():
        return one.device_path
    found = sorted(link for link in by_id.iterdir()
                   if link.name.endswith(f"_{one.volume_id[:_SERIAL]}")
                   or link.name.endswith(f"-{one.volume_id[:_SERIAL]}"))
    return str(found[0].resolve()) if found else one.device_path


class ServerVolumes:
    """The volumes that this server was given, by their kinds.

    :param conf: with the groups ``volume_mapping`` and ``device_type``
    :param volumes: mounts them and knows what is mounted
    :param data: returns where the data volume is mounted, also when it is not now
    """

    def __init__(self, conf: cfg.ConfigOpts, volumes: VolumeManager, data: Callable[[], str],
                 ) -> None:
        self._conf, self._volumes, self._data = conf, volumes, data
        self._health: dict[str, health.VolumeHealth] = collections.defaultdict(
            health.VolumeHealth)

    def wanted(self, devices: Sequence[DeviceConfig], volume: VolumeSpec | None,
               ) -> list[VolumeSpec]:
        """Return what to mount, in the order of mounting.

        :param volume: the data volume, as older control planes tell of it alone
        """
        if devices:
            return specs(self._conf, devices, self._data())
        return [volume] if volume is not None else []

    def has(self, kind: str) -> bool:
        """Return whether this server was given a volume of a kind."""
        return any(one.kind == kind for one in self._volumes.remembered())

    def known(self, spec: VolumeSpec) -> VolumeSpec:
        """Return the volume of the same kind that was mounted here, else what is given."""
        return next((one for one in self._volumes.remembered() if one.kind == spec.kind), spec)

    def away(self) -> bool:
        """Return whether a volume is not mounted that was."""
        return not all(os.path.ismount(one.mount_point)
                       for one in self._volumes.remembered())

    def trouble(self) -> str:
        """Return what keeps a database from writing, empty if nothing."""
        for kind, path in self._vital():
            found = self._trouble(kind, path)
            if found:
                return found.replace(DATA_VOLUME, kind, 1)
        return ""

    def _vital(self) -> Iterator[tuple[str, str]]:
        yield DATA_VOLUME, self._data()
        for one in self._volumes.remembered():
            if one.kind in _VITAL:
                yield one.kind, one.mount_point

    def _trouble(self, kind: str, path: str) -> str:
        try:
            if any(one.mount_point == path for one in self._volumes.remembered()) \
                    and not os.path.ismount(path):
                return health.NOT_MOUNTED
            return self._health[kind].trouble(path) if os.path.isdir(path) else ""
        except OSError as err:
            LOG.warning("the volume %s cannot be looked at: %s", kind, err)
            return health.READ_ONLY if err.errno == errno.EIO else ""

    def nearly_full(self) -> bool:
        """Return whether there is little room left on the data volume."""
        path = self._data()
        return os.path.isdir(path) and health.VolumeHealth.nearly_full(path)
