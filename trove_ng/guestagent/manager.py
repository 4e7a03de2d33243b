"""The base of all datastore managers: what does not depend on the datastore.

A datastore subclasses :class:`BaseManager`.  It must say how to prepare, look at,
start and stop its database; everything else it may offer, and what it leaves out is
refused with :class:`~trove_ng.common.errors.NotSupported`.

The public methods named as in the guest call table are what the bus calls.
``prepare`` and the calls with a ``StepRequest`` run the datastore's hooks inside the
order that is the same for all datastores.
"""

from __future__ import annotations

import abc
import errno
import logging
import os
import pathlib

from trove_ng.common.errors import Conflict, GuestError, NotSupported, TroveError
from trove_ng.common.states import ServiceStatus
from trove_ng.datastores.guest_logs import AGENT
from trove_ng.guestagent import health, leftovers
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.health import Finding
from trove_ng.guestagent.logs import LogFile, Logs
from trove_ng.guestagent.modules.manager import ModuleManager
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.status import DatabaseStatus
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage.http import Patience
from trove_ng.guestagent.upgrades import Upgrades
from trove_ng.rpc import messages as m
from trove_ng.rpc import server_messages as sm

LOG = logging.getLogger(__name__)

#: directory on the data volume for the agent's own files; a datastore keeps its data
#: in a directory next to it, never in the root of the volume
AGENT_DIR = ".trove"

#: calls that a datastore may leave out
OPTIONAL = (
    "apply_config", "apply_overrides", "change_passwords", "create_backup",
    "create_databases", "create_users", "delete_database", "delete_user", "disable_root",
    "enable_root", "get_user",
    "grant_access", "is_root_enabled", "list_access", "list_databases", "list_users",
    "revoke_access", "set_log", "update_user",
)
#: a log is put aside when it has this part of the volume, but not before it has some bytes
_LOG_SHARE = 40
_LOG_LEAST = 1024 ** 2
#: someone waits for the answer
_LOG_PATIENCE = Patience(tries=3, connect=5.0, silence=10.0, longest_wait=2.0)


