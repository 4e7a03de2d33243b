"""What instances of a datastore version can do: what the engine can, less what is switched off."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from trove_ng.datastores.base import Datastore

#: name → what it means
MEANINGS: Final[Mapping[str, str]] = MappingProxyType({
    "databases": "Databases are listed, created and deleted.",
    "users": "Users and what they may do are managed.",
    "root": "The superuser is enabled and disabled.",
    "backups": "Backups are made.",
    "incremental_backups": "Backups are made of what changed since another one.",
    "log_archiving": "What is written after a backup is archived, so that instances are restored "
                     "to any time.",
    "snapshots": "Backups are made as snapshots of the volume.",
    "upgrades": "Instances are upgraded to other versions, which replaces the server's disk.",
    "replication": "Replicas are made, which follow an instance and are read only.",
    "promotion": "A replica takes the place of its source, and a source that is lost is ejected.",
    "automatic_failover": "A replica takes the place of a source that is lost without being "
                          "asked to.",
    "tls": "Connections of clients are encrypted with a certificate of the instance's own.",
    "configuration": "Configuration groups are attached.",
    "resize": "Flavor and volume are changed.",
})


def declared(engine: Datastore) -> dict[str, bool]:
    """Return what an engine can do, by name."""
    return dataclasses.asdict(engine.capabilities)


def values(engine: Datastore) -> dict[str, list[str]]:
    """Return in which ways an engine has a capability, by name, where there are several."""
    return {"tls": [*engine.tls_modes] if engine.capabilities.tls else []}


def reasons(engine: Datastore) -> dict[str, str]:
    """Return why an engine lacks what it lacks, by name, as sentences."""
    return {name: engine.why_not[name] for name, able in declared(engine).items() if not able}


def switched(engine: Datastore, off: Collection[str]) -> Datastore:
    """Return an engine without the capabilities that the operator switched off."""
    return engine.without({name: "The operator switched it off."
                           for name in off if name in MEANINGS})
