"""The guest agent's calls: one table for both ends, and the client."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from oslo_config import cfg

from trove_ng.common.context import RequestContext
from trove_ng.common.errors import GuestTimeout
from trove_ng.common.metrics import SILENT, Recorder
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import keys
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import machine_messages as machine
from trove_ng.rpc import messages as m
from trove_ng.rpc import module_messages as mm
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc import server_messages as sm
from trove_ng.rpc import tls_messages as tm
from trove_ng.rpc.lines import Lines
from trove_ng.rpc.seats import SEAT_SECONDS, Seats
from trove_ng.rpc.transport import SecureClient

T = TypeVar("T", bound=m.Message)


class GuestMethod(NamedTuple):
    """The types of a call; ``style`` is ``cast`` or ``call``."""

    request: type[m.Message]
    answer: type[m.Message]
    style: str = "call"


#: every call that an agent serves
GUEST_METHODS: dict[str, GuestMethod] = {
    "prepare": GuestMethod(m.PrepareRequest, m.Empty, "cast"),
    "create_backup": GuestMethod(m.BackupRequest, m.Empty, "cast"),
    "check_data": GuestMethod(m.CheckRequest, m.Empty, "cast"),
    "hold_data": GuestMethod(m.HoldRequest, m.Held),
    "release_data": GuestMethod(m.HoldRequest, m.Flag),
    "cancel_step": GuestMethod(m.StepRequest, m.Flag),
    "rpc_ping": GuestMethod(m.Empty, m.Flag),
    "change_key": GuestMethod(m.KeyRequest, m.Empty),
    "list_databases": GuestMethod(m.PageRequest, m.DatabasePage),
    "create_databases": GuestMethod(m.DatabasesRequest, m.Empty),
    "delete_database": GuestMethod(m.NameRequest, m.Empty),
    "list_users": GuestMethod(m.PageRequest, m.UserPage),
    "get_user": GuestMethod(m.UserRequest, m.UserSpec),
    "create_users": GuestMethod(m.UsersRequest, m.Empty),
    "delete_user": GuestMethod(m.UserRequest, m.Empty),
    "update_user": GuestMethod(m.UserUpdateRequest, m.Empty),
    "change_passwords": GuestMethod(m.UsersRequest, m.Empty),
    "list_access": GuestMethod(m.UserRequest, m.DatabaseList),
    "grant_access": GuestMethod(m.AccessRequest, m.Empty),
    "revoke_access": GuestMethod(m.AccessRequest, m.Empty),
    "is_root_enabled": GuestMethod(m.Empty, m.Flag),
    "enable_root": GuestMethod(m.RootRequest, m.UserSpec),
    "disable_root": GuestMethod(m.Empty, m.Empty),
    "restart": GuestMethod(m.StepRequest, m.Empty),
    "stop_db": GuestMethod(m.StepRequest, m.Empty),
    "start_db_with_conf_changes": GuestMethod(m.ResizeRequest, m.Empty),
    "pre_upgrade": GuestMethod(sm.PreUpgrade, m.Empty),
    "post_upgrade": GuestMethod(sm.PostUpgrade, m.Empty),
    "install_agent": GuestMethod(machine.AgentRelease, m.Empty),
    "restart_agent": GuestMethod(m.StepRequest, m.Empty),
    "confirm_agent": GuestMethod(machine.AgentVersion, m.Empty),
    "discard_agent": GuestMethod(m.StepRequest, m.Empty),
    "list_logs": GuestMethod(lm.LogsRequest, lm.LogStates),
    "switch_log": GuestMethod(lm.LogSwitch, m.Empty),
    "publish_log": GuestMethod(lm.LogPublishRequest, lm.LogPublished),
    "archive_log": GuestMethod(am.ArchiveRequest, am.ArchivedLog),
    "end_log_archive": GuestMethod(m.Empty, m.Empty),
    "update_overrides": GuestMethod(m.OverridesRequest, m.OverridesResult),
    "get_filesystem_stats": GuestMethod(m.Empty, m.FilesystemStats),
    "get_hwinfo": GuestMethod(m.Empty, machine.Hardware),
    "get_diagnostics": GuestMethod(m.Empty, machine.Diagnostics),
    "mount_volume": GuestMethod(m.VolumeSpec, m.Empty),
    "unmount_volume": GuestMethod(m.VolumeSpec, m.Empty),
    "resize_fs": GuestMethod(m.VolumeSpec, m.FilesystemStats),
    "enable_as_source": GuestMethod(m.StepRequest, m.Empty),
    "set_replica_accounts": GuestMethod(rm.ReplicaAccounts, m.Empty),
    "follow": GuestMethod(rm.FollowRequest, m.Empty),
    "detach_replica": GuestMethod(rm.DetachRequest, m.Empty),
    "stop_writes": GuestMethod(m.StepRequest, rm.Position),
    "allow_writes": GuestMethod(m.StepRequest, m.Empty),
    "stop_receiving": GuestMethod(m.StepRequest, rm.Position),
    "receive_again": GuestMethod(m.StepRequest, m.Empty),
    "fence": GuestMethod(m.StepRequest, m.Empty),
    "unfence": GuestMethod(m.StepRequest, m.Empty),
    "get_position": GuestMethod(m.Empty, rm.Position),
    "wait_for_position": GuestMethod(rm.PositionRequest, m.Flag),
    "set_tls": GuestMethod(tm.TlsRequest, tm.TlsResult),
    "roll_back_tls": GuestMethod(tm.TlsRollback, tm.TlsResult),
    "get_tls": GuestMethod(m.Empty, tm.TlsState),
    "module_list": GuestMethod(mm.ModuleQuery, mm.ModuleStates),
    "module_apply": GuestMethod(mm.ModulesRequest, mm.ModuleStates),
    "module_remove": GuestMethod(mm.ModuleRemoval, m.Empty),
}


def topic(instance_id: str) -> str:
    """Return the topic that an instance's agent listens on."""
    return f"guestagent.{instance_id}"


