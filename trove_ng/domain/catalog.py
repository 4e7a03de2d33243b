"""What the API must know of the cloud before it accepts a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trove_ng.cloud.types import Flavor, Image, Subnet, VolumeType

__all__ = ["CloudCatalog", "Flavor", "Image", "Subnet", "VolumeType"]


class CloudCatalog(Protocol):
    """Facts of a region of the cloud, remembered for a while by the implementation.

    Every method may raise :class:`trove_ng.common.errors.ServiceUnavailable` when the
    cloud does not answer.
    """

    def regions(self) -> Sequence[str]:
        """Return the regions that instances can be made in."""

    def in_region(self, name: str | None) -> CloudCatalog:
        """Return what a region offers; None: this one."""

    def find_image(self, image_id: str | None, tags: Sequence[str]) -> Image | None:
        """Return the image with an id or, without one, the newest that has all the tags."""

    def images_named(self, name: str) -> Sequence[Image]:
        """Return the images of a name, the newest first."""

    def list_flavors(self) -> Sequence[Flavor]:
        """Return all flavors that servers may have, also those that are not public."""

    def get_flavor(self, flavor_id: str) -> Flavor | None:
        """Return the flavor with this id, None if there is none."""

    def list_volume_types(self) -> Sequence[VolumeType]:
        """Return all volume types, also those that are not public."""

    def volume_type_exists(self, name: str) -> bool:
        """Return True if there is a volume type with this name or id."""

    def network_exists(self, network_id: str, project_id: str) -> bool:
        """Return True if the project may use the network."""

    def subnet_network(self, subnet_id: str, project_id: str) -> str | None:
        """Return the network of a subnet that the project may use, else None."""

    def list_subnets(self, network_id: str) -> Sequence[Subnet]:
        """Return the subnets of a network."""

    def address_in_use(self, network_id: str, address: str) -> bool:
        """Return True if a port has the address now; this is never remembered."""

    def has_public_network(self) -> bool:
        """Return True if instances can have addresses that are reached from outside."""

    def availability_zone_exists(self, name: str) -> bool:
        """Return True if servers can be put there."""
