"""Telling requests that are done while the client waits (users, databases, root …).

Before the handler runs, the start is written to the outbox together with an error that is
sent later, unless the end of the request takes its place: a process that is killed in
between leaves one end too.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from oslo_db.exception import DBError
from sqlalchemy.orm import Session

from trove_ng.common.errors import GuestError, GuestTimeout, TroveError
from trove_ng.common.notifications import EVENTS, Phase
from trove_ng.common.tracebacks import without_texts
from trove_ng.db.repositories import faults, instances, notifications
from trove_ng.db.session import retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.operations.notices import INTERRUPTED

if TYPE_CHECKING:
    from trove_ng.api.call import Call
    from trove_ng.api.services import Services

LOG = logging.getLogger(__name__)

Handler = Callable[["Call"], Any]

#: added to the time that a request may take before it counts as interrupted, seconds
_MARGIN = 30.0


@dataclasses.dataclass(frozen=True)
class Notify:
    """What a route tells of its requests.

    A source names where a value is found: ``path:NAME`` is a parameter of the path,
    ``body:A.B`` a field of the body, ``each:A.B`` the field B of each item of the list A (there
    is one notification for each item), and ``answer:A.B`` a field of the answer.  Of several
    with ``|`` between, the first that gives a value counts.

    :param event: name in :data:`trove_ng.common.notifications.EVENTS`
    :param start: key of the start's payload → source
    :param end: key of the end's payload → source
    :param changes: fields of the body; a request that has none of them set only asks, and
        is not told.  None: each request is
    """

    event: str
    start: Mapping[str, str]
    end: Mapping[str, str] = dataclasses.field(default_factory=dict)
    changes: tuple[str, ...] | None = None

    def tells(self, call: Call) -> bool:
        """Return whether a request changes something."""
        return self.changes is None or any(map(call.asks, self.changes))

    def starts(self, call: Call) -> list[dict[str, Any]]:
        """Return what the starts say, one for each item."""
        items = [name.removeprefix("each:").partition(".")[0]
                 for name in self.start.values() if name.startswith("each:")]
        count = len(call.body[items[0]]) if items else 1
        return [{key: _find(source, call, number) for key, source in self.start.items()}
                for number in range(count)]

    def ends(self, call: Call, answer: Any) -> dict[str, Any]:
        """Return what the ends say."""
        return {key: _find(source, call, 0, answer) for key, source in self.end.items()}


def _find(source: str, call: Call, number: int, answer: Any = None) -> Any:
    """Return the value that a source names, None if there is none."""
    source, _, rest = source.partition("|")
    kind, _, path = source.partition(":")
    if kind == "path":
        return call.params[path]
    names = path.split(".")
    found = answer if kind == "answer" else call.body
    if kind == "each":
        found = found[names.pop(0)][number]
    for name in names:
        found = (found or {}).get(name)
    return _find(rest, call, number, answer) if found is None and rest else found


class Notified:
    """Runs handlers and tells it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def run(self, call: Call, handler: Handler) -> Any:
        """Return the handler's answer.

        :raises StoreAway: the start cannot be written; nothing was done
        """
        notify = call.route.notify
        if notify is None or not notify.tells(call):
            return handler(call)
        prepared = self._begin(call, notify) if self._services.notices.on() else []
        try:
            answer = handler(call)
        except Exception as err:
            self._end(call, notify, prepared, err, None)
            raise
        self._end(call, notify, prepared, None, answer)
        return answer

    @retry_on_db_error
    def _begin(self, call: Call, notify: Notify) -> list[str]:
        """Tell the starts; return the ids of the errors that are prepared."""
        services, event = self._services, EVENTS[notify.event]
        now = services.clock.now()
        late = now + datetime.timedelta(seconds=services.conf.api.request_timeout + _MARGIN)
        tell, tenant_id = services.notices.tell, call.context.project_id
        starts = notify.starts(call)
        with services.db.writer() as session:
            for values in starts:
                tell(session, event, Phase.START, call.context, tenant_id, values, now)
            return [tell(session, event, Phase.ERROR, call.context, tenant_id,
                         {"message": INTERRUPTED, "exception": INTERRUPTED}, now,
                         due_at=late) for _ in starts]

    def _end(self, call: Call, notify: Notify, prepared: list[str],
             error: Exception | None, answer: Any) -> None:
        if not prepared and not _is_fault(error):
            return
        try:
            self._write_end(call, notify, prepared, error, answer)
        except (DBError, StoreAway) as err:
            # the client gets its answer; the prepared error is sent in time
            LOG.warning("the end of %s is not written: %s", notify.event, type(err).__name__)

    @retry_on_db_error
    def _write_end(self, call: Call, notify: Notify, prepared: list[str],
                   error: Exception | None, answer: Any) -> None:
        services, event = self._services, EVENTS[notify.event]
        base = services.notices.base(call.context, call.context.project_id)
        phase = Phase.END if error is None else Phase.ERROR
        more = notify.ends(call, answer) if error is None else describe(error)
        now = services.clock.now()
        with services.db.writer() as session:
            for ident in prepared:
                if not notifications.settle(session, ident, event, phase,
                                            {**base, **more}, now):
                    LOG.warning("the end of %s came too late: it was told as interrupted",
                                notify.event)
            if _is_fault(error):
                _note_fault(session, call, notify, more, now)


def _is_fault(error: Exception | None) -> bool:
    """Return whether an error is the instance's, rather than the client's or of a service."""
    return error is not None and (
        isinstance(error, GuestError | GuestTimeout) or not isinstance(error, TroveError))


def _note_fault(session: Session, call: Call, notify: Notify, why: Mapping[str, str],
                now: datetime.datetime) -> None:
    ident = call.params.get("id")
    if ident is None or "instance_id" not in notify.start:
        return
    # what failed may be the look for the instance itself, which need not be the caller's
    if instances.get(session, ident, call.owner) is not None:
        faults.add(session, ident, why["message"], why["exception"], now)


def describe(error: Exception) -> dict[str, str]:
    """Return message and stack trace, without texts that may hold a secret."""
    message = (error.message if isinstance(error, TroveError)
               else f"An unexpected error ({type(error).__name__}) occurred.")
    return {"message": message,
            "exception": "".join(traceback.format_exception(without_texts(error)))}
