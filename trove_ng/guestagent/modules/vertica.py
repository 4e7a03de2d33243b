"""The type ``vertica_license``: the licence of a Vertica database."""

from __future__ import annotations

import logging
import pathlib

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.context import AgentContext
from trove_ng.guestagent.modules.driver import Module, ModuleDriver
from trove_ng.guestagent.os import commands, files

LOG = logging.getLogger(__name__)

#: user that the database runs as, and who administers it
OWNER = "dbadmin"
_VSQL = "/opt/vertica/bin/vsql"
_SHARED = "/opt/vertica/config/share"


class VerticaLicense(ModuleDriver):
    """Hands the file to the database with its own function.

    :param shared: directory for a copy of the file that the database can read
    :param owner: user that runs the client and owns the copy; None is the agent's own
    """

    managers = ("vertica",)

    def __init__(self, ctx: AgentContext, vsql: str = _VSQL, shared: str = _SHARED,
                 owner: str | None = OWNER) -> None:
        super().__init__(ctx)
        self._vsql, self._shared, self._owner = vsql, pathlib.Path(shared), owner

    def apply(self, module: Module) -> str:
        """Install the licence.

        :raises GuestError: the database does not take it
        """
        copy = self._copy(module)
        files.write_bytes(copy, module.contents(), mode=0o600, owner=self._owner)
        return self._ask(f"SELECT INSTALL_LICENSE('{copy}')") or "The licence is installed."

    def query(self, module: Module) -> str:
        """Return what the database says of its licence.

        :raises GuestError: it does not comply with it, or it is another one
        """
        copy = self._copy(module)
        if not copy.is_file() or copy.read_bytes() != module.contents():
            raise GuestError("The licence is not the one that was installed last.")
        return self._ask("SELECT GET_COMPLIANCE_STATUS()")

    def remove(self, module: Module) -> None:
        """Remove the copy: Vertica keeps a licence until it is given another one."""
        if files.remove(self._copy(module)):
            LOG.warning("the database keeps the licence of module %s until it is given "
                        "another one", module.id)

    def _copy(self, module: Module) -> pathlib.Path:
        # the name goes into a statement: the id is a UUID
        return self._shared / f"trove-{module.id}.lic"

    def _ask(self, statement: str) -> str:
        done = commands.run(
            [self._vsql, "-U", OWNER, "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement],
            user=self._owner, timeout=self.ctx.conf.guest_agent.command_timeout)
        return " ".join(done.stdout.split())[:500]
