"""PostgreSQL."""

from __future__ import annotations

from trove_ng.common.tls import MODES
from trove_ng.datastores import parameters
from trove_ng.datastores.base import Capabilities, Datastore
from trove_ng.datastores.guest_logs import AGENT, Log, LogKind
from trove_ng.datastores.postgresql import template
from trove_ng.datastores.postgresql.reserved import RESERVED
from trove_ng.datastores.postgresql.rules import PostgreSqlRules

DATASTORE = Datastore(
    manager="postgresql",
    mount_point="/var/lib/postgresql",
    ports=(("tcp", 5432, 5432),),
    capabilities=Capabilities(databases=True, users=True, root=True, backups=True,
                              incremental_backups=True, log_archiving=True,
                              configuration=True, upgrades=True,
                              replication=True, promotion=True,
                              automatic_failover=True, tls=True),
    rules=PostgreSqlRules(),
    config=template.config,
    parameters=parameters.of_series(
        "trove_ng.datastores.postgresql", "12", "13", "14", "15", "16", "17", "18"),
    backup_strategy="pg_basebackup",
    logs=(Log("error", LogKind.SYS), Log("general", LogKind.USER), Log(AGENT, LogKind.SYS),
          Log("slow_query", LogKind.USER)),
    reserved=RESERVED,
    tls_modes=MODES,
    accounts_are_data=True,
    why_not={
        "snapshots": "Backups of PostgreSQL are streamed; its files are not held still.",
    },
)
