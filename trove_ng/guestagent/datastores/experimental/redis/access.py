"""Who may do what: the agent's own user, replicas', and the one that all clients are.

Redis has one nameless user, ``default`` to itself.  Without root enabled it needs no
password; with it, that of root.  What would take the server out of the agent's hands is
denied to it, and ``CONFIG`` has a secret name besides.

Rules: Redis, "ACL"; passwords are in the server's files as their SHA-256 only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import threading
from collections.abc import Callable, Mapping
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
#: what a replica does at its source: follow, and ask who may come in
_OF_REPLICAS = ("psync", "replconf", "ping", "acl|getuser")


@dataclasses.dataclass(frozen=True)
class Source:
    """Whom the server follows, and as whom.

    :param encrypted: over TLS, on a port that takes nothing else
    """

    host: str
    port: int
    user: str
    password: Secret
    encrypted: bool = False


@dataclasses.dataclass(frozen=True)
class Secrets:
    """What is kept on the data volume, so that it outlives the root disk.

    :param password: of the agent's user
    :param config_name: what ``CONFIG`` is called
    :param root: digest of the nameless user's password; None while it needs none
    :param closed: nobody may come in: it is not known yet who may
    :param held: clients may not write: the server is about to have another role
    :param replicas: name → digest of the password of each replica's user
    """

    password: Secret
    config_name: Secret
    root: str | None = None
    closed: bool = False
    replicas: Mapping[str, str] = dataclasses.field(default_factory=dict)
    source: Source | None = None
    #: False until all data of the source were here once
    synced: bool = True
    held: bool = False


class _Kept(msgspec.Struct):
    """The form of :class:`Secrets` in the file."""

    password: str
    config_name: str
    root: str | None
    closed: bool = False
    replicas: dict[str, str] = {}
    source: tuple[str, int, str, str] | None = None
    synced: bool = True
    held: bool = False
    encrypted: bool = False


class Access:
    """Keeps the secrets and says what they mean to the server.

    :param path: returns where the file of secrets is now
    """

    def __init__(self, path: Callable[[], pathlib.Path]) -> None:
        self._path = path
        #: for changes until the server knows them too
        self.lock = threading.RLock()

    def secrets(self) -> Secrets:
        """Return the secrets.

        :raises GuestError: there are none yet
        """
        try:
            kept = msgspec.json.decode(self._path().read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError) as err:
            raise GuestError("The agent has no account in the database.") from err
        source = Source(*kept.source[:3], Secret(kept.source[3]),
                        kept.encrypted) if kept.source else None
        return Secrets(Secret(kept.password), Secret(kept.config_name), kept.root, kept.closed,
                       kept.replicas, source, kept.synced, kept.held)

    def renew(self, root: Secret | None = None, *, closed: bool = False) -> None:
        """Make new secrets of the agent.

        :param root: password of the nameless user
        :param closed: it may not come in yet
        """
        self.keep(Secrets(Secret(generate_password(40)),
                          Secret("config-" + generate_password(40)),
                          digest(root) if root is not None else None, closed))

    def set_root(self, password: Secret | None) -> None:
        """Remember the password of the nameless user, or that it needs none."""
        self.change(root=digest(password) if password is not None else None)

    def change(self, **changes: Any) -> None:
        """Remember some secrets instead of others."""
        self.keep(dataclasses.replace(self.secrets(), **changes))

    def keep(self, secrets: Secrets) -> None:
        """Remember all secrets."""
        source = secrets.source
        files.make_directory(self._path().parent, mode=0o700)
        files.write_bytes(self._path(), msgspec.json.encode(_Kept(
            secrets.password.reveal(), secrets.config_name.reveal(), secrets.root,
            secrets.closed, dict(secrets.replicas),
            (source.host, source.port, source.user, source.password.reveal())
            if source is not None else None, secrets.synced, secrets.held,
            source is not None and source.encrypted)), mode=0o600)

    def settings(self) -> dict[str, Any]:
        """Return the lines of the server's file that bring the secrets into force."""
        found = self.secrets()
        settings: dict[str, Any] = {
            "user": [[ADMIN, "reset", "on", digest(found.password), "~*", "&*", "+@all"],
                     [DEFAULT, *self.rules()],
                     *([name, *rules_of_replica(password)]
                       for name, password in found.replicas.items())],
            "rename-command": ["CONFIG", found.config_name.reveal()]}
        if (source := found.source) is not None:
            settings |= {"masteruser": source.user, "masterauth": source.password.reveal(),
                         **({"tls-replication": "yes"} if source.encrypted else {})}
            if not found.held:
                settings["replicaof"] = [source.host, str(source.port)]
        return settings

    def rules(self) -> list[str]:
        """Return the rules of the nameless user."""
        found = self.secrets()
        return ["reset", "off" if found.closed else "on", found.root or "nopass",
                "sanitize-payload", "~*", "&*", "+@all", *(f"-{one}" for one in _DENIED),
                *(f"+{one}" for one in _ALLOWED), *(["-@write"] if found.held else [])]


def rules_of_replica(password: str) -> list[str]:
    """Return the rules of a replica's user.

    :param password: its digest
    """
    return ["reset", "on", password, *(f"+{one}" for one in _OF_REPLICAS)]


def root_of(answer: list[Any]) -> str | None:
    """Return the digest of the nameless user's password, as a source tells it.

    :param answer: of ``ACL GETUSER``
    :raises GuestError: nobody may come in there
    """
    known = dict(zip(answer[::2], answer[1::2], strict=True))
    if "nopass" in known["flags"]:
        return None
    if not known["passwords"]:
        raise GuestError("The source of the replica lets nobody in.")
    return f"#{known['passwords'][0]}"


def digest(password: Secret) -> str:
    """Return what the server keeps of a password."""
    return "#" + hashlib.sha256(password.reveal().encode()).hexdigest()
