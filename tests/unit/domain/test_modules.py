"""Who may make a module what."""

from __future__ import annotations

import pytest

from trove_ng.common.errors import BadRequest, Forbidden
from trove_ng.domain.modules import Flags, administered

PLAIN = Flags()
SPECIAL = [Flags(all_tenants=True), Flags(auto_apply=True), Flags(visible=False),
           Flags(priority_apply=True)]


@pytest.mark.parametrize("flags", SPECIAL)
def test_what_is_special_is_for_administrators(flags: Flags) -> None:
    for was in (None, False, True):
        with pytest.raises(Forbidden, match=flags.special()[0]):
            administered(False, PLAIN, flags, was, None)
        assert administered(True, PLAIN, flags, was, None) is True


@pytest.mark.parametrize("flags", SPECIAL)
def test_what_is_special_already_may_stay_and_may_end(flags: Flags) -> None:
    assert administered(False, flags, flags, False, None) is False
    assert administered(False, flags, PLAIN, False, None) is False
    assert administered(True, flags, flags, False, None) is False


def test_who_makes_a_module_answers_for_it() -> None:
    assert administered(True, PLAIN, PLAIN, None, None) is True
    assert administered(False, PLAIN, PLAIN, None, None) is False


def test_an_administrators_plain_change_leaves_a_module_to_its_project() -> None:
    assert administered(True, PLAIN, PLAIN, False, None) is False
    assert administered(True, PLAIN, PLAIN, True, None) is True


@pytest.mark.parametrize("full", [True, False])
def test_full_access_is_given_by_administrators(full: bool) -> None:
    with pytest.raises(Forbidden, match="full_access"):
        administered(False, PLAIN, PLAIN, None, full)
    for was in (None, True, False):
        assert administered(True, PLAIN, PLAIN, was, full) is not full


@pytest.mark.parametrize("flags", SPECIAL)
def test_full_access_does_not_go_with_what_is_special(flags: Flags) -> None:
    for before in (PLAIN, flags):
        with pytest.raises(BadRequest, match=flags.special()[0]):
            administered(True, before, flags, True, True)
    assert administered(True, PLAIN, flags, None, False) is True
