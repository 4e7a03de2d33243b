"""What of the configured region is the same in the region of an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trove_ng.cloud.types import Image
from trove_ng.domain import regions

if TYPE_CHECKING:
    from trove_ng.cloud.session import Clouds


def flavor_id(clouds: Clouds, wanted: str) -> str:
    """Return the id that a flavor has in a region.

    :param clouds: of the region
    :param wanted: its id in the configured region, as instances are shown with
    :raises trove_ng.domain.regions.NotEquivalent: the region does not have the same flavor
    """
    home = clouds.in_region(None)
    if clouds.region == home.region:
        return wanted
    known = home.compute.get_flavor(wanted)
    if known is None:
        raise regions.NotEquivalent(f"Flavor {wanted} is gone.")
    return regions.like_flavor(known, clouds.compute.list_flavors(), clouds.region).id


def image_id(clouds: Clouds, wanted: Image) -> str:
    """Return the id that an image has in a region.

    :param clouds: of the region
    :param wanted: the image of the configured region
    :raises trove_ng.domain.regions.NotEquivalent: the region does not have the same image
    """
    if clouds.region == clouds.in_region(None).region:
        return wanted.id
    return regions.like_image(
        wanted, clouds.images.images_named(wanted.name), clouds.region).id
