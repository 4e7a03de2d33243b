"""Names that PostgreSQL takes, and those that are its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trove_ng.common.errors import BadRequest
from trove_ng.datastores import passwords
from trove_ng.datastores.base import REPLICA_USERS

#: databases of the server itself
SYSTEM_DATABASES = frozenset({"postgres", "template0", "template1"})
#: the agent's role, and the owner's superuser
ADMIN, ROOT = "os_admin", "postgres"
#: the role that all accounts of replicas are in
REPLICAS = "trove_replicas"
#: roles that the service or the server owns, and words that are none
SYSTEM_USERS = frozenset({ADMIN, ROOT, REPLICAS, "public", "none", "root"})
#: what the names of the server's own roles, and of the agent's, begin with
SYSTEM_PREFIXES = ("pg_", "trove_db_", REPLICA_USERS)
#: from everywhere: users of PostgreSQL have no host
ANY_HOST = "%"

#: bytes; the server cuts what is longer
_NAME_LENGTH = 63
_PASSWORD_LENGTH = 128
_BAD_IN_DATABASE = re.compile(r"[/\\.\x00-\x1f\x7f\ud800-\udfff]")
_BAD_IN_USER = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff'\"`,;\\/@?#*%<>()|&\[\]{}]")
_ENCODING = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LOCALE = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


class PostgreSqlRules:
    """The rules."""

    def check_database(self, field: str, name: str, ignored: Sequence[str] = ()) -> None:
        """Check the name of a database.

        :param ignored: further names that belong to the service
        """
        _check_length(field, name)
        if _BAD_IN_DATABASE.search(name) or name != name.strip():
            raise BadRequest(
                f"Validation error: {field} must not contain / \\ . or control characters, nor "
                "begin or end with a space.")
        if name in SYSTEM_DATABASES or name.lower() in {one.lower() for one in ignored}:
            raise BadRequest(f"Validation error: {field} {name} is reserved.")

    def check_charset(self, field: str, character_set: str | None,
                      collate: str | None) -> None:
        """Check a database's encoding and locale; the server knows which it has."""
        for part, value, form in (("character_set", character_set, _ENCODING),
                                  ("collate", collate, _LOCALE)):
            if value is not None and not form.fullmatch(value):
                raise BadRequest(f"Validation error: {field}.{part} is no name of "
                                 f"{'an encoding' if form is _ENCODING else 'a locale'}.")

    def check_user(self, field: str, name: str, host: str | None) -> None:
        """Check a user's name, and that it has no host."""
        _check_length(f"{field}.name", name)
        if _BAD_IN_USER.search(name) or name != name.strip():
            raise BadRequest(
                f"Validation error: {field}.name must not contain quotes, control or special "
                "characters, nor begin or end with a space.")
        if name.lower() in SYSTEM_USERS or name.lower().startswith(SYSTEM_PREFIXES):
            raise BadRequest(f"Validation error: {field}.name {name} is reserved.")
        if host not in (None, ANY_HOST):
            raise BadRequest(f"Validation error: {field}.host must be {ANY_HOST}: users of "
                             "PostgreSQL have no host.")

    def check_password(self, field: str, password: str) -> None:
        """Check a password; its text is in no message."""
        passwords.check(field, password, _PASSWORD_LENGTH)


def _check_length(field: str, name: str) -> None:
    if not name or len(name.encode("utf-8", "surrogatepass")) > _NAME_LENGTH:
        raise BadRequest(
            f"Validation error: {field} must have 1 to {_NAME_LENGTH} bytes.")
