"""The type ``new_relic_license``: the licence key of New Relic's agent on this server.

The agent's own program takes the key as an argument, which every user of the server could
read; the key is written to the agent's configuration instead.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.modules.driver import Module, ModuleDriver, key_values
from trove_ng.guestagent.os import files

_NAME = "license_key"
_KEY = re.compile(r"[0-9A-Za-z]{10,64}")


@dataclasses.dataclass(frozen=True)
class Program:
    """An agent of New Relic.

    :param config: its configuration
    :param line: the line that says the key
    :param services: candidates of its service's name
    """

    config: str
    line: str
    services: Sequence[str]


#: the present agent for servers, and the one before it
PROGRAMS = (
    Program("/etc/newrelic-infra.yml", "license_key: {}", ("newrelic-infra",)),
    Program("/etc/newrelic/nrsysmond.cfg", "license_key={}", ("newrelic-sysmond",)),
)
#: how the present agent's configuration is told from one that was never made
_PROGRAM = "/usr/bin/newrelic-infra"


class NewRelicLicense(ModuleDriver):
    """Writes the key to the configuration of the agent, and restarts it.

    :param programs: agents that may be there, the likeliest first
    :param program: path of the first one's program: it may be there without configuration
    """

    def __init__(self, ctx: AgentContext, programs: Sequence[Program] = PROGRAMS,
                 program: str = _PROGRAM) -> None:
        super().__init__(ctx)
        self._programs = programs
        self._program = program

    def apply(self, module: Module) -> str:
        """Give the agent the key.

        :raises GuestError: the file has none, or there is no agent
        """
        found, key = self._installed(), _key(module)
        self._write(found, found.line.format(key))
        limit = self.ctx.conf.guest_agent.state_change_wait_time
        self.ctx.services.enable(found.services)
        self.ctx.services.restart(found.services, limit)
        return "New Relic's agent has the licence key."

    def query(self, module: Module) -> str:
        """Look for the key in the agent's configuration.

        :raises GuestError: it is not there, or the agent does not run
        """
        found = self._installed()
        if self._current(found) != _key(module):
            raise GuestError("New Relic's agent has no, or another, licence key.")
        if not self.ctx.services.is_running(found.services):
            raise GuestError("New Relic's agent does not run.")
        return "New Relic's agent has the licence key."

    def remove(self, module: Module) -> None:
        """Stop the agent and take the key away, unless it is another one by now."""
        for found in self._programs:
            if self._current(found) == _key(module):
                self.ctx.services.stop(
                    found.services, self.ctx.conf.guest_agent.state_change_wait_time)
                self.ctx.services.disable(found.services)
                self._write(found, None)

    def _installed(self) -> Program:
        for one in self._programs:
            if pathlib.Path(one.config).is_file():
                return one
        if self._programs and pathlib.Path(self._program).exists():
            return self._programs[0]
        raise GuestError("New Relic's agent is not installed on the server.")

    @staticmethod
    def _current(program: Program) -> str | None:
        path = pathlib.Path(program.config)
        return key_values(files.read_text(path)).get(_NAME) if path.is_file() else None

    @staticmethod
    def _write(program: Program, line: str | None) -> None:
        path = pathlib.Path(program.config)
        before = files.read_text(path).splitlines() if path.is_file() else []
        kept = [one for one in before if _NAME not in key_values(one)]
        # it holds a secret from now on
        files.write_text(path, "".join(f"{one}\n" for one in (
            *kept, *([line] if line is not None else []))), mode=0o640)


def _key(module: Module) -> str:
    """Return the key: the file is the key, or has a line with it.

    :raises GuestError: there is none
    """
    text = module.text()
    found = key_values(text).get(_NAME) or text.strip()
    if not _KEY.fullmatch(found):
        raise GuestError("The file of the module holds no licence key of New Relic.")
    return found
