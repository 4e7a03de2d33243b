"""How the database of an instance speaks TLS with its clients; released clients say SSL."""

from __future__ import annotations

from typing import Any

from trove_ng.api import accept, accept_tls
from trove_ng.api.call import Call
from trove_ng.api.views import tls as views
from trove_ng.db.repositories import tls


def show(call: Call) -> dict[str, Any]:
    """Show mode and certificate."""
    with call.services.db.reader() as session:
        found = accept.find(session, call)
        row = tls.get(session, found.id)
        return {"ssl": views.present(row, found.restart_required,
                                     whole=call.flag("include_certificate"))}


def update(call: Call) -> dict[str, Any]:
    """Begin to enable it, to disable it, or to go back to what was before."""
    return accept_tls.change(call)
