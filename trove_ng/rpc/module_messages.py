"""The messages about modules, beside those of :mod:`trove_ng.rpc.messages`."""

from __future__ import annotations

from trove_ng.common.secret import Secret
from trove_ng.rpc.messages import Ident, Message, OrderedRequest


class ModuleSpec(Message, frozen=True, kw_only=True):
    """A module to apply: a file, and which driver knows what to do with it.

    :param type: entry point name of its driver
    :param datastore: name of the only datastore that it is for, or ``all``
    :param datastore_version: likewise
    :param contents: the file in base64
    :param md5: hex digest of the file
    :param priority_apply: it goes before all that are not
    :param apply_order: 0 to 9, the lowest goes first
    :param is_admin: an administrator answers for it
    """

    id: Ident
    type: str
    name: str
    datastore: str
    datastore_version: str
    contents: Secret
    md5: str
    priority_apply: bool = False
    apply_order: int = 5
    is_admin: bool = False


class ModulesRequest(OrderedRequest, frozen=True, kw_only=True):
    """Apply modules; the agent sorts them.  Applying one again does the same again."""

    modules: list[ModuleSpec]


class ModuleQuery(Message, frozen=True, kw_only=True):
    """Look at the modules that were applied.

    :param id: only this one, if it is there
    :param include_contents: answer with the files too
    """

    id: str | None = None
    include_contents: bool = False


class ModuleRemoval(Message, frozen=True, kw_only=True):
    """Take a module away."""

    id: str


class ModuleState(Message, frozen=True, kw_only=True):
    """What became of a module.

    :param ok: it is in force
    :param message: a sentence of its driver, or why it is not in force
    :param filename: name of its file on the server
    :param md5: hex digest of the file that was applied last
    :param installed_at: when it was first applied, Unix time in seconds
    :param updated_at: when it was last applied, likewise
    :param contents: the file in base64, when it was asked for
    """

    id: str
    type: str
    name: str
    datastore: str
    datastore_version: str
    ok: bool
    message: str
    filename: str
    md5: str
    installed_at: float
    updated_at: float
    contents: Secret | None = None


class ModuleStates(Message, frozen=True, kw_only=True):
    """Modules in the order in which they are applied."""

    modules: list[ModuleState]
