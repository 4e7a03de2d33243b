from __future__ import annotations

import pickle
import string
import traceback

import pytest

from trove_ng.common.secret import Secret, generate_password


def test_a_secret_shows_itself_only_when_revealed() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    for shown in (repr(secret), str(secret), f"{secret}", repr([secret])):
        assert "hunter2" not in shown


def test_a_traceback_with_a_secret_does_not_show_it() -> None:
    secret = Secret("-".join(["hunter", "2"]))
    try:
        raise ValueError(secret)
    except ValueError as err:
        assert "hunter-2" not in "".join(traceback.format_exception(err))


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("x"))


def test_secrets_are_equal_by_text_and_never_equal_a_plain_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_generated_passwords_differ_and_have_the_asked_length() -> None:
    passwords = {generate_password(20) for _ in range(50)}
    assert len(passwords) == 50
    assert {len(password) for password in passwords} == {20}


@pytest.mark.parametrize("length", [8, 9, 36])
def test_generated_passwords_have_every_kind_of_character(length: int) -> None:
    for _ in range(200):
        password = generate_password(length)
        assert len(password) == length
        assert all(any(sign in kind for sign in password) for kind in (
            string.ascii_lowercase, string.ascii_uppercase, string.digits, "-"))
        assert password[0] != "-"


def test_a_short_password_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        generate_password(7)
