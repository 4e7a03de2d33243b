"""Backups by XtraBackup of the release that fits the server."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trove_ng.common.errors import GuestError
from trove_ng.datastores.mysql.versions import series
from trove_ng.guestagent import versions
from trove_ng.guestagent.datastores.mysql_family.backup import GTID, PhysicalBackup
from trove_ng.guestagent.datastores.mysql_family.tool import Tool
from trove_ng.guestagent.os import commands

_SERVER = re.compile(r"Ver (\d{1,3})\.(\d{1,3})\.\d{1,3}(?!\S*MariaDB)")
_PROGRAM = re.compile(r"version (\d{1,3}\.\d{1,3})\.\d")
#: release of the server → of the program
_FITS = {"5.7": "2.4", "8.0": "8.0", "8.4": "8.4"}


def installed_version() -> str:
    """Return the version of the server's program, for example ``8.0``.

    :raises GuestError: it does not tell
    """
    return versions.installed("mysqld", _SERVER)


def check_program(version: str) -> None:
    """Refuse an XtraBackup that does not know a server's files.

    :param version: of the server
    :raises GuestError: it is of another release, or is not there
    """
    said = commands.run(["xtrabackup", "--version"], timeout=30)
    found, wanted = _PROGRAM.search(said.stdout + said.stderr), _FITS[series(version)]
    if found is None or found[1] != wanted:
        raise GuestError(f"XtraBackup {wanted} is needed for MySQL {version}, and "
                         f"{found[1] if found else 'none'} is installed.")


class XtraBackup(PhysicalBackup):
    """Full and incremental backups with XtraBackup."""

    name = "xtrabackup"
    tool = Tool(engine="mysql", program="xtrabackup", unpacker="xbstream",
                version=installed_version, log_reader="mysqlbinlog", client="mysql",
                # a server alone takes no numbers of transactions of one in a set
                log_options=("--skip-gtids",),
                check=check_program, upgrades=False, keeps_open=True)

    def unwritten(self) -> Mapping[str, str]:
        """Return that nothing is numbered yet: since 8.0 the program leaves an empty set out."""
        with self._server.session() as session:
            ((mode,),) = session.run("SELECT @@GLOBAL.gtid_mode")
        return {GTID: ""} if mode == "ON" else {}
