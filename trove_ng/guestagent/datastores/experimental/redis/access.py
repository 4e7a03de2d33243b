"""Who may do what: the agent's own user, and the one that all clients are.

Redis has one nameless user, ``default`` to itself.  Without root enabled it needs no
password; with it, that of root.  What would take the server out of the agent's hands is
denied to it, and ``CONFIG`` has a secret name besides.

Rules: Redis, "ACL"; passwords are in the server's files as their SHA-256 only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import msgspec

from trove_ng.common.errors import GuestError
from trove_ng.common.secret import Secret, generate_password
from trove_ng.guestagent.os import files

#: the agent's user
ADMIN = "os_admin"
DEFAULT = "default"
#: what owners call the user that has no name
ROOT = "-"
#: what only the agent does
_DENIED = ("acl", "bgrewriteaof", "bgsave", "config", "debug", "failover", "migrate", "module",
           "psync", "replconf", "replicaof", "save", "shutdown", "slaveof", "sync")
#: parts of it that clients ask for
_ALLOWED = ("acl|whoami", "acl|cat", "acl|genpass")


@dataclasses.dataclass(frozen=True)
class Secrets:
    """What is kept on the data volume, so that it outlives the root disk.

    :param password: of the agent's user
    :param config_name: what ``CONFIG`` is called
    :param root: password of the nameless user; None while it needs none
    """

    password: Secret
    config_name: Secret
    root: Secret | None = None


class Access:
    """Keeps the secrets and says what they mean to the server.

    :param path: returns where the file of secrets is now
    """

    def __init__(self, path: Callable[[], pathlib.Path]) -> None:
        self._path = path

    def secrets(self) -> Secrets:
        """Return the secrets.

        :raises GuestError: there are none yet
        """
        try:
            kept: dict[str, Any] = msgspec.json.decode(self._path().read_bytes(), type=dict)
            root = kept["root"]
            return Secrets(Secret(kept["password"]), Secret(kept["config_name"]),
                           Secret(root) if root is not None else None)
        except (OSError, KeyError, msgspec.MsgspecError) as err:
            raise GuestError("The agent has no account in the database.") from err

    def renew(self) -> None:
        """Make new secrets of the agent; root is not enabled."""
        self._keep(Secrets(Secret(generate_password(40)),
                           Secret("config-" + generate_password(40))))

    def set_root(self, password: Secret | None) -> None:
        """Remember the password of the nameless user, or that it needs none."""
        self._keep(dataclasses.replace(self.secrets(), root=password))

    def _keep(self, secrets: Secrets) -> None:
        files.make_directory(self._path().parent, mode=0o700)
        files.write_bytes(self._path(), msgspec.json.encode({
            "password": secrets.password.reveal(),
            "config_name": secrets.config_name.reveal(),
            "root": secrets.root.reveal() if secrets.root is not None else None}), mode=0o600)

    def settings(self) -> dict[str, Any]:
        """Return the lines of the server's file that bring the secrets into force."""
        found = self.secrets()
        settings: dict[str, Any] = {
            "user": [[ADMIN, "reset", "on", _digest(found.password), "~*", "&*", "+@all"],
                     [DEFAULT, *self.rules()]],
            "rename-command": ["CONFIG", found.config_name.reveal()]}
        if found.root is not None:
            settings["masterauth"] = found.root.reveal()
        return settings

    def rules(self) -> list[str]:
        """Return the rules of the nameless user."""
        root = self.secrets().root
        return ["reset", "on", _digest(root) if root is not None else "nopass",
                "sanitize-payload", "~*", "&*", "+@all", *(f"-{one}" for one in _DENIED),
                *(f"+{one}" for one in _ALLOWED)]


def _digest(password: Secret) -> str:
    return "#" + hashlib.sha256(password.reveal().encode()).hexdigest()
