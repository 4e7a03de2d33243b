"""The manager of PostgreSQL."""

from __future__ import annotations

import logging
import pathlib
import re
from collections.abc import Callable, Sequence

import psycopg
from psycopg.sql import SQL

from trove_ng.common.errors import Conflict, GuestError, UnprocessableEntity
from trove_ng.common.states import DATA_VOLUME, ServiceStatus
from trove_ng.guestagent import devices
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.datastores.experimental.postgresql import causes, sql
from trove_ng.guestagent.datastores.experimental.postgresql.archive import WalArchive
from trove_ng.guestagent.datastores.experimental.postgresql.backup import (
    BaseBackup,
    look_through,
)
from trove_ng.guestagent.datastores.experimental.postgresql.config import (
    KEEPER,
    OWNER,
    Configuration,
)
from trove_ng.guestagent.datastores.experimental.postgresql.data import DataDirectory
from trove_ng.guestagent.datastores.experimental.postgresql.databases import (
    Databases,
    check_logged,
    close_own,
    count,
)
from trove_ng.guestagent.datastores.experimental.postgresql.logs import ServerLog
from trove_ng.guestagent.datastores.experimental.postgresql.overrides import Overrides
from trove_ng.guestagent.datastores.experimental.postgresql.paths import (
    Paths,
    installed_version,
)
from trove_ng.guestagent.datastores.experimental.postgresql.replication import Replication
from trove_ng.guestagent.datastores.experimental.postgresql.restore import check_reached
from trove_ng.guestagent.datastores.experimental.postgresql.root import Root
from trove_ng.guestagent.datastores.experimental.postgresql.users import Users
from trove_ng.guestagent.health import Finding
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.replicas import LastWord, ReplicaCalls
from trove_ng.guestagent.server import HUNG, PROBE_SECONDS
from trove_ng.guestagent.sql_manager import SqlManager
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage.backups import find_strategy, strategy_of
from trove_ng.guestagent.tls import TlsFiles
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm

LOG = logging.getLogger(__name__)


