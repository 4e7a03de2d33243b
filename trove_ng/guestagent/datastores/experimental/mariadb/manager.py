"""The manager of MariaDB."""

from __future__ import annotations

from trove_ng.guestagent.datastores.experimental.mariadb.backup import (
    MariaBackup,
    installed_version,
)
from trove_ng.guestagent.datastores.experimental.mariadb.dialect import MariaDbDialect
from trove_ng.guestagent.datastores.experimental.mariadb.replication import (
    MariaDbReplication,
)
from trove_ng.guestagent.datastores.mysql_family.manager import (
    OWNER,
    MySqlFamilyManager,
)
from trove_ng.guestagent.os import commands, files

#: looking at all tables of a large database takes long
_UPGRADE_SECONDS = 3600


class MariaDbManager(MySqlFamilyManager):
    """MariaDB 10.4 and later."""

    name = "mariadb"
    services = ("mariadb", "mysql", "mysqld")
    strategy = MariaBackup
    dialect = MariaDbDialect()
    replicates = MariaDbReplication

    # ---- data -------------------------------------------------------------------

    def install_data(self) -> None:
        """Make an empty data directory with the server's own program."""
        files.make_directory(self.paths.data, mode=0o750, owner=OWNER)
        self.explained([
            "mariadb-install-db", f"--defaults-file={self.paths.base_config}",
            f"--user={OWNER}", f"--datadir={self.paths.data}",
            "--auth-root-authentication-method=socket", "--skip-test-db"])

    def installed_version(self) -> str:
        """Return the version of the server's program."""
        return installed_version()

    def upgrade_data(self) -> None:
        """Bring the system tables up to the server; nothing if they are."""
        commands.run(["mariadb-upgrade", f"--defaults-extra-file={self.admin.option_file}"],
                     timeout=_UPGRADE_SECONDS)
