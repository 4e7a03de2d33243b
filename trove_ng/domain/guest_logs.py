"""What a log is shown as: a pure function of the server's word and the published part."""

from __future__ import annotations

import enum
from typing import Any

from trove_ng.datastores.guest_logs import Log, LogKind, Place
from trove_ng.rpc import log_messages as m

#: container and prefix of a log of which nothing is published.  Released clients look for a
#: container of this name, do not find it, and say that nothing is published; given no name,
#: or a container without the log, they end with an exception
NOWHERE = "None"


class LogStatus(enum.StrEnum):
    """The statuses of a log.

    The specs' ``Restart Completed`` is a state between two looks, of which there is none.
    """

    DISABLED = "Disabled"
    #: it is written, and holds nothing yet
    ENABLED = "Enabled"
    #: one that is always written, and holds nothing
    UNAVAILABLE = "Unavailable"
    READY = "Ready"
    PARTIAL = "Partial"
    PUBLISHED = "Published"
    #: the next publishing begins anew
    ROTATED = "Rotated"
    RESTART_REQUIRED = "Restart Required"


def published(mark: m.LogMark | None) -> int:
    """Return the bytes of a log that are published."""
    return mark.position if mark is not None else 0


def pending(state: m.LogState, mark: m.LogMark | None) -> int:
    """Return the bytes of a log that the next publishing stores."""
    return state.size - published(mark) if state.continues else state.size


def status(kind: LogKind, state: m.LogState, mark: m.LogMark | None) -> LogStatus:
    """Return the status of a log.

    :param state: as the server tells it, who was told of the mark
    :param mark: how far it is published, None if it is not
    """
    if state.restart_required:
        return LogStatus.RESTART_REQUIRED
    if not state.enabled:
        return LogStatus.DISABLED
    if published(mark):
        if not state.continues:
            return LogStatus.ROTATED
        return LogStatus.PARTIAL if pending(state, mark) else LogStatus.PUBLISHED
    if state.size:
        return LogStatus.READY
    return LogStatus.UNAVAILABLE if kind is LogKind.SYS else LogStatus.ENABLED


def view(log: Log, state: m.LogState, mark: m.LogMark | None, place: Place,
         container: str) -> dict[str, Any]:
    """Return what clients see of a log, who read its parts from the object store."""
    shown = bool(published(mark))
    return {
        "name": log.name, "type": str(log.kind), "status": str(status(log.kind, state, mark)),
        "published": published(mark), "pending": pending(state, mark),
        "container": container if shown else NOWHERE,
        "prefix": place.folder if shown else NOWHERE,
        "metafile": place.metafile}
