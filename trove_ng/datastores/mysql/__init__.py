"""MySQL, and what the engines of its family have in common."""

from __future__ import annotations

from trove_ng.common.tls import BASIC, ENFORCED
from trove_ng.datastores.base import Capabilities, Datastore
from trove_ng.datastores.guest_logs import AGENT, Log, LogKind
from trove_ng.datastores.mysql import template, versions
from trove_ng.datastores.mysql.reserved import RESERVED
from trove_ng.datastores.mysql.rules import MySqlRules

DATASTORE = Datastore(
    manager="mysql",
    mount_point="/var/lib/mysql",
    ports=(("tcp", 3306, 3306),),
    capabilities=Capabilities(databases=True, users=True, root=True, backups=True,
                              incremental_backups=True, snapshots=True, configuration=True,
                              upgrades=True, replication=True, promotion=True,
                              automatic_failover=True, tls=True,
                              log_archiving=True),
    rules=MySqlRules(user_length=32),
    config=template.mysql_config,
    parameters=versions.parameters("trove_ng.datastores.mysql"),
    backup_strategy="xtrabackup",
    logs=(Log("error", LogKind.SYS), Log("general", LogKind.USER), Log(AGENT, LogKind.SYS),
          Log("slow_query", LogKind.USER)),
    reserved=RESERVED,
    volume_kinds=("data", "binlog", "user_log"),
    begun_anew=("binlog", "user_log"),
    tls_modes=(BASIC, ENFORCED),
    tls_restarts=True,
)