class GuestClient:
    """Calls the agent of one instance.

    Every call raises GuestTimeout when no answer comes, ServiceUnavailable when the
    bus is away, and the errors of common.errors that the agent raised.

    :param me: own party name, for example ``keys.API``
    :param context: on whose behalf, or None for the service's own
    :param recorder: is told when an answer is refused
    :param lines: those of the process
    :param seats: of who waits for answers in the process; None: no matter how many do
    """

    def __init__(self, conf: cfg.ConfigOpts, transport: Any, provider: keys.Keys, me: str,
                 instance_id: str, context: RequestContext | None = None,
                 recorder: Recorder = SILENT, lines: Lines | None = None,
                 seats: Seats | None = None) -> None:
        self._conf = conf
        self._instance_id = instance_id
        self._seats = seats
        self._context = context
        self._pass: Callable[[m.Message], m.Message] | None = None
        self._unanswered: Callable[[], None] = lambda: None
        self._client = SecureClient(
            transport, topic(instance_id), provider, me, keys.guest(instance_id),
            recorder=recorder, lines=lines)

    def passing(self, through: Callable[[m.Message], m.Message],
                unanswered: Callable[[], None]) -> GuestClient:
        """Return a client that sends what a function makes of each request.

        :param through: is called just before a request is sent; what it raises forbids that
        :param unanswered: is called when no answer came; what it raises says more of it
        """
        made = copy.copy(self)
        made._pass, made._unanswered = through, unanswered
        return made

    def _passed(self, request: m.Message) -> m.Message:
        return request if self._pass is None else self._pass(request)

    def _call(self, method: str, request: m.Message, answer: type[T],
              seconds: float | None = None) -> T:
        seat = (contextlib.nullcontext() if self._seats is None
                else self._seats.take(self._instance_id, seconds or SEAT_SECONDS))
        try:
            with seat:
                return self._client.call(
                    method, self._passed(request), answer,
                    seconds or self._conf.guest_call_timeout, self._context)
        except GuestTimeout:
            self._unanswered()
            raise

    def _cast(self, method: str, request: m.Message) -> None:
        self._client.cast(method, self._passed(request), self._context)

    def _done(self, method: str, request: m.Message) -> None:
        self._call(method, request, m.Empty)

    def prepare(self, request: m.PrepareRequest) -> None:
        """Ask to prepare; the result comes through the conductor."""
        self._cast("prepare", request)

    def create_backup(self, request: m.BackupRequest) -> None:
        """Ask for a backup; the result comes through the conductor."""
        self._cast("create_backup", request)

    def check_data(self, request: m.CheckRequest) -> None:
        """Ask for a look through all data; the result comes through the conductor."""
        self._cast("check_data", request)

    def hold_data(self, request: m.HoldRequest) -> m.Held:
        """Let the data on the volume stay as they are, consistent, for some time."""
        return self._call("hold_data", request, m.Held)

    def release_data(self, request: m.HoldRequest) -> bool:
        """Let the data change again; return whether they were held until now."""
        return self._call("release_data", request, m.Flag).value

    def cancel_step(self, request: m.StepRequest) -> bool:
        """Make the agent leave long work; return False if it works on it still."""
        return self._call("cancel_step", request, m.Flag).value

    def supersede(self, operation_id: str, fence: int = 0) -> None:
        """Say that only newer requests of an operation count; there is no answer.

        :param fence: newer than which; 0: whoever works on it says it with each request
        """
        self._cast("cancel_step", m.StepRequest(
            operation_id=operation_id, step="", fence=fence))

    def rpc_ping(self) -> bool:
        """Return whether the agent answers."""
        return self._call("rpc_ping", m.Empty(), m.Flag).value

    def change_key(self, request: m.KeyRequest) -> None:
        """Have the agent use another key, and forget the one before when told so."""
        self._done("change_key", request)

    def list_databases(self, page: m.PageRequest) -> m.DatabasePage:
        """Return one page of databases."""
        return self._call("list_databases", page, m.DatabasePage)

    def create_databases(self, databases: list[m.DatabaseSpec]) -> None:
        """Create databases, all or none."""
        self._done("create_databases", m.DatabasesRequest(databases=databases))

    def delete_database(self, name: str) -> None:
        """Drop a database."""
        self._done("delete_database", m.NameRequest(name=name))

    def list_users(self, page: m.PageRequest) -> m.UserPage:
        """Return one page of users."""
        return self._call("list_users", page, m.UserPage)

    def get_user(self, name: str, host: str | None) -> m.UserSpec:
        """Return a user with the databases it is granted."""
        return self._call("get_user", m.UserRequest(name=name, host=host), m.UserSpec)

    def create_users(self, users: list[m.UserSpec]) -> None:
        """Create users, all or none."""
        self._done("create_users", m.UsersRequest(users=users))

    def delete_user(self, name: str, host: str | None) -> None:
        """Drop a user."""
        self._done("delete_user", m.UserRequest(name=name, host=host))

    def update_user(self, name: str, host: str | None, change: m.UserChange) -> None:
        """Change a user's name, host or password."""
        self._done("update_user", m.UserUpdateRequest(name=name, host=host, change=change))

    def change_passwords(self, users: list[m.UserSpec]) -> None:
        """Set the passwords of users."""
        self._done("change_passwords", m.UsersRequest(users=users))

    def list_access(self, name: str, host: str | None) -> list[m.DatabaseSpec]:
        """Return the databases a user is granted."""
        return self._call("list_access", m.UserRequest(name=name, host=host),
                          m.DatabaseList).databases

    def grant_access(self, name: str, host: str | None, databases: list[str]) -> None:
        """Grant databases to a user."""
        self._done("grant_access", m.AccessRequest(name=name, host=host, databases=databases))

    def revoke_access(self, name: str, host: str | None, databases: list[str]) -> None:
        """Revoke databases from a user."""
        self._done("revoke_access", m.AccessRequest(name=name, host=host, databases=databases))

    def is_root_enabled(self) -> bool:
        """Return whether root can log in from elsewhere."""
        return self._call("is_root_enabled", m.Empty(), m.Flag).value

    def enable_root(self, request: m.RootRequest,
                    seconds: float | None = None) -> m.UserSpec:
        """Enable root, and return it with its password.

        :param seconds: to wait for the answer; None: as long as for others
        """
        return self._call("enable_root", request, m.UserSpec, seconds)

    def disable_root(self, seconds: float | None = None) -> None:
        """Take root's remote login away.

        :param seconds: to wait for the answer; None: as long as for others
        """
        self._call("disable_root", m.Empty(), m.Empty, seconds)

    def restart(self, request: m.StepRequest) -> None:
        """Restart the database, once per step."""
        self._done("restart", request)

    def stop_db(self, request: m.StepRequest) -> None:
        """Stop the database, once per step."""
        self._done("stop_db", request)

    def start_db_with_conf_changes(self, request: m.ResizeRequest) -> None:
        """Start the database with settings for another size, once per step."""
        self._done("start_db_with_conf_changes", request)

    def pre_upgrade(self, request: sm.PreUpgrade) -> None:
        """Have all that the root disk holds kept on the volume."""
        self._done("pre_upgrade", request)

    def post_upgrade(self, request: sm.PostUpgrade) -> None:
        """Have the database run on a new root disk as it did on the one before."""
        self._done("post_upgrade", request)

    def install_agent(self, request: machine.AgentRelease) -> None:
        """Have a release of the agent fetched, to be tried at the agent's next start."""
        self._done("install_agent", request)

    def restart_agent(self, request: m.StepRequest) -> None:
        """Have the agent end and start again."""
        self._done("restart_agent", request)

    def confirm_agent(self, request: machine.AgentVersion) -> None:
        """Have the release that is on trial kept."""
        self._done("confirm_agent", request)

    def discard_agent(self, request: m.StepRequest) -> None:
        """Have the release on trial forgotten; the agent starts again if it is that."""
        self._done("discard_agent", request)

    def list_logs(self, marks: list[lm.LogMark]) -> list[lm.LogState]:
        """Return all logs of the server.

        :param marks: how far those are published that are
        """
        return self._call("list_logs", lm.LogsRequest(marks=marks), lm.LogStates).logs

    def switch_log(self, switch: lm.LogSwitch) -> None:
        """Have a log written from now on, or not."""
        self._done("switch_log", switch)

    def publish_log(self, request: lm.LogPublishRequest) -> lm.LogPublished:
        """Store what a log holds beyond what is published."""
        return self._call("publish_log", request, lm.LogPublished)

    def archive_log(self, request: am.ArchiveRequest) -> am.ArchivedLog:
        """Store what follows the archived log."""
        return self._call("archive_log", request, am.ArchivedLog)

    def end_log_archive(self) -> None:
        """Have no more log kept for the archive."""
        self._done("end_log_archive", m.Empty())

    def update_overrides(self, request: m.OverridesRequest) -> m.OverridesResult:
        """Make the user's settings exactly these, once per step."""
        return self._call("update_overrides", request, m.OverridesResult)

    def get_filesystem_stats(self) -> m.FilesystemStats:
        """Return the space on the data volume."""
        return self._call("get_filesystem_stats", m.Empty(), m.FilesystemStats)

    def get_hwinfo(self) -> machine.Hardware:
        """Return what the server has."""
        return self._call("get_hwinfo", m.Empty(), machine.Hardware)

    def get_diagnostics(self) -> machine.Diagnostics:
        """Return what the agent's process uses."""
        return self._call("get_diagnostics", m.Empty(), machine.Diagnostics)

    def mount_volume(self, volume: m.VolumeSpec) -> None:
        """Mount a volume."""
        self._done("mount_volume", volume)

    def unmount_volume(self, volume: m.VolumeSpec) -> None:
        """Unmount a volume."""
        self._done("unmount_volume", volume)

    def resize_fs(self, volume: m.VolumeSpec) -> m.FilesystemStats:
        """Grow the file system to its volume's size."""
        return self._call("resize_fs", volume, m.FilesystemStats)

    def enable_as_source(self, request: m.StepRequest) -> None:
        """Have the database ready for replicas; it may be restarted, once per step."""
        self._done("enable_as_source", request)

    def set_replica_accounts(self, request: rm.ReplicaAccounts) -> None:
        """Have exactly these accounts for replicas."""
        self._done("set_replica_accounts", request)

    def follow(self, request: rm.FollowRequest) -> None:
        """Have the database follow a source, once per step."""
        self._done("follow", request)

    def detach_replica(self, request: rm.DetachRequest) -> None:
        """Have the database follow nobody any more, once per step."""
        self._done("detach_replica", request)

    def stop_writes(self, request: m.StepRequest) -> str:
        """Have clients write no more, once per step; return the position of the last change."""
        return self._call("stop_writes", request, rm.Position).position

    def allow_writes(self, request: m.StepRequest) -> None:
        """Have clients write, once per step."""
        self._done("allow_writes", request)

    def stop_receiving(self, request: m.StepRequest,
                       seconds: float | None = None) -> rm.Position:
        """Have a replica get no changes any more, once per step; return how far it got.

        :param seconds: to wait for the answer; None: as long as for others
        """
        return self._call("stop_receiving", request, rm.Position, seconds)

    def receive_again(self, request: m.StepRequest) -> None:
        """Have a replica get changes again, once per step."""
        self._done("receive_again", request)

    def fence(self, request: m.StepRequest) -> None:
        """Have the database stopped until somebody starts it on purpose, once per step."""
        self._done("fence", request)

    def unfence(self, request: m.StepRequest) -> None:
        """Have a database that was fenced run as it did before, once per step."""
        self._done("unfence", request)

    def get_position(self) -> str:
        """Return the position of the last change that the server has."""
        return self._call("get_position", m.Empty(), rm.Position).position

    def wait_for_position(self, request: rm.PositionRequest) -> bool:
        """Return whether a replica has all changes up to a position, after some time."""
        return self._call("wait_for_position", request, m.Flag).value

    def set_tls(self, request: tm.TlsRequest) -> tm.TlsResult:
        """Have the database speak TLS with its clients, or no more, once per step."""
        return self._call("set_tls", request, tm.TlsResult)

    def roll_back_tls(self, request: tm.TlsRollback) -> tm.TlsResult:
        """Have it speak with its clients as before, once per step.

        :raises UnprocessableEntity: nothing was before
        """
        return self._call("roll_back_tls", request, tm.TlsResult)

    def get_tls(self) -> tm.TlsState:
        """Return how the database speaks with its clients."""
        return self._call("get_tls", m.Empty(), tm.TlsState)

    def module_list(self, query: mm.ModuleQuery) -> list[mm.ModuleState]:
        """Return the modules that were applied, each looked at by its driver."""
        return self._call("module_list", query, mm.ModuleStates).modules

    def module_apply(self, modules: list[mm.ModuleSpec]) -> list[mm.ModuleState]:
        """Apply modules; return what became of each, in the order of applying."""
        return self._call(
            "module_apply", mm.ModulesRequest(modules=modules), mm.ModuleStates).modules

    def module_remove(self, module_id: str) -> None:
        """Take a module away.

        :raises NotFound: it was never applied
        """
        self._done("module_remove", mm.ModuleRemoval(id=module_id))
