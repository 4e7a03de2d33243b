"""The superuser of an instance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trove_ng.api import accept
from trove_ng.api.call import Call
from trove_ng.api.handlers import statements
from trove_ng.api.handlers.guest import client, connect
from trove_ng.common.errors import NotFound, TroveError
from trove_ng.common.secret import Secret
from trove_ng.db.repositories import instance_views, instances
from trove_ng.db.rows import AnyRow
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.instance_status import refuse_statement
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.messages import RootRequest

LOG = logging.getLogger(__name__)

#: seconds that all replicas together have to answer, while the client waits
TELL_SECONDS = 10.0
#: replicas that are asked at a time; the bus takes so many sends of all requests
_AT_ONCE = 4


def show(call: Call) -> dict[str, Any]:
    """Show if root was ever enabled; disabling it later does not change that."""
    with call.services.db.reader() as session:
        found = accept.find(session, call)
        enabled = instances.root_was_enabled(session, found.id) is not None
    return {"rootEnabled": enabled}


def enable(call: Call) -> dict[str, Any]:
    """Enable root with the given password, or one that the agent makes."""
    text = (call.body or {}).get("password")
    guest, engine = connect(call, "root", changes=True)
    if text is not None:
        statements.password(engine, text)
    replicas = _replicas(call)
    user = guest.enable_root(RootRequest(password=None if text is None else Secret(text)))
    ident = call.params["id"]
    # those that are not told have it with the data
    _note(call, ident, *([] if engine.tells_root else [one.id for one in replicas]))
    shown = user.password.reveal() if user.password is not None else (text or "")
    view: dict[str, Any] = {"user": {"name": user.name, "password": shown}}
    if engine.tells_root:
        failed = _tell(call, replicas, lambda one, seconds: one.enable_root(
            RootRequest(password=Secret(shown)), seconds))
        _note(call, *(one.id for one in replicas if one.id not in failed))
        view["failed_slaves"] = failed
    return view


@retry_on_db_error
def _note(call: Call, *instance_ids: str) -> None:
    with call.services.db.writer() as session:
        for ident in instance_ids:
            instances.note_root_enabled(
                session, ident, call.context.user_id, call.services.clock.now())


def _replicas(call: Call) -> Sequence[AnyRow]:
    """Return the replicas of the instance."""
    ident = call.params["id"]
    with call.services.db.reader() as session:
        return instance_views.some(
            session, instances.replica_ids(session, [ident]).get(ident, []))


def _tell(call: Call, replicas: Sequence[AnyRow],
          tell: Callable[[GuestClient, float], object]) -> list[str]:
    """Tell replicas of root, at once; return the ids of those that could not be told.

    These hear of it from their source, by asking or with the data, when they follow it.

    :param tell: is given the seconds to wait
    """
    clock = call.services.clock
    end = clock.monotonic() + TELL_SECONDS

    def one(row: AnyRow) -> str | None:
        left = end - clock.monotonic()
        if left <= 0:
            return "others did not answer in time"
        try:
            tell(client(call, row, refuse_statement), left)
        except TroveError as err:
            return err.message
        return None

    with ThreadPoolExecutor(_AT_ONCE, "root") as pool:
        ended = list(zip(replicas, pool.map(one, replicas), strict=True))
    failed = [(row.id, why) for row, why in ended if why is not None]
    for ident, why in failed:
        LOG.warning("replica %s is not told of root: %s", ident, why)
    return [ident for ident, _ in failed]


def disable(call: Call) -> dict[str, Any] | None:
    """Disable root; tell which replicas could not be told of it, if any."""
    guest, _ = connect(call, "root", changes=True)
    ident = call.params["id"]
    with call.services.db.reader() as session:
        known = instances.root_was_enabled(session, ident) is not None
    if not known:
        # an owner of before may have enabled it, or root itself may have let itself in
        if not guest.is_root_enabled():
            raise NotFound(f"Root was never enabled on instance {ident}.")
        _note(call, ident)
    replicas = _replicas(call)
    guest.disable_root()
    # where it goes with the data, replicas end what root has open there
    failed = _tell(call, replicas, lambda one, seconds: one.disable_root(seconds))
    return {"failed_slaves": failed} if failed else None
