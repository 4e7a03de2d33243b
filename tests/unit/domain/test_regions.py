"""What is the same in two regions."""

from __future__ import annotations

import dataclasses

import pytest

from trove_ng.cloud.types import Flavor, Image
from trove_ng.domain.regions import NotEquivalent, like_flavor, like_image

SMALL = Flavor("1", "small", 1024, 2, 10, 1)
THERE = dataclasses.replace(SMALL, id="x")
GUEST = Image("i", "guest", 0, 0, md5="m", digest="sha512:d")


def test_a_flavor_of_the_same_name_and_size_is_the_same() -> None:
    others = [dataclasses.replace(SMALL, id="a", name="big"), THERE]
    assert like_flavor(SMALL, others, "Two") is THERE


def test_of_two_flavors_with_one_name_the_one_of_the_same_size_is_taken() -> None:
    larger = dataclasses.replace(THERE, id="y", ram_mb=2048)
    assert like_flavor(SMALL, [larger, THERE], "Two") is THERE


def test_a_flavor_that_is_missing_is_named() -> None:
    with pytest.raises(NotEquivalent) as caught:
        like_flavor(SMALL, [dataclasses.replace(SMALL, name="other")], "Two")
    assert caught.value.message == "Region Two has no flavor small."


@pytest.mark.parametrize("change", [
    {"ram_mb": 1}, {"vcpus": 1}, {"disk_gb": 1}, {"ephemeral_gb": 0}])
def test_a_flavor_of_another_size_is_not_the_same(change: dict[str, int]) -> None:
    with pytest.raises(NotEquivalent, match="is another one"):
        like_flavor(SMALL, [dataclasses.replace(THERE, **change)], "Two")


@pytest.mark.parametrize("there", [
    Image("j", "guest", 0, 0, md5="m", digest="sha512:d"),
    # another algorithm: the older checksum decides
    Image("j", "guest", 0, 0, md5="m", digest="sha256:e"),
    Image("j", "guest", 0, 0, md5="m")])
def test_an_image_with_the_same_checksum_is_the_same(there: Image) -> None:
    assert like_image(GUEST, [Image("k", "guest", 0, 0, md5="z"), there], "Two") is there


@pytest.mark.parametrize("there", [
    Image("j", "guest", 0, 0, md5="m", digest="sha512:e"),
    Image("j", "guest", 0, 0, md5="z"),
    # nothing to compare
    Image("j", "guest", 0, 0)])
def test_an_image_with_another_checksum_is_not_the_same(there: Image) -> None:
    with pytest.raises(NotEquivalent, match="checksum of image guest in region Two"):
        like_image(GUEST, [there], "Two")


def test_images_without_checksums_are_not_the_same() -> None:
    bare = Image("i", "guest", 0, 0)
    with pytest.raises(NotEquivalent):
        like_image(bare, [dataclasses.replace(bare, id="j")], "Two")


def test_an_image_that_is_missing_is_named() -> None:
    with pytest.raises(NotEquivalent) as caught:
        like_image(GUEST, [], "Two")
    assert caught.value.message == "Region Two has no image guest."
