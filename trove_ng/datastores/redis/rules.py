"""What Redis takes: it has neither databases with names nor users that owners make."""

from __future__ import annotations

from collections.abc import Sequence

from trove_ng.common.errors import BadRequest

_PASSWORD_LENGTH = 512


class RedisRules:
    """The rules."""

    def check_database(self, field: str, name: str, ignored: Sequence[str] = ()) -> None:
        """Refuse: databases of Redis have numbers, and are there."""
        raise BadRequest(f"Validation error: {field}: Redis has no databases to make.")

    def check_charset(self, field: str, character_set: str | None,
                      collate: str | None) -> None:
        """Refuse character sets: values of Redis are bytes."""
        if character_set is not None or collate is not None:
            raise BadRequest(f"Validation error: {field}: Redis has no character sets.")

    def check_user(self, field: str, name: str, host: str | None) -> None:
        """Refuse: there is one user, and its password is that of root."""
        raise BadRequest(f"Validation error: {field}: Redis has no users to make.")

    def check_password(self, field: str, password: str) -> None:
        """Check a password; its text is in no message."""
        if not password or len(password) > _PASSWORD_LENGTH:
            raise BadRequest(f"Validation error: {field} must have 1 to {_PASSWORD_LENGTH} "
                             "characters.")
        if any(ord(one) < 32 or ord(one) == 127 for one in password):
            raise BadRequest(
                f"Validation error: {field} must not contain control characters.")
