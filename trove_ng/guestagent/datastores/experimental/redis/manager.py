"""The manager of Redis."""

from __future__ import annotations

import contextlib
import logging
import pathlib

import redis

from trove_ng.common.errors import BadRequest, Conflict, GuestError, NotFound, UnprocessableEntity
from trove_ng.common.secret import Secret, generate_password
from trove_ng.common.states import DATA_VOLUME, ServiceStatus
from trove_ng.guestagent import devices
from trove_ng.guestagent.causes import LOOKED_AT
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.datastores.experimental.redis import causes
from trove_ng.guestagent.datastores.experimental.redis.access import ROOT, Access
from trove_ng.guestagent.datastores.experimental.redis.backup import (
    COPY,
    RdbBackup,
    look_through,
)
from trove_ng.guestagent.datastores.experimental.redis.config import OWNER, Configuration
from trove_ng.guestagent.datastores.experimental.redis.ending import LastSnapshot
from trove_ng.guestagent.datastores.experimental.redis.overrides import PREFIX, Overrides
from trove_ng.guestagent.datastores.experimental.redis.paths import APPEND_ONLY, Paths
from trove_ng.guestagent.datastores.experimental.redis.replication import Replication
from trove_ng.guestagent.datastores.experimental.redis.server import Server
from trove_ng.guestagent.health import Finding
from trove_ng.guestagent.logs import LogFile, tail
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.commands import CommandError, CommandTimeout
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.replicas import LastWord, LiveReplicaCalls
from trove_ng.guestagent.server import HUNG, PROBE_SECONDS, ServerManager
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage.backups import find_strategy, strategy_of
from trove_ng.guestagent.tls import TlsFiles
from trove_ng.guestagent.versions import is_older
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m
from trove_ng.rpc import server_messages as sm

LOG = logging.getLogger(__name__)

#: the only log of the server
ERROR = "error"
#: its answer to changes, and to a ping, while it cannot write its snapshot or file
_CANNOT_WRITE = "MISCONF"


