"""A text that must not be shown."""

from __future__ import annotations

import secrets
import string

_KINDS = (string.ascii_lowercase, string.ascii_uppercase, string.digits)


class Secret:
    """Hold a password, key or token so that no log, repr or traceback shows it.

    Only :meth:`reveal` returns the text.  Equality is constant-time.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(
            self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled")


def generate_password(length: int = 36) -> str:
    """Return a random password of letters and digits, and a dash.

    Databases may have rules for passwords, which want each kind of character.

    :param length: how many characters, at least 8
    """
    if length < 8:
        raise ValueError("a password has at least 8 characters")
    text = ""
    while not all(any(sign in kind for sign in text) for kind in _KINDS):
        text = "".join(secrets.choice("".join(_KINDS)) for _ in range(length - 1))
    # in the middle: programs would take it for an option at the begin
    return f"{text[:length // 2]}-{text[length // 2:]}"