class PostgreSqlManager(ReplicaCalls, SqlManager):
    """PostgreSQL 12 and later.

    :param paths: where things are; another one in tests
    """

    name = "postgresql"
    server_user = OWNER
    server_logs: ServerLog
    replication: Replication

    def __init__(self, ctx: AgentContext, paths: Paths | None = None) -> None:
        self.paths = paths or Paths(
            mount=devices.mount_point(ctx.conf, DATA_VOLUME, Paths.mount),
            version=installed_version())
        # Debian has one service for each version and cluster
        self.services: Sequence[str] = (f"postgresql@{self.paths.version}-main", "postgresql")
        super().__init__(ctx)
        self.server = sql.Server(self.paths.run, self.paths.port, int(self.paths.version))
        self.configuration = Configuration(self.paths)
        self.directory = DataDirectory(self.paths)
        self.databases = Databases(self.server)
        self.users = Users(self.server)
        self.root = Root(self.server)
        self._overrides = Overrides(self.configuration, self.server, self.paths,
                                    lambda: self.replication.least())
        self.replication = Replication(self.server, self.configuration, self._overrides,
                                        self.paths, lambda: self.agent_dir / "replication",
                                        self._restart, self.tls,
                                        LastWord(ctx.state_dir))
        self._archive = WalArchive(
            self.paths, self.server, lambda: self.agent_dir / "lineage", self.ctx.scratch,
            self.patience)
        self.server_logs = ServerLog(
            self.paths, self.configuration, self.server, self._overrides,
            lambda: self.ctx.services.log_path(self.services))

    @property
    def volume_mount_point(self) -> str:
        """Where the data volume is."""
        return self.paths.mount

    # ---- life -------------------------------------------------------------------

    def do_prepare(self, request: m.PrepareRequest, progress: Progress) -> None:
        """Configure, make or restore the data, start."""
        if self.paths.data.exists() and any(self.paths.data.iterdir()):
            raise Conflict("The volume holds a database already.")
        self._write_configuration(request)
        self._overrides.check(request.overrides)
        progress.report(10)
        restore = request.restore
        if restore is None:
            self.directory.make()
        else:
            self._backups(strategy_of(restore.chain)).restore(restore, progress)
        if request.replica:
            self.replication.stand_by()
        elif restore is not None:
            self.restored_to = self.directory.take_over(
                restore.chain[-1].metadata["to_lsn"],
                restore.log.until if restore.log is not None else None)
        progress.report(70)
        self.ctx.services.enable(self.services)
        self.start_db()
        progress.report(80)
        if not request.replica:
            self._make_own(request)

    def _make_own(self, request: m.PrepareRequest) -> None:
        """Check and change what is in the database, which is no replica's."""
        if request.restore is not None:
            check_reached(self.server, request.restore.chain[-1])
            # the accounts of another instance's replicas
            self.replication.set_accounts(rm.ReplicaAccounts())
        close_own(self.server)
        if request.root_password is not None:
            self.root.enable(request.root_password)

    def start_db(self) -> None:
        """Start the server, with settings that a replica can go on with."""
        least = self.replication.least()
        self._overrides.settle()
        try:
            super().start_db()
        except GuestError:
            # before version 14 it ends when it reads that its source has got larger settings
            if self.replication.least() == least:
                raise
            self._overrides.settle()
            super().start_db()

    def _write_configuration(self, request: m.PrepareRequest | sm.PostUpgrade) -> None:
        self.configuration.write(request.config, request.overrides, self.server_logs.prepare(),
                                 self.tls.in_force())
        self.configuration.apply_volume(filesystem_stats(self.paths.mount).total)

    def clean(self) -> None:
        """Remove also the half of a restore, and what was looked through."""
        super().clean()
        files.remove(self.paths.staging, recursive=True)
        files.remove(self.paths.draft)
        if self.probe() is ServiceStatus.HEALTHY:
            self._backups(BaseBackup.name).clean()

    def _ask(self) -> Finding:
        try:
            with self.server.connect(PROBE_SECONDS, PROBE_SECONDS) as connection:
                row = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
            return Finding(ServiceStatus.HEALTHY, "", str(row and row[0]))
        except (psycopg.Error, OSError) as err:
            return self._unanswered(err)

    def _unanswered(self, err: Exception) -> Finding:
        """Return what it means that the server did not answer as it should."""
        said = str(err)
        if sql.FULL.search(said):
            return Finding(ServiceStatus.BLOCKED, "The database takes no more connections.")
        down = self._not_running()
        if down is not None:
            return down
        if sql.NOT_YET.search(said):
            return Finding(ServiceStatus.RUNNING,
                           "The database runs and takes no connections yet.")
        if "FATAL:" in said:
            return Finding(ServiceStatus.RUNNING, "The database refuses the agent's account.")
        return Finding(ServiceStatus.BLOCKED, HUNG)

    def _find_cause(self, log: str) -> str:
        return causes.find(log)

    # ---- settings ---------------------------------------------------------------

    def apply_config(self, request: m.ResizeRequest) -> None:
        """Write the settings for another amount of memory."""
        self.configuration.apply_computed(request.config)

    def apply_overrides(self, request: m.OverridesRequest) -> bool:
        """Make the user's settings exactly these; return whether a restart is needed."""
        return self._overrides.apply(
            request.values, running=self.probe() is not ServiceStatus.SHUTDOWN)

    def apply_tls(self, found: TlsFiles | None) -> bool:
        """Speak TLS with clients, or none; the server needs no restart for it."""
        self.configuration.set_tls(found)
        return self.probe() is not ServiceStatus.SHUTDOWN and self._overrides.reload()

    def resize_fs(self, request: m.VolumeSpec) -> m.FilesystemStats:
        """Grow the file system, and what the server may take of it for its log."""
        grown = super().resize_fs(request)
        self.configuration.apply_volume(grown.total)
        if self.probe() is not ServiceStatus.SHUTDOWN:
            self._overrides.reload()
        return grown

    # ---- backups ----------------------------------------------------------------

    def _backups(self, strategy: str) -> BaseBackup:
        """Return what makes and restores backups.

        :raises BadRequest: there is no strategy of the name
        """
        made: BaseBackup = find_strategy(self.name, strategy)(
            self.paths, self.server, self.agent_dir / "lineage", self.ctx.scratch(),
            self.patience)
        return made

    def create_backup(self, request: m.BackupRequest, progress: Progress) -> m.StoredBackup:
        """Stream a backup to the object store."""
        return self._backups(request.strategy).create(request, progress)

    def archive_log(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        """Store the log that is not archived yet."""
        return self._archive.ship(request)

    def end_log_archive(self, request: m.Empty) -> m.Empty:
        """Keep no more log for the archive."""
        self._archive.end()
        return m.Empty()

    def look_through(self, seconds: float, progress: Progress) -> m.DataReport:
        """Read every page of the data, and have the server check it."""
        whole = look_through(self.paths, seconds, progress)
        return m.DataReport(counts={"databases": count(self.server)}, problems=[] if whole else [
            "Pages of the data are damaged; the log of errors names their files."])

    # ---- replication ------------------------------------------------------------

    def detach_replica(self, request: rm.DetachRequest) -> m.Empty:
        """Follow nobody any more."""
        self.replication.detach(hold=request.hold, keep=request.keep)
        return m.Empty()

    def stop_writes(self, request: m.StepRequest) -> rm.Position:
        """Let nobody write any more, and say where the last change is.

        The server is started again as one that stands by: it writes no log of its own then, so
        that it can follow whoever has all that it has.
        """
        if not self.replication.is_replica():
            check_logged(self.server)
            with self.server.session() as session:
                # else all of that is done while nobody is served
                session.run(SQL("CHECKPOINT"))
            self._change(self.replication.hold)
        self._run()
        return self.replication.position()

    def allow_writes(self, request: m.StepRequest) -> m.Empty:
        """Let clients write to what stood by, and followed nobody that was written to."""
        if self.replication.is_replica():
            self._change(self.replication.stand_alone)
        self._run()
        return m.Empty()

    def _change(self, what: Callable[[], None]) -> None:
        """Change what the stopped server is; it is started whatever becomes of that."""
        with self.status.restarting():
            self.stop_db()
            try:
                what()
            finally:
                self.start_db()

    def _run(self) -> None:
        """Start the server if an agent that was killed left it stopped."""
        if self.probe() is ServiceStatus.SHUTDOWN:
            with self.status.restarting():
                self.start_db()

    def _restart(self) -> None:
        with self.status.restarting():
            self.restart_db()

    # ---- another root disk ------------------------------------------------------

    def check_upgrade(self, version: str) -> None:
        """Refuse another major version: its server cannot use the data of this one."""
        wanted, running = re.match(r"\d+", version), self.directory.version()
        if wanted is not None and wanted[0] != running:
            raise UnprocessableEntity(
                f"The database is of version {running}; its data are none for {version}.")

    def save_settings(self, folder: pathlib.Path) -> None:
        """Keep which logs are written; all else is on the volume, or is sent again."""
        if self.paths.changes.is_dir():
            files.copy_tree(self.paths.changes, folder / self.paths.changes.name)

    def restore_settings(self, folder: pathlib.Path | None, request: sm.PostUpgrade) -> None:
        """Write the files, and give the data to the user that the server has here."""
        if not self.paths.data.is_dir():
            raise GuestError("The volume holds no database.")
        if self.directory.version() != self.paths.version:
            raise GuestError(f"The data are of version {self.directory.version()}; the database "
                             f"server is of version {self.paths.version}.")
        kept = folder / self.paths.changes.name if folder is not None else None
        if kept is not None and kept.is_dir():
            files.copy_tree(kept, self.paths.changes)
            files.change_owner(self.paths.changes, KEEPER, OWNER, recursive=True)
        self.tls.own()
        self._write_configuration(request)
        self.replication.configure_again()
        if self.paths.data.owner() != OWNER:
            files.change_owner(self.paths.data, OWNER, OWNER, recursive=True)
        self.ctx.services.enable(self.services)
