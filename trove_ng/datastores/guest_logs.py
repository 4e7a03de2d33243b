"""Logs of a server, and the form in which they are published.

In the object store a log is a sequence of objects ``<instance>/<datastore>-<log>/log-<time>``,
whose names sort as the log goes on, and a metafile ``<instance>/<datastore>-<log>_metafile``
that says how far it is published.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from typing import Any

import msgspec

from trove_ng.rpc import log_messages as m

#: name of the log that every server has: its agent's
AGENT = "guest"
#: a metafile is not larger
METAFILE_LIMIT = 16 * 1024
_OBJECT = "log-"


class LogKind(enum.StrEnum):
    """Who says whether a log is written."""

    #: it always is
    SYS = "SYS"
    #: the instance's owner
    USER = "USER"


@dataclasses.dataclass(frozen=True)
class Log:
    """A log that servers of an engine have."""

    name: str
    kind: LogKind


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a log is published, inside its container.

    :param manager: the datastore's manager
    """

    instance_id: str
    manager: str
    log: str

    @property
    def stem(self) -> str:
        """What the names of all objects of the log begin with."""
        return f"{self.instance_id}/{self.manager}-{self.log}"

    @property
    def folder(self) -> str:
        """What the names of its parts begin with."""
        return f"{self.stem}/"

    @property
    def metafile(self) -> str:
        """The object that says how far it is published."""
        return f"{self.stem}_metafile"


def object_name(now: datetime.datetime, last: str = "") -> str:
    """Return the name of a log's next part: the time, and later than the last one's.

    :param last: name of the part before
    """
    if last:
        now = max(now, _moment(last) + datetime.timedelta(microseconds=1))
    return _OBJECT + now.isoformat(timespec="microseconds")


def _moment(name: str) -> datetime.datetime:
    """Return the time in a part's name.

    :raises ValueError: it is none
    """
    found = datetime.datetime.fromisoformat(name.removeprefix(_OBJECT))
    if name != _OBJECT + found.isoformat(timespec="microseconds"):
        raise ValueError(f"{name} is not the name of a part")
    return found


def render(mark: m.LogMark, kind: str, path: str) -> bytes:
    """Return a metafile.

    :param path: of the file on the server
    """
    return json.dumps({
        "log_name": mark.name, "log_type": kind, "log_file": path,
        "log_size": mark.position, "log_lines": mark.lines, "log_hash": mark.digest,
        "log_last_object": mark.last_object, "log_next_object": mark.next_object,
    }, indent=1).encode()


def parse(content: bytes, log: str) -> m.LogMark | None:
    """Return what a metafile says; None if it is not one of ours.

    Whoever owns the container can write into it.
    """
    try:
        found: dict[str, Any] = msgspec.json.decode(content, type=dict)
        mark = msgspec.convert({
            "name": found["log_name"], "position": found["log_size"],
            "lines": found["log_lines"], "digest": found["log_hash"],
            "last_object": found["log_last_object"],
            "next_object": found["log_next_object"]}, m.LogMark)
        for name in (mark.last_object, mark.next_object):
            if name:
                _moment(name)
    except (msgspec.MsgspecError, KeyError, ValueError):
        return None
    return mark if mark.name == log else None
