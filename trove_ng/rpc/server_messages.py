"""The messages about another root disk of a server."""

from __future__ import annotations

from typing import Any

from trove_ng.rpc.messages import DeviceConfig, ResizeRequest, StepRequest, VolumeSpec


class PreUpgrade(StepRequest, frozen=True, kw_only=True):
    """Make ready for another root disk.

    :param datastore_version: version that comes with it, for example ``10.11``
    """

    datastore_version: str


class PostUpgrade(ResizeRequest, frozen=True, kw_only=True):
    """Put the database on a new root disk in force again.

    :param volume: the data volume, which holds all that the old disk left behind
    :param device_config: all volumes, the data volume among them
    :param overrides: settings of the user's configuration group
    """

    volume: VolumeSpec
    device_config: list[DeviceConfig] = []
    overrides: dict[str, Any] = {}
