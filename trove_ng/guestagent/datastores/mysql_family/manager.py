"""The manager of the MySQL family; an engine adds its programs and its backups."""

from __future__ import annotations

import abc
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pymysql
from oslo_config import cfg

from trove_ng.common.errors import Conflict, GuestError, TroveError, UnprocessableEntity
from trove_ng.common.states import DATA_VOLUME, ServiceStatus
from trove_ng.datastores.base import REPLICA_USERS, Config
from trove_ng.guestagent import devices, leftovers
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.datastores.mysql_family import causes, checks, sql
from trove_ng.guestagent.datastores.mysql_family.admin import AdminAccount
from trove_ng.guestagent.datastores.mysql_family.archive import BinlogArchive, Continued
from trove_ng.guestagent.datastores.mysql_family.backup import PhysicalBackup
from trove_ng.guestagent.datastores.mysql_family.binlog import server_id
from trove_ng.guestagent.datastores.mysql_family.config import Configuration
from trove_ng.guestagent.datastores.mysql_family.databases import Databases
from trove_ng.guestagent.datastores.mysql_family.dialect import Dialect
from trove_ng.guestagent.datastores.mysql_family.hold import DataHold
from trove_ng.guestagent.datastores.mysql_family.logs import ServerLogs
from trove_ng.guestagent.datastores.mysql_family.overrides import Overrides
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.datastores.mysql_family.replay import Replay
from trove_ng.guestagent.datastores.mysql_family.replication import (
    Replication,
    Role,
    forget_files,
)
from trove_ng.guestagent.datastores.mysql_family.restore import FamilyRestore, place_of
from trove_ng.guestagent.datastores.mysql_family.root import Root
from trove_ng.guestagent.datastores.mysql_family.tool import Tool
from trove_ng.guestagent.datastores.mysql_family.users import Users
from trove_ng.guestagent.health import Finding
from trove_ng.guestagent.os import commands, files
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.replicas import LastWord, LiveReplicaCalls
from trove_ng.guestagent.server import HUNG, PROBE_SECONDS
from trove_ng.guestagent.sql_manager import SqlManager
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage.backups import find_strategy, strategy_of
from trove_ng.guestagent.tls import TlsFiles
from trove_ng.guestagent.versions import is_older
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm

LOG = logging.getLogger(__name__)

#: user that the server runs as
OWNER = "mysql"
#: seconds that what is not on the disk yet may take to get there
_SYNC_SECONDS = 60
#: seconds that making an empty database may take
_INSTALL_SECONDS = 600
BINLOG, USER_LOG = "binlog", "user_log"
#: directory of what is kept over an upgrade
_CHANGES = "changes"


def default_paths(conf: cfg.ConfigOpts) -> Paths:
    """Return the places; the agent's configuration may move the volumes."""
    usual = Paths().mount
    return Paths(mount=devices.mount_point(conf, DATA_VOLUME, usual),
                 binlog_mount=devices.mount_point(conf, BINLOG, usual),
                 user_log_mount=devices.mount_point(conf, USER_LOG, usual))


