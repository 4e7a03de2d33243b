"""Whether another region has the same flavor, and the same image.

Ids differ from region to region: names tell what belongs together, properties tell
whether it is the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from trove_ng.cloud.types import Flavor, Image


class NotEquivalent(Exception):
    """A region does not have the same.

    :param message: what is missing or different, for the owner of the instance
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def like_flavor(wanted: Flavor, offered: Iterable[Flavor], region: str) -> Flavor:
    """Return a region's flavor of the same name, memory, number of CPUs and disks.

    :param offered: the flavors of the region
    :raises NotEquivalent: it has none
    """
    named = [one for one in offered if one.name == wanted.name]
    if not named:
        raise NotEquivalent(f"Region {region} has no flavor {wanted.name}.")
    for one in named:
        if _size(one) == _size(wanted):
            return one
    raise NotEquivalent(
        f"Flavor {wanted.name} of region {region} is another one: it has {_words(named[0])}, "
        f"not {_words(wanted)}.")


def _size(one: Flavor) -> tuple[int, int, int, int]:
    return one.ram_mb, one.vcpus, one.disk_gb, one.ephemeral_gb


def _words(one: Flavor) -> str:
    return (f"{one.ram_mb} MiB, {one.vcpus} CPUs, {one.disk_gb} GB and "
            f"{one.ephemeral_gb} GB")


def like_image(wanted: Image, offered: Iterable[Image], region: str) -> Image:
    """Return a region's image with the same data.

    :param offered: the region's images of the same name, the best first
    :raises NotEquivalent: it has none
    """
    named = list(offered)
    if not named:
        raise NotEquivalent(f"Region {region} has no image {wanted.name}.")
    for one in named:
        if _same_data(one, wanted):
            return one
    raise NotEquivalent(
        f"The checksum of image {wanted.name} in region {region} is not the same.")


def _same_data(one: Image, other: Image) -> bool:
    if one.digest and other.digest and (
            one.digest.partition(":")[0] == other.digest.partition(":")[0]):
        return one.digest == other.digest
    return bool(one.md5) and one.md5 == other.md5
