"""The server's own logs."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.datastores.guest_logs import Log, LogKind
from trove_ng.guestagent.causes import LOOKED_AT
from trove_ng.guestagent.datastores.mysql_family.config import Configuration
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.datastores.mysql_family.sql import Server
from trove_ng.guestagent.logs import LogFile, tail
from trove_ng.guestagent.os import files

ERROR = Log("error", LogKind.SYS)
GENERAL = Log("general", LogKind.USER)
SLOW = Log("slow_query", LogKind.USER)

#: log → variable that switches it
_SWITCHES = {GENERAL.name: "general_log", SLOW.name: "slow_query_log"}
_THRESHOLD = "long_query_time"


class ServerLogs:
    """The logs of errors, of all statements and of slow ones.

    The two of statements are on the data volume, so that they take the owner's space, unless
    there is a volume for logs.  The one of errors is on that volume only: it tells that the
    volume of the data is full.

    :param owner: user that the server runs as
    :param service_log: returns the file that the server's supervisor writes, None if there
        is none: then the server is told to write one
    :param has_volume: returns whether there is a volume for logs
    """

    def __init__(self, paths: Paths, configuration: Configuration, server: Server, owner: str,
                 service_log: Callable[[], str | None],
                 has_volume: Callable[[], bool] = lambda: False) -> None:
        self._paths = paths
        self._configuration = configuration
        self._server = server
        self._owner = owner
        self._ask_service_log = service_log
        self._has_volume = has_volume
        self._known_service_log: str | None | bool = False

    def _service_log(self) -> str | None:
        """Return the supervisor's file; it stays the same while the agent runs."""
        if isinstance(self._known_service_log, bool):
            self._known_service_log = self._ask_service_log()
        return self._known_service_log

    def _error_log(self) -> str:
        return (str(self._paths.logs / "error.log") if self._has_volume()
                else self._paths.error_log)

    def prepare(self) -> str | None:
        """Make the directories; return the file that the server writes its errors to.

        :return: None if its supervisor writes one
        """
        files.make_directory(self._paths.logs, mode=0o750, owner=self._owner)
        if self._service_log() is not None:
            return None
        files.make_directory(pathlib.Path(self._error_log()).parent, mode=0o2750,
                             owner=self._owner)
        return self._error_log()

    def files(self) -> dict[str, LogFile]:
        """Return the logs by name."""
        service_log = self._service_log()
        return {
            ERROR.name: LogFile(pathlib.Path(service_log or self._error_log()),
                                ours=service_log is None),
            GENERAL.name: LogFile(self._paths.general_log, self._is_on("general_log")),
            SLOW.name: LogFile(self._paths.slow_log, self._is_on("slow_query_log")),
        }

    def _is_on(self, variable: str) -> bool:
        value = self._configuration.option(variable)
        return str(value).upper() in ("ON", "1", "TRUE")

    def switch(self, name: str, enabled: bool, long_query_time: float, *,
               running: bool) -> None:
        """Write a log from now on, over restarts too, or do not.

        :param long_query_time: seconds from which a query is slow, unless the owner says
        :param running: the server is up and takes it at once
        :raises BadRequest: the log is always written
        :raises NotFound: there is no such log
        :raises GuestError: the server refuses
        """
        if name == ERROR.name:
            raise BadRequest(f"The log {name} is always written.")
        if name not in _SWITCHES:
            raise NotFound.of("Log", name)
        variable = _SWITCHES[name]
        threshold = None
        if name == SLOW.name:
            self._configuration.set_default(_THRESHOLD, long_query_time)
            threshold = float(self._configuration.option(_THRESHOLD))
        if running:
            with self._server.session() as session:
                if threshold is not None:
                    session.run(f"SET GLOBAL {_THRESHOLD} = %s", (threshold,))
                session.run(f"SET GLOBAL {variable} = %s", (int(enabled),))
        # last: asked again, an agent that ended before does all of it
        self._configuration.set_final(variable, "ON" if enabled else "OFF")

    def own(self) -> str:
        """Return the end of the log of errors, if the server was told to write one."""
        return "" if self._service_log() is not None else tail(
            pathlib.Path(self._error_log()), LOOKED_AT)

    def reopen(self) -> None:
        """Make the server write new files."""
        with self._server.session() as session:
            session.run("FLUSH LOCAL ERROR LOGS, GENERAL LOGS, SLOW LOGS")
