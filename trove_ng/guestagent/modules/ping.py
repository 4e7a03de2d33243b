"""The type ``ping``: a module that answers, and changes nothing."""

from __future__ import annotations

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.modules.driver import Module, ModuleDriver, key_values


class Ping(ModuleDriver):
    """Answers with the line ``message=<text>`` of its file."""

    def apply(self, module: Module) -> str:
        """Return the message."""
        return self.query(module)

    def query(self, module: Module) -> str:
        """Return the message.

        :raises GuestError: the file has none
        """
        found = key_values(module.text()).get("message")
        if not found:
            raise GuestError("The file of the module has no line message=<text>.")
        return found

    def remove(self, module: Module) -> None:
        """Nothing but the file was made."""
