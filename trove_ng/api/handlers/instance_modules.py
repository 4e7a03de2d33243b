"""Modules of an instance: its agent is asked, and the answer waited for."""

from __future__ import annotations

from typing import Any

from trove_ng.api import accept, accept_modules
from trove_ng.api.call import Call
from trove_ng.api.handlers.guest import connect
from trove_ng.api.handlers.instance_actions import asking
from trove_ng.api.views import modules as views
from trove_ng.common.errors import NotFound, ServiceUnavailable
from trove_ng.db.repositories import datastores, modules
from trove_ng.db.session import retry_on_db_error
from trove_ng.operations import modules as sending
from trove_ng.rpc.module_messages import ModuleQuery, ModuleSpec, ModuleState

#: rule for what leaves a server again
_RETRIEVE = "instance:module_retrieve"


def index(call: Call) -> dict[str, Any]:
    """List the modules of an instance: what is known of them, or what its agent says."""
    include_contents = call.flag("include_contents")
    if include_contents:
        asking(call, _RETRIEVE)
    if include_contents or call.flag("from_guest"):
        return {"modules": _ask(call, ModuleQuery(include_contents=include_contents))}
    with call.services.db.reader() as session:
        found = accept.find(session, call)
        rows = modules.of_instance(session, found.id)
        known = modules.views(session, [row.module_id for row in rows], call.owner)
    return {"modules": [views.on_instance(known[row.module_id], row) for row in rows
                        if row.module_id in known]}


def retrieve(call: Call) -> dict[str, Any]:
    """Return the file of a module as it is on the server."""
    ident = call.params["module_id"]
    found = _ask(call, ModuleQuery(id=ident, include_contents=True))
    if not found:
        raise NotFound.of("Module", ident)
    return {name: found[0][name] for name in ("filename", "contents", "md5")}


def _ask(call: Call, query: ModuleQuery) -> list[dict[str, Any]]:
    guest, _ = connect(call)
    return _render(call, guest.module_list(query), contents_wanted=query.include_contents)


def _render(call: Call, states: list[ModuleState], *, contents_wanted: bool = False,
            ) -> list[dict[str, Any]]:
    """Return the views of those that the caller may see.

    The file of a module that an administrator answers for is for administrators: it may be
    a licence that the project only uses.

    :param contents_wanted: show the files, and leave out also those whose file is not there:
        released clients read it from each
    """
    with call.services.db.reader() as session:
        known = modules.views(session, [one.id for one in states], call.owner)
    return [views.answered(known[one.id], one, contents=contents_wanted)
            for one in states if one.id in known and not (
                contents_wanted and (one.contents is None or (
                    known[one.id].is_admin and not call.context.is_admin)))]


def apply(call: Call) -> dict[str, Any]:
    """Apply modules, and tell what became of each."""
    guest, _ = connect(call)
    specs = _begin(call, [one["id"] for one in call.body["modules"]])
    states = guest.module_apply(specs)
    _settle(call, specs, states)
    return {"modules": _render(call, states)}


@retry_on_db_error
def _begin(call: Call, idents: list[str]) -> list[ModuleSpec]:
    """Write that the instance may have the modules from now on; return them."""
    now, box = call.services.clock.now(), sending.box(call.services.conf)
    with call.services.db.writer() as session:
        instance = accept.find(session, call, lock=True)
        found = datastores.get_version(session, instance.datastore_version_id)
        if found is None:
            raise NotFound.of("Instance", instance.id)
        wanted = accept_modules.for_instance(
            session, call, idents, instance.tenant_id, found[1].id, found[0].id)
        accept_modules.begin(session, instance.id, [one.id for one in wanted], now)
        return [sending.spec(session, one, box) for one in wanted]


@retry_on_db_error
def _settle(call: Call, specs: list[ModuleSpec], states: list[ModuleState]) -> None:
    """Write what became of the modules.

    :raises ServiceUnavailable: the agent does not tell it of all
    """
    ident, now = call.params["id"], call.services.clock.now()
    sent = {one.id: one.md5 for one in specs}
    with call.services.db.writer() as session:
        for state in states:
            md5 = sent.pop(state.id, None)
            if md5 is None:
                continue  # it was not asked about that one
            if state.ok:
                modules.note_applied(session, ident, state.id, md5, now)
            else:
                modules.note_failed(session, ident, state.id, now)
    if sent:
        raise ServiceUnavailable("The agent did not tell what became of all modules.")


def remove(call: Call) -> None:
    """Take a module away from an instance."""
    guest, _ = connect(call)
    ident = call.params["module_id"]
    known = _known(call, ident)
    try:
        guest.module_remove(ident)
    except NotFound:
        # it is gone, or never came: what is known of it goes too
        if not known:
            raise NotFound.of("Module", ident) from None
    _forget(call, ident)


def _known(call: Call, ident: str) -> bool:
    """Return whether the instance may have a module that the caller may see.

    :raises NotFound: the caller may not see it
    """
    with call.services.db.reader() as session:
        accept_modules.load(session, call, ident)
        return modules.has(session, call.params["id"], ident)


@retry_on_db_error
def _forget(call: Call, ident: str) -> None:
    with call.services.db.writer() as session:
        modules.forget(session, call.params["id"], call.services.clock.now(), ident)
