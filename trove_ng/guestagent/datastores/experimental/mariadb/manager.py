"""The manager of MariaDB."""

from __future__ import annotations

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.experimental.mariadb.backup import (
    MariaBackup,
    installed_version,
)
from trove_ng.guestagent.datastores.experimental.mariadb.dialect import MariaDbDialect
from trove_ng.guestagent.datastores.mysql_family import causes
from trove_ng.guestagent.datastores.mysql_family.manager import OWNER, MySqlFamilyManager
from trove_ng.guestagent.os import commands, files

#: looking at all tables of a large database takes long
_UPGRADE_SECONDS = 3600


class MariaDbManager(MySqlFamilyManager):
    """MariaDB 10.4 and later."""

    name = "mariadb"
    services = ("mariadb", "mysql", "mysqld")
    strategy = MariaBackup
    dialect = MariaDbDialect()

    def install_data(self) -> None:
        """Make an empty data directory with the server's own program."""
        files.make_directory(self.paths.data, mode=0o750, owner=OWNER)
        try:
            self._install()
        except commands.CommandError as err:
            cause = causes.find(err.stderr)
            if not cause:
                raise
            raise GuestError(f"The database cannot be made: {cause}") from err

    def _install(self) -> None:
        commands.run([
            "mariadb-install-db", f"--defaults-file={self.paths.base_config}",
            f"--user={OWNER}", f"--datadir={self.paths.data}",
            "--auth-root-authentication-method=socket", "--skip-test-db"],
            timeout=600, disposable=True)

    def installed_version(self) -> str:
        """Return the version of the server's program."""
        return installed_version()

    def upgrade_data(self) -> None:
        """Bring the system tables up to the server; nothing if they are."""
        commands.run(["mariadb-upgrade", f"--defaults-extra-file={self.admin.option_file}"],
                     timeout=_UPGRADE_SECONDS)
