"""The manager of MySQL 5.7, 8.0 and 8.4."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from trove_ng.common.errors import GuestError, UnprocessableEntity
from trove_ng.datastores.base import Config
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.datastores.mysql_family.manager import (
    OWNER,
    MySqlFamilyManager,
    default_paths,
)
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.datastores.mysql_family.restore import FamilyRestore
from trove_ng.guestagent.datastores.stable.mysql.backup import XtraBackup
from trove_ng.guestagent.datastores.stable.mysql.dialect import NATIVE, MySqlDialect
from trove_ng.guestagent.datastores.stable.mysql.replication import MySqlReplication
from trove_ng.guestagent.datastores.stable.mysql.upgrades import check_jump, check_ready
from trove_ng.guestagent.os import commands, files
from trove_ng.guestagent.steps import Progress
from trove_ng.rpc import messages as m

#: looking at all tables of a large database takes long
_UPGRADE_SECONDS = 3600
#: how mysql_upgrade ends where there is nothing to do
_UPGRADED_ALREADY = 2
#: a server that does not know the option starts all the same
_ALLOW_NATIVE = f"loose_{NATIVE}"


def places(conf: cfg.ConfigOpts) -> Paths:
    """Return the places of all packages.

    Every one of them reads these two files, the second of them last or first, whatever it
    includes otherwise.  AppArmor's profiles let the server read below ``/etc/mysql`` and below
    its data.
    """
    found = default_paths(conf)
    return dataclasses.replace(
        found, include_config="/etc/mysql/my.cnf", other_config="/etc/my.cnf",
        init_file=f"{found.mount}/trove-init.sql")


class MySqlManager(MySqlFamilyManager):
    """MySQL."""

    name = "mysql"
    services = ("mysql", "mysqld")
    tool = XtraBackup.tool
    replicates = MySqlReplication

    def __init__(self, ctx: AgentContext, paths: Paths | None = None) -> None:
        self.dialect = MySqlDialect(functools.cache(self.installed_version))
        super().__init__(ctx, paths or places(ctx.conf))

    # ---- data -------------------------------------------------------------------

    def install_data(self) -> None:
        """Make an empty data directory with the server's own program."""
        files.make_directory(self.paths.data, mode=0o750, owner=OWNER)
        self.explained([
            "mysqld", f"--defaults-file={self.paths.base_config}", "--initialize-insecure",
            f"--user={OWNER}", f"--datadir={self.paths.data}", "--log-error-verbosity=1",
            "--console"])

    def installed_version(self) -> str:
        """Return the version of the server's program."""
        return self.tool.version()

    def clean(self) -> None:
        """Remove also the statements of a first start, which hold a password."""
        super().clean()
        files.remove(pathlib.Path(self.paths.init_file))

    def _clear_copy(self) -> None:
        super()._clear_copy()
        self._forget_number()
        # keys that the server made for itself: it makes others
        for path in self.paths.data.glob("*.pem"):
            files.remove(path)

    def _forget_number(self) -> None:
        """Have the server choose another number than that which the data come from."""
        files.remove(self.paths.data / "auto.cnf")

    def restore_data(self, restore: m.RestoreSpec, progress: Progress) -> FamilyRestore:
        """Make the data directory from a backup, whose users log in as they used to."""
        made = super().restore_data(restore, progress)
        self._forget_number()
        self.configuration.set_default(_ALLOW_NATIVE, "ON")
        return made

    def _write_configuration(self, config: Config, overrides: Mapping[str, Any]) -> None:
        super()._write_configuration(config, overrides)
        if self.paths.data.is_dir() and any(self.paths.data.iterdir()):
            # of a former release perhaps; it is known once the server runs
            self.configuration.set_default(_ALLOW_NATIVE, "ON")

    def _secure(self, *, keep_users: bool) -> None:
        super()._secure(keep_users=keep_users)
        self._keep_native()

    def _keep_native(self) -> None:
        """Let users log in by the former way as long as there are such users."""
        with self.server.session() as session:
            found = session.run("SELECT 1 FROM mysql.user WHERE plugin = %s "
                                "AND account_locked = 'N' LIMIT 1", (NATIVE,))
        if not found:
            self.configuration.unset_default(_ALLOW_NATIVE)

    # ---- another root disk --------------------------------------------------------

    def _check_data(self, existing: m.ExistingData) -> None:
        super()._check_data(existing)
        try:
            check_jump(existing.version, self.installed_version())
        except UnprocessableEntity as err:
            raise GuestError(err.message) from err

    def check_upgrade(self, version: str) -> None:
        """Refuse what the server's data cannot go to."""
        super().check_upgrade(version)
        check_jump(self.installed_version(), version)
        with self.server.session() as session:
            check_ready(session)

    def upgrade_data(self) -> None:
        """Give the agent's account what this release has, and bring system tables up to it.

        The server does so itself since 8.0.16.  An account of a former release lacks rights
        that are new, and may use a way to log in that the next release has no more.
        """
        _, password = self.admin.credentials()
        with self.replication.writing() as session:
            if self.installed_version() == "5.7":
                commands.run(
                    ["mysql_upgrade", f"--defaults-extra-file={self.admin.option_file}"],
                    timeout=_UPGRADE_SECONDS, accept=(0, _UPGRADED_ALREADY))
            for statement in self.admin.statements(password):
                session.run(*statement)
        self._keep_native()