class BaseManager(abc.ABC):
    """One datastore on this server.

    :param ctx: see :class:`~trove_ng.guestagent.context.AgentContext`
    """

    #: entry point name, for logs
    name = ""
    #: True if a prepare that the agent's end cut off may simply run again
    prepare_rerun_safe = False
    #: True if files below the mount point are copied onto a new volume
    migrate_to_volume = False

    def __init__(self, ctx: AgentContext) -> None:
        self.ctx = ctx
        self.status = DatabaseStatus(
            instance_id=ctx.instance_id, state_dir=ctx.state_dir, clock=ctx.clock,
            probe=self._examine_all, volume_dir=self.agent_volume_dir,
            crashes=health.CrashCount(ctx.clock, ctx.conf.guest_agent.crash_loop_count,
                                      ctx.conf.guest_agent.crash_loop_quiet))
        self._volume_health = health.VolumeHealth()
        self.upgrades = Upgrades(self)
        self._logs = Logs(lambda: self.log_files(), ctx.clock, _LOG_PATIENCE)
        self.modules = ModuleManager(ctx, self._module_dir)

    # ---- what a datastore must say ----------------------------------------

    @property
    @abc.abstractmethod
    def volume_mount_point(self) -> str:
        """Where the data volume is mounted, also when it is not now."""

    @abc.abstractmethod
    def do_prepare(self, request: m.PrepareRequest, progress: Progress) -> None:
        """Make the database: configuration, data directory or restore, start.

        The volume is mounted when this runs.  It ends with the database running,
        its administrative account set up and, if asked for, root enabled.
        Databases and users are created by the base afterwards.

        :raises Exception: anything; the instance becomes FAILED
        """

    @abc.abstractmethod
    def probe(self) -> ServiceStatus:
        """Look at the database, within seconds, from any thread, and raise nothing.

        :return: HEALTHY (it answered), RUNNING (the process is there and could not
            be asked), BLOCKED (there, and refuses or does not answer: disk full, too many
            connections, hung), SHUTDOWN (no process)
        """

    @abc.abstractmethod
    def start_db(self) -> None:
        """Start the database and wait until it answers; nothing if it runs.

        :raises GuestError: it did not come up in time
        """

    @abc.abstractmethod
    def stop_db(self) -> None:
        """Stop the database and wait until it is gone; nothing if it does not run.

        :raises GuestError: it is still there after the time given
        """

    # ---- what a datastore may say -----------------------------------------

    def examine(self) -> Finding:
        """Look at the database as :meth:`probe` does, and say why it is not well."""
        return Finding(self.probe())

    def before_volume(self, request: m.PrepareRequest) -> None:
        """Let go of the mount point: called before the data volume is mounted.

        The default stops a database that the image started.
        """
        self.stop_db()

    def post_prepare(self, request: m.PrepareRequest) -> None:
        """Work after the instance is usable; a failure here is only logged.

        The default does nothing more.
        """
        LOG.debug("no work is defined after prepare")

    def restart_db(self) -> None:
        """Restart the database and wait until it answers."""
        self.stop_db()
        self.start_db()

    def apply_config(self, request: m.ResizeRequest) -> None:
        """Write the settings for another amount of memory; the database is stopped."""
        raise self._unsupported("resizing")

    def apply_overrides(self, request: m.OverridesRequest) -> bool:
        """Make the user's settings exactly these; return whether a restart is needed.

        When they cannot be applied, the earlier ones are in force afterwards.

        :raises GuestError: the database refuses them
        """
        raise self._unsupported("configuration groups")

    def create_backup(self, request: m.BackupRequest,
                      progress: Progress) -> m.StoredBackup:
        """Stream a backup to object storage and return what was stored."""
        raise self._unsupported("backups")

    def check_upgrade(self, version: str) -> None:
        """Check that the database can go on with another version; it runs.

        :raises UnprocessableEntity: it cannot
        """
        raise self._unsupported("upgrades")

    def save_settings(self, folder: pathlib.Path) -> None:
        """Keep what the root disk has of the settings in a directory of the data volume."""
        raise self._unsupported("upgrades")

    def restore_settings(self, folder: pathlib.Path | None, request: sm.PostUpgrade) -> None:
        """Write the settings to a new root disk; the database does not run.

        :param folder: what :meth:`save_settings` kept, None if the old disk was lost
        """
        raise self._unsupported("upgrades")

    def upgrade_data(self) -> None:
        """Make the data those of the version that runs; the default has nothing to do."""
        LOG.debug("the data are not changed by an upgrade")

    def log_files(self) -> dict[str, LogFile]:
        """Return the logs of this server by name; a datastore adds its own."""
        return {AGENT: LogFile(pathlib.Path(self.ctx.conf.guest_agent.log_path), ours=False)}

    def set_log(self, switch: m.LogSwitch) -> None:
        """Write a log from now on, or do not.

        :raises BadRequest: it is always written
        :raises NotFound: there is no such log
        """
        raise self._unsupported("switching logs")

    def reopen_logs(self) -> None:
        """Make the database write new log files: the old ones were moved."""
        raise self._unsupported("new log files")

    def list_databases(self, request: m.PageRequest) -> m.DatabasePage:
        """Return a page of the databases, without the datastore's own."""
        raise self._unsupported("databases")

    def create_databases(self, request: m.DatabasesRequest) -> m.Empty:
        raise self._unsupported("databases")

    def delete_database(self, request: m.NameRequest) -> m.Empty:
        raise self._unsupported("databases")

    def list_users(self, request: m.PageRequest) -> m.UserPage:
        """Return a page of the users, without the datastore's own."""
        raise self._unsupported("users")

    def get_user(self, request: m.UserRequest) -> m.UserSpec:
        """Return a user without its password.

        :raises NotFound: no such user
        """
        raise self._unsupported("users")

    def create_users(self, request: m.UsersRequest) -> m.Empty:
        raise self._unsupported("users")

    def delete_user(self, request: m.UserRequest) -> m.Empty:
        raise self._unsupported("users")

    def update_user(self, request: m.UserUpdateRequest) -> m.Empty:
        raise self._unsupported("users")

    def change_passwords(self, request: m.UsersRequest) -> m.Empty:
        raise self._unsupported("users")

    def list_access(self, request: m.UserRequest) -> m.DatabaseList:
        raise self._unsupported("access rights")

    def grant_access(self, request: m.AccessRequest) -> m.Empty:
        raise self._unsupported("access rights")

    def revoke_access(self, request: m.AccessRequest) -> m.Empty:
        raise self._unsupported("access rights")

    def is_root_enabled(self, request: m.Empty) -> m.Flag:
        raise self._unsupported("a root user")

    def enable_root(self, request: m.RootRequest) -> m.UserSpec:
        """Enable root and return it with its password."""
        raise self._unsupported("a root user")

    def disable_root(self, request: m.Empty) -> m.Empty:
        raise self._unsupported("a root user")

    # ---- the same for all datastores --------------------------------------

    def prepare(self, request: m.PrepareRequest, progress: Progress) -> m.Empty:
        """Make this server a database instance and report its status.

        The end marker is written after databases and users exist, so that an
        instance never shows as usable while something that was asked for lacks.

        :raises Conflict: the instance holds data already
        """
        if self.status.prepared:
            raise Conflict("The instance is prepared already.")
        LOG.info("prepare begins for datastore %s %s", request.datastore,
                 request.datastore_version)
        self.status.begin_install()
        try:
            self._prepare(request, progress)
        except BaseException as err:
            LOG.exception("prepare failed")
            trouble = self._volume_trouble()
            self.status.end_install(failed=True)
            if isinstance(err, TroveError) and trouble:
                raise GuestError(f"{err.message} {trouble}") from err
            raise
        self.status.end_install()
        try:
            self.post_prepare(request)
        except Exception:  # noqa: BLE001  the instance is usable: this must not fail it
            LOG.exception("work after prepare failed")
        return m.Empty()

    def _prepare(self, request: m.PrepareRequest, progress: Progress) -> None:
        if request.volume is not None:
            self.before_volume(request)
            progress.report(2)
            self.ctx.volumes.set_up(request.volume, migrate=self.migrate_to_volume)
            self.status.volume_mounted()
        progress.report(5)
        self.do_prepare(request, progress)
        progress.report(90)
        if request.databases:
            self.create_databases(m.DatabasesRequest(databases=request.databases))
        if request.users:
            self.create_users(m.UsersRequest(users=request.users))
        progress.report(95)

    def rpc_ping(self, request: m.Empty) -> m.Flag:
        """Tell that the agent listens."""
        return m.Flag(value=True)

    def restart(self, request: m.StepRequest) -> m.Empty:
        """Restart the database; RESTARTING is reported meanwhile."""
        with self.status.restarting():
            self.restart_db()
            self.status.set_restart_required(False)
        return m.Empty()

    def update_overrides(self, request: m.OverridesRequest) -> m.OverridesResult:
        """Apply the settings of the user's configuration group."""
        if self.apply_overrides(request):
            self.status.set_restart_required(True)
        return m.OverridesResult(restart_required=self.status.restart_required)

    def stop_database(self, request: m.StepRequest) -> m.Empty:
        """Stop the database on purpose; it stays stopped over an agent restart."""
        self.status.expect_running(False)
        self.stop_db()
        self.status.update()
        return m.Empty()

    def start_db_with_conf_changes(self, request: m.ResizeRequest) -> m.Empty:
        """Start the stopped database with the settings for another size."""
        if self.probe() is not ServiceStatus.SHUTDOWN:
            raise GuestError("The database has to be stopped first.")
        self.apply_config(request)
        with self.status.restarting():
            self.start_db()
            self.status.set_restart_required(False)
        return m.Empty()

    def list_logs(self, request: m.LogsRequest) -> m.LogStates:
        """Return what is known of each log."""
        return m.LogStates(logs=self._logs.states(request.marks))

    def switch_log(self, request: m.LogSwitch) -> m.Empty:
        """Write a log from now on, or do not."""
        self.set_log(request)
        return m.Empty()

    def publish_log(self, request: m.LogPublishRequest) -> m.LogPublished:
        """Store what a log holds beyond what is published."""
        return self._logs.publish(request)

    def get_filesystem_stats(self, request: m.Empty) -> m.FilesystemStats:
        """Return the space on the data volume."""
        return filesystem_stats(self.volume_mount_point)

    def mount_volume(self, request: m.VolumeSpec) -> m.Empty:
        """Mount a volume that already has a file system.

        :raises UnprocessableEntity: the device is empty
        """
        self.ctx.volumes.mount(request)
        self.status.volume_mounted()
        return m.Empty()

    def unmount_volume(self, request: m.VolumeSpec) -> m.Empty:
        """Unmount a volume and forget it."""
        self.ctx.volumes.unmount(request)
        return m.Empty()

    def resize_fs(self, request: m.VolumeSpec) -> m.FilesystemStats:
        """Grow the file system to the size that its device has now."""
        return self.ctx.volumes.grow(request)

    def agent_volume_dir(self) -> pathlib.Path | None:
        """Return the agent's directory on the data volume, None while unmounted."""
        if os.path.ismount(self.volume_mount_point):
            return pathlib.Path(self.volume_mount_point) / AGENT_DIR
        return None

    def _module_dir(self) -> pathlib.Path:
        """Return where modules are kept: a rebuild of the root disk must not lose them.

        :raises GuestError: the volume is away; what is written below it would be lost
        """
        if self._volume_trouble() == health.NOT_MOUNTED:
            raise GuestError(health.NOT_MOUNTED)
        folder = self.agent_volume_dir() or pathlib.Path(self.volume_mount_point) / AGENT_DIR
        return folder / "modules"

    def capabilities(self) -> list[str]:
        """Return the optional calls that this datastore offers, sorted."""
        return sorted(name for name in OPTIONAL
                      if getattr(type(self), name) is not getattr(BaseManager, name))

    def reload(self) -> None:
        """Know again what an earlier life of the agent knew: volumes and status."""
        try:
            self.ctx.volumes.remount()
        except TroveError:
            # The agent must come up, or nobody would hear of the trouble.
            LOG.exception("a volume cannot be mounted again")
        self.clean()
        self.status.load()

    def clean(self) -> None:
        """Remove what an agent that was killed left on the volume, when the next starts."""
        folder = self.agent_volume_dir()
        if folder is not None:
            leftovers.remove_unfinished(folder)
            for module in (folder / "modules").glob("*/"):
                leftovers.remove_unfinished(module)

    @property
    def is_down(self) -> bool:
        """True while the database should run and does not."""
        return self.status.is_down

    def look(self) -> ServiceStatus:
        """Look at database and volume, and tell of changes; keep logs small."""
        seen = self.status.update()
        if self.status.prepared and seen in (ServiceStatus.HEALTHY, ServiceStatus.SHUTDOWN):
            self._trim_logs()
        return seen

    def _log_limit(self) -> int:
        """Return the bytes that a log may have: a small volume is not for logs."""
        path, most = self.volume_mount_point, int(self.ctx.conf.guest_agent.log_max_size)
        if not os.path.isdir(path):
            return most
        return min(most, max(filesystem_stats(path).total // _LOG_SHARE, _LOG_LEAST))

    def _trim_logs(self) -> None:
        try:
            self._logs.trim(self._log_limit(), self.reopen_logs)
        except (TroveError, OSError) as err:
            LOG.warning("a log cannot be put aside: %s", err)

    def may_start(self) -> bool:
        """Return whether the volume allows the database to start."""
        return self._volume_trouble() in ("", health.NOT_MOUNTED)

    def revive(self) -> None:
        """Start a database that ended; a volume that is gone is mounted first."""
        self.ctx.volumes.remount()
        self.start_db()

    def _examine_all(self) -> Finding:
        found = self.examine()
        trouble = self._volume_trouble()
        if not trouble:
            if found == Finding(ServiceStatus.HEALTHY, "", found.incarnation) and (
                    self._nearly_full()):
                return found._replace(reason=health.NEARLY_FULL)
            return found
        if found.status in (ServiceStatus.HEALTHY, ServiceStatus.RUNNING):
            # it answers, and cannot write
            return found._replace(status=ServiceStatus.BLOCKED, reason=trouble)
        return found._replace(reason=trouble)

    def _volume_trouble(self) -> str:
        path = self.volume_mount_point
        try:
            if any(spec.mount_point == path for spec in self.ctx.volumes.remembered()) \
                    and not os.path.ismount(path):
                return health.NOT_MOUNTED
            return self._volume_health.trouble(path) if os.path.isdir(path) else ""
        except OSError as err:
            LOG.warning("the volume cannot be looked at: %s", err)
            return health.READ_ONLY if err.errno == errno.EIO else ""

    def _nearly_full(self) -> bool:
        path = self.volume_mount_point
        return os.path.isdir(path) and self._volume_health.nearly_full(path)

    def resume(self) -> None:
        """Start a database that ran before the server went down."""
        if self.status.prepared and self.status.expects_running \
                and self.probe() is ServiceStatus.SHUTDOWN:
            LOG.info("the database ran before: it is started")
            with self.status.restarting():
                self.start_db()

    def _unsupported(self, what: str) -> NotSupported:
        return NotSupported(f"The datastore {self.name or 'of this instance'} does not "
                            f"support {what}.")
