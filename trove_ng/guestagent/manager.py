"""The base of all datastore managers: what does not depend on the datastore.

A datastore subclasses :class:`BaseManager`.  It must say how to prepare, look at,
start and stop its database; everything else it may offer, and what it leaves out is
refused with :class:`~trove_ng.common.errors.NotSupported`.

The public methods named as in the guest call table are what the bus calls.
``prepare`` and the calls with a ``StepRequest`` run the datastore's hooks inside the
order that is the same for all datastores.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib

import msgspec

from trove_ng.common.errors import Conflict, GuestError, TroveError
from trove_ng.common.states import DATA_VOLUME, ServiceStatus
from trove_ng.guestagent import health, leftovers
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.devices import ServerVolumes
from trove_ng.guestagent.health import Finding
from trove_ng.guestagent.hooks import OPTIONAL, DatastoreHooks
from trove_ng.guestagent.logs import Logs
from trove_ng.guestagent.modules.manager import ModuleManager
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.status import DatabaseStatus
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage.backups import blaming
from trove_ng.guestagent.storage.http import DamagedBackup, Patience
from trove_ng.guestagent.tls import TlsStore
from trove_ng.guestagent.upgrades import Upgrades
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m
from trove_ng.rpc import tls_messages as tm

LOG = logging.getLogger(__name__)

#: directory on the data volume for the agent's own files; a datastore keeps its data
#: in a directory next to it, never in the root of the volume
AGENT_DIR = ".trove"
#: one for what the server shows its clients, which the server has to read
TLS_DIR = "tls"

#: a log is put aside when it has this part of the volume, but not before it has some bytes
_LOG_SHARE = 40
_LOG_LEAST = 1024 ** 2
#: someone waits for the answer
_LOG_PATIENCE = Patience(tries=3, connect=5.0, silence=10.0, longest_wait=2.0)


class BaseManager(DatastoreHooks):
    """One datastore on this server.

    :param ctx: see :class:`~trove_ng.guestagent.context.AgentContext`
    """

    def __init__(self, ctx: AgentContext) -> None:
        super().__init__(ctx)
        self.status = DatabaseStatus(
            instance_id=ctx.instance_id, state_dir=ctx.state_dir, clock=ctx.clock,
            probe=self._examine_all, volume_dir=self.agent_volume_dir,
            crashes=health.CrashCount(ctx.clock, ctx.conf.guest_agent.crash_loop_count,
                                      ctx.conf.guest_agent.crash_loop_quiet))
        self.volumes = ServerVolumes(ctx.conf, ctx.volumes, lambda: self.volume_mount_point)
        self.upgrades = Upgrades(self)
        self._logs = Logs(lambda: self.log_files(), ctx.clock, _LOG_PATIENCE)
        self.modules = ModuleManager(ctx, self._module_dir)
        self.tls = TlsStore(
            lambda: pathlib.Path(self.volume_mount_point) / TLS_DIR, self.server_user)

    def prepare(self, request: m.PrepareRequest, progress: Progress) -> m.Prepared:
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
            if isinstance(err, TroveError) and trouble and not isinstance(err, DamagedBackup):
                raise GuestError(f"{err.message} {trouble}") from err
            raise
        self.status.end_install()
        try:
            self.post_prepare(request)
        except Exception:  # noqa: BLE001  the instance is usable: this must not fail it
            LOG.exception("work after prepare failed")
        return m.Prepared(restored_to=self.restored_to)

    def _prepare(self, request: m.PrepareRequest, progress: Progress) -> None:
        wanted = self.volumes.wanted(request.device_config, request.volume)
        if wanted:
            self.before_volume(request)
            progress.report(2)
            for one in wanted:
                if request.existing is not None and one.kind == DATA_VOLUME:
                    self._take_volume(one)
                    continue
                self.ctx.volumes.set_up(
                    one, migrate=self.migrate_to_volume and one.kind == DATA_VOLUME)
            self.status.volume_mounted()
        progress.report(5)
        with blaming(None) if request.restore is not None else contextlib.nullcontext():
            self.do_prepare(request, progress)
        progress.report(90)
        if request.databases:
            self.create_databases(m.DatabasesRequest(databases=request.databases))
        if request.users:
            self.create_users(m.UsersRequest(users=request.users))
        progress.report(95)

    def _take_volume(self, volume: m.VolumeSpec) -> None:
        """Mount a volume that holds data; what the agent of another instance knew goes."""
        self.ctx.volumes.mount(volume)
        folder = self.agent_volume_dir()
        if folder is None:
            raise GuestError("The volume is not mounted.")
        files.remove(folder, recursive=True)
        # what another server shows its clients is not this one's
        self.tls.forget()
        # it may be larger than the one that it is a copy of
        self.ctx.volumes.grow(volume)

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

    def set_tls(self, request: tm.TlsRequest) -> tm.TlsResult:
        """Speak TLS with clients, or no more."""
        self.tls.change(request)
        return self._use_tls()

    def roll_back_tls(self, request: tm.TlsRollback) -> tm.TlsResult:
        """Speak with clients as before."""
        if request.undo:
            self.tls.undo(request.operation_id)
        else:
            self.tls.roll_back(request.operation_id)
        return self._use_tls()

    def _use_tls(self) -> tm.TlsResult:
        if self.apply_tls(self.tls.in_force()):
            self.status.set_restart_required(True)
        return tm.TlsResult(restart_required=self.status.restart_required)

    def get_tls(self, request: m.Empty) -> tm.TlsState:
        """Return how the server speaks with its clients."""
        return self.tls.state()

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

    def check_data(self, request: m.CheckRequest, progress: Progress) -> m.DataReport:
        """Look through all data.

        :raises GuestError: the database does not answer, or it takes too long
        """
        if self.probe() is not ServiceStatus.HEALTHY:
            raise GuestError("The database does not answer.")
        return msgspec.structs.replace(
            self.look_through(request.seconds, progress),
            size=filesystem_stats(self.volume_mount_point).used)

    def list_logs(self, request: lm.LogsRequest) -> lm.LogStates:
        """Return what is known of each log."""
        return lm.LogStates(logs=self._logs.states(request.marks))

    def switch_log(self, request: lm.LogSwitch) -> m.Empty:
        """Write a log from now on, or do not."""
        self.set_log(request)
        return m.Empty()

    def publish_log(self, request: lm.LogPublishRequest) -> lm.LogPublished:
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
        return self.ctx.volumes.grow(self.volumes.known(request))

    @property
    def agent_dir(self) -> pathlib.Path:
        """The agent's directory on the data volume, mounted or not."""
        return pathlib.Path(self.volume_mount_point) / AGENT_DIR

    def agent_volume_dir(self) -> pathlib.Path | None:
        """Return the agent's directory on the data volume, None while unmounted."""
        if os.path.ismount(self.volume_mount_point):
            return self.agent_dir
        return None

    def _module_dir(self) -> pathlib.Path:
        """Return where modules are kept: a rebuild of the root disk must not lose them.

        :raises GuestError: the volume is away; what is written below it would be lost
        """
        if self._volume_trouble() == health.NOT_MOUNTED:
            raise GuestError(health.NOT_MOUNTED)
        return self.agent_dir / "modules"

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
        return not self._volume_trouble() or self.volumes.away()

    def revive(self) -> None:
        """Start a database that ended; a volume that is gone is mounted first."""
        self.ctx.volumes.remount()
        self.start_db()

    def _examine_all(self) -> Finding:
        found = self.examine()
        trouble = self._volume_trouble()
        if not trouble:
            if found == Finding(ServiceStatus.HEALTHY, "", found.incarnation) and (
                    self.volumes.nearly_full()):
                return found._replace(reason=health.NEARLY_FULL)
            return found
        if found.status in (ServiceStatus.HEALTHY, ServiceStatus.RUNNING):
            # it answers, and cannot write
            return found._replace(status=ServiceStatus.BLOCKED, reason=trouble)
        return found._replace(reason=trouble)

    def _volume_trouble(self) -> str:
        return self.volumes.trouble()

    def resume(self) -> None:
        """Start a database that ran before the server went down."""
        if self.status.prepared and self.status.expects_running \
                and self.probe() is ServiceStatus.SHUTDOWN:
            LOG.info("the database ran before: it is started")
            with self.status.restarting():
                self.start_db()
