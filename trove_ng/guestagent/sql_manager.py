"""A server with databases, users and root, which their classes look after."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from trove_ng.common.errors import ServiceUnavailable
from trove_ng.common.secret import Secret
from trove_ng.common.states import ServiceStatus
from trove_ng.guestagent.logs import LogFile
from trove_ng.guestagent.server import ServerManager
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m

#: seconds that a change of the source gets to arrive at a replica, while a client waits
ARRIVAL_SECONDS = 5.0
_LOOK_SECONDS = 0.1


class Databases(Protocol):
    """The databases of a server, without its own."""

    def page(self, request: m.PageRequest) -> m.DatabasePage:
        """Return some of them by name."""

    def create(self, databases: Sequence[m.DatabaseSpec]) -> None:
        """Create databases, all or none; raises Conflict."""

    def drop(self, name: str) -> None:
        """Drop one; raises NotFound."""


class Users(Protocol):
    """The users of a server, without its own; what does not exist raises NotFound."""

    def page(self, request: m.PageRequest) -> m.UserPage:
        """Return some of them by name."""

    def get(self, name: str, host: str | None) -> m.UserSpec:
        """Return one with the databases it may use."""

    def create(self, users: Sequence[m.UserSpec]) -> None:
        """Create users with their grants, all or none; raises Conflict."""

    def drop(self, name: str, host: str | None) -> None:
        """Drop one."""

    def update(self, name: str, host: str | None, change: m.UserChange) -> None:
        """Change one; raises Conflict."""

    def change_passwords(self, users: Sequence[m.UserSpec]) -> None:
        """Set passwords, of all or none."""

    def grant(self, name: str, host: str | None, databases: Sequence[str]) -> None:
        """Let one use databases."""

    def revoke(self, name: str, host: str | None, databases: Sequence[str]) -> None:
        """Let one use databases no more."""


class Root(Protocol):
    """The superuser that an owner may enable."""

    @property
    def name(self) -> str:
        """What it is called."""

    def is_enabled(self) -> bool:
        """Return whether it can log in."""

    def enable(self, password: Secret | None) -> Secret:
        """Let it log in; return its password, made if none is given."""

    def disable(self) -> None:
        """Take its login away, and end what it has open; not enabled is no error.

        A replica waits until its source has taken the login away, for it must change nothing.

        :raises ServiceUnavailable: that does not come to the replica in time
        """


def wait_until_disabled(root: Root) -> None:
    """Wait, at a replica, for the change that takes root's login away.

    :raises ServiceUnavailable: it does not come in time
    """
    end = time.monotonic() + ARRIVAL_SECONDS
    while root.is_enabled():
        if time.monotonic() > end:
            raise ServiceUnavailable("The replica has not heard yet that root is disabled.")
        time.sleep(_LOOK_SECONDS)


class ServerLogs(Protocol):
    """The logs that the server writes."""

    def files(self) -> dict[str, LogFile]:
        """Return them by name."""

    def switch(self, name: str, enabled: bool, long_query_time: float, *,
               running: bool) -> None:
        """Write one from now on, or do not; raises BadRequest, NotFound."""

    def own(self) -> str:
        """Return the end of the log of errors, if the server was told to write one."""

    def reopen(self) -> None:
        """Make the server write new files."""


class SqlManager(ServerManager):
    """The calls for databases, users, root and logs; an engine sets what does the work."""

    databases: Databases
    users: Users
    root: Root
    server_logs: ServerLogs

    def list_databases(self, request: m.PageRequest) -> m.DatabasePage:
        """Return a page of databases."""
        return self.databases.page(request)

    def create_databases(self, request: m.DatabasesRequest) -> m.Empty:
        """Create databases, all or none."""
        self.databases.create(request.databases)
        return m.Empty()

    def delete_database(self, request: m.NameRequest) -> m.Empty:
        """Drop a database."""
        self.databases.drop(request.name)
        return m.Empty()

    def list_users(self, request: m.PageRequest) -> m.UserPage:
        """Return a page of users."""
        return self.users.page(request)

    def get_user(self, request: m.UserRequest) -> m.UserSpec:
        """Return a user."""
        return self.users.get(request.name, request.host)

    def create_users(self, request: m.UsersRequest) -> m.Empty:
        """Create users, all or none."""
        self.users.create(request.users)
        return m.Empty()

    def delete_user(self, request: m.UserRequest) -> m.Empty:
        """Drop a user."""
        self.users.drop(request.name, request.host)
        return m.Empty()

    def update_user(self, request: m.UserUpdateRequest) -> m.Empty:
        """Change a user."""
        self.users.update(request.name, request.host, request.change)
        return m.Empty()

    def change_passwords(self, request: m.UsersRequest) -> m.Empty:
        """Set the passwords of users."""
        self.users.change_passwords(request.users)
        return m.Empty()

    def list_access(self, request: m.UserRequest) -> m.DatabaseList:
        """Return what a user may use."""
        found = self.users.get(request.name, request.host)
        return m.DatabaseList(
            databases=[m.DatabaseSpec(name=one) for one in found.databases])

    def grant_access(self, request: m.AccessRequest) -> m.Empty:
        """Let a user use databases."""
        self.users.grant(request.name, request.host, request.databases)
        return m.Empty()

    def revoke_access(self, request: m.AccessRequest) -> m.Empty:
        """Let a user use databases no more."""
        self.users.revoke(request.name, request.host, request.databases)
        return m.Empty()

    def is_root_enabled(self, request: m.Empty) -> m.Flag:
        """Return whether root can log in."""
        return m.Flag(value=self.root.is_enabled())

    def enable_root(self, request: m.RootRequest) -> m.UserSpec:
        """Enable root and return it with its password."""
        password = self.root.enable(request.password)
        return m.UserSpec(name=self.root.name, host="%", password=password)

    def disable_root(self, request: m.Empty) -> m.Empty:
        """Disable root."""
        self.root.disable()
        return m.Empty()

    def _own_log(self) -> str:
        return self.server_logs.own()

    def log_files(self) -> dict[str, LogFile]:
        """Return the agent's log and those of the server."""
        return {**super().log_files(), **self.server_logs.files()}

    def set_log(self, switch: lm.LogSwitch) -> None:
        """Write a log from now on, or do not."""
        self.server_logs.switch(switch.name, switch.enabled, switch.long_query_time,
                                running=self.probe() is not ServiceStatus.SHUTDOWN)

    def reopen_logs(self) -> None:
        """Make the server write new files, if it runs."""
        if self.probe() is not ServiceStatus.SHUTDOWN:
            self.server_logs.reopen()