class MySqlFamilyManager(LiveReplicaCalls, SqlManager):
    """Prepare, users, databases, root, restart, resize and replication.

    :param paths: where things are; another one in tests
    """

    #: makes backups
    tool: Tool
    dialect: Dialect
    #: follows, and is followed
    replicates: type[Replication]
    replication: Replication
    server_user = OWNER
    server_logs: ServerLogs

    def __init__(self, ctx: AgentContext, paths: Paths | None = None) -> None:
        self.paths = paths or default_paths(ctx.conf)
        super().__init__(ctx)
        self.admin = AdminAccount(self._option_file, OWNER, self.dialect)
        self.server = sql.Server(self.paths.socket, self.admin.credentials,
                                 self.dialect.unlimited)
        self.configuration = Configuration(self.paths, self.dialect, OWNER)
        self._hold = DataHold(self.server, self._sync, self.dialect)
        self.databases = Databases(self.server)
        self.users = Users(self.server, self.dialect)
        self.root = Root(self.server, self.dialect,
                         lambda: self.replication.role() is Role.REPLICA)
        self.server_logs = ServerLogs(self.paths, self.configuration, self.server, OWNER,
                                      lambda: self.ctx.services.log_path(self.services),
                                      lambda: self.volumes.has(USER_LOG))
        self._overrides = Overrides(self.configuration, self.server, self.dialect)
        self.replication = self.replicates(
            self.server, self.configuration, self.dialect, ctx.instance_id,
            lambda: self.agent_dir / "replication", self.tls.trust, LastWord(ctx.state_dir))
        self.archive = BinlogArchive(
            self.paths, self.server, self.configuration, self.tool,
            server_id(ctx.instance_id), lambda: self.agent_dir / "log-archive",
            lambda: self.volumes.has(BINLOG), ctx.scratch, self.patience, self._restart)

    # ---- what an engine must say --------------------------------------------

    @abc.abstractmethod
    def install_data(self) -> None:
        """Make an empty data directory.

        :raises GuestError: it did not work
        """

    def explained(self, argv: Sequence[str]) -> None:
        """Run the program that makes the data directory.

        :raises GuestError: it failed, and says why if that is known
        """
        try:
            commands.run(argv, timeout=_INSTALL_SECONDS, disposable=True)
        except commands.CommandError as err:
            cause = causes.find(err.stderr)
            if not cause:
                raise
            raise GuestError(f"The database cannot be made: {cause}") from err

    def installed_version(self) -> str:
        """Return the version of the server's program, for example ``10.11``.

        :raises GuestError: it does not tell
        """
        raise self._unsupported("snapshots")

    # ---- backups --------------------------------------------------------------

    def _backups(self, strategy: str) -> PhysicalBackup:
        """Return what makes and restores backups.

        :raises BadRequest: there is no strategy of the name
        """
        made: PhysicalBackup = find_strategy(self.name, strategy)(
            self.paths, self.server, self.admin, self.ctx.scratch(),
            lambda: Continued(self.server, self.archive.history).end, self.patience)
        return made

    def create_backup(self, request: m.BackupRequest, progress: Progress) -> m.StoredBackup:
        """Stream a backup to the object store."""
        return self._backups(request.strategy).create(request, progress)

    def restore_data(self, restore: m.RestoreSpec, progress: Progress) -> FamilyRestore:
        """Make the data directory from a backup; it is left alone unless all is good.

        :raises GuestError: the backup is damaged, or cannot be had
        """
        return self._backups(strategy_of(restore.chain)).restore(restore, progress)

    # ---- the archive of the binary log ------------------------------------------

    def writes_log(self) -> bool:
        """Return whether the server writes what is archived.

        :raises GuestError: it is a replica
        """
        if self.replication.role() is Role.REPLICA:
            raise GuestError("The log of a replica is not archived.")
        return self.archive.ready()

    def begin_log_archive(self) -> None:
        """Have the server write what is archived; one that wrote no log is restarted."""
        self.archive.begin()

    def archive_log(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        """Store the log that is not archived yet."""
        return self.archive.ship(request)

    def end_log_archive(self, request: m.Empty) -> m.Empty:
        """Keep no more log for the archive."""
        self.archive.end()
        return m.Empty()

    def _trim_logs(self) -> None:
        super()._trim_logs()
        if not self.answers:
            # it is asked which ones it has
            return
        try:
            self.archive.trim()
        except (TroveError, OSError) as err:
            LOG.warning("binary logs cannot be removed: %s", err)

    def _replay(self, restore: m.RestoreSpec, made: FamilyRestore, progress: Progress) -> None:
        """Bring restored data to a time, on a server that nobody else comes to."""
        log = restore.log
        assert log is not None
        self.configuration.set_replay(True)
        try:
            self._take_over()
            self.restored_to = made.replay(Replay(
                self.tool, self.admin.option_file, self.dialect.unhurried, OWNER,
                place_of(restore.chain[-1]), log.until, progress.check))
            # what was replayed may have changed the agent's account
            self.stop_db()
        finally:
            self.configuration.set_replay(False)

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
            self._restart()

    def follow(self, request: rm.FollowRequest) -> m.Empty:
        """Follow a source, and wait until its changes arrive."""
        self._take_role(Role.REPLICA)
        return super().follow(request)

    # ---- snapshots ------------------------------------------------------------

    def hold_data(self, request: m.HoldRequest) -> m.Held:
        """Block all writing, for a snapshot of the volume."""
        if self.agent_volume_dir() is None:
            raise GuestError("The volume is not mounted.")
        version = self._hold.take(request.token, request.seconds)
        spec = next((one for one in self.ctx.volumes.remembered()
                     if one.mount_point == self.paths.mount), None)
        kind = self.ctx.volumes.filesystem_of(spec.device) if spec is not None else None
        return m.Held(version=version, fstype=kind or "",
                      used=filesystem_stats(self.paths.mount).used)

    def release_data(self, request: m.HoldRequest) -> m.Flag:
        """Let the server write again."""
        return m.Flag(value=self._hold.release(request.token))

    def look_through(self, seconds: float, progress: Progress) -> m.DataReport:
        """Have the server check every table."""
        return checks.check_tables(
            self.server, self.ctx.clock.monotonic, seconds, progress,
            lambda: self._cause() if self._process_state() is ServiceStatus.SHUTDOWN else "")

    def _restart(self) -> None:
        with self.status.restarting():
            self.restart_db()

    def _sync(self) -> None:
        commands.run(["sync", "-f", self.paths.mount], timeout=_SYNC_SECONDS)

    # ---- files ----------------------------------------------------------------

    @property
    def volume_mount_point(self) -> str:
        """Where the data volume is."""
        return self.paths.mount

    def _option_file(self) -> pathlib.Path:
        return self.agent_dir / "admin.cnf"

    # ---- life -------------------------------------------------------------------

    def do_prepare(self, request: m.PrepareRequest, progress: Progress) -> None:
        """Configure, make or restore the data, start, take the server over."""
        data, existing = self.paths.data, request.existing
        holds = data.exists() and any(data.iterdir())
        if holds and existing is None:
            raise Conflict("The volume holds a database already.")
        if existing is not None:
            if not holds:
                raise GuestError("The volume holds no database.")
            self._check_data(existing)
            self._clear_copy()
        self._write_configuration(request.config, request.overrides)
        if request.replica:
            self.replication.configure(Role.REPLICA)
        progress.report(10)
        if request.restore is not None:
            made = self.restore_data(request.restore, progress)
            if request.restore.log is not None:
                self._replay(request.restore, made, progress)
        elif existing is None:
            self.install_data()
        progress.report(70)
        self._take_over()
        self.ctx.services.enable(self.services)
        progress.report(80)
        self._secure(keep_users=request.restore is not None or existing is not None)
        if existing is not None and is_older(existing.version, than=self.installed_version()):
            self.upgrade_data()
        if request.root_password is not None:
            self.root.enable(request.root_password)

    def _write_configuration(self, config: Config, overrides: Mapping[str, Any]) -> None:
        """Write all files of settings, and make the directories that they name."""
        self.configuration.write(config, overrides, self.server_logs.prepare(),
                                 binlogs=self.volumes.has(BINLOG))

    def _check_data(self, existing: m.ExistingData) -> None:
        if is_older(self.installed_version(), than=existing.version):
            raise GuestError(f"The data are of version {existing.version}; the database server "
                             f"is of version {self.installed_version()}.")

    def _clear_copy(self) -> None:
        """Remove from a copy of another instance's volume what is not its data."""
        self._clear_staging()
        for folder in (self.paths.logs, self.paths.binlogs):
            files.remove(folder, recursive=True)
        # backups of the other instance do not go on here
        files.remove(self.paths.lineage)
        forget_files(self.paths.data)
        files.change_owner(self.paths.data, OWNER, OWNER, recursive=True)

    def _clear_staging(self) -> None:
        for folder in (self.paths.staging, self.paths.increment):
            files.remove(folder, recursive=True)

    def clean(self) -> None:
        """Remove also the half of a restore."""
        super().clean()
        self._clear_staging()
        leftovers.remove_unfinished(pathlib.Path(self.paths.changes))

    def _take_over(self) -> None:
        """Start the server so that it gives the agent its account."""
        init_file = pathlib.Path(self.paths.init_file)
        self.admin.renew(self.paths.socket, init_file)
        self.configuration.set_init_file(str(init_file))
        try:
            self.start_db()
        finally:
            self.configuration.set_init_file(None)
            files.remove(init_file)

    def _secure(self, *, keep_users: bool) -> None:
        """Remove accounts without a name, and what was another instance's part in its set."""
        # a replica that does so in its log could not follow its source
        with self.replication.writing() as session:
            for user, host in session.run(
                    "SELECT User, Host FROM mysql.user WHERE User = '' OR LEFT(User, %s) = %s",
                    (len(REPLICA_USERS), REPLICA_USERS)):
                session.run("DROP USER IF EXISTS %s@%s", (user, host))
            if keep_users:
                self.replication.adopt(session)
            else:
                session.run("DROP DATABASE IF EXISTS test")

    def _ask(self) -> Finding:
        try:
            connection = self.server.connect(PROBE_SECONDS, PROBE_SECONDS)
        except (pymysql.MySQLError, GuestError, OSError) as err:
            return self._unanswered(err)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            return Finding(ServiceStatus.HEALTHY, "", self._incarnation())
        except (pymysql.MySQLError, OSError) as err:
            return self._unanswered(err)
        finally:
            connection.close()

    def _unanswered(self, err: Exception) -> Finding:
        """Return what it means that the server did not answer as it should."""
        code = err.args[0] if err.args and isinstance(err, pymysql.MySQLError) else 0
        if code in sql.TOO_MANY_CONNECTIONS:
            return Finding(ServiceStatus.BLOCKED, "The database takes no more connections.")
        down = self._not_running()
        if down is not None:
            return down
        if code in sql.ACCOUNT_REFUSED:
            return Finding(ServiceStatus.RUNNING, "The database refuses the agent's account.")
        if isinstance(err, GuestError):
            return Finding(ServiceStatus.RUNNING, "The agent has no account in the database.")
        if sql.is_not_listening(err):
            return Finding(ServiceStatus.RUNNING,
                           "The database runs and takes no connections yet.")
        return Finding(ServiceStatus.BLOCKED, HUNG)

    def _incarnation(self) -> str:
        try:
            return str(pathlib.Path(self.paths.pid_file).stat().st_mtime_ns)
        except OSError:
            return ""

    def _find_cause(self, log: str) -> str:
        return causes.find(log)

    def apply_config(self, request: m.ResizeRequest) -> None:
        """Write the settings for another amount of memory."""
        self.configuration.apply_computed(request.config)

    # ---- another root disk ----------------------------------------------------------

    def check_upgrade(self, version: str) -> None:
        """Refuse an older version: the server cannot use the data of a newer one."""
        with self.server.session() as session:
            ((running,),) = session.run("SELECT VERSION()")
            session.run("SET GLOBAL innodb_fast_shutdown = 1")
        if is_older(version, str(running)):
            raise UnprocessableEntity(
                f"The database is of version {running}; it cannot go back to {version}.")

    def save_settings(self, folder: pathlib.Path) -> None:
        """Keep the changes over the base file, which each release writes itself."""
        changes = pathlib.Path(self.paths.changes)
        if changes.is_dir():
            files.copy_tree(changes, folder / _CHANGES)

    def restore_settings(self, folder: pathlib.Path | None, request: sm.PostUpgrade) -> None:
        """Write all files, and give the data to the user that the server has here."""
        if not self.paths.data.is_dir():
            raise GuestError("The volume holds no database.")
        kept = folder / _CHANGES if folder is not None else None
        if kept is not None and kept.is_dir():
            files.copy_tree(kept, self.paths.changes)
        self._write_configuration(request.config, request.overrides)
        self.replication.configure_again()
        self.archive.configure_again()
        self.tls.own()
        self.configuration.set_tls(self.tls.in_force())
        for place in (self.paths.data, self.paths.logs, self.paths.binlogs):
            if place.is_dir() and place.owner() != OWNER:
                files.change_owner(place, OWNER, recursive=True)
        self.ctx.services.enable(self.services)

    def apply_overrides(self, request: m.OverridesRequest) -> bool:
        """Make the user's settings exactly these; return whether a restart is needed."""
        return self._overrides.apply(request.values, request.restart,
                                     running=self.probe() is not ServiceStatus.SHUTDOWN)

    def apply_tls(self, found: TlsFiles | None) -> bool:
        """Speak TLS with clients, or none; a server that did not, is started again for it."""
        self.configuration.set_tls(found)
        if self.probe() is ServiceStatus.SHUTDOWN:
            return False
        with self.server.session() as session:
            ((used,),) = session.run("SELECT @@GLOBAL.ssl_cert")
            if found is None:
                session.run("SET GLOBAL require_secure_transport = 0")
                return bool(used) and pathlib.Path(used) == self.tls.live_certificate
            renew = self.dialect.renew_tls
            if used != str(found.certificate) or renew is None:
                return True
            with self.replication.writing() as privileged:
                privileged.run(renew)
            session.run("SET GLOBAL require_secure_transport = %s", (int(found.strict),))
        return False