class RedisManager(LiveReplicaCalls, ServerManager):
    """Redis 6.2.1 and later.

    :param paths: where things are; another one in tests
    """

    name = "redis"
    services = ("redis", "redis-server")
    server_user = OWNER
    replication: Replication

    def __init__(self, ctx: AgentContext, paths: Paths | None = None) -> None:
        self.paths = paths or Paths(
            mount=devices.mount_point(ctx.conf, DATA_VOLUME, Paths.mount))
        super().__init__(ctx)
        self.access = Access(self._secrets_file)
        self.server = Server(self.paths.socket, self.access)
        self._last_snapshot = LastSnapshot(self.server, self.paths, self._cause)
        self.configuration = Configuration(self.paths)
        self._overrides = Overrides(
            self.configuration, self.server, pathlib.Path(self.paths.mount))
        self.replication = Replication(self.access, self.configuration, self.server, self.tls,
                                       LastWord(ctx.state_dir))

    @property
    def volume_mount_point(self) -> str:
        """Where the data volume is."""
        return self.paths.mount

    def _secrets_file(self) -> pathlib.Path:
        return self.agent_dir / "redis.json"

    # ---- life -------------------------------------------------------------------

    def do_prepare(self, request: m.PrepareRequest, progress: Progress) -> None:
        """Configure, fetch the data if there are any, start."""
        data = self.paths.data
        if data.exists() and any(data.iterdir()):
            raise Conflict("The volume holds a database already.")
        files.make_directory(data, mode=0o750, owner=OWNER)
        self._overrides.check(request.overrides)
        # who may come in to a replica, its source tells
        self.access.renew(request.root_password, closed=request.replica)
        self.configuration.write(request.config, request.overrides, self.access.settings(),
                                 self._log())
        progress.report(10)
        if request.restore is not None:
            self._backups(strategy_of(request.restore.chain)).restore(
                request.restore, progress)
        progress.report(70)
        self.start_db()
        self.ctx.services.enable(self.services)

    def clean(self) -> None:
        """Remove also the half of a backup or restore, and what told of defaults."""
        super().clean()
        files.remove(self.paths.data / COPY)
        for folder in pathlib.Path(self.paths.mount).glob(f"{PREFIX}*"):
            files.remove(folder, recursive=True)

    def start_db(self) -> None:
        """Start the server and wait until it answers.

        One that is to keep an append-only file, and has a snapshot only, begins with the
        snapshot: it would begin empty.
        """
        if (self.configuration.is_on("appendonly") and self.paths.snapshot.exists()
                and not any((self.paths.data / one).exists() for one in APPEND_ONLY)):
            self.configuration.begin_loading()
        super().start_db()
        self._end_loading()

    def stop_db(self) -> None:
        """Stop the server, which stays if it cannot write a snapshot at its end.

        :raises UnsavedChanges: it would lose changes without
        """
        with self._last_snapshot.left_out() if self._may_lack_room() else (
                contextlib.nullcontext()):
            super().stop_db()

    def _may_lack_room(self) -> bool:
        try:
            with self.server.session() as session:
                used = int(session.info("memory")["used_memory"])
        except GuestError as err:
            LOG.info("the server is stopped as it is: %s", err.message)
            return False
        return used > filesystem_stats(self.paths.mount).free or self._refuses_changes()

    def _end_loading(self) -> None:
        if self.configuration.is_loading():
            with self.server.session() as session:
                session.config_set("appendonly", "yes")
            self.configuration.end_loading()

    def resume(self) -> None:
        """Start a database that ran; end what an agent that was killed had begun."""
        super().resume()
        if self.probe() is not ServiceStatus.HEALTHY:
            return
        self._last_snapshot.write_again(self.configuration.saves())
        if self.configuration.is_loading():
            self._end_loading()

    def _ask(self) -> Finding:
        try:
            with self.server.connect(PROBE_SECONDS) as client:
                return Finding(ServiceStatus.HEALTHY, "", str(client.info("server")["run_id"]))
        except (redis.RedisError, GuestError, OSError) as err:
            return self._unanswered(err)

    def _unanswered(self, err: Exception) -> Finding:
        """Return what it means that the server did not answer as it should."""
        if isinstance(err, redis.ConnectionError) and self.server.is_full():
            return Finding(ServiceStatus.BLOCKED, "The database takes no more connections.")
        down = self._not_running()
        if down is not None:
            return down
        if isinstance(err, redis.BusyLoadingError):
            return Finding(ServiceStatus.RUNNING, "The database reads its data.")
        if isinstance(err, redis.AuthenticationError | redis.ResponseError):
            return Finding(ServiceStatus.RUNNING, "The database refuses the agent's account.")
        if isinstance(err, GuestError):
            return Finding(ServiceStatus.RUNNING, "The agent has no account in the database.")
        if isinstance(err, redis.TimeoutError):
            return Finding(ServiceStatus.BLOCKED, HUNG)
        return Finding(ServiceStatus.RUNNING, "The database runs and takes no connections yet.")

    def examine(self) -> Finding:
        """Look also whether the server, which answers, takes changes."""
        found = super().examine()
        if found.status is ServiceStatus.HEALTHY and self._refuses_changes():
            cause = self._cause() or "it cannot write its files; its log says why."
            return found._replace(status=ServiceStatus.BLOCKED,
                                  reason=f"The database takes no changes: {cause}")
        return found

    def _refuses_changes(self) -> bool:
        """Return whether clients may change nothing until the server can write again."""
        try:
            with self.server.connect(PROBE_SECONDS) as client:
                client.ping()
        except redis.ResponseError as err:
            return str(err).startswith(_CANNOT_WRITE)
        except (redis.RedisError, GuestError, OSError):
            # it answered a moment ago: the next look tells
            return False
        return False

    def _find_cause(self, log: str) -> str:
        return causes.find(log)

    def _own_log(self) -> str:
        return tail(pathlib.Path(self.paths.error_log), LOOKED_AT) if self._log() else ""

    # ---- settings ---------------------------------------------------------------

    def apply_config(self, request: m.ResizeRequest) -> None:
        """Write the settings for another amount of memory."""
        self.configuration.apply_computed(request.config)

    def apply_overrides(self, request: m.OverridesRequest) -> bool:
        """Make the user's settings exactly these; return whether a restart is needed."""
        return self._overrides.apply(request.values, request.restart,
                                     running=self.probe() is not ServiceStatus.SHUTDOWN)

    def apply_tls(self, found: TlsFiles | None) -> bool:
        """Speak TLS with clients, or none; the server needs no restart for it."""
        settings = self.configuration.set_tls(found, self.tls.trusted)
        if self.probe() is not ServiceStatus.SHUTDOWN:
            with self.server.session() as session:
                for name, value in settings.items():
                    session.config_set(name, value)
        return False

    # ---- backups ----------------------------------------------------------------

    def _backups(self, strategy: str) -> RdbBackup:
        """Return what makes and restores backups.

        :raises BadRequest: there is no strategy of the name
        """
        made: RdbBackup = find_strategy(self.name, strategy)(
            self.paths, self.server, self.ctx.scratch(), self.patience, self._cause)
        return made

    def create_backup(self, request: m.BackupRequest, progress: Progress) -> m.StoredBackup:
        """Store a snapshot."""
        self.replication.check_synced()
        return self._backups(request.strategy).create(request, progress)

    def look_through(self, seconds: float, progress: Progress) -> m.DataReport:
        """Count the keys that the server has read, and have its program look at the file."""
        with self.server.session() as session:
            keys = {name: int(about["keys"])
                    for name, about in session.info("keyspace").items()}
        counts = {"databases": len(keys), "keys": sum(keys.values())}
        if not self.paths.snapshot.exists():
            return m.DataReport(counts=counts)
        try:
            look_through(self.paths.snapshot, seconds)
        except CommandTimeout:
            raise GuestError(f"The data were not looked through in {seconds:g} seconds."
                             ) from None
        except CommandError:
            return m.DataReport(counts=counts, problems=["The file of the data is damaged."])
        return m.DataReport(counts=counts)

    # ---- another root disk ------------------------------------------------------

    def check_upgrade(self, version: str) -> None:
        """Refuse an older version: the server cannot use the data of a newer one."""
        with self.server.session() as session:
            running = str(session.info("server")["redis_version"])
        if is_older(version, running):
            raise UnprocessableEntity(
                f"The database is of version {running}; it cannot go back to {version}.")

    def save_settings(self, folder: pathlib.Path) -> None:
        """Keep nothing: the secrets are on the volume, and all else is sent again."""
        LOG.debug("the settings of Redis are made anew on another root disk")

    def restore_settings(self, folder: pathlib.Path | None, request: sm.PostUpgrade) -> None:
        """Write the file, and give the data to the user that the server has here."""
        if not self.paths.data.is_dir():
            raise GuestError("The volume holds no database.")
        self.tls.own()
        self.configuration.write(request.config, request.overrides, self.access.settings(),
                                 self._log(), self.tls.in_force(), self.tls.trusted)
        if self.paths.data.owner() != OWNER:
            files.change_owner(self.paths.data, OWNER, recursive=True)
        self.ctx.services.enable(self.services)

    # ---- logs -------------------------------------------------------------------

    def _log(self) -> str:
        """Return the file that the server is told to write its log to; empty: to none."""
        return "" if self.ctx.services.log_path(self.services) else self.paths.error_log

    def log_files(self) -> dict[str, LogFile]:
        """Return the agent's log and that of the server."""
        own = self._log()
        path = own or str(self.ctx.services.log_path(self.services))
        return {**super().log_files(), ERROR: LogFile(pathlib.Path(path), ours=bool(own))}

    def set_log(self, switch: lm.LogSwitch) -> None:
        """Refuse: the server's log is always written."""
        if switch.name == ERROR:
            raise BadRequest(f"The log {switch.name} is always written.")
        raise NotFound.of("Log", switch.name)

    def reopen_logs(self) -> None:
        """Do nothing: the server opens its log for each line."""
        LOG.debug("the server makes a new log by itself")

    # ---- root -------------------------------------------------------------------

    def is_root_enabled(self, request: m.Empty) -> m.Flag:
        """Return whether a password is needed."""
        return m.Flag(value=self.access.secrets().root is not None)

    def enable_root(self, request: m.RootRequest) -> m.UserSpec:
        """Have clients give a password, and return it; the user has no name."""
        password = request.password or Secret(generate_password())
        self._set_root(password)
        return m.UserSpec(name=ROOT, host="%", password=password)

    def disable_root(self, request: m.Empty) -> m.Empty:
        """Let clients in without a password."""
        self._set_root(None)
        return m.Empty()

    def _set_root(self, password: Secret | None) -> None:
        with self.access.lock:
            before = self.access.secrets()
            try:
                self.access.set_root(password)
                self._bring_access()
            except (GuestError, OSError):
                self.access.keep(before)
                try:
                    # the server may have taken what it did not answer
                    self._bring_access()
                except GuestError as err:
                    LOG.warning("the former password is in force from the next start on: %s", err)
                raise

    def _bring_access(self) -> None:
        """Write who may come in, and have the server know it."""
        self.configuration.set_access(self.access.settings())
        with self.server.session() as session:
            session.let_in()


