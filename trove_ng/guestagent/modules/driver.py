"""What a driver of a type of modules must say; found by entry point."""

from __future__ import annotations

import abc
import pathlib
from collections.abc import Callable, Sequence

import msgspec

from trove_ng.common.errors import GuestError
from trove_ng.guestagent import entry_points
from trove_ng.guestagent.context import AgentContext

#: entry points of drivers, by the type of the modules
NAMESPACE = "trove_ng.guestagent.modules"


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """A module as its driver sees it.

    :param path: its file; only the agent can read it
    :param is_admin: an administrator answers for it
    """

    id: str
    name: str
    path: pathlib.Path
    is_admin: bool = False

    def contents(self) -> bytes:
        """Return what is in the file."""
        return self.path.read_bytes()

    def text(self) -> str:
        """Return what is in the file as text.

        :raises GuestError: it is no UTF-8
        """
        try:
            return self.contents().decode()
        except UnicodeDecodeError:
            raise GuestError("The file of the module is not a text in UTF-8.") from None


class ModuleDriver(abc.ABC):
    """Puts modules of one type in force.  It never executes what a module holds.

    All of its methods may be called again, and then do the same again.

    :param ctx: see :class:`~trove_ng.guestagent.context.AgentContext`
    """

    #: datastore managers that the type is for; empty means all
    managers: Sequence[str] = ()

    def __init__(self, ctx: AgentContext) -> None:
        self.ctx = ctx

    @abc.abstractmethod
    def apply(self, module: Module) -> str:
        """Put a module in force, in the place of an older one with its id.

        :return: a sentence about it, without secrets
        :raises GuestError: why it cannot be
        """

    @abc.abstractmethod
    def query(self, module: Module) -> str:
        """Look whether a module that was applied is in force.

        :return: a sentence about it, without secrets
        :raises GuestError: why it is not
        """

    @abc.abstractmethod
    def remove(self, module: Module) -> None:
        """Take a module out of force; its file is removed afterwards.

        :raises GuestError: why it cannot be
        """


#: returns the class of a type's driver
Loader = Callable[[str], Callable[[AgentContext], ModuleDriver]]


def load(kind: str) -> Callable[[AgentContext], ModuleDriver]:
    """Return the class of the driver of a type of modules.

    :raises GuestError: none is installed, or it cannot be imported
    """
    try:
        made: Callable[[AgentContext], ModuleDriver] = entry_points.find(NAMESPACE, kind)
    except entry_points.NoEntryPoint as err:
        if err.__cause__ is not None:
            raise GuestError(f"The driver for modules of type {kind} is broken.") from err
        raise GuestError(f"There is no driver for modules of type {kind}.") from err
    return made


def key_values(text: str) -> dict[str, str]:
    """Return what lines like ``key=value`` or ``key: value`` say; others are left out."""
    found = {}
    for line in text.splitlines():
        where = min((at for at in (line.find("="), line.find(":")) if at > 0), default=0)
        if where and not line.lstrip().startswith(("#", ";")):
            found[line[:where].strip()] = line[where + 1:].strip().strip("\"'")
    return found
