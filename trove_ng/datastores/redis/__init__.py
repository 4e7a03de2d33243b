"""Redis."""

from __future__ import annotations

from collections.abc import Sequence

from trove_ng.datastores import parameters
from trove_ng.datastores.base import Capabilities, Datastore, Parameter
from trove_ng.datastores.guest_logs import AGENT, Log, LogKind
from trove_ng.datastores.redis import template
from trove_ng.datastores.redis.reserved import RESERVED
from trove_ng.datastores.redis.rules import RedisRules


def _parameters(_version: str = "") -> Sequence[Parameter]:
    return parameters.load("trove_ng.datastores.redis")


DATASTORE = Datastore(
    manager="redis",
    mount_point="/var/lib/redis",
    ports=(("tcp", 6379, 6379),),
    capabilities=Capabilities(root=True, backups=True, configuration=True, upgrades=True,
                              replication=True),
    replicas_copy=True,
    promotes=True,
    rules=RedisRules(),
    config=template.config,
    parameters=_parameters,
    backup_strategy="redis_rdb",
    logs=(Log("error", LogKind.SYS), Log(AGENT, LogKind.SYS)),
    reserved=RESERVED,
    why_not={
        "databases": "The databases of Redis are numbers; none is created or deleted.",
        "users": "Redis is used with one password, which root has.",
        "log_archiving": "Redis keeps no log that could be applied to its snapshot file.",
        "incremental_backups": "The snapshot file of Redis always holds all data.",
        "tls": "Redis is not set up to speak TLS yet.",
        "snapshots": "Redis cannot be told to hold its files still.",
    },
)
