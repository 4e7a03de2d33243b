"""The manager of Percona Server 5.7, 8.0 and 8.4."""

from __future__ import annotations

import dataclasses

from trove_ng.guestagent.datastores.stable.mysql.backup import XtraBackup
from trove_ng.guestagent.datastores.stable.mysql.manager import MySqlManager


class PerconaXtraBackup(XtraBackup):
    """Backups of Percona Server: they are not restored to MySQL, which lacks its engines."""

    tool = dataclasses.replace(XtraBackup.tool, engine="percona")


class PerconaManager(MySqlManager):
    """Percona Server."""

    name = "percona"
    tool = PerconaXtraBackup.tool
