"""The server's own log.

PostgreSQL has one: statements, all or slow ones, stand in it among all else.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from psycopg.sql import SQL

from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.guestagent.causes import LOOKED_AT
from trove_ng.guestagent.datastores.experimental.postgresql.config import (
    OWNER,
    THRESHOLD,
    Configuration,
)
from trove_ng.guestagent.datastores.experimental.postgresql.overrides import Overrides
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Server
from trove_ng.guestagent.logs import LogFile, tail
from trove_ng.guestagent.os import files

ERROR, GENERAL, SLOW = "error", "general", "slow_query"

_STATEMENTS = "log_statement"


class ServerLog:
    """The log, and what is written into it.

    :param service_log: returns the file that the server's supervisor writes, None if there
        is none: then the server is told to write one
    """

    def __init__(self, paths: Paths, configuration: Configuration, server: Server,
                 overrides: Overrides, service_log: Callable[[], str | None]) -> None:
        self._paths = paths
        self._configuration = configuration
        self._server = server
        self._overrides = overrides
        self._service_log = service_log

    def prepare(self) -> dict[str, str]:
        """Make the directory; return the settings that say where the log is written."""
        if self._service_log() is not None:
            return {"log_destination": "stderr", "logging_collector": "off"}
        files.make_directory(self._paths.log, mode=0o2750, owner=OWNER)
        return {"log_destination": "stderr", "logging_collector": "on",
                "log_directory": self._paths.log, "log_filename": self._paths.error_log.name,
                "log_rotation_age": "0", "log_rotation_size": "0", "log_file_mode": "0640"}

    def files(self) -> dict[str, LogFile]:
        """Return the logs by name: it is the same file."""
        service_log = self._service_log()
        path, ours = pathlib.Path(service_log or self._paths.error_log), service_log is None
        return {
            ERROR: LogFile(path, ours=ours),
            GENERAL: LogFile(path, self._configuration.setting(_STATEMENTS) == "all", ours),
            SLOW: LogFile(path, self._threshold() is not None, ours)}

    def _threshold(self) -> str | None:
        """Return from how many milliseconds on a statement is logged; None: from none."""
        found = self._configuration.setting(THRESHOLD)
        return None if found is None or found.startswith("-") else found

    def switch(self, name: str, enabled: bool, long_query_time: float, *,
               running: bool) -> None:
        """Write statements from now on, over restarts too, or what the owner says.

        :param long_query_time: seconds from which a query is slow, unless the owner says
        :param running: the server is up and takes it at once
        :raises BadRequest: the log is always written
        :raises NotFound: there is no such log
        :raises GuestError: the server refuses
        """
        if name == ERROR:
            raise BadRequest(f"The log {name} is always written.")
        if name == GENERAL:
            if enabled:
                self._configuration.set_final(_STATEMENTS, "all")
            else:
                self._configuration.unset_final(_STATEMENTS)
        elif name == SLOW:
            self._configuration.set_threshold(
                round(long_query_time * 1000) if enabled else None)
        else:
            raise NotFound.of("Log", name)
        if running:
            self._overrides.reload()

    def own(self) -> str:
        """Return the end of the log, if the server was told to write one."""
        return "" if self._service_log() is not None else tail(
            self._paths.error_log, LOOKED_AT)

    def reopen(self) -> None:
        """Make the server write a new file."""
        with self._server.session() as session:
            session.run(SQL("SELECT pg_rotate_logfile()"))
