"""The manager of MariaDB."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.datastores.experimental.mariadb import settings
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
from trove_ng.guestagent.steps import Progress
from trove_ng.rpc import messages as m

#: looking at all tables of a large database takes long
_UPGRADE_SECONDS = 3600


class MariaDbManager(MySqlFamilyManager):
    """MariaDB 10.4 and later."""

    name = "mariadb"
    services = ("mariadb", "mysql", "mysqld")
    tool = MariaBackup.tool
    dialect = MariaDbDialect()
    replicates = MariaDbReplication

    def do_prepare(self, request: m.PrepareRequest, progress: Progress) -> None:
        """Refuse what the server would not start with before anything is made."""
        self._look_through(request.overrides)
        super().do_prepare(request, progress)

    def apply_overrides(self, request: m.OverridesRequest) -> bool:
        """Make the user's settings exactly these; return whether a restart is needed."""
        if self.probe() is ServiceStatus.SHUTDOWN:
            self._look_through(request.values)
        return super().apply_overrides(request)

    def clean(self) -> None:
        """Remove also what was looked through."""
        super().clean()
        files.remove(self._draft)

    @property
    def _draft(self) -> pathlib.Path:
        # its name is of no file that servers read by themselves
        return pathlib.Path(self.paths.base_config).with_suffix(".draft")

    def _look_through(self, values: Mapping[str, Any]) -> None:
        settings.check(values, self.dialect, self._draft, OWNER)

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
