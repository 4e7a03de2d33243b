from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove_ng.common.crypto import DecryptError, SecretBox, derive_key, key_id


@given(st.text(), st.text())
def test_what_is_sealed_opens_for_its_owner(text: str, owner: str) -> None:
    box = SecretBox(["k" * 32], "test")
    assert box.open(box.seal(text, owner), owner) == text


def test_the_sealed_text_shows_nothing_and_is_different_each_time() -> None:
    box = SecretBox(["k" * 32], "test")
    one, two = box.seal("password", "i"), box.seal("password", "i")
    assert one != two
    assert b"password" not in base64.b64decode(one)


def test_another_owner_cannot_open_it() -> None:
    box = SecretBox(["k" * 32], "test")
    with pytest.raises(DecryptError):
        box.open(box.seal("text", "one"), "two")


def test_another_purpose_cannot_open_it() -> None:
    sealed = SecretBox(["k" * 32], "one").seal("text", "i")
    with pytest.raises(DecryptError):
        SecretBox(["k" * 32], "two").open(sealed, "i")


def test_any_changed_byte_is_noticed() -> None:
    box = SecretBox(["k" * 32], "test")
    raw = base64.b64decode(box.seal("text", "i"))
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1:]
        with pytest.raises(DecryptError):
            box.open(base64.b64encode(changed).decode(), "i")


def test_an_old_key_still_opens_and_the_new_one_seals() -> None:
    old = SecretBox(["old" * 10], "test").seal("text", "i")
    both = SecretBox(["new" * 10, "old" * 10], "test")
    assert both.open(old, "i") == "text"
    with pytest.raises(DecryptError):
        SecretBox(["old" * 10], "test").open(both.seal("text", "i"), "i")


@pytest.mark.parametrize("junk", ["", "?", "AAAA", "ä"])
def test_junk_is_refused_by_its_own_error(junk: str) -> None:
    with pytest.raises(DecryptError):
        SecretBox(["k" * 32], "test").open(junk, "i")


@pytest.mark.parametrize("secrets", [[], [""], ["good", ""]])
def test_a_box_without_keys_cannot_be_made(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="no key"):
        SecretBox(secrets, "test")


def test_the_key_id_is_not_part_of_the_key() -> None:
    key = derive_key("secret", "test")
    assert len(key) == 32
    assert key_id(key) not in key
