"""The superuser of an instance."""

from __future__ import annotations

from typing import Any

from trove_ng.api import accept
from trove_ng.api.call import Call
from trove_ng.api.handlers import statements
from trove_ng.api.handlers.guest import connect
from trove_ng.common.errors import NotFound
from trove_ng.common.secret import Secret
from trove_ng.db.repositories import instances
from trove_ng.db.session import retry_on_db_error
from trove_ng.rpc.messages import RootRequest


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
    user = guest.enable_root(RootRequest(password=None if text is None else Secret(text)))
    _note(call)
    shown = user.password.reveal() if user.password is not None else (text or "")
    return {"user": {"name": user.name, "password": shown}}


@retry_on_db_error
def _note(call: Call) -> None:
    with call.services.db.writer() as session:
        instances.note_root_enabled(
            session, call.params["id"], call.context.user_id, call.services.clock.now())


def disable(call: Call) -> None:
    """Disable root."""
    guest, _ = connect(call, "root", changes=True)
    with call.services.db.reader() as session:
        if instances.root_was_enabled(session, call.params["id"]) is None:
            raise NotFound(f"Root was never enabled on instance {call.params['id']}.")
    guest.disable_root()
