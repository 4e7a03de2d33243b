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
    "tls": "Connections of clients are encrypted with a certificate of the instance's own.",
    "configuration": "Configuration groups are attached.",
    "resize": "Flavor and volume are changed.",
})


def declared(engine: Datastore) -> dict[str, bool]:
    """Return what an engine can do, by name."""
    return dataclasses.asdict(engine.capabilities)


def reasons(engine: Datastore) -> dict[str, str]:
    """Return why an instance may lack what is there, by name, as sentences."""
    return {name: "The operator switched it off." if able else engine.why_not[name]
            for name, able in declared(engine).items()}


def switched(engine: Datastore, off: Collection[str]) -> Datastore:
    """Return an engine without the capabilities that the operator switched off."""
    lost = {name: False for name in off if name in declared(engine)}
    if not lost:
        return engine
    return dataclasses.replace(
        engine, capabilities=dataclasses.replace(engine.capabilities, **lost))
