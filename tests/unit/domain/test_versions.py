"""What a datastore version is limited to."""

from __future__ import annotations

import pytest

from trove_ng.cloud.types import Flavor, VolumeType
from trove_ng.common.errors import BadRequest
from trove_ng.domain.versions import Limits

SMALL, LARGE = Flavor("1", "small", 512, 1, 5), Flavor("2", "large", 4096, 2, 5)
LVM, SSD, TAPE = VolumeType("a", "lvm"), VolumeType("b", "ssd"), VolumeType("c", "tape")
KNOWN = [LVM, SSD, TAPE]
HIDDEN = VolumeType("d", "hidden", is_public=False)


def limits(*volume_types: str) -> Limits:
    return Limits.of({"volume-type": volume_types})


def test_nothing_stored_allows_everything() -> None:
    free = Limits.of({})
    assert free.allowed_flavors([SMALL, LARGE]) == [SMALL, LARGE]
    assert free.allowed_volume_types(KNOWN) == KNOWN
    free.check_flavor("f", SMALL)


def test_only_flavors_that_are_stored_and_exist_are_allowed() -> None:
    some = Limits.of({"flavor": ["2", "gone"]})
    assert some.allowed_flavors([SMALL, LARGE]) == [LARGE]
    some.check_flavor("f", LARGE)
    with pytest.raises(BadRequest, match="f 1 is not allowed"):
        some.check_flavor("f", SMALL)


@pytest.mark.parametrize(("stored", "wanted", "default", "found"), [
    ((), None, None, None), ((), "lvm", None, "lvm"), ((), "a", None, "a"),
    ((), None, "ssd", "ssd"), (("lvm", "b"), "ssd", None, "ssd"), (("lvm",), "a", None, "a"),
    (("lvm", "ssd"), None, "ssd", "ssd"),
    # the only one that is left
    (("lvm",), None, None, "lvm"), (("b", "gone"), None, None, "ssd")])
def test_a_volume_type_is_found(stored: tuple[str, ...], wanted: str | None,
                                default: str | None, found: str | None) -> None:
    assert limits(*stored).volume_type("f", wanted, KNOWN, default) == found


def test_flavors_that_are_not_public_are_the_operators_to_give() -> None:
    own = Flavor("3", "own", 512, 1, 5, is_public=False)
    assert Limits.of({}).allowed_flavors([SMALL, own]) == [SMALL]
    some = Limits.of({"flavor": ["3"]})
    assert some.allowed_flavors([SMALL, own]) == [own]
    some.check_flavor("f", own)
    with pytest.raises(BadRequest, match="f 3 is not allowed"):
        Limits.of({}).check_flavor("f", own)


def test_types_that_are_not_public_are_the_operators_to_give() -> None:
    known = [*KNOWN, HIDDEN]
    assert limits().allowed_volume_types(known) == KNOWN
    assert limits("d").allowed_volume_types(known) == [HIDDEN]
    with pytest.raises(BadRequest, match="f hidden does not exist"):
        limits().volume_type("f", "hidden", known, None)
    assert limits("hidden").volume_type("f", "hidden", known, None) == "hidden"
    # of a volume configuration, and of all volumes that name none
    assert limits().volume_type("f", "hidden", known, None, named=False) == "hidden"
    assert limits().volume_type("f", None, known, "hidden") == "hidden"


@pytest.mark.parametrize(("stored", "wanted", "default", "why"), [
    ((), "floppy", None, "f floppy does not exist"),
    (("lvm", "ssd"), "tape", None, "f must be one of lvm, ssd"),
    (("lvm", "ssd"), None, None, "f must be one of lvm, ssd"),
    (("lvm", "ssd"), None, "tape", "f must be one of lvm, ssd"),
    (("gone",), None, None, "no valid volume type"),
    (("gone",), "lvm", None, "no valid volume type")])
def test_a_volume_type_is_refused(stored: tuple[str, ...], wanted: str | None,
                                  default: str | None, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        limits(*stored).volume_type("f", wanted, KNOWN, default)
