"""The settings of the owner's configuration group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.datastores.mysql_family.config import Configuration, as_options
from trove_ng.guestagent.datastores.mysql_family.dialect import Dialect
from trove_ng.guestagent.datastores.mysql_family.variables import (
    Default,
    Variables,
    as_value,
)


class Overrides:
    """Brings the owner's settings into force and into the server's files."""

    def __init__(self, configuration: Configuration, server: sql.Server,
                 dialect: Dialect) -> None:
        self._configuration = configuration
        self._dialect = dialect
        self._variables = Variables(server)

    def apply(self, values: Mapping[str, Any], restart: Iterable[str], *,
              running: bool) -> bool:
        """Make the settings exactly these; return whether a restart is needed.

        The running server takes what it can before the files are written: an agent that ends
        in between sees the same changes again.

        :param values: variable → value
        :param restart: variables that take effect at the next start only
        :param running: the server is up
        :raises GuestError: the server refuses a value; nothing has changed then
        """
        before, wanted = self._configuration.overrides(), as_options(values, self._dialect)
        changed = sorted(name for name in {*before, *wanted}
                         if str(before.get(name)) != str(wanted.get(name)))
        now = self._dynamic(changed, wanted, {*restart})
        later = self._variables.set(now) if running else []
        self._configuration.set_overrides(values)
        sized = any(value is Default and name in self._dialect.self_sized for name, value in now)
        waiting = any(self._dialect.variable_of(name) in {*restart} for name in changed)
        return bool(later or sized or waiting)

    def _dynamic(self, changed: Iterable[str], wanted: Mapping[str, Any],
                 restart: set[str]) -> list[tuple[str, Any]]:
        """Return the variables that can be changed now, and what to.

        What the agent sets for good (a log that is switched on) is written below what is
        final, and does not reach the running server.
        """
        own, final = self._configuration.without_overrides(), self._configuration.final()
        names = [(name, self._dialect.variable_of(name)) for name in changed]
        return [(variable, wanted[name] if name in wanted else as_value(own.get(name, Default)))
                for name, variable in names if name not in final and variable not in restart]
