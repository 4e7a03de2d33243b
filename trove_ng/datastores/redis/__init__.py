"""Redis."""

from __future__ import annotations

from trove_ng.common.tls import MODES
from trove_ng.datastores import parameters
from trove_ng.datastores.base import Capabilities, Datastore
from trove_ng.datastores.guest_logs import AGENT, Log, LogKind
from trove_ng.datastores.redis import template
from trove_ng.datastores.redis.reserved import RESERVED
from trove_ng.datastores.redis.rules import RedisRules

DATASTORE = Datastore(
    manager="redis",
    mount_point="/var/lib/redis",
    # the second one with TLS: a port of Redis takes connections of one kind
    ports=(("tcp", 6379, 6380),),
    capabilities=Capabilities(root=True, backups=True, configuration=True, upgrades=True,
                              replication=True, promotion=True,
                              automatic_failover=True, tls=True),
    replicas_copy=True,
    tells_root=True,
    rules=RedisRules(),
    config=template.config,
    # 6.2.0 opens no port, and closes none, while it runs
    parameters=parameters.of_series("trove_ng.datastores.redis", "6.2.1", "7"),
    backup_strategy="redis_rdb",
    logs=(Log("error", LogKind.SYS), Log(AGENT, LogKind.SYS)),
    reserved=RESERVED,
    tls_modes=MODES,
    tls_port=6380,
    tls_alone=True,
    why_not={
        "databases": "The databases of Redis are numbers; none is created or deleted.",
        "users": "Redis is used with one password, which root has.",
        "log_archiving": "Redis keeps no log that could be applied to its snapshot file.",
        "incremental_backups": "The snapshot file of Redis always holds all data.",
        "snapshots": "Redis cannot be told to hold its files still.",
    },
)
