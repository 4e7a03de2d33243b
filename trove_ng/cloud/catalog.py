"""Facts of the cloud for the API, remembered for a while."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from trove_ng.cloud.errors import CloudError
from trove_ng.cloud.types import Flavor, Image, Subnet, VolumeType
from trove_ng.common.errors import ServiceUnavailable

if TYPE_CHECKING:
    from trove_ng.cloud.session import Clouds

#: seconds that it is remembered that something does not exist
_ABSENT = 5.0
#: seconds for which a service that did not answer is not asked again
_FAILED = 5.0
#: seconds that others wait for who asks
_WAIT = 2.0
_MOST = 5000


@dataclasses.dataclass
class _Asked:
    """A question that is under way, or failed.

    :param until: for how long that is so, by the catalog's clock
    """

    answer: Future[Any] = dataclasses.field(default_factory=Future)
    until: float = math.inf


class CachedCatalog:
    """What a region of the cloud offers.

    While the cloud does not answer, what was remembered holds longer.

    :param clouds: makes the region's services at their first use
    :param keep: seconds that a fact is remembered
    :param region: its name
    """

    def __init__(self, clouds: Callable[[], Clouds], keep: float, region: str,
                 now: Callable[[], float] = time.monotonic) -> None:
        self._clouds = clouds
        self._keep = keep
        self._region = region
        self._now = now
        self._others: dict[str, CachedCatalog] = {}
        self._known: dict[tuple[str, ...], tuple[float, Any]] = {}
        self._asked: dict[tuple[str, ...], _Asked] = {}
        self._lock = threading.Lock()

    def _fact(self, key: tuple[str, ...], ask: Callable[[], Any]) -> Any:
        """Return what is remembered, or what one of those that want it finds out.

        :raises ServiceUnavailable: nothing is remembered, and the cloud does not answer, or
            did not a moment ago
        """
        with self._lock:
            known = self._known.get(key)
            if known is not None and known[0] > self._now():
                return known[1]
            asked = self._asked.get(key)
            mine = asked is None or asked.until <= self._now()
            if asked is None or mine:
                asked = self._asked[key] = _Asked()
        if mine:
            self._find_out(key, ask, asked)
        elif known is not None:
            return known[1]
        try:
            return asked.answer.result(_WAIT)
        except TimeoutError as err:
            raise ServiceUnavailable("The cloud does not answer.") from err
        except CloudError as err:
            if known is not None:
                return known[1]
            raise ServiceUnavailable(f"The cloud does not answer: {err.message}") from err

    def _find_out(self, key: tuple[str, ...], ask: Callable[[], Any], asked: _Asked) -> None:
        """Ask; that it failed is remembered for a moment, for which nobody asks again."""
        try:
            found = ask()
        except BaseException as err:  # noqa: BLE001 - whoever waits raises it
            asked.until = self._now() + (_FAILED if isinstance(err, CloudError) else 0)
            asked.answer.set_exception(err)
            return
        # an empty list is one that something may be missing in
        keep = min(self._keep, _ABSENT) if not found else self._keep
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = (self._now() + keep, found)
            del self._asked[key]
        asked.answer.set_result(found)

    def regions(self) -> Sequence[str]:
        """Return the regions that instances can be made in."""
        found: Sequence[str] = self._fact(("regions",), lambda: self._clouds().regions())
        return found

    def in_region(self, name: str | None) -> CachedCatalog:
        """Return what a region offers; None: this one."""
        if name is None or name == self._region:
            return self
        with self._lock:
            if name not in self._others:
                self._others[name] = CachedCatalog(
                    lambda: self._clouds().in_region(name), self._keep, name, self._now)
            return self._others[name]

    def find_image(self, image_id: str | None, tags: Sequence[str]) -> Image | None:
        """Return the image with an id or, without one, the newest that has all the tags."""
        if image_id is None and not tags:
            return None
        found: Image | None = self._fact(
            ("image", image_id) if image_id else ("image tags", *sorted(tags)),
            lambda: self._clouds().images.get_image(image_id) if image_id
            else self._clouds().images.find_image(tags))
        return found

    def images_named(self, name: str) -> Sequence[Image]:
        """Return the images of a name, the newest first."""
        found: Sequence[Image] = self._fact(
            ("images", name), lambda: self._clouds().images.images_named(name))
        return found

    def list_flavors(self) -> Sequence[Flavor]:
        """Return all flavors that servers may have, also those that are not public."""
        found: Sequence[Flavor] = self._fact(
            ("flavors",), lambda: self._clouds().compute.list_flavors())
        return found

    def get_flavor(self, flavor_id: str) -> Flavor | None:
        """Return the flavor with this id, None if there is none."""
        for one in self.list_flavors():
            if one.id == flavor_id:
                return one
        found: Flavor | None = self._fact(
            ("flavor", flavor_id), lambda: self._clouds().compute.get_flavor(flavor_id))
        return found

    def list_volume_types(self) -> Sequence[VolumeType]:
        """Return all volume types, also those that are not public."""
        found: Sequence[VolumeType] = self._fact(
            ("volume_types",), lambda: self._clouds().volume.list_volume_types())
        return found

    def volume_type_exists(self, name: str) -> bool:
        """Return True if there is a volume type with this name or id."""
        return any(name in (one.id, one.name) for one in self.list_volume_types())

    def network_exists(self, network_id: str, project_id: str) -> bool:
        """Return True if the project may use the network."""
        found = self._fact(
            ("network", network_id), lambda: self._clouds().network.get_network(network_id))
        return found is not None and (
            bool(found.get("shared")) or found.get("project_id") == project_id)

    def subnet_network(self, subnet_id: str, project_id: str) -> str | None:
        """Return the network of a subnet that the project may use, else None."""
        found = self._fact(
            ("subnet", subnet_id), lambda: self._clouds().network.get_subnet(subnet_id))
        if found is None or not self.network_exists(found["network_id"], project_id):
            return None
        return str(found["network_id"])

    def list_subnets(self, network_id: str) -> Sequence[Subnet]:
        """Return the subnets of a network."""
        found: Sequence[Subnet] = self._fact(
            ("subnets", network_id), lambda: self._clouds().network.list_subnets(network_id))
        return found

    def address_in_use(self, network_id: str, address: str) -> bool:
        """Return True if a port has the address now; this is never remembered."""
        try:
            return self._clouds().network.address_in_use(network_id, address)
        except CloudError as err:
            raise ServiceUnavailable(f"The cloud does not answer: {err.message}") from err

    def has_public_network(self) -> bool:
        """Return True if instances can have addresses that are reached from outside."""
        return bool(self._fact(
            ("public",), lambda: bool(self._clouds().network.external_networks())))

    def availability_zone_exists(self, name: str) -> bool:
        """Return True if servers can be put there."""
        return name in self._fact(
            ("zones",), lambda: self._clouds().compute.availability_zones())
