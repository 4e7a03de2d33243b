"""What Redis takes: it has neither databases with names nor users that owners make."""

from __future__ import annotations

from collections.abc import Sequence

from trove_ng.common.errors import BadRequest
from trove_ng.datastores import passwords

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
        passwords.check(field, password, _PASSWORD_LENGTH)
