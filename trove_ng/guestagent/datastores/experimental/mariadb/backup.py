"""Backups by mariadb-backup."""

from __future__ import annotations

import re

from trove_ng.guestagent import versions
from trove_ng.guestagent.datastores.mysql_family.backup import PhysicalBackup
from trove_ng.guestagent.datastores.mysql_family.tool import Tool

_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})\.\d{1,3}-MariaDB")


def installed_version() -> str:
    """Return the version of the server's program, for example ``10.11``.

    :raises GuestError: it does not tell
    """
    return versions.installed("mariadbd", _VERSION)


class MariaBackup(PhysicalBackup):
    """Full and incremental backups with mariadb-backup."""

    name = "mariabackup"
    tool = Tool(engine="mariadb", program="mariadb-backup", unpacker="mbstream",
                version=installed_version, log_reader="mariadb-binlog", client="mariadb")
