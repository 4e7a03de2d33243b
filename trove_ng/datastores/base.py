"""The declaration of an engine: what API, taskmanager, guest and documents read alike."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from trove_ng.common.errors import BadRequest
from trove_ng.datastores.guest_logs import Log

NAMESPACE = "trove_ng.datastores"
#: what the names begin with of the accounts that replicas use at their source
REPLICA_USERS = "os_replica_"

#: section → option → value, as the engine's configuration file has them
Config = dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """What an engine can do; the rest is refused before anything begins."""

    databases: bool = False
    users: bool = False
    root: bool = False
    backups: bool = False
    incremental_backups: bool = False
    log_archiving: bool = False
    snapshots: bool = False
    configuration: bool = False
    resize: bool = True
    upgrades: bool = False
    replication: bool = False
    promotion: bool = False
    automatic_failover: bool = False
    tls: bool = False


@dataclasses.dataclass(frozen=True)
class Lack:
    """What older versions cannot do yet.

    :param name: of the capability
    :param before: the first version that has it
    :param why: a sentence
    """

    name: str
    before: str
    why: str

    def applies(self, version: str) -> bool:
        """Return whether a version is known to be older."""
        found, first = number(version), number(self.before)
        return bool(found) and found < first


def number(version: str) -> tuple[int, ...]:
    """Return the first number with dots in a version; nothing: it has none."""
    found = re.search(r"\d{1,9}(\.\d{1,9})*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


class Settings(Protocol):
    """Tells an engine's settings."""

    def __call__(self, memory_mb: int, version: str = "", /) -> Config:
        """Return the settings for an amount of memory, in MiB, and a version."""


class Parameters(Protocol):
    """Tells what users may change."""

    def __call__(self, version: str = "", /) -> Sequence[Parameter]:
        """Return the parameters of a version.

        :raises BadRequest: there are none for it
        """


class Rules(Protocol):
    """What names and passwords an engine takes; each raises BadRequest, naming the field."""

    def check_database(self, field: str, name: str, ignored: Sequence[str] = ()) -> None:
        """Check the name of a database."""

    def check_charset(self, field: str, character_set: str | None,
                      collate: str | None) -> None:
        """Check a database's character set and collation."""

    def check_user(self, field: str, name: str, host: str | None) -> None:
        """Check a user's name and host."""

    def check_password(self, field: str, password: str) -> None:
        """Check a password."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A setting that users may change.

    :param kind: integer, float, boolean, string or list
    :param low: smallest value
    :param high: largest value
    :param restart_required: it takes effect at the next start
    :param choices: the texts that it may be, or hold; none: any
    """

    name: str
    kind: str
    low: float | None = None
    high: float | None = None
    restart_required: bool = False
    choices: tuple[str, ...] = ()
    description: str | None = None


@dataclasses.dataclass(frozen=True)
class Datastore:
    """An engine.

    :param manager: name that versions of the datastore refer to
    :param mount_point: where the data volume is on the server
    :param ports: protocol, lowest and highest port that clients use
    :param backup_strategy: entry point name of the way in which its backups are made, unless
        the operator says otherwise (:func:`trove_ng.datastores.options.backup_strategy`)
    :param reserved: patterns of settings that are the agent's, in lower case with ``_``
    :param config: tells the settings for an amount of memory
    :param parameters: tells what users may change
    :param volume_kinds: volumes that instances may have
    :param begun_anew: those of them whose content a restored instance does without
    :param tls_modes: those of :data:`trove_ng.common.tls.MODES` that its servers know
    :param tls_port: of connections with TLS, where they have one of their own
    :param tls_alone: with :data:`trove_ng.common.tls.MUTUAL` a server has no replicas, which
        would need a client's certificate
    :param tls_restarts: a server begins and ends to speak TLS at a start only
    :param accounts_are_data: a replica has the accounts that its source has for replicas, and
        makes none until it is written to
    :param replicas_copy: a new replica copies all data from its source, and needs no backup
    :param tells_root: who may come in is no data: replicas are told of root as their source is;
        those of other engines are told only when root is disabled, to end what it has open
    :param why_not: for each capability that it lacks, a sentence that says why
    :param lacks: what older versions lack besides
    :param logs: what its servers write, in the order of their names
    """

    manager: str
    mount_point: str
    ports: tuple[tuple[str, int, int], ...]
    capabilities: Capabilities
    rules: Rules
    config: Settings
    parameters: Parameters
    backup_strategy: str = ""
    volume_kinds: tuple[str, ...] = ("data",)
    begun_anew: tuple[str, ...] = ()
    accounts_are_data: bool = False
    replicas_copy: bool = False
    tells_root: bool = False
    logs: tuple[Log, ...] = ()
    reserved: tuple[str, ...] = ()
    tls_modes: tuple[str, ...] = ()
    tls_port: int | None = None
    tls_alone: bool = False
    tls_restarts: bool = False
    why_not: Mapping[str, str] = dataclasses.field(default_factory=dict)
    lacks: tuple[Lack, ...] = ()

    def of(self, version: str) -> Datastore:
        """Return the engine as it is in a version."""
        return self.without({one.name: one.why for one in self.lacks if one.applies(version)})

    def without(self, why_not: Mapping[str, str]) -> Datastore:
        """Return the engine without some capabilities that it has.

        :param why_not: for each, a sentence that says why
        """
        lost = {name: why for name, why in why_not.items() if getattr(self.capabilities, name)}
        if not lost:
            return self
        return dataclasses.replace(
            self, why_not={**self.why_not, **lost}, capabilities=dataclasses.replace(
                self.capabilities, **dict.fromkeys(lost, False)))

    def owns(self, setting: str) -> bool:
        """Return True if a setting is the agent's, so that users may not have it."""
        plain = setting.lower().replace("-", "_")
        return any(fnmatch.fnmatchcase(plain, one) for one in self.reserved)


@functools.cache
def load_datastores() -> Mapping[str, Datastore]:
    """Return the installed declarations by manager name."""
    from stevedore import ExtensionManager

    found: Any = ExtensionManager(NAMESPACE, on_load_failure_callback=_refuse)
    return {one.name: one.plugin for one in found}


def _refuse(_manager: object, entry_point: object, error: BaseException) -> None:
    raise RuntimeError(f"{entry_point} cannot be loaded") from error


def get(manager: str) -> Datastore:
    """Return the declaration of an engine.

    :raises BadRequest: it is not installed
    """
    found = load_datastores().get(manager)
    if found is None:
        raise BadRequest(f"The datastore manager {manager} is not installed.")
    return found
