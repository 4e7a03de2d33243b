"""Names that the MySQL family takes, and those that are its own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from trove_ng.common.errors import BadRequest
from trove_ng.datastores import passwords
from trove_ng.datastores.base import REPLICA_USERS

#: databases of the server itself
SYSTEM_DATABASES = frozenset({
    "mysql", "information_schema", "performance_schema", "sys", "lost+found", ".trove",
    "#mysql50#lost+found"})
#: users that the service or the server owns
SYSTEM_USERS = frozenset({
    "os_admin", "root", "mysql", "mariadb.sys", "mysql.sys", "mysql.session",
    "mysql.infoschema", "debian-sys-maint", "public"})

_DATABASE_LENGTH = 64
_PASSWORD_LENGTH = 128
_HOST_LENGTH = 60
# the server would turn these into file names, or cut them
_BAD_IN_DATABASE = re.compile(r"[/\\.\x00-\x1f\x7f\ud800-\udfff\U00010000-\U0010ffff]")
_BAD_IN_USER = re.compile(
    r"[\x00-\x1f\x7f\ud800-\udfff\U00010000-\U0010ffff'\"`,;\\/@?#*%<>()|&\[\]{}]")
_CHARSET = re.compile(r"[a-z0-9_]{1,32}")
_HOST = re.compile(r"[A-Za-z0-9%_.:-]+")


class MySqlRules:
    """The rules.

    :param user_length: longest user name, characters
    """

    def __init__(self, user_length: int) -> None:
        self._user_length = user_length

    def check_database(self, field: str, name: str, ignored: Sequence[str] = ()) -> None:
        """Check the name of a database.

        :param ignored: further names that belong to the service
        """
        if not name or len(name) > _DATABASE_LENGTH:
            raise BadRequest(
                f"Validation error: {field} must have 1 to {_DATABASE_LENGTH} characters.")
        if _BAD_IN_DATABASE.search(name) or name != name.strip():
            raise BadRequest(
                f"Validation error: {field} must not contain / \\ . or control characters, nor "
                "begin or end with a space.")
        if name.lower() in SYSTEM_DATABASES or name.lower() in {
                one.lower() for one in ignored}:
            raise BadRequest(f"Validation error: {field} {name} is reserved.")

    def check_charset(self, field: str, character_set: str | None,
                      collate: str | None) -> None:
        """Check a database's character set and collation, and that they fit."""
        for part, value in (("character_set", character_set), ("collate", collate)):
            if value is not None and not _CHARSET.fullmatch(value):
                raise BadRequest(
                    f"Validation error: {field}.{part} must have 1 to 32 lower case letters, "
                    "digits and underscores.")
        if character_set and collate and collate != "binary" and not (
                collate.startswith((f"{character_set}_", "uca1400_"))
                or {character_set, collate.split("_")[0]} == {"utf8", "utf8mb3"}):
            raise BadRequest(
                f"Validation error: {field}.collate {collate} does not belong to the character "
                f"set {character_set}.")

    def check_user(self, field: str, name: str, host: str | None) -> None:
        """Check a user's name and host."""
        if not name or len(name) > self._user_length:
            raise BadRequest(f"Validation error: {field}.name must have 1 to "
                             f"{self._user_length} characters.")
        if _BAD_IN_USER.search(name) or name != name.strip():
            raise BadRequest(
                f"Validation error: {field}.name must not contain quotes, control or special "
                "characters, nor begin or end with a space.")
        if name.lower() in SYSTEM_USERS or name.lower().startswith(REPLICA_USERS):
            raise BadRequest(f"Validation error: {field}.name {name} is reserved.")
        if host is not None:
            self._check_host(f"{field}.host", host)

    @staticmethod
    def _check_host(field: str, host: str) -> None:
        if not host or len(host) > _HOST_LENGTH:
            raise BadRequest(
                f"Validation error: {field} must have 1 to {_HOST_LENGTH} characters.")
        address, slash, mask = host.partition("/")
        if slash:
            try:
                ipaddress.IPv4Network(f"{address}/{mask}")
            except ValueError:
                raise BadRequest(
                    f"Validation error: {field} must be a network like 10.0.0.0/24, an "
                    "address, a host name, or a pattern with % or _.") from None
        elif not _HOST.fullmatch(host):
            raise BadRequest(
                f"Validation error: {field} must be an address, a host name, or a pattern "
                "with % or _.")

    def check_password(self, field: str, password: str) -> None:
        """Check a password; its text is in no message."""
        passwords.check(field, password, _PASSWORD_LENGTH)
