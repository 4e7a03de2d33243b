"""Cinder: wiring of its parts, and its routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trove_ng.standalone.minicloud.cinder_api import VolumeApi
from trove_ng.standalone.minicloud.cinder_misc import (
    AttachmentApi,
    LimitApi,
    PoolApi,
    SnapshotApi,
    TypeApi,
)
from trove_ng.standalone.minicloud.cinder_quota import Quotas
from trove_ng.standalone.minicloud.cinder_volumes import Volumes
from trove_ng.standalone.minicloud.hypervisor import Hypervisor
from trove_ng.standalone.minicloud.nova_call import Answer
from trove_ng.standalone.minicloud.scheduler import Scheduler
from trove_ng.standalone.minicloud.store import Store

MINIMUM = (3, 0)
MAXIMUM = (3, 71)

Handler = Callable[..., Answer]


class Cinder:
    """Cinder's resources."""

    def __init__(
        self, store: Store, hypervisor: Hypervisor, scheduler: Scheduler,
        quotas: Mapping[str, int],
    ) -> None:
        limits = Quotas(store, quotas)
        self.volumes = Volumes(store, hypervisor, scheduler, limits)
        self._volume_api = VolumeApi(store, self.volumes)
        self._attachments = AttachmentApi(store, self.volumes)
        self._snapshots = SnapshotApi(store, self.volumes)
        self._types = TypeApi(store)
        self._limits = LimitApi(limits)
        self._pools = PoolApi(store)

    def seed(self) -> None:
        """Make what a new cloud has."""
        self._types.seed()

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return method, path below ``/v3`` (or ``/v3/<project>``) and handler."""
        api, links, copies = self._volume_api, self._attachments, self._snapshots
        kinds, limits = self._types, self._limits
        volume, link = "/volumes/<volume_id>", "/attachments/<attachment_id>"
        copy, kind = "/snapshots/<snapshot_id>", "/types/<type_id>"
        quota = "/os-quota-sets/<target_id>"
        return [
            ("GET", "/volumes", api.index),
            ("GET", "/volumes/detail", api.detail),
            ("POST", "/volumes", api.create),
            ("GET", volume, api.show),
            ("PUT", volume, api.update),
            ("DELETE", volume, api.delete),
            ("POST", f"{volume}/action", api.act),
            ("GET", f"{volume}/metadata", api.metadata),
            ("POST", f"{volume}/metadata", api.set_metadata),
            ("PUT", f"{volume}/metadata", api.replace_metadata),
            ("DELETE", f"{volume}/metadata/<key>", api.delete_item),
            ("GET", "/attachments", links.index),
            ("GET", "/attachments/detail", links.detail),
            ("POST", "/attachments", links.create),
            ("GET", link, links.show),
            ("PUT", link, links.update),
            ("POST", f"{link}/action", links.act),
            ("DELETE", link, links.delete),
            ("GET", "/snapshots", copies.index),
            ("GET", "/snapshots/detail", copies.detail),
            ("POST", "/snapshots", copies.create),
            ("GET", copy, copies.show),
            ("PUT", copy, copies.update),
            ("DELETE", copy, copies.delete),
            ("POST", f"{copy}/action", copies.act),
            ("GET", "/types", kinds.index),
            ("POST", "/types", kinds.create),
            ("GET", kind, kinds.show),
            ("DELETE", kind, kinds.delete),
            ("GET", f"{kind}/extra_specs", kinds.specs),
            ("POST", f"{kind}/extra_specs", kinds.set_specs),
            ("GET", "/limits", limits.limits),
            ("GET", quota, limits.show),
            ("GET", f"{quota}/defaults", limits.defaults),
            ("PUT", quota, limits.update),
            ("DELETE", quota, limits.delete),
            ("GET", "/os-availability-zone", limits.zones),
            ("GET", "/os-services", limits.services),
            ("GET", "/scheduler-stats/get_pools", self._pools.index),
        ]


def version_document(base: str) -> dict[str, Any]:
    """Return Cinder's description of its version 3."""
    return {
        "id": "v3.0", "status": "CURRENT", "updated": "2023-08-31T00:00:00Z",
        "version": f"{MAXIMUM[0]}.{MAXIMUM[1]}", "min_version": f"{MINIMUM[0]}.{MINIMUM[1]}",
        "links": [{"rel": "self", "href": f"{base}/v3/"}],
        "media-types": [{"base": "application/json",
                         "type": "application/vnd.openstack.volume+json;version=3"}],
    }
