"""What a datastore says of itself: what it must, and what it may leave out.

What it leaves out is refused with :class:`~trove_ng.common.errors.NotSupported`.
"""

from __future__ import annotations

import abc
import logging
import pathlib
from typing import Any

from trove_ng.common.errors import NotSupported
from trove_ng.common.states import ServiceStatus
from trove_ng.datastores.guest_logs import AGENT
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.health import Finding
from trove_ng.guestagent.logs import LogFile
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.tls import TlsFiles
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm

LOG = logging.getLogger(__name__)

#: calls that a datastore may leave out
OPTIONAL = (
    "allow_writes", "apply_config", "apply_overrides", "apply_tls", "archive_log",
    "change_passwords", "create_backup", "create_databases", "create_users", "delete_database",
    "delete_user", "detach_replica", "disable_root", "enable_as_source", "enable_root",
    "end_log_archive", "fence", "follow", "get_position", "get_user", "grant_access",
    "hold_data", "is_root_enabled", "list_access", "list_databases", "list_users",
    "receive_again", "release_data", "revoke_access", "set_log", "set_replica_accounts",
    "stop_receiving", "stop_writes", "unfence", "update_user", "wait_for_position",
)


class DatastoreHooks(abc.ABC):
    """What the base of the managers calls.

    :param ctx: see :class:`~trove_ng.guestagent.context.AgentContext`
    """

    #: entry point name, for logs
    name = ""
    #: user that the server runs as, and its group
    server_user = ""
    #: True if a prepare that the agent's end cut off may simply run again
    prepare_rerun_safe = False
    #: True if files below the mount point are copied onto a new volume
    migrate_to_volume = False
    #: of the last prepare, see :class:`trove_ng.rpc.messages.Prepared`
    restored_to: float | None = None

    def __init__(self, ctx: AgentContext) -> None:
        self.ctx = ctx

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

    def apply_tls(self, found: TlsFiles | None) -> bool:
        """Use these files to speak TLS, or speak none; return whether a restart is needed.

        :raises GuestError: the database refuses them
        """
        raise self._unsupported("TLS")

    def create_backup(self, request: m.BackupRequest,
                      progress: Progress) -> m.StoredBackup:
        """Stream a backup to object storage and return what was stored."""
        raise self._unsupported("backups")

    def archive_log(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        """Store what follows the archived log, and return what was stored."""
        raise self._unsupported("an archive of its log")

    def writes_log(self) -> bool:
        """Return whether the database writes what is archived.

        :raises GuestError: it is a replica, whose log is not
        """
        return True

    def begin_log_archive(self) -> None:
        """Have the database write what is archived; a restart is part of it where needed.

        The default has nothing to do.
        """
        LOG.debug("the log is always written")

    def end_log_archive(self, request: m.Empty) -> m.Empty:
        """Keep no more log for the archive."""
        raise self._unsupported("an archive of its log")

    def look_through(self, seconds: float, progress: Progress) -> m.DataReport:
        """Look through all data; the database runs, and nothing is changed.

        The default knows no more than that the database serves.

        :param seconds: that it may take
        :raises GuestError: it could not be told whether the data are well
        """
        return m.DataReport()

    def hold_data(self, request: m.HoldRequest) -> m.Held:
        """Let the data on the volume stay as they are, for a snapshot of it.

        They must be released also when the agent ends, or nobody asks for it.
        """
        raise self._unsupported("snapshots")

    def release_data(self, request: m.HoldRequest) -> m.Flag:
        """Let the data change again; say whether they were held until now."""
        raise self._unsupported("snapshots")

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

    def set_log(self, switch: lm.LogSwitch) -> None:
        """Write a log from now on, or do not.

        :raises BadRequest: it is always written
        :raises NotFound: there is no such log
        """
        raise self._unsupported("switching logs")

    def reopen_logs(self) -> None:
        """Make the database write new log files: the old ones were moved."""
        raise self._unsupported("new log files")

    def replication_state(self) -> dict[str, Any]:
        """Return what a replica tells, see ``rm.REPLICATION``; empty if it follows nobody."""
        return {}

    def enable_as_source(self, request: m.StepRequest) -> m.Empty:
        """Let replicas follow this server; a restart is part of it where it is needed."""
        raise self._unsupported("replication")

    def set_replica_accounts(self, request: rm.ReplicaAccounts) -> m.Empty:
        """Have exactly these accounts for replicas; no replica hears of them."""
        raise self._unsupported("replication")

    def follow(self, request: rm.FollowRequest) -> m.Empty:
        """Follow a source, read only from now on, and wait until its changes arrive.

        :raises GuestError: they do not
        """
        raise self._unsupported("replication")

    def detach_replica(self, request: rm.DetachRequest) -> m.Empty:
        """Follow nobody any more, with all that was received.

        Clients may write then, unless the request says otherwise.
        """
        raise self._unsupported("replication")

    def stop_writes(self, request: m.StepRequest) -> rm.Position:
        """Let no client write any more, over restarts too; say where the last change is."""
        raise self._unsupported("replication")

    def allow_writes(self, request: m.StepRequest) -> m.Empty:
        """Let clients write; the server follows nobody."""
        raise self._unsupported("replication")

    def stop_receiving(self, request: m.StepRequest) -> rm.Position:
        """Get no changes from the source any more, apply those that came, say how far it is.

        :raises ServiceUnavailable: it takes longer
        """
        raise self._unsupported("replication")

    def receive_again(self, request: m.StepRequest) -> m.Empty:
        """Get changes again, if a source is followed."""
        raise self._unsupported("replication")

    def fence(self, request: m.StepRequest) -> m.Empty:
        """Stop the database: nothing but a restart or rebuild on purpose starts it again."""
        raise self._unsupported("replication")

    def unfence(self, request: m.StepRequest) -> m.Empty:
        """Have a database that was fenced run again, if it was to run before."""
        raise self._unsupported("replication")

    def get_position(self, request: m.Empty) -> rm.Position:
        """Say how far the changes go that the server has, its own and those it received."""
        raise self._unsupported("replication")

    def wait_for_position(self, request: rm.PositionRequest) -> m.Flag:
        """Say whether the server has all changes up to a position, after some time.

        :raises GuestError: it will not have them
        """
        raise self._unsupported("replication")

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

    def _unsupported(self, what: str) -> NotSupported:
        return NotSupported(f"The datastore {self.name or 'of this instance'} does not "
                            f"support {what}.")
