"""The settings of the owner's configuration group, and reading changed files."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from psycopg.sql import SQL

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.causes import refusal
from trove_ng.guestagent.datastores.experimental.postgresql.config import OWNER, Configuration
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Server
from trove_ng.guestagent.os import commands, files

#: seconds that the server takes to read its files, at most
_READ_SECONDS = 20
_POLL_SECONDS = 0.05
#: what the server takes where nothing else is said
_CONNECTIONS = 100
_RESERVED = {"superuser_reserved_connections": 3, "reserved_connections": 0}
#: two segments of the log, in MiB
_LEAST_WAL_MB = 32
_WAL_SIZES = ("max_wal_size", "min_wal_size")
_NAMED = re.compile(r'parameter "([a-z_.]+)"', re.IGNORECASE)


class Overrides:
    """Brings settings into force and into the server's files.

    :param least: tells what settings must be at least
    """

    def __init__(self, configuration: Configuration, server: Server, paths: Paths,
                 least: Callable[[], Mapping[str, int]]) -> None:
        self._configuration = configuration
        self._server = server
        self._paths = paths
        self._least = least

    def apply(self, values: Mapping[str, Any], *, running: bool) -> bool:
        """Make the settings exactly these; return whether a restart is needed.

        :param values: setting → value
        :param running: the server is up
        :raises GuestError: the server refuses a value; nothing has changed then
        """
        self.check(values)
        with self._configuration.undoing():
            self._configuration.set_overrides(values)
            self.settle()
            return running and self.reload()

    def settle(self) -> None:
        """Write what settings must be at least now."""
        self._configuration.set_least(self._least())

    def check(self, values: Mapping[str, Any]) -> None:
        """Have the server's program look through what would be its settings.

        :raises GuestError: it refuses them, or would not start with them
        """
        try:
            settings = self._configuration.write_draft(values)
            commands.run([self._paths.program("postgres"), "-C", "port", "-c",
                          f"config_file={self._paths.draft}"], user=OWNER, cwd="/", timeout=60)
        except ValueError as err:
            raise GuestError("The database takes no value of more than one line.") from err
        except commands.CommandTimeout:
            raise
        except commands.CommandError as err:
            # only names are told: the text may hold anything
            named = sorted({one.lower() for one in _NAMED.findall(err.stderr)} & {*values})
            raise GuestError(refusal(named)) from err
        finally:
            files.remove(self._paths.draft)
        _check_starts(settings, values)

    def reload(self) -> bool:
        """Have the server read its files; return whether some of it waits for a restart.

        :raises GuestError: it does not take them
        """
        with self._server.session() as session:
            before = session.run(SQL("SELECT pg_conf_load_time()"))
            session.run(SQL("SELECT pg_reload_conf()"))
        end = time.monotonic() + _READ_SECONDS
        while True:
            # a new connection knows what the server itself does
            with self._server.session() as session:
                if session.run(SQL("SELECT pg_conf_load_time()")) != before:
                    return bool(session.run(
                        SQL("SELECT 1 FROM pg_settings WHERE pending_restart LIMIT 1")))
            if time.monotonic() > end:
                raise GuestError("The database does not take its settings; its log says why.")
            time.sleep(_POLL_SECONDS)


def _check_starts(settings: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Refuse what the server's program looks at no earlier than when it starts."""
    reserved = sum(int(settings.get(name, usual)) for name, usual in _RESERVED.items())
    if reserved >= int(settings.get("max_connections", _CONNECTIONS)):
        raise GuestError("The database refuses the value of max_connections: it must be more "
                         f"than those that are reserved ({reserved}).")
    for name in _WAL_SIZES:
        if name in values and int(values[name]) < _LEAST_WAL_MB:
            raise GuestError(f"The database refuses the value of {name}: it must be "
                             f"{_LEAST_WAL_MB} or more.")
