"""The messages about logs of a server, beside those of :mod:`trove_ng.rpc.messages`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trove_ng.rpc.messages import Count, Message, Name, ObjectStoreGrant


class LogMark(Message, frozen=True, kw_only=True):
    """How far a log is published.

    :param position: bytes of the file
    :param lines: lines in the published parts
    :param digest: hex SHA-256 of the file's first and of its last bytes before the position
    :param last_object: name of the newest part, without its folder
    :param next_object: name that the next part was given already; it may be stored
    """

    name: Name
    position: Count = 0
    lines: Count = 0
    digest: Annotated[str, msgspec.Meta(max_length=64)] = ""
    last_object: Name = ""
    next_object: Name = ""


class LogsRequest(Message, frozen=True, kw_only=True):
    """Tell of logs.

    :param marks: those that were published
    """

    marks: list[LogMark] = []


class LogState(Message, frozen=True, kw_only=True):
    """A log on a server.

    :param size: bytes of its file
    :param continues: the file begins with what was published
    :param restart_required: whether it is written changes at the next start
    """

    name: Name
    enabled: bool
    size: Count = 0
    continues: bool = True
    restart_required: bool = False


class LogStates(Message, frozen=True, kw_only=True):
    """All logs of a server."""

    logs: list[LogState]


class LogSwitch(Message, frozen=True, kw_only=True):
    """Write a log from now on, or do not.

    :param long_query_time: seconds from which a query is slow, for logs of slow queries
    """

    name: str
    enabled: bool
    long_query_time: float = 10.0


class LogPublishRequest(Message, frozen=True, kw_only=True):
    """Store what a log holds beyond what is published.

    :param kind: SYS or USER, for the metafile
    :param folder: what the names of parts begin with
    :param mark: how far it is published, None if it is not
    :param chunk_size: bytes of a part at most
    :param expire_after: seconds that parts are kept, 0 for ever
    :param seconds: after them no further part is begun
    """

    name: str
    kind: str
    grant: ObjectStoreGrant
    folder: str
    metafile: str
    mark: LogMark | None = None
    chunk_size: int = 1024 ** 2
    expire_after: int = 0
    seconds: float = 30.0


class LogPublished(Message, frozen=True, kw_only=True):
    """What was stored of a log.

    :param mark: how far it is published now, None if it is not
    :param rotated: nothing was stored, since the file does not begin with what is published
    """

    mark: LogMark | None = None
    rotated: bool = False
