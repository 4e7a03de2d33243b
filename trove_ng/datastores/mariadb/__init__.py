"""MariaDB."""

from __future__ import annotations

from trove_ng.common.tls import BASIC, ENFORCED
from trove_ng.datastores import parameters
from trove_ng.datastores.base import Capabilities, Datastore
from trove_ng.datastores.guest_logs import AGENT, Log, LogKind
from trove_ng.datastores.mariadb.reserved import RESERVED
from trove_ng.datastores.mysql import template
from trove_ng.datastores.mysql.rules import MySqlRules

DATASTORE = Datastore(
    manager="mariadb",
    mount_point="/var/lib/mysql",
    ports=(("tcp", 3306, 3306),),
    capabilities=Capabilities(databases=True, users=True, root=True, backups=True,
                              incremental_backups=True, snapshots=True, configuration=True,
                              upgrades=True, replication=True, promotion=True,
                              automatic_failover=True, tls=True, log_archiving=True),
    # 80 characters since 10.x; 128 only in later releases
    rules=MySqlRules(user_length=80),
    config=template.config,
    # one list for all: what a release lacks, its server refuses
    parameters=parameters.of_series("trove_ng.datastores.mariadb", "10.4"),
    backup_strategy="mariabackup",
    logs=(Log("error", LogKind.SYS), Log("general", LogKind.USER), Log(AGENT, LogKind.SYS),
          Log("slow_query", LogKind.USER)),
    reserved=RESERVED,
    tls_modes=(BASIC, ENFORCED),
    tls_restarts=True,
    volume_kinds=("data", "binlog", "user_log"),
    begun_anew=("binlog", "user_log"),
)
