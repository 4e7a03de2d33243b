"""The manager of MariaDB."""

from __future__ import annotations

from typing import Any

from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.datastores.experimental.mariadb.backup import (
    MariaBackup,
    installed_version,
)
from trove_ng.guestagent.datastores.experimental.mariadb.dialect import MariaDbDialect
from trove_ng.guestagent.datastores.experimental.mariadb.locks import unlock
from trove_ng.guestagent.datastores.experimental.mariadb.replication import (
    Replication,
    Role,
    forget_files,
)
from trove_ng.guestagent.datastores.mysql_family.manager import (
    OWNER,
    MySqlFamilyManager,
)
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.os import commands, files
from trove_ng.guestagent.replicas import ReplicaCalls, only_progress
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm

#: looking at all tables of a large database takes long
_UPGRADE_SECONDS = 3600


class MariaDbManager(ReplicaCalls, MySqlFamilyManager):
    """MariaDB 10.4 and later."""

    name = "mariadb"
    services = ("mariadb", "mysql", "mysqld")
    strategy = MariaBackup
    dialect = MariaDbDialect()
    replication: Replication

    def __init__(self, ctx: AgentContext, paths: Paths | None = None) -> None:
        super().__init__(ctx, paths)
        self.replication = Replication(
            self.server, self.configuration, self.paths, ctx.instance_id,
            lambda: self.agent_dir / "replication", OWNER)

    # ---- replication ----------------------------------------------------------

    def enable_as_source(self, request: m.StepRequest) -> m.Empty:
        """Write the binary log, which needs a restart if it was not written until now."""
        self._take_role(Role.SOURCE)
        # one that was held for a promotion that came to nothing
        self.replication.open()
        return m.Empty()

    def _take_role(self, role: Role) -> None:
        self.replication.configure(role)
        if not self.replication.in_force():
            with self.status.restarting():
                self.restart_db()

    def follow(self, request: rm.FollowRequest) -> m.Empty:
        """Follow a source, and wait until its changes arrive."""
        self._take_role(Role.REPLICA)
        self.replication.follow(request)
        return m.Empty()

    def stop_writes(self, request: m.StepRequest) -> rm.Position:
        """Let no client write any more, and say where the last change is."""
        return self.replication.stop_writes()

    def allow_writes(self, request: m.StepRequest) -> m.Empty:
        """Let clients write."""
        self.replication.allow_writes()
        return m.Empty()

    def replication_state(self) -> dict[str, Any]:
        """Return how far the replica was at the last look."""
        state = self.replication.state
        return state if self.answers else only_progress(state)

    def configure_replica(self) -> None:
        """Write the settings of a replica."""
        self.replication.configure(Role.REPLICA)

    def configure_replication_again(self) -> None:
        """Write the settings of the role that the volume tells."""
        self.replication.configure_again()

    def forget_source(self) -> None:
        """Remove whom a copy of a replica's data followed."""
        forget_files(self.paths.data)

    def _secure(self, *, keep_users: bool) -> None:
        """Let those in, too, whom the server that the data come from kept out for a time."""
        super()._secure(keep_users=keep_users)
        if keep_users:
            with self.server.session() as session:
                unlock(session)

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
