"""Logs of an instance: list, show, switch, publish, discard.

What is published is in the object store of the instance's project; clients read it there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from trove_ng.api.call import Call
from trove_ng.api.handlers.guest import client
from trove_ng.api.handlers.instance_actions import asking
from trove_ng.api.published_logs import PublishedLogs
from trove_ng.api.schemas.guest_logs import ACTIONS
from trove_ng.cloud.errors import CloudError
from trove_ng.common.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    NotSupported,
    ServiceUnavailable,
)
from trove_ng.datastores import base as engines
from trove_ng.datastores.guest_logs import Log, LogKind
from trove_ng.db.repositories import instance_views
from trove_ng.domain import guest_logs
from trove_ng.domain.instance_status import refuse_logs
from trove_ng.rpc import log_messages as m
from trove_ng.rpc.guest import GuestClient


def index(call: Call) -> dict[str, Any]:
    """List the logs that the caller may see."""
    guest, engine, published = _reach(call)
    shown = [log for log in engine.logs if _exposed(call, log)]
    with _object_store():
        marks = published.marks(shown)
    states = {state.name: state for state in guest.list_logs(list(marks.values()))}
    return {"logs": [
        guest_logs.view(log, states[log.name], marks.get(log.name), published.place(log),
                        published.container)
        for log in shown if log.name in states]}


def act(call: Call) -> dict[str, Any]:
    """Show a log, after what the body asks for was done."""
    wanted = set(filter(call.asks, ACTIONS))
    if wanted >= {"enable", "disable"}:
        raise BadRequest("Validation error: enable and disable exclude each other.")
    if wanted:
        asking(call, "instance:guest_log_action")
    guest, engine, published = _reach(call)
    log = _named(call, engine)
    with _object_store():
        _switch(call, guest, log, wanted)
        if wanted & {"publish", "discard"}:
            mark = published.change(log, guest, publish="publish" in wanted,
                                    discard="discard" in wanted)
        else:
            mark = published.marks([log]).get(log.name)
    state = _state(guest, log, mark)
    return {"log": guest_logs.view(log, state, mark, published.place(log),
                                   published.container)}


def _reach(call: Call) -> tuple[GuestClient, engines.Datastore, PublishedLogs]:
    """Return the client of the path's instance, whose agent can be asked now.

    The database need not run: its logs say why.

    :raises NotFound: no such instance for the caller
    :raises NotSupported: the datastore has no logs
    :raises UnprocessableEntity: the instance is not in a state to do so
    :raises ServiceUnavailable: the agent was not heard of for too long
    """
    ident, services = call.params["id"], call.services
    with services.db.connection() as reader:
        row = call.own("Instance", ident, instance_views.get(reader, ident, call.owner))
    engine = engines.get(row.manager)
    if not engine.logs:
        raise NotSupported(f"{row.datastore_name} does not offer logs.")
    return (client(call, row, refuse_logs), engine,
            PublishedLogs(services, row.tenant_id, ident, engine.manager, row.region_id,
                          call.context.request_id))


def _exposed(call: Call, log: Log) -> bool:
    exposed = call.services.conf.guest_log_exposed_logs
    return call.context.is_admin or log.name in exposed or "ALL" in exposed


def _named(call: Call, engine: engines.Datastore) -> Log:
    name = call.body["name"]
    log = next((one for one in engine.logs if one.name == name), None)
    if log is None:
        raise NotFound.of("Log", name)
    if not _exposed(call, log):
        raise Forbidden(f"The log {name} is for administrators.")
    return log


def _switch(call: Call, guest: GuestClient, log: Log, wanted: set[str]) -> None:
    """Have a log written or not; publishing has it written, unless it is disabled with it."""
    if log.kind is not LogKind.USER:
        if wanted & {"enable", "disable"}:
            raise BadRequest(f"Validation error: the log {log.name} is always written.")
        return
    enable = "enable" in wanted
    if "publish" in wanted and "disable" not in wanted and not enable:
        enable = not _state(guest, log, None).enabled
    if enable or "disable" in wanted:
        guest.switch_log(m.LogSwitch(
            name=log.name, enabled=enable,
            long_query_time=call.services.conf.guest_log_long_query_time))


def _state(guest: GuestClient, log: Log, mark: m.LogMark | None) -> m.LogState:
    for state in guest.list_logs([mark] if mark is not None else []):
        if state.name == log.name:
            return state
    raise NotSupported(f"The agent of the instance does not know the log {log.name}.")


@contextlib.contextmanager
def _object_store() -> Iterator[None]:
    """Tell of trouble with the object store as such."""
    try:
        yield
    except CloudError as err:
        raise ServiceUnavailable(f"The logs cannot be reached: {err.message}") from err
